//! Requests of one shard that wait for a place, in the order in which they came.
//!
//! Only the next one looks whether a place is free, every millisecond, since those that come free on
//! another shard are not told of; all others sleep until it is their turn. Whoever goes, for
//! whatever reason, wakes the next.
//!
//! Who is next, and who has waited for too long, is CoDel's to say where that is wanted
//! ([`codel`](crate::resilience::codel)); else it is who came first, and nobody has.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::engine::{Key, NEVER};
use crate::resilience::codel::{Codel, CodelConfig, Order};

/// See the module's head. Times are of the shard's clock, in ns.
#[derive(Debug, Default)]
pub struct Waiters {
    queue: RefCell<VecDeque<Waiter>>,
    came: Cell<u64>,
    codel: Option<RefCell<Codel>>,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    number: u64,
    since: u64,
    task: Key,
}

impl Waiters {
    #[must_use]
    pub fn new(codel: Option<&CodelConfig>) -> Waiters {
        Waiters {
            codel: codel.map(|config| RefCell::new(Codel::new(config))),
            ..Waiters::default()
        }
    }

    /// A task begins to wait; its number.
    pub fn join(&self, task: Key, now: u64) -> u64 {
        let number = self.came.get();
        self.came.set(number + 1);
        let since = now;
        let waiter = Waiter {
            number,
            since,
            task,
        };
        self.queue.borrow_mut().push_back(waiter);
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

    /// A request got a place without waiting.
    pub fn pass(&self, now: u64) {
        if let Some(codel) = &self.codel {
            let serves = codel.borrow_mut().serves(now, now, now);
            debug_assert!(serves, "who did not wait did not wait too long");
        }
    }

    /// A waiter got a place: whether it may have it, or has waited for too long.
    #[must_use]
    pub fn serves(&self, number: u64, now: u64) -> bool {
        let Some(codel) = &self.codel else {
            return true;
        };
        let oldest = self
            .queue
            .borrow()
            .front()
            .map_or(now, |oldest| oldest.since);
        codel
            .borrow_mut()
            .serves(self.since(number, now), oldest, now)
    }

    /// Until when a waiter may wait, as things stand.
    #[must_use]
    pub fn patient_until(&self, number: u64, now: u64) -> u64 {
        let patience = self
            .codel
            .as_ref()
            .map(|codel| codel.borrow().patience_ns());
        patience.map_or(NEVER, |ns| self.since(number, now).saturating_add(ns))
    }

    fn since(&self, number: u64, now: u64) -> u64 {
        let queue = self.queue.borrow();
        let found = queue.binary_search_by_key(&number, |waiter| waiter.number);
        found.map_or(now, |at| queue[at].since)
    }

    /// Whether it is this one's turn.
    #[must_use]
    pub fn is_next(&self, number: u64) -> bool {
        self.next().is_some_and(|next| next.number == number)
    }

    fn next(&self) -> Option<Waiter> {
        let queue = self.queue.borrow();
        let order = self.codel.as_ref().map(|codel| codel.borrow().order());
        match order {
            Some(Order::NewestFirst) => queue.back().copied(),
            Some(Order::OldestFirst) | None => queue.front().copied(),
        }
    }

    /// Wakes the task whose turn it is, and those that have waited for too long.
    pub fn wake(&self, now: u64, mut wake: impl FnMut(Key)) {
        if let Some(next) = self.next() {
            wake(next.task);
        }
        if let Some(codel) = &self.codel {
            let patience = codel.borrow().patience_ns();
            let queue = self.queue.borrow();
            let overdue = |waiter: &&Waiter| now.saturating_sub(waiter.since) > patience;
            let overdue = queue.iter().take_while(overdue);
            overdue.for_each(|waiter| wake(waiter.task));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn key() -> Key {
        Key::NONE
    }

    #[test]
    fn who_came_first_is_next() {
        let waiters = Waiters::default();
        let numbers = [0, 1, 2].map(|ms| waiters.join(key(), ms * MS));
        assert!(waiters.is_next(numbers[0]) && !waiters.is_next(numbers[2]));
        waiters.leave(numbers[1]);
        waiters.leave(numbers[0]);
        waiters.leave(numbers[0]);
        assert!(waiters.is_next(numbers[2]));
        assert!(waiters.serves(numbers[2], 1_000_000 * MS));
        assert_eq!(waiters.patient_until(numbers[2], 0), NEVER);
        let mut woken = 0;
        waiters.wake(1_000_000 * MS, |_| woken += 1);
        assert_eq!(woken, 1);
    }

    #[test]
    fn of_a_queue_that_stands_the_newest_is_next() {
        let waiters = Waiters::new(Some(&CodelConfig::default()));
        waiters.pass(0);
        // One a millisecond, each having waited for 20: a queue that never empties.
        let numbers: Vec<u64> = (0..150).map(|ms| waiters.join(key(), ms * MS)).collect();
        for (at, number) in numbers.iter().enumerate().take(101) {
            assert!(waiters.is_next(*number), "{at}");
            let now = (100 + at as u64 + 20) * MS;
            let since = waiters.since(*number, 0);
            assert_eq!(
                waiters.serves(*number, now),
                now - since <= 100 * MS,
                "{at}"
            );
            waiters.leave(*number);
            if !waiters.is_next(numbers[at + 1]) {
                assert!(waiters.is_next(numbers[149]));
                let mut woken = 0;
                waiters.wake(149 * MS, |_| woken += 1);
                // The next, and all but those of the last ten milliseconds.
                assert_eq!(woken, 1 + (139 - at - 1));
                return;
            }
        }
        panic!("the queue stood");
    }
}
