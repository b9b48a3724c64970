//! The virtual clock: events in order of time, then of the moment they were scheduled; and the
//! events that make connections. Nothing happens between events, so a world may jump from one to
//! the next.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::conn::Conn;
use super::faults::Fault;
use super::network::{Body, Net};
use super::ops::Kind;

pub(super) const MICRO: u64 = 1_000;
pub(super) const MILLI: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The first packet in flight from this side arrives.
    Deliver {
        conn: u64,
        from: usize,
    },
    /// A client's first packet arrives.
    Syn {
        socket: u64,
        remote: SocketAddr,
    },
    /// The answer to it arrives.
    Connected {
        socket: u64,
        result: i32,
    },
    Reset {
        conn: u64,
    },
    /// An operation goes on.
    Kick {
        driver: usize,
        op: u64,
    },
    Cancel {
        driver: usize,
        op: u64,
    },
}

impl Net {
    pub(super) fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.now + after.max(1), event);
    }

    pub(super) fn schedule_at(&mut self, at: u64, event: Event) {
        let serial = self.next_serial();
        self.events.push(Reverse((at, serial, event)));
    }

    pub(super) fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn advance_to(&mut self, time: u64) {
        let mut target = time.max(self.now);
        if target > self.now && self.fault(Fault::ClockJump, self.faults.clock_jump) {
            target = target.saturating_add(self.rng.below(60 * SECOND));
        }
        while self.next_event().is_some_and(|at| at <= target) {
            if let Some(Reverse((at, _, event))) = self.events.pop() {
                self.now = at;
                self.apply(event);
            }
        }
        self.now = target;
    }

    fn apply(&mut self, event: Event) {
        if self.swallowed(&event) {
            self.parked.push(event);
            return;
        }
        match event {
            Event::Deliver { conn, from } => self.deliver(conn, from),
            Event::Syn { socket, remote } => self.syn(socket, remote),
            Event::Connected { socket, result } => self.connected(socket, result),
            Event::Reset { conn } => self.reset_conn(conn),
            Event::Kick { driver, op } => self.drivers[driver].kick_word(op),
            Event::Cancel { driver, op } => self.drivers[driver].cancel(op),
        }
    }

    fn swallowed(&self, event: &Event) -> bool {
        match event {
            Event::Deliver { conn, .. } => self.conns.get(conn).is_some_and(|conn| self.lost(conn)),
            Event::Syn { remote, .. } => self.blackholes.contains(remote),
            _ => false,
        }
    }

    /// Whether a black hole takes what this connection sends.
    pub(super) fn lost(&self, conn: &Conn) -> bool {
        conn.addrs.iter().any(|addr| self.blackholes.contains(addr))
    }

    /// Opens or closes a black hole; what it held back is sent again.
    pub(super) fn blackhole(&mut self, addr: SocketAddr, on: bool) {
        if on {
            self.blackholes.insert(addr);
        } else if self.blackholes.remove(&addr) {
            // In their order, and before anything that is still to come: a stream has no holes.
            for event in std::mem::take(&mut self.parked) {
                self.apply(event);
            }
        }
    }

    pub(super) fn start_connect(&mut self, socket: u64, remote: SocketAddr) {
        let latency = self.latency();
        if self.fault(Fault::ConnectRefused, self.faults.connect_refused) {
            let result = -libc::ECONNREFUSED;
            self.schedule(latency, Event::Connected { socket, result });
        } else if !self.fault(Fault::ConnectBlackhole, self.faults.connect_blackhole) {
            self.schedule(latency, Event::Syn { socket, remote });
        }
    }

    fn syn(&mut self, client: u64, remote: SocketAddr) {
        let Some(socket) = self.sockets.get(&client) else {
            return;
        };
        let role = socket.role;
        let latency = self.latency();
        let Some(listener) = self.pick_listener(remote) else {
            let result = -libc::ECONNREFUSED;
            self.schedule(
                latency,
                Event::Connected {
                    socket: client,
                    result,
                },
            );
            return;
        };
        let target = &self.sockets[&listener];
        let server_role = target.role;
        if let Body::Listener { backlog, limit, .. } = &target.body
            && backlog.len() >= *limit
        {
            // Linux drops the packet, and the client tries again.
            self.schedule(
                SECOND,
                Event::Syn {
                    socket: client,
                    remote,
                },
            );
            return;
        }
        let ip = match remote.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 0, 0, role as u8 + 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, role as u16 + 1)),
        };
        let local = SocketAddr::new(ip, self.port());
        let conn = self.next_serial();
        let made = Conn::new(&mut self.rng, [local, remote], [role, server_role], client);
        self.conns.insert(conn, made);
        if let Some(socket) = self.sockets.get_mut(&client) {
            socket.body = Body::Stream { conn, side: 0 };
        }
        let Some(target) = self.sockets.get_mut(&listener) else {
            return;
        };
        if let Body::Listener { backlog, .. } = &mut target.body {
            backlog.push_back(conn);
        }
        if let Some((driver, op)) = target.reader {
            self.drivers[driver].kick(op);
        }
        self.maybe_reset(client);
        self.note("connection", conn, 0, i64::from(remote.port()));
        self.schedule(
            latency,
            Event::Connected {
                socket: client,
                result: 0,
            },
        );
    }

    /// One of the sockets that listen on an address, or on all addresses of its port.
    fn pick_listener(&mut self, remote: SocketAddr) -> Option<u64> {
        if self.refused.contains(&remote) {
            return None;
        }
        let any = match remote.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let any = SocketAddr::new(any, remote.port());
        let group = self
            .listeners
            .get(&remote)
            .or_else(|| self.listeners.get(&any))?;
        Some(group[self.rng.index(group.len())])
    }

    fn connected(&mut self, id: u64, answer: i32) {
        let Some((driver, key)) = self.sockets.get(&id).and_then(|socket| socket.writer) else {
            return;
        };
        if let Some(op) = self.drivers[driver].ops.get_mut(&key.to_u64())
            && let Kind::Connect { result } = &mut op.kind
        {
            *result = Some(answer);
            self.drivers[driver].kick(key);
        }
    }
}
