//! Round robin: one after the other, whatever the load.
//!
//! The members that are open wait in a [`Queue`] that is ordered by turns alone: in a fixed circle
//! if all weigh the same, mixed by weight otherwise. Each shard starts elsewhere on the circle, at
//! equal distances, or all shards would send their first requests to the same few endpoints. One
//! that is not open leaves the circle until it is found to be well again.

use super::queue::Queue;
use super::roster::Roster;

/// See the module's head.
#[derive(Debug)]
pub(super) struct RoundRobin {
    pub queue: Queue,
}

impl RoundRobin {
    /// Whose turn it is, if anybody is in the queue.
    pub fn next(&self) -> Option<usize> {
        self.queue.top()
    }

    /// Lets a member in, or out if it has no share.
    pub fn file(&mut self, index: usize, roster: &Roster) {
        if roster.shares().get(index) > 0 {
            self.queue.file(index, 0.0);
        } else {
            self.queue.leave(index);
        }
    }

    /// A member was picked.
    pub fn picked(&mut self, index: usize, roster: &Roster) {
        self.queue.take_turn(index, 1.0 / roster.capacity(index));
    }
}
