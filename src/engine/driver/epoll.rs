//! The epoll driver: readiness turned into completions, where io_uring is forbidden.
//!
//! Sockets are registered once, edge-triggered and for both directions, when an operation first
//! finds them not ready; what the edges said is remembered per socket. So an operation costs the
//! call that does it and, in the common case, nothing else: no re-arming per operation, and none of
//! the spurious wake-ups of a level-triggered set whose reader is held back.
//!
//! Operations are only noted when they are asked for and performed by the next turn, in order of
//! arrival. Each socket gets a bounded number of calls per turn, then the others have theirs; one
//! that is still ready goes to the end of the queue, for an edge will not tell of it again.

mod socket;
mod sys;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Type};

use self::socket::{Context, Input, Output, Socket};
use super::{
    BufPool, Completion, DriverCounters, Fd, Key, ListenOptions, TxJob, Wait, WakeHandle, kernel,
};

/// Completions in one turn, but for a few that end the batch.
const BATCH: usize = 256;
/// The event data of the wake-up descriptor.
const WAKE: u64 = u64::MAX;

/// Where an operation that was asked for can be found.
#[derive(Clone, Copy)]
struct Place {
    generation: u32,
    fd: i32,
}

/// See the module's head.
pub struct Epoll {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    events: Box<[libc::epoll_event]>,
    /// By descriptor.
    sockets: Vec<Socket>,
    /// By slab index of the operation, for cancelling.
    places: Vec<Place>,
    /// Sockets that have an operation which may go on.
    runnable: VecDeque<i32>,
    /// Sockets that had their share of this turn and are still ready.
    again: Vec<i32>,
    /// Completions made by cancelling, for the next turn.
    pending: VecDeque<Completion>,
    precise_wait: bool,
    counters: DriverCounters,
}

/// What a wait ended with.
enum Waited {
    Events,
    Nothing,
    Woken,
}

impl Epoll {
    /// A driver that fetches up to `max_events` events at once.
    ///
    /// # Errors
    /// What the kernel says to `epoll_create1` or `eventfd`.
    pub fn new(max_events: usize) -> io::Result<Epoll> {
        let epoll = sys::epoll_create()?;
        let wake = Arc::new(sys::eventfd()?);
        // Edge-triggered: every write is an edge, so the counter never needs to be read.
        let events = libc::EPOLLIN | libc::EPOLLET;
        sys::epoll_add(epoll.as_raw_fd(), wake.as_raw_fd(), events, WAKE)
            .map_err(io::Error::from_raw_os_error)?;
        Ok(Epoll {
            epoll,
            wake,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; max_events.max(1)].into(),
            sockets: Vec::new(),
            places: Vec::new(),
            runnable: VecDeque::new(),
            again: Vec::new(),
            pending: VecDeque::new(),
            precise_wait: true,
            counters: DriverCounters::default(),
        })
    }

    #[must_use]
    pub fn now(&self) -> u64 {
        sys::monotonic()
    }

    #[must_use]
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle::Event(Arc::clone(&self.wake))
    }

    /// # Errors
    /// See [`super::Driver::listen`].
    pub fn listen(
        &mut self,
        addr: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<(Fd, SocketAddr)> {
        let (socket, addr) = kernel::listen(addr, options)?;
        socket.set_nonblocking(true)?;
        Ok((self.own(socket), addr))
    }

    /// Takes over a listening socket.
    pub fn adopt_listener(&mut self, socket: TcpListener) -> io::Result<Fd> {
        socket.set_nonblocking(true)?;
        Ok(self.own(socket2::Socket::from(socket)))
    }

    /// # Errors
    /// See [`super::Driver::socket`].
    pub fn socket(&mut self, remote: &SocketAddr, no_delay: bool) -> io::Result<Fd> {
        let socket = stream_socket(remote)?;
        if no_delay {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(self.own(socket))
    }

    pub fn accept(&mut self, op: Key, listener: Fd) {
        self.ask_input(listener, Input::Accept { op });
    }

    pub fn connect(&mut self, op: Key, fd: Fd, remote: &SocketAddr) {
        let remote = *remote;
        self.ask_output(fd, Output::Connect { op, remote });
    }

    pub fn recv(&mut self, op: Key, fd: Fd, multishot: bool) {
        self.ask_input(fd, Input::Recv { op, multishot });
    }

    pub fn send(&mut self, op: Key, fd: Fd, job: &mut TxJob) {
        self.ask_output(fd, Output::send(op, job));
    }

    pub fn cancel(&mut self, target: Key) {
        let Some(place) = self.places.get(target.index as usize) else {
            return;
        };
        if place.generation != target.generation {
            return;
        }
        // An operation is in its socket until its final completion: not there, nothing to end.
        let socket = self.sockets.get_mut(place.fd as usize);
        if let Some(result) = socket.and_then(|socket| socket.cancel(target)) {
            self.pending.push_back(last(target, result));
        }
    }

    pub fn shutdown_write(&mut self, fd: Fd) {
        sys::shutdown_write(fd.0);
    }

    pub fn reset_on_close(&mut self, fd: Fd) {
        kernel::reset_on_close(fd);
    }

    pub fn close(&mut self, fd: Fd) {
        // Closing the last descriptor of a socket takes it out of the epoll set.
        self.slot(fd.0).reset();
        sys::close(fd.0);
    }

    /// # Errors
    /// See [`super::Driver::peer_addr`].
    pub fn peer_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        let socket = sys::borrow(fd.0);
        let peer = SockRef::from(&socket).peer_addr()?;
        peer.as_socket().ok_or(io::ErrorKind::Unsupported.into())
    }

    #[must_use]
    pub fn counters(&self) -> DriverCounters {
        self.counters
    }

    /// # Errors
    /// See [`super::Driver::turn`].
    pub fn turn(
        &mut self,
        wait: Wait,
        bufs: &BufPool,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let start = out.len();
        let limit = start + BATCH;
        let cancelled = self.pending.len().min(BATCH);
        out.extend(self.pending.drain(..cancelled));
        self.run(bufs, out, limit);
        let result = loop {
            let busy = out.len() > start || !self.runnable.is_empty() || !self.again.is_empty();
            let wait = if busy { Wait::Poll } else { wait };
            let waited = match self.wait(wait) {
                Ok(waited) => waited,
                Err(error) => break Err(error),
            };
            self.run(bufs, out, limit);
            // A fresh registration reports what is known already: such an event ends no wait.
            let idle = out.len() == start && self.runnable.is_empty() && self.again.is_empty();
            let over = match wait {
                Wait::Poll => true,
                Wait::Until(time) => sys::monotonic() >= time,
                Wait::Forever => false,
            };
            if !idle || over || !matches!(waited, Waited::Events) {
                break Ok(());
            }
        };
        self.runnable.extend(self.again.drain(..));
        self.counters.completions += (out.len() - start) as u64;
        result
    }

    /// Gives every runnable socket its share.
    fn run(&mut self, bufs: &BufPool, out: &mut Vec<Completion>, limit: usize) {
        while out.len() < limit {
            let Some(fd) = self.runnable.pop_front() else {
                return;
            };
            let from = out.len();
            let socket = &mut self.sockets[fd as usize];
            socket.queued = false;
            let accepts = socket.accepts();
            let mut context = Context {
                fd,
                epoll: self.epoll.as_raw_fd(),
                bufs,
                out,
                limit,
                no_buffers: &mut self.counters.no_buffers,
            };
            socket.run_output(&mut context);
            socket.run_input(&mut context);
            if socket.is_runnable() {
                socket.queued = true;
                self.again.push(fd);
            }
            if accepts {
                for completion in &out[from..] {
                    if completion.result >= 0 {
                        self.slot(completion.result).reset();
                    }
                }
            }
        }
    }

    /// Enters the kernel once and notes which sockets became ready.
    fn wait(&mut self, wait: Wait) -> io::Result<Waited> {
        let timeout = match wait {
            Wait::Poll => Some(0),
            Wait::Until(time) => Some(time.saturating_sub(sys::monotonic())),
            Wait::Forever => None,
        };
        self.counters.enters += 1;
        let epoll = self.epoll.as_raw_fd();
        let count = match sys::epoll_wait(epoll, &mut self.events, timeout, &mut self.precise_wait)
        {
            Ok(count) => count,
            Err(libc::EINTR) => 0,
            Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
        };
        let mut woken = false;
        for event in 0..count {
            let libc::epoll_event { events, u64: data } = self.events[event];
            if data == WAKE {
                woken = true;
                continue;
            }
            let fd = data as i32;
            let socket = &mut self.sockets[fd as usize];
            socket.note(events);
            if socket.is_runnable() && !socket.queued {
                socket.queued = true;
                self.runnable.push_back(fd);
            }
        }
        Ok(match (woken, count) {
            (true, _) => Waited::Woken,
            (false, 0) => Waited::Nothing,
            (false, _) => Waited::Events,
        })
    }

    fn ask_input(&mut self, fd: Fd, input: Input) {
        let op = input.op();
        match &mut self.slot(fd.0).input {
            Some(_) => self.refuse(op),
            free => {
                *free = Some(input);
                self.enqueue(op, fd);
            }
        }
    }

    fn ask_output(&mut self, fd: Fd, output: Output) {
        let op = output.op();
        match &mut self.slot(fd.0).output {
            Some(_) => self.refuse(op),
            free => {
                *free = Some(output);
                self.enqueue(op, fd);
            }
        }
    }

    /// A second operation in one direction of a socket: the engine never asks for it.
    #[cold]
    fn refuse(&mut self, op: Key) {
        debug_assert!(false, "two operations in one direction of a socket");
        self.pending.push_back(last(op, -libc::EBUSY));
    }

    fn enqueue(&mut self, op: Key, fd: Fd) {
        self.counters.submissions += 1;
        let index = op.index as usize;
        if self.places.len() <= index {
            let nowhere = Place {
                generation: 0,
                fd: 0,
            };
            self.places.resize(index + 1, nowhere);
        }
        self.places[index] = Place {
            generation: op.generation,
            fd: fd.0,
        };
        let socket = &mut self.sockets[fd.0 as usize];
        if socket.is_runnable() && !socket.queued {
            socket.queued = true;
            self.runnable.push_back(fd.0);
        }
    }

    fn own(&mut self, socket: socket2::Socket) -> Fd {
        let fd = socket.into_raw_fd();
        self.slot(fd).reset();
        Fd(fd)
    }

    fn slot(&mut self, fd: i32) -> &mut Socket {
        let index = usize::try_from(fd).expect("descriptors are not negative");
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, Socket::default);
        }
        &mut self.sockets[index]
    }
}

/// A final completion without a buffer.
fn last(op: Key, result: i32) -> Completion {
    Completion {
        op,
        result,
        more: false,
        buf: None,
    }
}

fn stream_socket(addr: &SocketAddr) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    socket2::Socket::new(Domain::for_address(*addr), kind, Some(Protocol::TCP))
}
