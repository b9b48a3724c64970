//! The simulation driver: a virtual TCP network under one virtual clock, from one seed.
//!
//! The bugs of a proxy live in the order of things: a FIN between the pick of a pooled connection
//! and the send on it, a completion after its cancel, buffers that ran out in the middle of a head.
//! Real sockets give such orders rarely and never twice. Here whole shards, their clients and their
//! backends run in one thread over one [`SimNetwork`]; every choice (latency, window, split, fault)
//! comes from the seed, so a failing seed fails again. Rejected: a mock of the engine's own
//! interface, which would leave the engine (op slab, buffers, cancellation) untested.
//!
//! The driver is a checker too. It panics, and keeps the message in [`SimNetwork::violations`],
//! when the engine breaks a rule: two receives or sends in flight on one socket, a key reused while
//! its operation is in flight, a socket closed under an operation or used by another process, the
//! bytes of a send changed before its completion.
//!
//! A world is a loop: give each driver's shard a turn, in random order; if nothing progressed
//! ([`SimNetwork::has_ready`] is false for all), [`SimNetwork::advance_to`] the earlier of
//! [`SimNetwork::next_event`] and the shards' next timer. No turn ever waits in real time.

mod checks;
mod clock;
mod conn;
mod faults;
mod network;
mod ops;
#[cfg(test)]
mod tests;
mod trace;
mod turn;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use faults::{Fault, FaultStats, Faults};
pub use trace::TraceEntry;

use super::{Completion, DriverCounters, Fd, ListenOptions, Wait, WakeHandle};
use crate::engine::buf::BufPool;
use crate::engine::slab::Key;
use crate::engine::tx::TxJob;
use clock::Event;
use network::{Body, Net, Socket};
use ops::{DriverState, Kind, Pinned};

/// On whose behalf a driver runs. Descriptors are the role's: drivers of one role are threads of
/// one process and may hand sockets to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The program under test, whose driver misbehaves as [`Faults`] says.
    Proxy,
    /// A simulated client or backend, whose driver works well.
    Peer,
}

/// The world's handle: makes drivers, moves the clock, turns the faults.
#[derive(Clone)]
pub struct SimNetwork(Rc<RefCell<Net>>);

impl SimNetwork {
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> SimNetwork {
        SimNetwork(Rc::new(RefCell::new(Net::new(seed, faults))))
    }

    #[must_use]
    pub fn driver(&self, role: Role) -> SimDriver {
        let mut net = self.0.borrow_mut();
        net.drivers.push(DriverState::new(role));
        SimDriver {
            id: net.drivers.len() - 1,
            net: self.clone(),
        }
    }

    /// Nanoseconds of the virtual clock; it starts at one second.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.borrow().now
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// When something next happens by itself, always later than now. Completions that are ready
    /// already are told by [`SimNetwork::has_ready`].
    #[must_use]
    pub fn next_event(&self) -> Option<u64> {
        self.0.borrow().next_event()
    }

    /// Moves the clock to `time` (further, if the fault jumps it; never back).
    pub fn advance_to(&self, time: u64) {
        self.0.borrow_mut().advance_to(time);
    }

    /// Whether a turn of this driver (by [`SimDriver::id`]) would find something.
    #[must_use]
    pub fn has_ready(&self, driver: usize) -> bool {
        self.0.borrow().drivers[driver].ready()
    }

    /// Keeps the last `entries` events for [`SimNetwork::trace`]; none are kept at first.
    pub fn keep_trace(&self, entries: usize) {
        self.0.borrow_mut().trace.keep(entries);
    }

    #[must_use]
    pub fn trace(&self) -> Vec<TraceEntry> {
        self.0.borrow().trace.entries()
    }

    /// A hash of everything that happened so far, kept or not.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.0.borrow().trace.hash
    }

    #[must_use]
    pub fn stats(&self) -> FaultStats {
        self.0.borrow().stats
    }

    /// The rules that the engine broke, even where it caught the panic.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.0.borrow().violations.clone()
    }

    /// Descriptors of a role that are open, listeners included.
    #[must_use]
    pub fn open_sockets(&self, role: Role) -> usize {
        let net = self.0.borrow();
        net.sockets
            .values()
            .filter(|socket| socket.role == role)
            .count()
    }

    /// Operations of a driver that have not had their final completion.
    #[must_use]
    pub fn ops_in_flight(&self, driver: usize) -> usize {
        self.0.borrow().drivers[driver].ops.len()
    }

    /// While on, no packet from or to this address arrives; afterwards they all do, in order.
    pub fn blackhole(&self, addr: SocketAddr, on: bool) {
        self.0.borrow_mut().blackhole(addr, on);
    }

    /// While on, connects to this address are refused.
    pub fn refuse(&self, addr: SocketAddr, on: bool) {
        let mut net = self.0.borrow_mut();
        if on {
            net.refused.insert(addr);
        } else {
            net.refused.remove(&addr);
        }
    }

    /// Resets every connection from or to this address, on both sides, now.
    pub fn reset_peer(&self, addr: SocketAddr) {
        self.0.borrow_mut().reset_peer(addr);
    }
}

/// The driver of one simulated shard. See the rules of [`driver`](super).
pub struct SimDriver {
    id: usize,
    net: SimNetwork,
}

impl SimDriver {
    /// Its number in the network's questions.
    #[must_use]
    pub fn id(&self) -> usize {
        self.id
    }

    #[must_use]
    pub fn network(&self) -> &SimNetwork {
        &self.net
    }

    /// Whether a turn would find something: a wake-up, or completions that are due.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.net.has_ready(self.id)
    }

    /// Whether a wake-up waits for the next turn.
    #[must_use]
    pub fn woken(&self) -> bool {
        self.net.0.borrow().drivers[self.id].wake.is_set()
    }

    #[must_use]
    pub fn now(&self) -> u64 {
        self.net.now()
    }

    /// The virtual clock, as if it had begun in September 2001.
    #[must_use]
    pub fn wall_clock(&self) -> u64 {
        const BEGIN: u64 = 1_000_000_000_000_000_000;
        BEGIN + self.net.now()
    }

    #[must_use]
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle::Sim(self.net.0.borrow().drivers[self.id].wake.clone())
    }

    /// # Errors
    /// `EADDRINUSE`, unless all who listen there share the port and the role.
    pub fn listen(
        &mut self,
        addr: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<(Fd, SocketAddr)> {
        let limit = options.backlog.max(1) as usize;
        let mut net = self.net.0.borrow_mut();
        match net.listen(self.id, addr, options.reuse_port, limit) {
            Some((fd, addr)) => Ok((Fd(fd), addr)),
            None => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
        }
    }

    /// # Errors
    /// None so far.
    pub fn socket(&mut self, _remote: &SocketAddr, _no_delay: bool) -> io::Result<Fd> {
        let mut net = self.net.0.borrow_mut();
        let id = net.open(self.id, Body::Unconnected);
        Ok(Fd(net.sockets[&id].fd))
    }

    pub fn accept(&mut self, op: Key, listener: Fd) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, listener, "accept");
        let Some(Socket {
            body: Body::Listener { .. },
            ..
        }) = net.sockets.get(&id)
        else {
            net.violation(format!("accept on {listener:?}, which does not listen"))
        };
        net.claim_reader(self.id, op, id, "accept");
        net.submit(self.id, op, id, Kind::Accept);
        net.drivers[self.id].kick(op);
    }

    pub fn connect(&mut self, op: Key, fd: Fd, remote: &SocketAddr) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "connect");
        let Some(Socket {
            body: Body::Unconnected,
            ..
        }) = net.sockets.get(&id)
        else {
            net.violation(format!("connect on {fd:?}, which is connected or listens"))
        };
        net.claim_writer(self.id, op, id, "connect");
        net.submit(self.id, op, id, Kind::Connect { result: None });
        net.start_connect(id, *remote);
    }

    pub fn recv(&mut self, op: Key, fd: Fd, multishot: bool) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "recv");
        net.claim_reader(self.id, op, id, "recv");
        net.submit(self.id, op, id, Kind::Recv { multishot });
        net.maybe_reset(id);
        net.drivers[self.id].kick(op);
    }

    pub fn send(&mut self, op: Key, fd: Fd, job: &mut TxJob) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "send");
        net.claim_writer(self.id, op, id, "send");
        if job.left() == 0 {
            net.violation(format!("a send of nothing on {fd:?}"));
        }
        let pinned = Pinned::new(job);
        net.submit(
            self.id,
            op,
            id,
            Kind::Send {
                pinned,
                taken: None,
            },
        );
        net.maybe_reset(id);
        if let Body::Stream { conn, side } = net.sockets[&id].body {
            net.hurry_fin(conn, side);
        }
        if net.rng.coin() {
            net.drivers[self.id].kick(op);
        } else {
            let after = net.rng.below(50_000);
            let (driver, op) = (self.id, op.to_u64());
            net.schedule(after, Event::Kick { driver, op });
        }
    }

    pub fn cancel(&mut self, target: Key) {
        self.net.0.borrow_mut().cancel(self.id, target);
    }

    pub fn shutdown_write(&mut self, fd: Fd) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "shutdown");
        if let Body::Stream { conn, side } = net.sockets[&id].body {
            net.shutdown_write(conn, side);
        }
    }

    pub fn reset_on_close(&mut self, fd: Fd) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "reset on close");
        if let Some(socket) = net.sockets.get_mut(&id) {
            socket.reset = true;
        }
    }

    pub fn close(&mut self, fd: Fd) {
        let net = &mut *self.net.0.borrow_mut();
        let id = net.use_socket(self.id, fd, "close");
        let socket = &net.sockets[&id];
        if let Some((_, op)) = socket.reader.or(socket.writer) {
            net.violation(format!("close of {fd:?} with {op:?} in flight on it"));
        }
        net.close(id);
    }

    /// # Errors
    /// `ENOTCONN`, before the connection and after its reset.
    pub fn peer_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        self.addrs(fd).map(|[_, peer]| peer)
    }

    /// # Errors
    /// As [`SimDriver::peer_addr`].
    pub fn local_addr(&self, fd: Fd) -> io::Result<SocketAddr> {
        self.addrs(fd).map(|[local, _]| local)
    }

    fn addrs(&self, fd: Fd) -> io::Result<[SocketAddr; 2]> {
        let net = self.net.0.borrow();
        let found = net.socket_of(fd.0).and_then(|id| net.addrs(id));
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    /// # Errors
    /// None.
    pub fn turn(
        &mut self,
        _wait: Wait,
        bufs: &BufPool,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        self.net.0.borrow_mut().turn(self.id, bufs, out);
        Ok(())
    }

    #[must_use]
    pub fn counters(&self) -> DriverCounters {
        self.net.0.borrow().drivers[self.id].counters
    }
}

impl Drop for SimDriver {
    /// The shard is gone: its operations end untold, its sockets are closed.
    fn drop(&mut self) {
        // Borrowed only when a panic unwinds through the network itself.
        if let Ok(mut net) = self.net.0.try_borrow_mut() {
            net.drop_driver(self.id);
        }
    }
}

/// Makes the driver ready from anywhere.
#[derive(Clone, Default)]
pub struct SimWake(Arc<AtomicBool>);

impl SimWake {
    pub fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
