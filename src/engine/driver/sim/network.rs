//! The tables of the virtual network: sockets, descriptors, listeners, and all that a world is.
//!
//! Tables and events name sockets by a serial number, not by descriptor: descriptors are reused
//! (by half of the seeds at once, last closed first), which is what finds stale ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use super::Role;
use super::clock::{Event, SECOND};
use super::conn::{Conn, SERVER};
use super::faults::{Fault, FaultStats, Faults, Rng};
use super::ops::DriverState;
use super::trace::{Trace, TraceEntry};
use crate::engine::slab::Key;

pub(super) type OpRef = (usize, Key);

pub(super) enum Body {
    /// Made for a connection that is not there (yet).
    Unconnected,
    Listener {
        addr: SocketAddr,
        reuse_port: bool,
        backlog: VecDeque<u64>,
        limit: usize,
    },
    Stream {
        conn: u64,
        side: usize,
    },
}

pub(super) struct Socket {
    pub(super) fd: i32,
    pub(super) role: Role,
    /// The driver that used it last, with which it goes down.
    pub(super) owner: usize,
    pub(super) body: Body,
    /// The accept or receive in flight.
    pub(super) reader: Option<OpRef>,
    /// The connect or send in flight.
    pub(super) writer: Option<OpRef>,
    /// Its close is to be a reset.
    pub(super) reset: bool,
}

/// Descriptors of one role: a process has one table.
struct FdTable {
    next: i32,
    free: Vec<i32>,
}

pub(super) struct Net {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) stats: FaultStats,
    pub(super) trace: Trace,
    pub(super) violations: Vec<String>,
    pub(super) drivers: Vec<DriverState>,
    pub(super) sockets: BTreeMap<u64, Socket>,
    pub(super) conns: BTreeMap<u64, Conn>,
    fds: BTreeMap<i32, u64>,
    tables: [FdTable; 2],
    reuse_fds: bool,
    pub(super) listeners: BTreeMap<SocketAddr, Vec<u64>>,
    pub(super) refused: BTreeSet<SocketAddr>,
    pub(super) blackholes: BTreeSet<SocketAddr>,
    /// What a black hole holds back, to be sent again when it opens.
    pub(super) parked: Vec<Event>,
    pub(super) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    next_port: u16,
}

impl Net {
    pub(super) fn new(seed: u64, faults: Faults) -> Net {
        let mut rng = Rng::new(seed);
        let table = |next| FdTable {
            next,
            free: Vec::new(),
        };
        Net {
            now: SECOND,
            reuse_fds: rng.coin(),
            rng,
            faults,
            stats: FaultStats::default(),
            trace: Trace::default(),
            violations: Vec::new(),
            drivers: Vec::new(),
            sockets: BTreeMap::new(),
            conns: BTreeMap::new(),
            fds: BTreeMap::new(),
            tables: [table(3), table(1_000_003)],
            listeners: BTreeMap::new(),
            refused: BTreeSet::new(),
            blackholes: BTreeSet::new(),
            parked: Vec::new(),
            events: BinaryHeap::new(),
            serial: 0,
            next_port: 32_768,
        }
    }

    pub(super) fn note(&mut self, what: &'static str, who: u64, place: i64, value: i64) {
        let at = self.now;
        self.trace.note(TraceEntry {
            at,
            what,
            who,
            place,
            value,
        });
    }

    /// Decides whether a fault happens, and counts it.
    pub(super) fn fault(&mut self, fault: Fault, probability: f64) -> bool {
        let happens = self.rng.chance(probability);
        if happens {
            self.stats.count(fault);
        }
        happens
    }

    /// The engine broke a rule of the driver interface. Kept as well, as the engine may catch the
    /// panics of its tasks.
    pub(super) fn violation(&mut self, message: String) -> ! {
        self.violations.push(message.clone());
        panic!("driver rule broken: {message}");
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn open(&mut self, driver: usize, body: Body) -> u64 {
        let role = self.drivers[driver].role;
        let table = &mut self.tables[role as usize];
        let fd = table.free.pop().unwrap_or_else(|| {
            table.next += 1;
            table.next - 1
        });
        let id = self.next_serial();
        self.fds.insert(fd, id);
        self.sockets.insert(
            id,
            Socket {
                fd,
                role,
                owner: driver,
                body,
                reader: None,
                writer: None,
                reset: false,
            },
        );
        id
    }

    pub(super) fn socket_of(&self, fd: i32) -> Option<u64> {
        self.fds.get(&fd).copied()
    }

    pub(super) fn listen(
        &mut self,
        driver: usize,
        addr: SocketAddr,
        reuse_port: bool,
        limit: usize,
    ) -> Option<(i32, SocketAddr)> {
        let mut addr = addr;
        if addr.port() == 0 {
            addr.set_port(self.port());
        }
        let role = self.drivers[driver].role;
        let others = self.listeners.get(&addr).cloned().unwrap_or_default();
        let shares = |id: &u64| {
            let other = &self.sockets[id];
            reuse_port
                && other.role == role
                && matches!(
                    other.body,
                    Body::Listener {
                        reuse_port: true,
                        ..
                    }
                )
        };
        if !others.iter().all(shares) {
            return None;
        }
        let id = self.open(
            driver,
            Body::Listener {
                addr,
                reuse_port,
                backlog: VecDeque::new(),
                limit,
            },
        );
        self.listeners.entry(addr).or_default().push(id);
        Some((self.sockets[&id].fd, addr))
    }

    pub(super) fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == u16::MAX { 32_768 } else { port + 1 };
        port
    }

    /// Closes a socket, whether or not the engine kept the rules.
    pub(super) fn close(&mut self, id: u64) {
        let Some(socket) = self.sockets.remove(&id) else {
            return;
        };
        self.fds.remove(&socket.fd);
        if self.reuse_fds {
            self.tables[socket.role as usize].free.push(socket.fd);
        }
        // There are none, unless a driver goes down with a socket that another one uses.
        for (driver, op) in [socket.reader, socket.writer].into_iter().flatten() {
            self.drivers[driver].kick(op);
        }
        match socket.body {
            Body::Unconnected => {}
            Body::Stream { conn, side } => self.close_side(conn, side, socket.reset),
            Body::Listener { addr, backlog, .. } => {
                if let Some(group) = self.listeners.get_mut(&addr) {
                    group.retain(|other| *other != id);
                    if group.is_empty() {
                        self.listeners.remove(&addr);
                    }
                }
                for conn in backlog {
                    self.close_side(conn, SERVER, true);
                }
            }
        }
    }

    /// A driver is gone, and with it its operations and its sockets.
    pub(super) fn drop_driver(&mut self, driver: usize) {
        self.drivers[driver].forget();
        let gone: Vec<u64> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.owner == driver)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.close(id);
        }
    }

    /// The addresses of a connection that lives: the socket's own, and its peer's.
    pub(super) fn addrs(&self, id: u64) -> Option<[SocketAddr; 2]> {
        let Body::Stream { conn, side } = self.sockets.get(&id)?.body else {
            return None;
        };
        let conn = self.conns.get(&conn)?;
        (!conn.sides[side].dead).then_some([conn.addrs[side], conn.addrs[1 - side]])
    }
}
