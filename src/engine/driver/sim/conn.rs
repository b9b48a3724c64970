//! Connections, and the packets on their way.
//!
//! A connection is two pipes. A pipe holds what is in flight (packets that arrive one after the
//! other, each by an event of the clock) and what has arrived and was not read; both together are
//! bounded by the pipe's capacity, so that a sender waits for a reader as in life. Closing with
//! unread bytes, and sending to a side that is closed, resets the connection, as in Linux.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Role;
use super::clock::{Event, MICRO, MILLI, SECOND};
use super::faults::{Fault, Rng};
use super::network::{Net, Socket};

/// The side of a connection that connected, and the one that accepted.
const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

#[derive(PartialEq)]
pub(super) enum Packet {
    Data(Vec<u8>),
    Fin,
    Rst,
}

/// What one side has sent and the other has not read.
pub(super) struct Pipe {
    capacity: usize,
    flight: VecDeque<Packet>,
    in_flight: usize,
    last_arrival: u64,
    pub(super) ready: VecDeque<u8>,
    pub(super) fin_arrived: bool,
}

impl Pipe {
    /// Room for the next send. As in Linux, a full pipe is writable again when a third is free.
    pub(super) fn room(&self) -> usize {
        let used = self.in_flight + self.ready.len();
        if used * 3 > self.capacity * 2 {
            0
        } else {
            self.capacity - used
        }
    }
}

pub(super) struct Side {
    pub(super) socket: Option<u64>,
    role: Role,
    closed: bool,
    pub(super) write_shut: bool,
    /// A reset arrived. As in Linux what was received can still be read, then the first operation
    /// to ask learns of the reset (`error`); after that reads give the end of the stream and sends
    /// `EPIPE`.
    pub(super) dead: bool,
    pub(super) error: Option<i32>,
}

pub(super) struct Conn {
    /// The addresses of the two sides.
    pub(super) addrs: [SocketAddr; 2],
    pub(super) sides: [Side; 2],
    /// By the side that sends.
    pub(super) pipes: [Pipe; 2],
}

impl Conn {
    /// A connection from a client's socket to a backlog.
    pub(super) fn new(
        rng: &mut Rng,
        addrs: [SocketAddr; 2],
        roles: [Role; 2],
        client: u64,
    ) -> Conn {
        let side = |index: usize| Side {
            socket: (index == CLIENT).then_some(client),
            role: roles[index],
            closed: false,
            write_shut: false,
            dead: false,
            error: None,
        };
        let mut pipe = || Pipe {
            capacity: 2048 + rng.index(62 * 1024),
            flight: VecDeque::new(),
            in_flight: 0,
            last_arrival: 0,
            ready: VecDeque::new(),
            fin_arrived: false,
        };
        Conn {
            addrs,
            sides: [side(CLIENT), side(SERVER)],
            pipes: [pipe(), pipe()],
        }
    }
}

impl Net {
    pub(super) fn close_side(&mut self, id: u64, index: usize, abort: bool) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let abort = abort || !conn.pipes[1 - index].ready.is_empty();
        let side = &mut conn.sides[index];
        side.closed = true;
        side.socket = None;
        let (dead, shut) = (side.dead, side.write_shut);
        if conn.sides[1 - index].closed {
            self.conns.remove(&id);
        } else if abort && !dead {
            self.send_rst(id, index);
        } else if !shut && !dead {
            self.push(id, index, Packet::Fin);
        }
    }

    pub(super) fn shutdown_write(&mut self, id: u64, index: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let side = &mut conn.sides[index];
        if side.dead || std::mem::replace(&mut side.write_shut, true) {
            return;
        }
        self.push(id, index, Packet::Fin);
        self.kick_writer(id, index);
    }

    pub(super) fn latency(&mut self) -> u64 {
        let mut nanos = 20 * MICRO + self.rng.below(100 * MICRO);
        if self.faults.delay_ms_max > 0 && self.rng.coin() {
            self.stats.count(Fault::Delay);
            nanos += self.rng.below(u64::from(self.faults.delay_ms_max) * MILLI);
        }
        nanos
    }

    /// Sends a packet on its way.
    pub(super) fn push(&mut self, id: u64, from: usize, packet: Packet) {
        let mut arrival = self.now + self.latency();
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let held = packet == Packet::Fin && conn.sides[1 - from].role == Role::Proxy;
        if held && self.rng.chance(self.faults.fin_when_picked) {
            arrival += self.rng.below(2 * SECOND);
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let pipe = &mut conn.pipes[from];
        pipe.last_arrival = pipe.last_arrival.max(arrival);
        if let Packet::Data(bytes) = &packet {
            pipe.in_flight += bytes.len();
        }
        pipe.flight.push_back(packet);
        let at = pipe.last_arrival;
        self.schedule_at(at, Event::Deliver { conn: id, from });
    }

    /// Resets the other side, once what is in flight has arrived or instead of it.
    fn send_rst(&mut self, id: u64, from: usize) {
        let overtakes = self.rng.coin();
        if let Some(conn) = self.conns.get_mut(&id) {
            if overtakes {
                conn.pipes[from].flight.clear();
                conn.pipes[from].in_flight = 0;
            }
            self.push(id, from, Packet::Rst);
        }
    }

    pub(super) fn deliver(&mut self, id: u64, from: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let pipe = &mut conn.pipes[from];
        let Some(packet) = pipe.flight.pop_front() else {
            return;
        };
        let to = 1 - from;
        let (closed, dead) = (conn.sides[to].closed, conn.sides[to].dead);
        match packet {
            Packet::Data(bytes) => {
                pipe.in_flight -= bytes.len();
                if !closed && !dead {
                    pipe.ready.extend(&bytes);
                }
                self.note("data", id, to as i64, bytes.len() as i64);
                if closed {
                    self.push(id, to, Packet::Rst);
                }
                self.kick_reader(id, to);
            }
            Packet::Fin => {
                pipe.fin_arrived = true;
                self.note("fin", id, to as i64, 0);
                self.kick_reader(id, to);
            }
            Packet::Rst => self.reset_side(id, to),
        }
    }

    /// A FIN that is next to arrive at this side arrives now.
    pub(super) fn hurry_fin(&mut self, id: u64, index: usize) {
        if self.faults.fin_when_picked == 0.0 {
            return;
        }
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let pending = conn.pipes[1 - index].flight.front() == Some(&Packet::Fin);
        if !pending || self.lost(conn) {
            return;
        }
        self.stats.count(Fault::FinWhenPicked);
        let now = self.now;
        if let Some(conn) = self.conns.get_mut(&id) {
            // What comes after the FIN need not wait for the time it was held back to.
            conn.pipes[1 - index].last_arrival = now;
        }
        self.deliver(id, 1 - index);
    }

    /// A reset arrives at one side: what is in flight either way is lost, what has arrived is not.
    fn reset_side(&mut self, id: u64, index: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        for pipe in &mut conn.pipes {
            pipe.flight.retain(|packet| *packet == Packet::Rst);
            pipe.in_flight = 0;
        }
        let ended = conn.pipes[1 - index].fin_arrived;
        let side = &mut conn.sides[index];
        if !std::mem::replace(&mut side.dead, true) {
            let error = if ended { libc::EPIPE } else { libc::ECONNRESET };
            side.error = Some(error);
        }
        self.note("reset", id, index as i64, 0);
        self.kick_reader(id, index);
        self.kick_writer(id, index);
    }

    pub(super) fn reset_peer(&mut self, addr: SocketAddr) {
        let touched: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.addrs.contains(&addr))
            .map(|(id, _)| *id)
            .collect();
        for id in touched {
            self.reset_side(id, CLIENT);
            self.reset_side(id, SERVER);
        }
    }

    /// Resets a connection at one of its sides; the other learns of it by a packet.
    pub(super) fn reset_conn(&mut self, id: u64) {
        let index = self.rng.index(2);
        self.reset_side(id, index);
        self.send_rst(id, index);
    }

    fn side_ops(&self, id: u64, index: usize) -> Option<&Socket> {
        self.sockets.get(&self.conns.get(&id)?.sides[index].socket?)
    }

    fn kick_reader(&mut self, id: u64, index: usize) {
        if let Some((driver, op)) = self.side_ops(id, index).and_then(|socket| socket.reader) {
            self.drivers[driver].kick(op);
        }
    }

    pub(super) fn kick_writer(&mut self, id: u64, index: usize) {
        if let Some((driver, op)) = self.side_ops(id, index).and_then(|socket| socket.writer) {
            self.drivers[driver].kick(op);
        }
    }
}
