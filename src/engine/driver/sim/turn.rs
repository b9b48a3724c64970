//! A turn: the operations in the driver's queue are asked, each for one completion at a time.
//!
//! The bytes of a send are read at a moment between its submission and its completion, and compared
//! at both with their checksum at the submission: an engine that touches them meanwhile is found
//! out.

use std::collections::{BTreeMap, VecDeque};

use super::clock::Event;
use super::conn::Packet;
use super::faults::Fault;
use super::network::{Body, Net};
use super::ops::{Kind, Pinned};
use crate::engine::buf::BufPool;
use crate::engine::driver::Completion;
use crate::engine::slab::Key;

/// Most completions of one turn.
const BATCH: u64 = 64;

/// What an operation has to say when it is asked.
struct Answer {
    result: i32,
    more: bool,
    buf: Option<u16>,
}

impl Answer {
    fn last(result: i32) -> Option<Answer> {
        Some(Answer {
            result,
            more: false,
            buf: None,
        })
    }
}

impl Net {
    pub(super) fn turn(&mut self, driver: usize, bufs: &BufPool, out: &mut Vec<Completion>) {
        let state = &mut self.drivers[driver];
        state.wake.clear();
        state.counters.enters += 1;
        let waiting = !state.queue.is_empty();
        if waiting && self.proxy_fault(driver, Fault::SpuriousWake, |faults| faults.spurious_wake) {
            return;
        }
        let limit = 1 + self.rng.index(BATCH as usize);
        let mut done: Vec<(u64, Completion)> = Vec::new();
        while done.len() < limit {
            let Some(word) = self.drivers[driver].queue.pop_front() else {
                break;
            };
            done.extend(self.ask(driver, word, bufs));
        }
        if done.len() > 1 && self.proxy_fault(driver, Fault::Reorder, |faults| faults.reorder) {
            self.shuffle(&mut done);
        }
        self.drivers[driver].counters.completions += done.len() as u64;
        for (_, completion) in done {
            let Completion { op, result, .. } = completion;
            self.note(
                "completion",
                driver as u64,
                i64::from(op.index),
                i64::from(result),
            );
            out.push(completion);
        }
    }

    /// Shuffles completions, but for the order of those of one socket.
    fn shuffle(&mut self, done: &mut [(u64, Completion)]) {
        let mut sockets: Vec<u64> = done.iter().map(|(socket, _)| *socket).collect();
        for last in (1..sockets.len()).rev() {
            let other = self.rng.index(last + 1);
            sockets.swap(last, other);
        }
        let mut queues: BTreeMap<u64, VecDeque<Completion>> = BTreeMap::new();
        for (socket, completion) in done.iter() {
            queues.entry(*socket).or_default().push_back(*completion);
        }
        for (place, socket) in done.iter_mut().zip(sockets) {
            if let Some(completion) = queues.get_mut(&socket).and_then(VecDeque::pop_front) {
                *place = (socket, completion);
            }
        }
    }

    /// Asks one operation for its next completion.
    fn ask(&mut self, driver: usize, word: u64, bufs: &BufPool) -> Option<(u64, Completion)> {
        // Out of the table while it is asked, so that it can be asked with the world at hand.
        let mut op = self.drivers[driver].ops.remove(&word)?;
        op.queued = false;
        let fresh = std::mem::replace(&mut op.fresh, false);
        let socket = op.socket;
        if !self.sockets.contains_key(&socket) {
            // Another driver of the process took the socket down with it.
            let op = Key::from_u64(word);
            return Some((
                socket,
                Completion {
                    op,
                    result: -libc::ECANCELED,
                    more: false,
                    buf: None,
                },
            ));
        }
        let cancelled = op.cancelled;
        let answer = match &mut op.kind {
            Kind::Connect {
                result: Some(result),
            } => Answer::last(self.connect_result(socket, *result)),
            Kind::Send { pinned, taken } => {
                self.ask_send((driver, word), socket, pinned, taken, cancelled)
            }
            _ if cancelled => Answer::last(-libc::ECANCELED),
            Kind::Connect { result: None } => None,
            Kind::Accept => self.ask_accept(driver, socket),
            Kind::Recv { multishot } => self.ask_recv(driver, socket, *multishot, fresh, bufs),
        };
        let more = answer.as_ref().is_none_or(|answer| answer.more);
        if more {
            self.drivers[driver].ops.insert(word, op);
            if answer.is_some() {
                self.drivers[driver].kick_word(word);
            }
        } else if let Some(entry) = self.sockets.get_mut(&socket) {
            let this = Some((driver, Key::from_u64(word)));
            if entry.reader == this {
                entry.reader = None;
            }
            if entry.writer == this {
                entry.writer = None;
            }
        }
        let answer = answer?;
        let completion = Completion {
            op: Key::from_u64(word),
            result: answer.result,
            more: answer.more,
            buf: answer.buf,
        };
        Some((socket, completion))
    }

    fn connect_result(&mut self, socket: u64, result: i32) -> i32 {
        let Body::Stream { conn, side } = self.sockets[&socket].body else {
            return result;
        };
        let side = self.conns.get_mut(&conn).map(|conn| &mut conn.sides[side]);
        match side {
            Some(side) if side.dead => -side.error.take().unwrap_or(libc::ECONNRESET),
            _ => result,
        }
    }

    fn ask_accept(&mut self, driver: usize, listener: u64) -> Option<Answer> {
        let Body::Listener { backlog, .. } = &self.sockets[&listener].body else {
            return Answer::last(-libc::EINVAL);
        };
        let conn = *backlog.front()?;
        if self.proxy_fault(driver, Fault::AcceptError, |faults| faults.accept_error) {
            return Answer::last(-libc::EMFILE);
        }
        if let Some(Body::Listener { backlog, .. }) = self
            .sockets
            .get_mut(&listener)
            .map(|socket| &mut socket.body)
        {
            backlog.pop_front();
        }
        let id = self.open(driver, Body::Stream { conn, side: 1 });
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.sides[1].socket = Some(id);
        }
        Some(Answer {
            result: self.sockets[&id].fd,
            more: true,
            buf: None,
        })
    }

    fn ask_recv(
        &mut self,
        driver: usize,
        socket: u64,
        multishot: bool,
        fresh: bool,
        bufs: &BufPool,
    ) -> Option<Answer> {
        let Body::Stream { conn: id, side } = self.sockets[&socket].body else {
            return Answer::last(-libc::ENOTCONN);
        };
        let conn = self.conns.get_mut(&id)?;
        let pipe = &conn.pipes[1 - side];
        let (there, ended) = (pipe.ready.len(), pipe.fin_arrived);
        // The kernel picks a buffer before it looks for data.
        if fresh || there > 0 {
            let fault = self.proxy_fault(driver, Fault::NoBuffers, |faults| faults.enobufs);
            if fault || bufs.free_count() == 0 {
                self.drivers[driver].counters.no_buffers += 1;
                return Answer::last(-libc::ENOBUFS);
            }
        }
        let conn = self.conns.get_mut(&id)?;
        if there == 0 {
            if ended {
                return Answer::last(0);
            }
            return match conn.sides[side].error.take() {
                Some(error) => Answer::last(-error),
                None if conn.sides[side].dead => Answer::last(0),
                None => None,
            };
        }
        let buf = bufs.take()?;
        let mut len = there.min(bufs.capacity() as usize);
        if len > 1 && self.proxy_fault(driver, Fault::SplitRead, |faults| faults.split_read) {
            len = 1 + self.rng.index(len - 1);
        }
        let conn = self.conns.get_mut(&id)?;
        let bytes: Vec<u8> = conn.pipes[1 - side].ready.drain(..len).collect();
        // SAFETY: the buffer was just taken, so this driver alone owns it, and `len` is no more
        // than its capacity.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), bufs.receive_area(buf), len) };
        self.kick_writer(id, 1 - side);
        Some(Answer {
            result: len as i32,
            more: multishot,
            buf: Some(buf),
        })
    }

    fn ask_send(
        &mut self,
        (driver, word): (usize, u64),
        socket: u64,
        pinned: &Pinned,
        taken: &mut Option<i32>,
        cancelled: bool,
    ) -> Option<Answer> {
        if pinned.checksum() != pinned.sum {
            let fd = self.sockets[&socket].fd;
            self.violation(format!(
                "the bytes of a send in flight on fd {fd} were changed"
            ));
        }
        if let Some(taken) = *taken {
            return Answer::last(taken);
        }
        if cancelled {
            return Answer::last(-libc::ECANCELED);
        }
        let Body::Stream { conn: id, side } = self.sockets[&socket].body else {
            return Answer::last(-libc::ENOTCONN);
        };
        let conn = self.conns.get_mut(&id)?;
        if let Some(error) = conn.sides[side].error.take() {
            return Answer::last(-error);
        }
        if conn.sides[side].dead || conn.sides[side].write_shut {
            return Answer::last(-libc::EPIPE);
        }
        let room = conn.pipes[side].room();
        if room == 0 {
            return None;
        }
        let mut bytes = pinned.bytes();
        bytes.truncate(room);
        if bytes.len() > 1 && self.proxy_fault(driver, Fault::ShortSend, |faults| faults.short_send)
        {
            let len = 1 + self.rng.index(bytes.len() - 1);
            bytes.truncate(len);
        }
        let result = bytes.len() as i32;
        self.push(id, side, Packet::Data(bytes));
        *taken = Some(result);
        if self.rng.coin() {
            let after = self.rng.below(50_000);
            self.schedule(after, Event::Kick { driver, op: word });
            return None;
        }
        Answer::last(result)
    }
}
