//! One socket under epoll: what its edges said, and its operation in each direction.

use std::net::SocketAddr;

use super::super::{BufPool, Completion, Key, TxJob};
use super::{last, sys};
use crate::engine::tx::{SEGMENTS, TxView};

/// Calls that one socket may make in one turn.
const ACCEPTS: usize = 64;
const RECEIVES: usize = 8;
const SENDS: usize = 16;
/// Most bytes that one send reports, far within what a result can carry.
const SEND_MAX: usize = 1 << 30;

const INTEREST: i32 =
    libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;

/// What an operation may use while it runs.
pub(super) struct Context<'a> {
    pub fd: i32,
    pub epoll: i32,
    pub bufs: &'a BufPool,
    pub out: &'a mut Vec<Completion>,
    /// Length of `out` at which the batch is full.
    pub limit: usize,
    pub no_buffers: &'a mut u64,
}

impl Context<'_> {
    fn more(&mut self, op: Key, result: i32, buf: Option<u16>) {
        self.out.push(Completion {
            op,
            result,
            more: true,
            buf,
        });
    }
}

#[derive(Clone, Copy)]
pub(super) enum Input {
    Accept { op: Key },
    Recv { op: Key, multishot: bool },
}

impl Input {
    pub fn op(&self) -> Key {
        match self {
            Input::Accept { op } | Input::Recv { op, .. } => *op,
        }
    }
}

pub(super) enum Output {
    Connect {
        op: Key,
        remote: SocketAddr,
    },
    /// `connect` was called; readiness to write will tell how it went.
    Connecting {
        op: Key,
    },
    /// The view's memory stays as it is until the final completion: the engine's promise.
    Send {
        op: Key,
        view: TxView,
        sent: usize,
        total: usize,
    },
}

impl Output {
    pub fn send(op: Key, job: &mut TxJob) -> Output {
        let view = job.view();
        let total = match &view {
            TxView::One(_, len) => *len,
            TxView::Many(_) => job.ranges().take(SEGMENTS).map(<[u8]>::len).sum(),
        };
        Output::Send {
            op,
            view,
            sent: 0,
            total: total.min(SEND_MAX),
        }
    }

    pub fn op(&self) -> Key {
        match self {
            Output::Connect { op, .. } | Output::Connecting { op } | Output::Send { op, .. } => *op,
        }
    }
}

/// How a call on a socket went.
enum Step {
    /// The operation is done, with this result.
    Done(i32),
    /// The socket is not ready; an edge will come.
    Blocked,
    /// The operation had its share of the turn and may go on in the next.
    Yield,
}

pub(super) struct Socket {
    pub input: Option<Input>,
    pub output: Option<Output>,
    /// In the queue of runnable sockets.
    pub queued: bool,
    registered: bool,
    /// Not known to be unready: worth a call.
    readable: bool,
    writable: bool,
    /// A short receive does not mean that nothing is left (the end of the stream, an error or
    /// urgent data stand behind it), and no edge will tell.
    drain: bool,
}

impl Default for Socket {
    fn default() -> Self {
        Socket {
            input: None,
            output: None,
            queued: false,
            registered: false,
            readable: true,
            writable: true,
            drain: false,
        }
    }
}

impl Socket {
    /// Forgets the descriptor's former life. Its place in the queue stays, and does no harm.
    pub fn reset(&mut self) {
        *self = Socket {
            queued: self.queued,
            ..Socket::default()
        };
    }

    pub fn accepts(&self) -> bool {
        matches!(self.input, Some(Input::Accept { .. }))
    }

    pub fn is_runnable(&self) -> bool {
        (self.input.is_some() && self.readable) || (self.output.is_some() && self.writable)
    }

    /// Notes the edges of an event.
    pub fn note(&mut self, events: u32) {
        let has = |flags: i32| events & flags as u32 != 0;
        let broken = has(libc::EPOLLERR | libc::EPOLLHUP);
        let ends = has(libc::EPOLLRDHUP | libc::EPOLLPRI);
        self.drain |= broken || ends;
        self.readable |= has(libc::EPOLLIN) || ends || broken;
        self.writable |= has(libc::EPOLLOUT) || broken;
    }

    /// Takes the operation out, if it is here, and tells its final result: what a send sent, or
    /// that it was cancelled.
    pub fn cancel(&mut self, target: Key) -> Option<i32> {
        if self.input.is_some_and(|input| input.op() == target) {
            self.input = None;
            return Some(-libc::ECANCELED);
        }
        let output = self.output.take_if(|output| output.op() == target)?;
        Some(match output {
            Output::Send { sent, .. } if sent > 0 => sent as i32,
            _ => -libc::ECANCELED,
        })
    }

    pub fn run_input(&mut self, context: &mut Context) {
        let Some(input) = self.input.filter(|_| self.readable) else {
            return;
        };
        let step = match input {
            Input::Accept { op } => self.accept(op, context),
            Input::Recv { op, multishot } => match self.receive(op, multishot, context) {
                Some(step) => step,
                None => return,
            },
        };
        if let Some(result) = self.settle(step, context) {
            self.input = None;
            context.out.push(last(input.op(), result));
        }
    }

    pub fn run_output(&mut self, context: &mut Context) {
        if !self.writable {
            return;
        }
        let Some(mut output) = self.output.take() else {
            return;
        };
        let op = output.op();
        let step = match &mut output {
            Output::Connect { remote, .. } => match sys::connect(context.fd, remote) {
                Ok(()) => Step::Done(0),
                Err(libc::EINPROGRESS | libc::EINTR) => {
                    output = Output::Connecting { op };
                    self.readable = false;
                    self.writable = false;
                    Step::Blocked
                }
                Err(errno) => Step::Done(-errno),
            },
            Output::Connecting { .. } => Step::Done(-sys::socket_error(context.fd)),
            Output::Send {
                view, sent, total, ..
            } => {
                let step = send(context.fd, view, sent, *total);
                self.writable = !matches!(step, Step::Blocked);
                step
            }
        };
        match self.settle(step, context) {
            Some(result) => context.out.push(last(op, result)),
            None => self.output = Some(output),
        }
    }

    /// The operation's result, if it is done; makes sure that an edge will come if it is not.
    fn settle(&mut self, step: Step, context: &Context) -> Option<i32> {
        match step {
            Step::Done(result) => Some(result),
            Step::Blocked => self.register(context).err().map(|errno| -errno),
            Step::Yield => None,
        }
    }

    /// Adds the socket to the epoll set if it is not there. What is ready at that moment counts as
    /// an edge, so nothing is lost between the call that would have blocked and this one.
    fn register(&mut self, context: &Context) -> Result<(), i32> {
        if !self.registered {
            sys::epoll_add(context.epoll, context.fd, INTEREST, context.fd as u64)?;
            self.registered = true;
        }
        Ok(())
    }

    fn accept(&mut self, op: Key, context: &mut Context) -> Step {
        for _ in 0..ACCEPTS {
            if context.out.len() >= context.limit {
                break;
            }
            match sys::accept(context.fd) {
                Ok(fd) => context.more(op, fd, None),
                // The client went away while it waited in the queue.
                Err(libc::ECONNABORTED | libc::EINTR) => {}
                Err(libc::EAGAIN) => {
                    self.readable = false;
                    return Step::Blocked;
                }
                Err(errno) => return Step::Done(-errno),
            }
        }
        Step::Yield
    }

    /// `None` if a single-shot receive gave its one completion.
    fn receive(&mut self, op: Key, multishot: bool, context: &mut Context) -> Option<Step> {
        for _ in 0..RECEIVES {
            if context.out.len() >= context.limit {
                break;
            }
            let Some(buf) = context.bufs.take() else {
                *context.no_buffers += 1;
                return Some(Step::Done(-libc::ENOBUFS));
            };
            let room = context.bufs.capacity() as usize;
            let area = context.bufs.receive_area(buf);
            // SAFETY: the pool gave the buffer to this driver, so nobody else refers to its
            // `capacity` bytes from the receive area on.
            let received = unsafe { sys::recv(context.fd, area, room) };
            if !matches!(received, Ok(1..)) {
                context.bufs.release(buf);
            }
            let count = match received {
                Ok(0) => return Some(Step::Done(0)),
                Ok(count) => count,
                Err(libc::EAGAIN) => {
                    self.readable = false;
                    return Some(Step::Blocked);
                }
                Err(libc::EINTR) => continue,
                Err(errno) => return Some(Step::Done(-errno)),
            };
            // A short receive emptied the socket: more bytes make a new edge, given that the
            // socket is registered (or will be, below).
            let emptied = count < room && !self.drain;
            if emptied && (multishot || self.registered) {
                self.readable = false;
            }
            if !multishot {
                self.input = None;
                context.out.push(Completion {
                    op,
                    result: count as i32,
                    more: false,
                    buf: Some(buf),
                });
                return None;
            }
            context.more(op, count as i32, Some(buf));
            if emptied {
                return Some(Step::Blocked);
            }
        }
        Some(Step::Yield)
    }
}

/// Sends until all is sent, the socket is full or something fails. Failing after some bytes went
/// is a short send: the next one will fail again.
fn send(fd: i32, view: &TxView, sent: &mut usize, total: usize) -> Step {
    for _ in 0..SENDS {
        // SAFETY: the view's memory is as it was when the job was handed over, for the final
        // completion has not been given (the engine's promise, rule 2 of the drivers).
        match unsafe { send_from(fd, view, *sent, total) } {
            Ok(count) => *sent += count,
            Err(libc::EAGAIN) => return Step::Blocked,
            Err(libc::EINTR) => {}
            Err(_) if *sent > 0 => return Step::Done(*sent as i32),
            Err(errno) => return Step::Done(-errno),
        }
        if *sent >= total {
            return Step::Done(*sent as i32);
        }
    }
    Step::Yield
}

/// One call for the bytes `sent..total` of the view.
///
/// # Safety
/// The view must hold: its job was neither moved nor changed since.
unsafe fn send_from(fd: i32, view: &TxView, sent: usize, total: usize) -> Result<usize, i32> {
    let one;
    let ranges = match view {
        TxView::One(start, len) => {
            one = libc::iovec {
                iov_base: start.cast_mut().cast(),
                iov_len: *len,
            };
            std::slice::from_ref(&one)
        }
        TxView::Many(header) => {
            // SAFETY: the caller vouches for the header and the iovecs that it points to, which
            // are initialised: `view` filled in as many as it says.
            unsafe {
                let header = &**header;
                std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen as _)
            }
        }
    };
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; SEGMENTS];
    let mut used = 0;
    let (mut skip, mut room) = (sent, total - sent);
    for range in ranges {
        let from = skip.min(range.iov_len);
        skip -= from;
        let len = (range.iov_len - from).min(room);
        room -= len;
        if len > 0 {
            parts[used] = libc::iovec {
                iov_base: range.iov_base.cast::<u8>().wrapping_add(from).cast(),
                iov_len: len,
            };
            used += 1;
        }
    }
    // SAFETY: every part lies within a range of the view, which is readable.
    unsafe { sys::send(fd, &mut parts[..used]) }
}
