//! Moving the bytes of a large body from socket to socket inside the kernel, by way of a pipe: they
//! are never copied at all. It pays from some tens of kilobytes on; below, the pipe's calls cost
//! more than the copies they save.
//!
//! The calls are plain `splice(2)`, made when the task is polled and never waiting: the ring would
//! hand them to worker threads. What waits is a readiness operation, which the op slab owns like any
//! other. While a splice lasts, nothing else is received on the source or sent on the target.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::Poll;

use super::driver::{Fd, kernel};
use super::shard::Shard;
use super::slab::Key;
use super::socket::Socket;

/// What a pipe is asked to hold.
const PIPE_BYTES: i32 = 256 * 1024;
/// Rounds in one poll, before other tasks get their turn.
const ROUNDS: usize = 4;

/// A pipe, empty when it is at rest.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// A body on its way through the kernel.
pub struct Splice {
    shard: Shard,
    pipe: Option<Pipe>,
    from: (Key, Fd),
    to: (Key, Fd),
    /// Bytes still to come from the source.
    left: u64,
    /// Bytes in the pipe.
    held: usize,
}

/// Which side broke a splice.
#[derive(Debug)]
pub enum SpliceError {
    /// The source ended or failed before all bytes had come.
    From(Option<io::Error>),
    To(io::Error),
}

impl Splice {
    /// Begins to move the next `left` bytes that come on `from` to `to`. `None` where that cannot
    /// be done: the driver has no readiness, descriptors have run out, or something is in flight.
    #[must_use]
    pub fn begin(shard: &Shard, from: &Socket, to: &Socket, left: u64) -> Option<Splice> {
        if !from.recv_rests() || to.unsent() > 0 {
            return None;
        }
        let mut io = shard.io();
        if !io.driver.can_splice() {
            return None;
        }
        let from_fd = io.socks.get(from.key()).filter(|sock| !sock.eof)?.fd;
        let to_fd = io.socks.get(to.key())?.fd;
        let pipe = match io.spare.pipes.pop() {
            Some(pipe) => pipe,
            None => {
                let (read, write) = kernel::pipe(PIPE_BYTES).ok()?;
                Pipe { read, write }
            }
        };
        let ready = kernel::set_nonblocking(from_fd, true)
            .and_then(|()| kernel::set_nonblocking(to_fd, true));
        drop(io);
        let splice = Splice {
            shard: shard.clone(),
            pipe: Some(pipe),
            from: (from.key(), from_fd),
            to: (to.key(), to_fd),
            left,
            held: 0,
        };
        // Dropping it undoes what was done.
        ready.ok().map(|()| splice)
    }

    /// Moves what can be moved; ready when everything was. `moved` is told of progress.
    ///
    /// # Errors
    /// Which side broke.
    pub fn poll(&mut self, moved: &mut u64) -> Poll<Result<(), SpliceError>> {
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(Ok(()));
        };
        for _ in 0..ROUNDS {
            let mut dry = self.left == 0;
            if self.left > 0 && self.held == 0 {
                let most = self.left.min(PIPE_BYTES as u64) as usize;
                match kernel::splice(self.from.1.0, pipe.write.as_raw_fd(), most) {
                    Ok(0) => return Poll::Ready(Err(SpliceError::From(None))),
                    Ok(n) => {
                        self.left -= n as u64;
                        self.held += n;
                        *moved += 1;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => dry = true,
                    Err(error) => return Poll::Ready(Err(SpliceError::From(Some(error)))),
                }
            }
            if self.held > 0 {
                match kernel::splice(pipe.read.as_raw_fd(), self.to.1.0, self.held) {
                    Ok(n) => {
                        self.held -= n;
                        *moved += 1;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.await_ready(self.to.0, true);
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(SpliceError::To(error))),
                }
            } else if dry {
                if self.left == 0 {
                    return Poll::Ready(Ok(()));
                }
                self.await_ready(self.from.0, false);
                return Poll::Pending;
            }
        }
        if self.left == 0 && self.held == 0 {
            return Poll::Ready(Ok(()));
        }
        self.shard.wake(self.shard.this_task());
        Poll::Pending
    }

    fn await_ready(&self, socket: Key, write: bool) {
        let task = self.shard.this_task();
        self.shard.io().await_ready(socket, write, task);
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        let mut io = self.shard.io();
        for (key, fd) in [self.from, self.to] {
            // Only while the socket lives is the number still its own.
            if io.socks.get(key).is_some() {
                let _ = kernel::set_nonblocking(fd, false);
            }
        }
        // A pipe that holds bytes is not used again.
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            io.spare.pipes.push(pipe);
        }
    }
}
