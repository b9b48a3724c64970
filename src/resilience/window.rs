//! How many times something happened lately: a count over a sliding window, shared by all shards.
//!
//! The window is a ring of slots of a tenth of its span. A slot is one word, the number of the tenth
//! it counts for above the count itself. So nobody has to sweep: whoever finds in the slot of its
//! tenth an older number starts it anew by one compare-and-swap, and a reader passes over what has
//! expired. Two words per slot, or a sum kept beside the ring, would need a moment in which they
//! disagree. Counting is one load and one addition.
//!
//! What was counted is seen for at least nine tenths of the span and at most the whole of it. A
//! shard that is late by more than a span (it was stopped between reading its clock and counting)
//! counts into the present: late, and still once. A ring that nobody touched for exactly 2^28 tenths
//! (ten months, if the span is a second) shows once more what it held.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SLOTS: usize = 10;
/// Counts below 2^36 a slot: a slot lasts six seconds at most, and nobody serves 2^33 a second.
const COUNT_BITS: u32 = 36;
const TAG_MASK: u64 = u64::MAX >> COUNT_BITS;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Tenths by which the clocks of two shards may be apart: a slot that far ahead is the present.
const AHEAD: u64 = 64;

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct Window {
    slot_ns: u64,
    slots: [AtomicU64; SLOTS],
}

/// A slot of the ring and the number it should have.
#[derive(Clone, Copy)]
struct Now {
    index: usize,
    tag: u64,
}

impl Window {
    /// An empty window of this span.
    #[must_use]
    pub fn new(span_ns: u64) -> Window {
        Window {
            slot_ns: (span_ns / SLOTS as u64).max(1),
            slots: Default::default(),
        }
    }

    /// Counts one.
    pub fn add(&self, now_ns: u64) {
        let now = self.place(now_ns);
        let slot = &self.slots[now.index];
        let mut seen = slot.load(Relaxed);
        while now.may_take(seen) {
            let first = (now.tag << COUNT_BITS) | 1;
            match slot.compare_exchange_weak(seen, first, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
        slot.fetch_add(1, Relaxed);
    }

    /// Takes back one that was counted at this time, if it has not expired since.
    pub fn take_back(&self, now_ns: u64) {
        let now = self.place(now_ns);
        // Never below zero, since that would borrow from the slot's number.
        let _ = self.slots[now.index].fetch_update(Relaxed, Relaxed, |seen| {
            let mine = seen >> COUNT_BITS == now.tag && seen & COUNT_MASK > 0;
            mine.then(|| seen - 1)
        });
    }

    /// How many were counted within the span before this time.
    #[must_use]
    pub fn sum(&self, now_ns: u64) -> u64 {
        let now = self.place(now_ns);
        let live = |slot: &AtomicU64| {
            let seen = slot.load(Relaxed);
            let age = now.age(seen);
            let is_live = age < SLOTS as u64 || age > TAG_MASK - AHEAD;
            if is_live { seen & COUNT_MASK } else { 0 }
        };
        self.slots.iter().map(live).sum()
    }

    fn place(&self, now_ns: u64) -> Now {
        let tenth = now_ns / self.slot_ns;
        Now {
            index: (tenth % SLOTS as u64) as usize,
            tag: tenth & TAG_MASK,
        }
    }
}

impl Now {
    /// Tenths since the one that a slot counts for, modulo their number.
    fn age(self, seen: u64) -> u64 {
        self.tag.wrapping_sub(seen >> COUNT_BITS) & TAG_MASK
    }

    /// Whether a slot is to be started anew: what it counts is over, or it counts nothing.
    fn may_take(self, seen: u64) -> bool {
        seen & COUNT_MASK == 0 || (1..=TAG_MASK - AHEAD).contains(&self.age(seen))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::tests::{SHARDS, race};
    use super::*;

    #[test]
    fn expires_after_its_span() {
        let window = Window::new(1_000);
        window.add(0);
        window.add(99);
        window.add(100);
        let table = [
            (0, 3),
            (100, 3),
            (999, 3),
            (1_000, 1),
            (1_099, 1),
            (1_100, 0),
        ];
        for (now, expected) in table {
            assert_eq!(window.sum(now), expected, "at {now}");
        }
        // The slot of the first tenth is used again.
        window.add(1_000);
        assert_eq!(window.sum(1_000), 2);
    }

    #[test]
    fn an_old_clock_counts_into_the_present() {
        let window = Window::new(1_000);
        window.add(5_000);
        window.add(4_990);
        window.add(2_000);
        assert_eq!((window.sum(5_000), window.sum(4_950)), (3, 3));
    }

    #[test]
    fn what_is_taken_back_never_goes_below_zero() {
        let window = Window::new(1_000);
        window.take_back(0);
        window.add(0);
        window.take_back(0);
        window.take_back(0);
        assert_eq!(window.sum(0), 0);
        window.add(0);
        window.take_back(1_000);
        assert_eq!(window.sum(0), 1, "another tenth's");
    }

    #[test]
    fn works_at_any_time_of_the_clock() {
        let slot = 100;
        for tenth in [
            0,
            1,
            63,
            TAG_MASK / 2,
            TAG_MASK - 30,
            TAG_MASK,
            3 * TAG_MASK,
        ] {
            let window = Window::new(10 * slot);
            let mut now = tenth * slot;
            for _ in 0..200 {
                window.add(now);
                window.add(now);
                now += slot;
            }
            assert_eq!(window.sum(now - slot), 20, "from {tenth}");
            assert_eq!(window.sum(now + 9 * slot), 0, "from {tenth}");
        }
    }

    #[test]
    fn loses_nothing_between_threads() {
        let window = Window::new(1_000);
        race(20, |_, _| (0..50_000).for_each(|_| window.add(5_000)));
        assert_eq!(window.sum(5_000), 1_000_000 * SHARDS as u64);
    }

    #[test]
    fn one_of_all_shards_starts_a_slot_anew() {
        let window = Window::new(1_000);
        // A new tenth every round. A shard may be one round ahead of the others.
        race(3_000, |_, round| {
            let now = round as u64 * 100;
            window.add(now);
            let (least, most) = (9 * SHARDS as u64, 11 * SHARDS as u64);
            let sum = window.sum(now);
            assert!(
                round < 10 || (least..=most).contains(&sum),
                "{sum} in round {round}"
            );
        });
        assert_eq!(window.sum(2_999 * 100), 10 * SHARDS as u64);
    }

    proptest! {
        #[test]
        fn counts_as_a_list_of_times_does(
            steps in prop::collection::vec((0..400u64, any::<bool>()), 1..200),
        ) {
            let window = Window::new(1_000);
            let (mut now, mut times) = (0, VecDeque::new());
            for (step, adds) in steps {
                now += step;
                if adds {
                    window.add(now);
                    times.push_back(now / 100);
                }
                let live = times.iter().filter(|tenth| now / 100 - **tenth < 10);
                prop_assert_eq!(window.sum(now), live.count() as u64);
            }
        }
    }
}
