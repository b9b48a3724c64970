//! Mailboxes: bounded queues from other threads into a shard.
//!
//! The control thread and sibling shards put messages in (snapshots, handed-over connections) and
//! wake the shard's driver; a task of the shard takes them out. The request path has no use for
//! them. A full mailbox refuses: the sender decides what that means.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use crossbeam_queue::ArrayQueue;

use super::driver::WakeHandle;
use super::shard::Shard;

/// Tells a shard that some mailbox of it has mail.
#[derive(Clone)]
pub struct Doorbell {
    pub(super) rung: Arc<AtomicBool>,
    pub(super) wake: WakeHandle,
}

impl Doorbell {
    /// Wakes the shard, unless it was rung already and has not looked yet.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }
}

/// The sending side; clones share it, and any thread may hold it.
pub struct Sender<T> {
    queue: Arc<ArrayQueue<T>>,
    doorbell: Doorbell,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender {
            queue: Arc::clone(&self.queue),
            doorbell: self.doorbell.clone(),
        }
    }
}

impl<T> Sender<T> {
    /// Puts a message in and wakes the shard.
    ///
    /// # Errors
    /// Gives the message back when the mailbox is full.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.queue.push(message)?;
        self.doorbell.ring();
        Ok(())
    }
}

/// The receiving side, for a task of the shard.
pub struct Receiver<T> {
    queue: Arc<ArrayQueue<T>>,
    shard: Shard,
}

impl<T> Receiver<T> {
    /// Waits for the next message.
    pub async fn recv(&self) -> T {
        poll_fn(|_| match self.queue.pop() {
            Some(message) => Poll::Ready(message),
            None => {
                self.shard.wait_for_mail();
                Poll::Pending
            }
        })
        .await
    }

    /// The next message, if one is there.
    #[must_use]
    pub fn try_recv(&self) -> Option<T> {
        self.queue.pop()
    }
}

/// Makes a mailbox of `capacity` messages for `shard`.
#[must_use]
pub fn mailbox<T>(shard: &Shard, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(ArrayQueue::new(capacity));
    let sender = Sender {
        queue: Arc::clone(&queue),
        doorbell: shard.doorbell(),
    };
    (
        sender,
        Receiver {
            queue,
            shard: shard.clone(),
        },
    )
}
