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

use std::collections::VecDeque;
use std::rc::Rc;

use super::buf::{Buf, BufPool, NO_BUF};
use super::driver::{Completion, Driver, Fd};
#[cfg(feature = "planted-bugs")]
use super::planted::{Bug, planted};
use super::slab::{Key, Slab};
use super::task::Tasks;
use super::tx::{Segment, TxJob};

/// Unread bytes at which a socket's receive is paused.
pub(super) const CREDIT: u32 = 64 * 1024;
/// Spare vectors and jobs kept for reuse.
const KEPT: usize = 512;
/// Vectors that grew past this are not kept.
const KEPT_BYTES: usize = 16 * 1024;

pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Accept,
    Connect,
    Recv,
    Send,
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

/// Spare memory, so that steady traffic allocates nothing.
#[derive(Default)]
pub(super) struct Spare {
    pub(super) vectors: Vec<Vec<u8>>,
    jobs: Vec<Box<TxJob>>,
}

impl Spare {
    pub(super) fn recycle(&mut self, mut vector: Vec<u8>) {
        if vector.capacity() <= KEPT_BYTES && self.vectors.len() < KEPT {
            vector.clear();
            self.vectors.push(vector);
        }
    }

    fn job(&mut self) -> Box<TxJob> {
        self.jobs.pop().unwrap_or_else(TxJob::new)
    }

    fn recycle_job(&mut self, mut job: Box<TxJob>) {
        job.clear(|vector| self.recycle(vector));
        if self.jobs.len() < KEPT {
            self.jobs.push(job);
        }
    }

    /// Keeps only `keep` of each.
    pub(super) fn trim(&mut self, keep: usize) {
        self.vectors.truncate(keep);
        self.vectors.shrink_to(keep);
        self.jobs.truncate(keep);
        self.jobs.shrink_to(keep);
    }
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
            next_job: None,
            unread: 0,
            unsent: 0,
            rx_head: NO_BUF,
            rx_tail: NO_BUF,
            eof: false,
            rx_error: 0,
            tx_error: 0,
            connect,
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
        let done = sock.eof || sock.rx_error != 0 || sock.starved;
        if done || !sock.recv_op.is_none() || sock.connect != Connect::Done {
            return;
        }
        let op = self.ops.insert(Op {
            kind: Kind::Recv,
            owner: key,
            job: None,
        });
        sock.recv_op = op;
        self.driver.recv(op, sock.fd, true);
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
        sock.next_job.get_or_insert_with(|| spare.job()).push(segment);
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
        for op in [sock.recv_op, sock.send_op] {
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
        if sock.orphan && sock.recv_op.is_none() && sock.send_op.is_none() {
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
    pub(super) fn feed_starved(&mut self, tasks: &Tasks) {
        if self.starved.is_empty() || self.bufs.free_count() == 0 {
            return;
        }
        for key in std::mem::take(&mut self.starved) {
            if let Some(sock) = self.socks.get_mut(key) {
                sock.starved = false;
                #[cfg(feature = "planted-bugs")]
                if planted(Bug::StarvedForgotten) {
                    sock.interest = 0;
                }
                // The reader, if there is one, arms the receive when it looks.
                wake(sock, tasks, READ);
            }
        }
    }

    /// Applies one completion and queues the tasks that it concerns.
    pub(super) fn complete(&mut self, completion: Completion, tasks: &Tasks) {
        let Some(op) = self.ops.get_mut(completion.op) else {
            // Only a final completion frees an op, so this would be a second one: the driver's
            // mistake. A buffer that came with it must not be lost.
            debug_assert!(false, "a completion for an operation that is over");
            if let Some(id) = completion.buf {
                self.bufs.release(id);
            }
            return;
        };
        let (kind, owner) = (op.kind, op.owner);
        let job = if completion.more {
            None
        } else {
            self.ops.remove(completion.op).and_then(|op| op.job)
        };
        match kind {
            Kind::Recv => self.complete_recv(owner, completion, tasks),
            Kind::Send => self.complete_send(owner, completion, job, tasks),
            Kind::Connect => self.complete_connect(owner, completion, tasks),
            Kind::Accept => self.complete_accept(owner, completion, tasks),
        }
    }

    fn complete_recv(&mut self, key: Key, completion: Completion, tasks: &Tasks) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        if let Some(id) = completion.buf {
            if sock.orphan {
                self.bufs.release(id);
            } else {
                let len = completion.result as u32;
                self.bufs.set_queued(id, len);
                if sock.rx_tail == NO_BUF {
                    sock.rx_head = id;
                } else {
                    self.bufs.link(sock.rx_tail, id);
                }
                sock.rx_tail = id;
                sock.unread += len;
            }
        }
        if completion.more {
            if sock.unread > CREDIT && !sock.pausing {
                sock.pausing = true;
                self.driver.cancel(sock.recv_op);
            }
        } else {
            sock.recv_op = Key::NONE;
            sock.pausing = false;
            match completion.result {
                // A reset is told once. If a send heard of it, the receive sees a mere end, which
                // must not pass for the end of a body that lasts until the close.
                0 if sock.tx_error == libc::ECONNRESET => sock.rx_error = libc::ECONNRESET,
                0 => sock.eof = true,
                n if n > 0 => {}
                error if error == -libc::ENOBUFS => {
                    sock.starved = true;
                    self.starved.push(key);
                }
                // Paused by credit (or orphaned); an interruption says nothing about the stream.
                error if error == -libc::ECANCELED || error == -libc::EINTR => {}
                error => sock.rx_error = -error,
            }
        }
        wake(sock, tasks, READ);
        self.release_if_done(key);
    }

    fn complete_send(
        &mut self,
        key: Key,
        completion: Completion,
        job: Option<Box<TxJob>>,
        tasks: &Tasks,
    ) {
        let Some(mut job) = job else { return };
        let Some(sock) = self.socks.get_mut(key) else {
            self.spare.recycle_job(job);
            return;
        };
        sock.send_op = Key::NONE;
        if completion.result > 0 {
            let sent = completion.result as usize;
            sock.unsent -= sent as u32;
            job.advance(sent, |vector| self.spare.recycle(vector));
        } else if completion.result != -libc::EINTR && completion.result != -libc::EAGAIN {
            sock.tx_error = if completion.result == 0 {
                libc::EPIPE
            } else {
                -completion.result
            };
        }
        let failed = sock.tx_error != 0 || sock.orphan;
        if failed {
            sock.unsent = 0;
            if let Some(next) = sock.next_job.take() {
                self.spare.recycle_job(next);
            }
        }
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::WakeLost) {
            sock.interest &= !WRITE;
        }
        #[cfg(feature = "planted-bugs")]
        let failed = failed || planted(Bug::ShortSendForgotten);
        wake(sock, tasks, WRITE);
        if failed || job.left() == 0 {
            let next = sock.next_job.take();
            self.spare.recycle_job(job);
            if let Some(next) = next {
                self.start_send(key, next);
            }
        } else {
            self.start_send(key, job);
        }
        self.release_if_done(key);
    }

    fn complete_connect(&mut self, key: Key, completion: Completion, tasks: &Tasks) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        sock.send_op = Key::NONE;
        sock.connect = match completion.result {
            0 => Connect::Done,
            error => Connect::Failed(-error),
        };
        let written = sock.next_job.is_some() && sock.connect == Connect::Done;
        if written && !sock.dirty {
            sock.dirty = true;
            self.dirty.push(key);
        }
        wake(sock, tasks, READ | WRITE);
        self.release_if_done(key);
    }

    fn complete_accept(&mut self, key: Key, completion: Completion, tasks: &Tasks) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        if completion.result >= 0 {
            let fd = Fd(completion.result);
            if listener.orphan {
                self.driver.close(fd);
            } else {
                listener.accepted.push_back(fd);
            }
        } else if completion.result != -libc::ECANCELED {
            listener.error = -completion.result;
        }
        if !completion.more {
            listener.op = Key::NONE;
        }
        // Resumed before the pause's cancel had come to its end.
        let resumed = completion.result == -libc::ECANCELED && !listener.paused;
        tasks.wake(listener.task);
        if listener.orphan && listener.op.is_none() {
            self.driver.close(listener.fd);
            self.listeners.remove(key);
        } else if resumed {
            self.resume_accept(key);
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
