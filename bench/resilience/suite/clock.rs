//! Virtual time: what happens next, in order, and nothing in between.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const SEC: u64 = 1_000_000_000;

/// Events by time; those of one instant in the order in which they were planned, so that a seed
/// gives the same run again.
pub struct Clock<E> {
    now: u64,
    planned: u64,
    queue: BinaryHeap<Reverse<Entry<E>>>,
}

struct Entry<E> {
    key: (u64, u64),
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E> Clock<E> {
    /// A clock at one second: 0 means "never" to some of what is told the time.
    pub fn new() -> Clock<E> {
        Clock {
            now: SEC,
            planned: 0,
            queue: BinaryHeap::new(),
        }
    }

    pub fn now(&self) -> u64 {
        self.now
    }

    /// Plans an event, now at the earliest.
    pub fn at(&mut self, time: u64, event: E) {
        self.planned += 1;
        let key = (time.max(self.now), self.planned);
        self.queue.push(Reverse(Entry { key, event }));
    }

    /// Plans an event after so many ns.
    pub fn after(&mut self, delay: u64, event: E) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Moves on to the next event.
    pub fn next(&mut self) -> Option<E> {
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.key.0;
        Some(entry.event)
    }
}
