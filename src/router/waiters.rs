//! Requests of one shard that wait for a place, in the order in which they came.
//!
//! Only the next one looks whether a place is free, every millisecond, since those that come free on
//! another shard are not told of; all others sleep until it is their turn. Whoever goes, for
//! whatever reason, wakes the next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::engine::Key;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Waiters {
    queue: RefCell<VecDeque<Waiter>>,
    came: Cell<u64>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    task: Key,
}

impl Waiters {
    /// A task begins to wait; its number.
    pub fn join(&self, task: Key) -> u64 {
        let number = self.came.get();
        self.came.set(number + 1);
        self.queue.borrow_mut().push_back(Waiter { number, task });
        number
    }

    /// A task waits no longer.
    pub fn leave(&self, number: u64) {
        let mut queue = self.queue.borrow_mut();
        if let Ok(at) = queue.binary_search_by_key(&number, |waiter| waiter.number) {
            queue.remove(at);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is this one's turn.
    #[must_use]
    pub fn is_next(&self, number: u64) -> bool {
        let queue = self.queue.borrow();
        queue.front().is_some_and(|next| next.number == number)
    }

    /// The task whose turn it is.
    #[must_use]
    pub fn next(&self) -> Option<Key> {
        self.queue.borrow().front().map(|next| next.task)
    }
}
