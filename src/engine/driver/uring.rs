//! The io_uring driver: the product.
//!
//! One ring per shard, made on the shard's own thread (`SINGLE_ISSUER`), whose completions are
//! produced only while the shard asks for them (`DEFER_TASKRUN`): no interruption of the shard by
//! its own I/O, and completions come in batches. Accept and receive are multishot, so a steady
//! connection costs no submission to be read; receives draw from a provided buffer ring, so an idle
//! connection owns no memory. A turn is one `io_uring_enter`: it submits, waits, and carries the
//! next timer as its timeout. There is no polling thread: on a mostly waiting loop it burns a core.
//! Nor does a turn wait for several completions: the timer which that needs costs more than the
//! turns it saves (PERFORMANCE.md, what was tried).
//!
//! Only a few buffers are posted to the kernel at a time: the ring is a queue, and a queue as long
//! as the whole pool would walk through all of its memory however light the load. Running out
//! doubles the number posted.
//!
//! What the kernel can do is probed by trying, never by its version: without `DEFER_TASKRUN` (6.1)
//! the engine takes the epoll driver.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use io_uring::types::Fd as RingFd;
use io_uring::{CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter};
use io_uring::{cqueue, opcode, squeue};

use super::buffer_ring::{BufferRing, GROUP};
use super::{
    BufPool, Completion, DriverCounters, Fd, Key, ListenOptions, TxJob, Wait, WakeHandle, kernel,
};
use crate::engine::tx::TxView;

/// Completions handed to the engine in one turn.
const BATCH: usize = 256;

/// `user_data` of operations whose outcome nobody waits for.
const IGNORED: u64 = Key::NONE.index as u64;
/// `user_data` of the wake-up read.
const WAKE: u64 = IGNORED | 1 << 32;

/// Why no ring could be had, with the likely cause.
#[derive(Debug, thiserror::Error)]
pub enum UringError {
    #[error("io_uring is forbidden here ({0}): a seccomp profile or kernel.io_uring_disabled")]
    Forbidden(io::Error),
    #[error("this kernel has no io_uring ({0})")]
    Missing(io::Error),
    #[error("this kernel's io_uring is too old ({0}): Linux 6.1 is needed")]
    TooOld(io::Error),
    #[error("no memory for the rings ({0}): raise RLIMIT_MEMLOCK or lower engine.ring.entries")]
    NoMemory(io::Error),
    #[error("io_uring failed: {0}")]
    Other(#[from] io::Error),
}

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingSizes {
    pub entries: u32,
    pub completion_entries: u32,
}

/// See the module's head.
pub struct Uring {
    // The queues borrow from `ring`, which is leaked by `new` and reclaimed by `drop`.
    submitter: Submitter<'static>,
    sq: ManuallyDrop<SubmissionQueue<'static>>,
    cq: ManuallyDrop<CompletionQueue<'static>>,
    ring: NonNull<IoUring>,
    enter_flags: u32,
    wake: Arc<OwnedFd>,
    wake_value: Box<u64>,
    #[expect(
        clippy::vec_box,
        reason = "queued entries point to them: they must not move"
    )]
    addresses: Vec<Box<socket2::SockAddr>>,
    buffers: BufferRing,
    counters: DriverCounters,
}

/// `struct io_uring_getevents_arg` of the kernel's interface.
#[repr(C)]
struct GetEvents {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_usec: u32,
    timespec: u64,
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

const ENTER_NO_IOWAIT: u32 = 1 << 7;

impl Uring {
    /// Makes a ring for the calling thread, with `buffer_count` entries in its buffer ring.
    ///
    /// # Errors
    /// Says which of the usual causes stands in the way.
    pub fn new(mut sizes: RingSizes, buffer_count: u16) -> Result<Uring, UringError> {
        let ring = loop {
            match build(sizes) {
                Ok(ring) => break ring,
                Err(UringError::NoMemory(cause)) if sizes.entries > 64 => {
                    sizes.entries /= 2;
                    sizes.completion_entries /= 2;
                    tracing::warn!(
                        entries = sizes.entries,
                        "no memory for the ring ({cause}): trying with half the entries"
                    );
                }
                Err(error) => return Err(error),
            }
        };
        let no_iowait = ring.params().is_feature_no_iowait();
        let ring = NonNull::from(Box::leak(Box::new(ring)));
        // SAFETY: the box was just leaked; the borrow ends in `drop`, which takes it back only
        // after the queues are gone.
        let (mut submitter, sq, cq) = unsafe { &mut *ring.as_ptr() }.split();
        // Saves looking the descriptor up on every enter; not vital where it is refused.
        let _ = submitter.register_ring_fd();
        let buffers = BufferRing::new(&submitter, buffer_count)?;
        let mut driver = Uring {
            submitter,
            sq: ManuallyDrop::new(sq),
            cq: ManuallyDrop::new(cq),
            ring,
            enter_flags: (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits()
                | if no_iowait { ENTER_NO_IOWAIT } else { 0 },
            wake: Arc::new(kernel::event_fd()?),
            wake_value: Box::new(0),
            addresses: Vec::new(),
            buffers,
            counters: DriverCounters::default(),
        };
        driver.arm_wake();
        Ok(driver)
    }

    pub fn now(&self) -> u64 {
        kernel::monotonic_ns()
    }

    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle::Event(Arc::clone(&self.wake))
    }

    pub fn listen(
        &mut self,
        addr: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<(Fd, SocketAddr)> {
        let (socket, addr) = kernel::listen(addr, options)?;
        Ok((Fd(socket.into_raw_fd()), addr))
    }

    /// Takes over a listening socket.
    pub fn adopt_listener(&mut self, socket: TcpListener) -> io::Result<Fd> {
        // The ring would report `EAGAIN` for one that does not wait.
        socket.set_nonblocking(false)?;
        Ok(Fd(socket.into_raw_fd()))
    }

    pub fn socket(&mut self, remote: &SocketAddr, no_delay: bool) -> io::Result<Fd> {
        kernel::socket(remote, no_delay, false)
    }

    pub fn accept(&mut self, op: Key, listener: Fd) {
        let entry = opcode::AcceptMulti::new(RingFd(listener.0))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.push(entry, op.to_u64());
    }

    pub fn connect(&mut self, op: Key, fd: Fd, remote: &SocketAddr) {
        // The kernel copies the address when the entry is submitted; until then it is kept here.
        let address = Box::new(socket2::SockAddr::from(*remote));
        let entry =
            opcode::Connect::new(RingFd(fd.0), address.as_ptr().cast(), address.len()).build();
        self.addresses.push(address);
        self.push(entry, op.to_u64());
    }

    pub fn recv(&mut self, op: Key, fd: Fd, multishot: bool) {
        let entry = if multishot {
            opcode::RecvMulti::new(RingFd(fd.0), GROUP).build()
        } else {
            opcode::Recv::new(RingFd(fd.0), std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.push(entry, op.to_u64());
    }

    pub fn ready(&mut self, op: Key, fd: Fd, write: bool) {
        let events = if write {
            libc::POLLOUT
        } else {
            libc::POLLIN | libc::POLLRDHUP
        };
        let entry = opcode::PollAdd::new(RingFd(fd.0), events as u32).build();
        self.push(entry, op.to_u64());
    }

    pub fn send(&mut self, op: Key, fd: Fd, job: &mut TxJob) {
        // WAITALL: the kernel itself goes on after a short send, which saves a completion.
        const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match job.view() {
            TxView::One(start, len) => {
                let len = u32::try_from(len).unwrap_or(u32::MAX);
                opcode::Send::new(RingFd(fd.0), start, len)
                    .flags(FLAGS)
                    .build()
            }
            TxView::Many(header) => opcode::SendMsg::new(RingFd(fd.0), header)
                .flags(FLAGS as u32)
                .build(),
        };
        self.push(entry, op.to_u64());
    }

    pub fn cancel(&mut self, target: Key) {
        let entry = opcode::AsyncCancel::new(target.to_u64())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, IGNORED);
    }

    pub fn shutdown_write(&mut self, fd: Fd) {
        // A plain call: the ring would hand it to a worker thread.
        kernel::shutdown_write(fd);
    }

    pub fn reset_on_close(&mut self, fd: Fd) {
        kernel::reset_on_close(fd);
    }

    pub fn close(&mut self, fd: Fd) {
        let entry = opcode::Close::new(RingFd(fd.0))
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, IGNORED);
    }

    pub fn peer_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        kernel::peer_addr(fd)
    }

    pub fn counters(&self) -> DriverCounters {
        self.counters
    }

    pub fn turn(
        &mut self,
        wait: Wait,
        bufs: &BufPool,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        self.buffers.replenish(bufs);
        self.cq.sync();
        let wait = if self.cq.is_empty() { wait } else { Wait::Poll };
        self.enter(wait)?;
        self.addresses.clear();
        self.cq.sync();
        let before = out.len();
        while out.len() - before < BATCH {
            let Some(entry) = self.cq.next() else { break };
            self.reap(&entry, bufs, out);
        }
        self.counters.completions += (out.len() - before) as u64;
        Ok(())
    }

    /// Returns what a burst left behind.
    pub fn trim(&mut self, bufs: &BufPool) {
        self.cq.sync();
        if self.cq.is_empty() {
            self.buffers.trim(bufs);
        }
    }

    fn reap(&mut self, entry: &cqueue::Entry, bufs: &BufPool, out: &mut Vec<Completion>) {
        let data = entry.user_data();
        if data == IGNORED {
            return;
        }
        if data == WAKE {
            self.arm_wake();
            return;
        }
        let mut buf = cqueue::buffer_select(entry.flags());
        if buf.is_some() {
            self.buffers.consumed();
        }
        let result = entry.result();
        if result <= 0
            && let Some(id) = buf.take()
        {
            bufs.release(id);
        }
        if result == -libc::ENOBUFS {
            self.counters.no_buffers += 1;
            self.buffers.widen(bufs);
        }
        out.push(Completion {
            op: Key::from_u64(data),
            result,
            more: cqueue::more(entry.flags()),
            buf,
        });
    }

    fn push(&mut self, entry: squeue::Entry, data: u64) {
        let entry = entry.user_data(data);
        self.counters.submissions += 1;
        // SAFETY: what the entry points to outlives the operation: addresses until the submit
        // (`addresses`), jobs and buffers until the final completion (rule 2 of drivers).
        while unsafe { self.sq.push(&entry) }.is_err() {
            // The queue is full: hand it over without waiting. An error stays visible to the
            // turn that follows, which enters again.
            if self.enter(Wait::Poll).is_err() {
                std::thread::yield_now();
            }
        }
    }

    fn arm_wake(&mut self) {
        let value: *mut u64 = &raw mut *self.wake_value;
        let entry = opcode::Read::new(RingFd(self.wake.as_raw_fd()), value.cast(), 8).build();
        self.push(entry, WAKE);
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.sq.sync();
        let mut timespec = Timespec {
            seconds: 0,
            nanoseconds: 0,
        };
        let (want, timeout) = match wait {
            Wait::Poll => (0, 0),
            Wait::Forever => (1, 0),
            Wait::Until(deadline) => {
                let left = deadline.saturating_sub(self.now());
                timespec.seconds = (left / 1_000_000_000) as i64;
                timespec.nanoseconds = (left % 1_000_000_000) as i64;
                (u32::from(left > 0), &raw const timespec as u64)
            }
        };
        let arg = GetEvents {
            sigmask: 0,
            sigmask_size: 0,
            min_wait_usec: 0,
            timespec: timeout,
        };
        self.counters.enters += 1;
        let to_submit = self.sq.len() as u32;
        // SAFETY: the queued entries were checked by `push`; `arg` and `timespec` live across the
        // call and have the layout that EXT_ARG asks for.
        let entered = unsafe {
            self.submitter
                .enter(to_submit, want, self.enter_flags, Some(&arg))
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Timed out, interrupted, or completions must be reaped first: all ordinary.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // The engine has drained its operations before it drops the driver; what is left is the
        // wake-up read, which the kernel cancels when the ring closes.
        self.buffers.unregister(&self.submitter);
        // SAFETY: the queues borrow from the leaked ring, so they go first; each is dropped once,
        // here, and not used afterwards. The box was leaked in `new` and is reclaimed once.
        unsafe {
            ManuallyDrop::drop(&mut self.sq);
            ManuallyDrop::drop(&mut self.cq);
            drop(Box::from_raw(self.ring.as_ptr()));
        }
    }
}

/// Makes the ring, leaving out what a kernel may lack but we can do without.
fn build(sizes: RingSizes) -> Result<IoUring, UringError> {
    let attempt = |no_sqarray: bool| {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(sizes.completion_entries)
            .dontfork();
        if no_sqarray {
            builder.setup_no_sqarray();
        }
        builder.build(sizes.entries)
    };
    attempt(true)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => attempt(false),
            _ => Err(error),
        })
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => UringError::Forbidden(error),
            Some(libc::ENOSYS) => UringError::Missing(error),
            Some(libc::EINVAL) => UringError::TooOld(error),
            Some(libc::ENOMEM) => UringError::NoMemory(error),
            _ => UringError::Other(error),
        })
}
