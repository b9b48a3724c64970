//! Asking the slow path, so that a flood of new names costs little.
//!
//! Each wish that finds the slow path asleep wakes it, and its answer wakes the shard: a few switches
//! of context for a name. That is nothing for the names that a proxy comes to know in its life, and
//! too much for ten thousand strange ones a second, which take their time from the requests of known
//! ones. So a shard asks at once for a few names in a millisecond; what comes beyond that waits for
//! its end and goes together. Who floods waits a millisecond for an answer; who does not, does not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::Shard;

use super::ask::{Wish, Wishes};

/// Time in which so many wishes go at once.
const SPAN_NS: u64 = 1_000_000;
const AT_ONCE: u32 = 2;

/// The wishes of one router on one shard, in their order. See the module's head.
pub struct Asking {
    wishes: Wishes,
    held: RefCell<Vec<Wish>>,
    span_began: Cell<u64>,
    in_span: Cell<u32>,
}

impl Asking {
    #[must_use]
    pub fn new(wishes: Wishes) -> Rc<Asking> {
        Rc::new(Asking {
            wishes,
            held: RefCell::default(),
            span_began: Cell::new(0),
            in_span: Cell::new(0),
        })
    }

    /// Says a wish, now or soon.
    pub fn say(self: &Rc<Self>, shard: &Shard, wish: Wish) {
        if self.held.borrow().is_empty() {
            if self.may_go(shard.now()) {
                return (self.wishes)(wish);
            }
            let (asking, of_task) = (Rc::clone(self), shard.clone());
            let until = self.span_began.get() + SPAN_NS;
            shard.spawn(async move {
                of_task.sleep_until(until).await;
                asking.say_held();
            });
        }
        self.held.borrow_mut().push(wish);
    }

    fn may_go(&self, now: u64) -> bool {
        if now.saturating_sub(self.span_began.get()) >= SPAN_NS {
            self.span_began.set(now);
            self.in_span.set(0);
        }
        self.in_span.set(self.in_span.get() + 1);
        self.in_span.get() <= AT_ONCE
    }

    /// Says what is held.
    pub fn say_held(&self) {
        let mut held = self.held.borrow_mut();
        held.drain(..).for_each(|wish| (self.wishes)(wish));
        held.shrink_to(AT_ONCE as usize);
    }
}
