//! The sockets of a shard and the operations in flight for them.
//!
//! No operation is owned by a future. An operation lives in the op slab and points to its socket's
//! entry; futures only look at that entry. Dropping a socket's handle marks the entry as orphaned
//! and cancels what is in flight; the descriptor, the entry and every byte that the kernel may
//! still read are released by the last *final* completion. That one rule removes the late
//! completions and the uses after free that io_uring runtimes keep meeting.
//!
//! Receiving is multishot, under a credit: once [`CREDIT`] bytes wait unread, the receive is
//! cancelled, and a reader that has taken them arms it again. Sending has one operation in flight
//! for each socket; what is written meanwhile gathers for the next, and what tasks write during one
//! turn leaves in one send.

mod complete;
mod spare;

use std::collections::VecDeque;
use std::rc::Rc;

use super::buf::{Buf, BufPool, NO_BUF};
use super::driver::{Driver, Fd};
#[cfg(feature = "planted-bugs")]
use super::planted::{Bug, planted};
use super::slab::{Key, Slab};
use super::task::Tasks;
use super::tx::{Segment, TxJob};
use spare::Spare;

/// Unread bytes at which a socket's receive is paused.
pub(super) const CREDIT: u32 = 256 * 1024;
pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Accept,
    Connect,
    Recv,
    Send,
    Ready,
}

struct Op {
    kind: Kind,
    /// The socket (for [`Kind::Accept`] the listener) that the operation works for.
    owner: Key,
    /// What a send reads from, until its completion.
    job: Option<Box<TxJob>>,
}

/// How far a connecting socket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connect {
    Done,
    Pending,
    Failed(i32),
}

pub(super) struct Sock {
    pub(super) fd: Fd,
    recv_op: Key,
    /// The send or the connect in flight; never both.
    send_op: Key,
    /// A wait for readiness.
    ready_op: Key,
    next_job: Option<Box<TxJob>>,
    pub(super) unread: u32,
    /// Bytes written and not yet taken by the kernel.
    pub(super) unsent: u32,
    rx_head: u16,
    rx_tail: u16,
    pub(super) eof: bool,
    pub(super) rx_error: i32,
    pub(super) tx_error: i32,
    pub(super) connect: Connect,
    /// No receive is to be started.
    hold: bool,
    /// Receives are started one by one, each for one buffer.
    singly: bool,
    starved: bool,
    pausing: bool,
    dirty: bool,
    orphan: bool,
    /// What the waiting task waits for.
    pub(super) interest: u8,
    pub(super) task: Key,
}

pub(super) struct ListenerState {
    fd: Fd,
    op: Key,
    pub(super) accepted: VecDeque<Fd>,
    pub(super) error: i32,
    pub(super) task: Key,
    paused: bool,
    orphan: bool,
}

/// The driver with everything that is in flight on it.
pub(super) struct Io {
    pub(super) driver: Driver,
    ops: Slab<Op>,
    pub(super) socks: Slab<Sock>,
    pub(super) listeners: Slab<ListenerState>,
    pub(super) spare: Spare,
    bufs: Rc<BufPool>,
    /// Sockets with something new to send.
    dirty: Vec<Key>,
    /// Sockets whose receive found no buffer.
    starved: Vec<Key>,
}

impl Io {
    pub(super) fn new(driver: Driver, bufs: Rc<BufPool>) -> Io {
        Io {
            driver,
            ops: Slab::default(),
            socks: Slab::default(),
            listeners: Slab::default(),
            spare: Spare::default(),
            bufs,
            dirty: Vec::new(),
            starved: Vec::new(),
        }
    }

    pub(super) fn ops_in_flight(&self) -> usize {
        self.ops.len()
    }

    pub(super) fn add(&mut self, fd: Fd, connect: Connect) -> Key {
        self.socks.insert(Sock {
            fd,
            recv_op: Key::NONE,
            send_op: Key::NONE,
            ready_op: Key::NONE,
            next_job: None,
            unread: 0,
            unsent: 0,
            rx_head: NO_BUF,
            rx_tail: NO_BUF,
            eof: false,
            rx_error: 0,
            tx_error: 0,
            connect,
            hold: false,
            singly: false,
            starved: false,
            pausing: false,
            dirty: false,
            orphan: false,
            interest: 0,
            task: Key::NONE,
        })
    }

    pub(super) fn start_connect(&mut self, key: Key, remote: &std::net::SocketAddr) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        let op = self.ops.insert(Op {
            kind: Kind::Connect,
            owner: key,
            job: None,
        });
        sock.send_op = op;
        self.driver.connect(op, sock.fd, remote);
    }

    pub(super) fn listen(&mut self, fd: Fd) -> Key {
        let key = self.listeners.insert(ListenerState {
            fd,
            op: Key::NONE,
            accepted: VecDeque::new(),
            error: 0,
            task: Key::NONE,
            paused: false,
            orphan: false,
        });
        self.resume_accept(key);
        key
    }

    pub(super) fn resume_accept(&mut self, key: Key) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        listener.paused = false;
        if listener.op.is_none() && !listener.orphan {
            listener.op = self.ops.insert(Op {
                kind: Kind::Accept,
                owner: key,
                job: None,
            });
            self.driver.accept(listener.op, listener.fd);
        }
    }

    /// Stops accepting for now; what was accepted already stays queued.
    pub(super) fn pause_accept(&mut self, key: Key) {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.paused = true;
            if !listener.op.is_none() {
                self.driver.cancel(listener.op);
            }
        }
    }

    pub(super) fn close_listener(&mut self, key: Key) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        listener.orphan = true;
        for fd in listener.accepted.drain(..) {
            self.driver.close(fd);
        }
        if listener.op.is_none() {
            self.driver.close(listener.fd);
            self.listeners.remove(key);
        } else {
            self.driver.cancel(listener.op);
        }
    }

    /// Makes sure that a receive is in flight, unless the stream is over.
    pub(super) fn arm_recv(&mut self, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        let done = sock.eof || sock.rx_error != 0 || sock.starved || sock.hold;
        if done || !sock.recv_op.is_none() || sock.connect != Connect::Done {
            return;
        }
        let op = self.ops.insert(Op {
            kind: Kind::Recv,
            owner: key,
            job: None,
        });
        sock.recv_op = op;
        self.driver.recv(op, sock.fd, !sock.singly);
    }

    /// Takes the oldest unread buffer.
    pub(super) fn pop_rx(&mut self, key: Key) -> Option<Buf> {
        let sock = self.socks.get_mut(key)?;
        if sock.rx_head == NO_BUF {
            return None;
        }
        let id = sock.rx_head;
        let (len, next) = self.bufs.queued(id);
        sock.rx_head = next;
        if next == NO_BUF {
            sock.rx_tail = NO_BUF;
        }
        sock.unread -= len;
        Some(self.bufs.adopt(id, len))
    }

    /// Queues a segment to be sent at the end of the turn.
    pub(super) fn write(&mut self, key: Key, segment: Segment) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        if sock.tx_error != 0 || segment.is_empty() {
            if let Segment::Owned(vector) = segment {
                self.spare.recycle(vector);
            }
            return;
        }
        sock.unsent += segment.len() as u32;
        let spare = &mut self.spare;
        sock.next_job
            .get_or_insert_with(|| spare.job())
            .push(segment);
        if !sock.dirty && sock.send_op.is_none() {
            sock.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Starts the sends of everything written since the last turn.
    pub(super) fn flush(&mut self) {
        while let Some(key) = self.dirty.pop() {
            let Some(sock) = self.socks.get_mut(key) else {
                continue;
            };
            sock.dirty = false;
            if sock.orphan || !sock.send_op.is_none() {
                continue;
            }
            if let Some(job) = sock.next_job.take() {
                self.start_send(key, job);
            }
        }
    }

    fn start_send(&mut self, key: Key, job: Box<TxJob>) {
        let Some(sock) = self.socks.get_mut(key) else {
            self.spare.recycle_job(job);
            return;
        };
        let op = self.ops.insert(Op {
            kind: Kind::Send,
            owner: key,
            job: Some(job),
        });
        sock.send_op = op;
        if let Some(job) = self.ops.get_mut(op).and_then(|op| op.job.as_mut()) {
            self.driver.send(op, sock.fd, job);
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::BufferReused) {
                job.overwrite();
            }
        }
    }

    /// The handle is gone: end everything in flight and close with the last completion.
    pub(super) fn orphan(&mut self, key: Key) {
        while let Some(buf) = self.pop_rx(key) {
            drop(buf);
        }
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        sock.orphan = true;
        sock.interest = 0;
        if let Some(job) = sock.next_job.take() {
            self.spare.recycle_job(job);
        }
        for op in [sock.recv_op, sock.send_op, sock.ready_op] {
            if !op.is_none() {
                self.driver.cancel(op);
            }
        }
        self.release_if_done(key);
    }

    /// Takes the descriptor out of a socket that has no operation in flight and nothing queued, to
    /// hand it to another shard.
    pub(super) fn release_fd(&mut self, key: Key) -> Option<Fd> {
        let sock = self.socks.get_mut(key)?;
        let busy = !sock.recv_op.is_none() || !sock.send_op.is_none() || sock.unread > 0;
        if busy || sock.next_job.is_some() {
            return None;
        }
        self.socks.remove(key).map(|sock| sock.fd)
    }

    fn release_if_done(&mut self, key: Key) {
        let Some(sock) = self.socks.get(key) else {
            return;
        };
        let idle = sock.recv_op.is_none() && sock.send_op.is_none() && sock.ready_op.is_none();
        if sock.orphan && idle {
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::DescriptorLeaked) {
                self.socks.remove(key);
                return;
            }
            self.driver.close(sock.fd);
            self.socks.remove(key);
        }
    }

    /// Lets receives that found no buffer try again, once buffers came back.
    pub(super) fn feed_starved(&mut self) {
        if self.starved.is_empty() || self.bufs.free_count() == 0 {
            return;
        }
        for key in std::mem::take(&mut self.starved) {
            let Some(sock) = self.socks.get_mut(key) else {
                continue;
            };
            sock.starved = false;
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::StarvedForgotten) {
                continue;
            }
            // Whether or not anybody waits for it just now: a pooled connection must stay watched.
            if !sock.orphan {
                self.arm_recv(key);
            }
        }
    }

    /// Has the socket's task woken when it can be read (or written) without waiting.
    pub(super) fn await_ready(&mut self, key: Key, write: bool, task: Key) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        sock.interest |= READ | WRITE;
        sock.task = task;
        if sock.ready_op.is_none() {
            let op = self.ops.insert(Op {
                kind: Kind::Ready,
                owner: key,
                job: None,
            });
            sock.ready_op = op;
            self.driver.ready(op, sock.fd, write);
        }
    }

    /// Holds receiving back (ending the receive in flight), or lets it go on.
    pub(super) fn hold_recv(&mut self, key: Key, hold: bool) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        sock.hold = hold;
        if hold && !sock.recv_op.is_none() && !sock.pausing {
            sock.pausing = true;
            self.driver.cancel(sock.recv_op);
        }
    }

    /// Whether nothing is being received and nothing received waits.
    pub(super) fn recv_rests(&self, key: Key) -> bool {
        self.socks
            .get(key)
            .is_some_and(|sock| sock.recv_op.is_none() && sock.unread == 0)
    }

    pub(super) fn receive_singly(&mut self, key: Key, singly: bool) {
        if let Some(sock) = self.socks.get_mut(key) {
            sock.singly = singly;
        }
    }
}

#[inline]
fn wake(sock: &mut Sock, tasks: &Tasks, what: u8) {
    if sock.interest & what != 0 {
        sock.interest = 0;
        tasks.wake(sock.task);
    }
}
