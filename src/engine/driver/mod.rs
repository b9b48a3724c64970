//! Drivers: what stands between the engine and a kernel.
//!
//! The interface is completion-shaped: the engine asks for operations, each named by a key of its
//! op slab, and a turn of the driver hands back completions. Three drivers speak it: [`uring`] (the
//! product), [`epoll`] (where io_uring is forbidden; readiness is turned into completions) and
//! [`sim`] (a virtual network with a virtual clock, for tests). They are chosen at start and matched
//! once per operation: the match costs a nanosecond, the operation a microsecond.
//!
//! The rules every driver keeps:
//! 1. Every operation ends with exactly one *final* completion (`more == false`), cancelled or not.
//!    Before it, a multishot operation gives any number of completions with `more`.
//! 2. Until the final completion the operation may read (send) the memory it was given.
//! 3. A receive that delivered bytes names the buffer (`buf`), which the engine then owns. End of
//!    stream is a final completion with result 0 and no buffer. No buffer to be had is a final
//!    completion with `-ENOBUFS`, and the operation consumed nothing.
//! 4. A send's result is the number of bytes taken, which may be short; then the engine asks again
//!    for the rest.
//! 5. Results below zero are negated errno values.

mod buffer_ring;
pub mod epoll;
pub(super) mod kernel;
pub mod sim;
pub mod uring;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::buf::BufPool;
use super::slab::Key;
use super::tx::TxJob;

/// A socket as its driver knows it: a file descriptor, or a number of the simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fd(pub i32);

/// One completion; see the module's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub op: Key,
    pub result: i32,
    pub more: bool,
    pub buf: Option<u16>,
}

/// How long a turn may wait for its first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: there is work to do already.
    Poll,
    /// Until this time, in nanoseconds of the driver's clock.
    Until(u64),
    /// Until something happens.
    Forever,
}

/// Options of a listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    pub backlog: u32,
    /// Several shards listen on one address, the kernel spreads connections over them.
    pub reuse_port: bool,
    pub no_delay: bool,
}

/// What a driver did so far; the telemetry of completions per enter comes from here.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverCounters {
    /// Times the kernel was entered for a turn.
    pub enters: u64,
    pub completions: u64,
    /// Operations asked for.
    pub submissions: u64,
    /// Times the receive buffers ran out under the kernel.
    pub no_buffers: u64,
}

/// Ends a driver's wait from another thread.
#[derive(Clone)]
pub enum WakeHandle {
    Event(Arc<std::os::fd::OwnedFd>),
    Sim(sim::SimWake),
}

impl WakeHandle {
    /// Makes the shard's current or next wait return. Cheap, never blocks.
    pub fn wake(&self) {
        match self {
            WakeHandle::Event(fd) => {
                use std::os::fd::AsRawFd;
                let one = 1u64.to_ne_bytes();
                // SAFETY: the descriptor is open (the handle owns it) and the eight bytes are
                // readable. A full counter (EAGAIN) means that a wake-up is pending already.
                unsafe {
                    libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len());
                }
            }
            WakeHandle::Sim(wake) => wake.wake(),
        }
    }
}

/// The driver of one shard. See the module's head for the rules.
pub enum Driver {
    Uring(Box<uring::Uring>),
    Epoll(Box<epoll::Epoll>),
    Sim(Box<sim::SimDriver>),
}

macro_rules! each {
    ($self:ident, $driver:ident => $call:expr) => {
        match $self {
            Driver::Uring($driver) => $call,
            Driver::Epoll($driver) => $call,
            Driver::Sim($driver) => $call,
        }
    };
}

impl Driver {
    /// Nanoseconds on the driver's monotonic clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        each!(self, d => d.now())
    }

    /// Nanoseconds since the epoch, on the clock that people live by. It may jump.
    #[must_use]
    pub fn wall_clock(&self) -> u64 {
        match self {
            Driver::Uring(_) | Driver::Epoll(_) => kernel::realtime_ns(),
            Driver::Sim(sim) => sim.wall_clock(),
        }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Driver::Uring(_) => "io_uring",
            Driver::Epoll(_) => "epoll",
            Driver::Sim(_) => "sim",
        }
    }

    #[must_use]
    pub fn wake_handle(&self) -> WakeHandle {
        each!(self, d => d.wake_handle())
    }

    /// Makes a listening socket and tells the address it got.
    ///
    /// # Errors
    /// What the kernel says to `socket`, `bind` or `listen`.
    pub fn listen(
        &mut self,
        addr: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<(Fd, SocketAddr)> {
        each!(self, d => d.listen(addr, options))
    }

    /// Takes over a listening socket that was made elsewhere.
    ///
    /// # Errors
    /// What the kernel says; the simulation knows no such sockets.
    pub fn adopt_listener(&mut self, socket: TcpListener) -> io::Result<Fd> {
        match self {
            Driver::Uring(uring) => uring.adopt_listener(socket),
            Driver::Epoll(epoll) => epoll.adopt_listener(socket),
            Driver::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Makes a stream socket that can be connected to `remote`.
    ///
    /// # Errors
    /// What the kernel says to `socket` (EMFILE among them).
    pub fn socket(&mut self, remote: &SocketAddr, no_delay: bool) -> io::Result<Fd> {
        each!(self, d => d.socket(remote, no_delay))
    }

    /// Multishot: each completion's result is an accepted socket.
    pub fn accept(&mut self, op: Key, listener: Fd) {
        each!(self, d => d.accept(op, listener));
    }

    /// Result 0 when connected.
    pub fn connect(&mut self, op: Key, fd: Fd, remote: &SocketAddr) {
        each!(self, d => d.connect(op, fd, remote));
    }

    /// Receives into buffers of the pool; multishot goes on until it is cancelled, the stream ends
    /// or buffers run out.
    pub fn recv(&mut self, op: Key, fd: Fd, multishot: bool) {
        each!(self, d => d.recv(op, fd, multishot));
    }

    /// Whether bytes can be moved from socket to socket inside the kernel, and readiness awaited
    /// for it ([`Driver::ready`]).
    #[must_use]
    pub fn can_splice(&self) -> bool {
        matches!(self, Driver::Uring(_))
    }

    /// Completes when the socket can be read (or written). Only where [`Driver::can_splice`].
    pub fn ready(&mut self, op: Key, fd: Fd, write: bool) {
        match self {
            Driver::Uring(uring) => uring.ready(op, fd, write),
            Driver::Epoll(_) | Driver::Sim(_) => {
                debug_assert!(false, "readiness asked of a driver that cannot splice");
            }
        }
    }

    /// Sends what is left of the job, whose address stays the same until the completion.
    pub fn send(&mut self, op: Key, fd: Fd, job: &mut TxJob) {
        each!(self, d => d.send(op, fd, job));
    }

    /// Asks that `target` end soon; it ends with its own final completion, `-ECANCELED` or another.
    pub fn cancel(&mut self, target: Key) {
        each!(self, d => d.cancel(target));
    }

    /// Tells the peer that no more bytes come. Takes effect at once.
    pub fn shutdown_write(&mut self, fd: Fd) {
        each!(self, d => d.shutdown_write(fd));
    }

    /// Makes the coming close a reset: the peer sees that the stream was cut, not ended.
    pub fn reset_on_close(&mut self, fd: Fd) {
        each!(self, d => d.reset_on_close(fd));
    }

    /// Closes a socket that has no operation in flight.
    pub fn close(&mut self, fd: Fd) {
        each!(self, d => d.close(fd));
    }

    /// # Errors
    /// What the kernel says; a socket that is no longer connected has no peer.
    pub fn peer_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        each!(self, d => d.peer_addr(fd))
    }

    /// The address on this side of a connection.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        match self {
            Driver::Uring(_) | Driver::Epoll(_) => kernel::local_addr(fd),
            Driver::Sim(sim) => sim.local_addr(fd),
        }
    }

    /// One turn: hand the kernel what was asked for, give it fresh buffers, wait for completions
    /// as `wait` says and append them to `out` (a bounded number: the rest comes next turn).
    ///
    /// # Errors
    /// Only what leaves the driver unusable.
    pub fn turn(
        &mut self,
        wait: Wait,
        bufs: &BufPool,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        each!(self, d => d.turn(wait, bufs, out))
    }

    /// Returns memory that a burst left behind. Called now and then, between turns.
    pub fn trim(&mut self, bufs: &BufPool) {
        match self {
            Driver::Uring(uring) => uring.trim(bufs),
            Driver::Epoll(_) | Driver::Sim(_) => {}
        }
    }

    #[must_use]
    pub fn counters(&self) -> DriverCounters {
        each!(self, d => d.counters())
    }
}
