//! What completions do to sockets: each is applied to its socket's entry and queues the tasks that
//! wait for it; nothing else runs here.

use super::{CREDIT, Connect, Io, Kind, READ, WRITE, wake};
use crate::engine::buf::NO_BUF;
use crate::engine::driver::{Completion, Fd};
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::slab::Key;
use crate::engine::task::Tasks;
use crate::engine::tx::TxJob;

impl Io {
    /// Applies one completion and queues the tasks that it concerns.
    pub(in crate::engine) fn complete(&mut self, completion: Completion, tasks: &Tasks) {
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
            Kind::Ready => self.complete_ready(owner, tasks),
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
                // A reset is told once, and the send may have been told: what follows it is no
                // orderly end.
                0 if sock.tx_error == libc::ECONNRESET => sock.rx_error = sock.tx_error,
                0 => sock.eof = true,
                n if n > 0 => {}
                error if error == -libc::ENOBUFS => {
                    sock.starved = true;
                    self.starved.push(key);
                }
                // Paused by credit (or orphaned); an interruption says nothing about the stream.
                error if matches!(-error, libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
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

    fn complete_ready(&mut self, key: Key, tasks: &Tasks) {
        let Some(sock) = self.socks.get_mut(key) else {
            return;
        };
        sock.ready_op = Key::NONE;
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
