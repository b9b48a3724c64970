//! Room at a replica: at most `hostConnectionPool.maxSize` requests are in flight at one, over all
//! shards, each on a connection of its own; `maxWaiters` of a shard wait for a place.
//!
//! A place may come free on another shard, which does not tell: who waits looks again every
//! millisecond, and takes whichever replica the balancer then finds best.

use std::cell::Cell;

use super::client::Client;
use crate::balance::Endpoint;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};

/// Whether a request may go.
pub enum Room<'c> {
    /// There is room.
    Free,
    /// It may wait.
    Waits(Waiting<'c>),
    /// Too many wait already.
    Full,
}

/// Counts a request that waits for as long as it does.
pub struct Waiting<'c>(&'c Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::WaiterLeaked) {
            return;
        }
        self.0.set(self.0.get() - 1);
    }
}

impl Client {
    /// Whether one more request may go to an endpoint.
    #[must_use]
    pub fn room(&self, endpoint: &Endpoint) -> Room<'_> {
        let rules = self.rules.borrow();
        let policy = &rules.policy;
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::RoomIgnored) {
            return Room::Free;
        }
        if endpoint.outstanding() < policy.max_size {
            return Room::Free;
        }
        if self.waiters.get() >= policy.max_waiters {
            return Room::Full;
        }
        self.waiters.set(self.waiters.get() + 1);
        Room::Waits(Waiting(&self.waiters))
    }
}
