//! Whether there was enough traffic lately to judge by: a small count over a time window, in one
//! atomic word that all shards share.
//!
//! A rate of successes over three requests says nothing. All that its users ask is whether there
//! were at least so many requests in the window, so each of five slices stops counting once it has
//! that many by itself; from then on until the next slice nobody writes. That fits five counts of
//! eight bits under 24 bits of slice number. A word that nobody touched for exactly 2^24 slices
//! (half a year, if a slice is a second) shows once more what it held.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SLICES: u64 = 5;
const COUNT_BITS: u64 = 8;
const COUNTS: u64 = (1 << (SLICES * COUNT_BITS)) - 1;
const EPOCH_MASK: u64 = u64::MAX >> (SLICES * COUNT_BITS);
/// Slices by which the clocks of two shards may be apart.
const AHEAD: u64 = 64;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Volume(AtomicU64);

impl Volume {
    /// Counts one at this time, and tells whether there were at least `enough` within the window
    /// before it: the current fifth and the four before.
    pub fn record(&self, now_ns: u64, window_ns: u64, enough: u8) -> bool {
        let epoch = (now_ns / (window_ns / SLICES).max(1)) & EPOCH_MASK;
        let mut seen = self.0.load(Relaxed);
        loop {
            let current = advanced(seen, epoch);
            let counted = if (current & 0xff) < u64::from(enough) {
                current + 1
            } else {
                current
            };
            if counted == seen {
                return total(counted) >= u64::from(enough);
            }
            match self
                .0
                .compare_exchange_weak(seen, counted, Relaxed, Relaxed)
            {
                Ok(_) => return total(counted) >= u64::from(enough),
                Err(other) => seen = other,
            }
        }
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// The word with the slice of this number as the lowest.
fn advanced(word: u64, epoch: u64) -> u64 {
    let passed = epoch.wrapping_sub(word >> (SLICES * COUNT_BITS)) & EPOCH_MASK;
    // Another shard's clock is ahead: count into its slice.
    let is_ahead = passed > EPOCH_MASK - AHEAD && word & COUNTS != 0;
    if passed == 0 || is_ahead {
        return word;
    }
    let counts = if passed < SLICES {
        (word << (passed * COUNT_BITS)) & COUNTS
    } else {
        0
    };
    (epoch << (SLICES * COUNT_BITS)) | counts
}

fn total(word: u64) -> u64 {
    (0..SLICES)
        .map(|slice| (word >> (slice * COUNT_BITS)) & 0xff)
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{SHARDS, race};
    use super::*;

    #[test]
    fn enough_comes_and_goes() {
        let volume = Volume::default();
        // Time, whether there were three in the last 500 (slices of 100).
        let table = [
            (0, false),
            (10, false),
            (499, true),
            (500, false),
            (501, true),
            (502, true),
            (1_000, false),
        ];
        for (now, expected) in table {
            assert_eq!(volume.record(now, 500, 3), expected, "at {now}");
        }
        volume.reset();
        assert!(!volume.record(1_000, 500, 2));
    }

    #[test]
    fn a_full_slice_is_not_written() {
        let volume = Volume::default();
        (0..5).for_each(|_| assert!(!volume.record(7, 500, 6)));
        assert!(volume.record(7, 500, 6));
        let before = volume.0.load(Relaxed);
        assert!(volume.record(7, 500, 6));
        assert_eq!(before, volume.0.load(Relaxed));
    }

    #[test]
    fn an_old_clock_counts_into_the_present() {
        let volume = Volume::default();
        volume.record(1_000, 500, 9);
        volume.record(450, 500, 9);
        assert_eq!(total(volume.0.load(Relaxed)), 2);
        assert_eq!(volume.0.load(Relaxed) >> (SLICES * COUNT_BITS), 10);
    }

    #[test]
    fn loses_nothing_between_threads() {
        const ROUNDS: usize = 800;
        let volumes: Vec<_> = (0..ROUNDS / 80).map(|_| Volume::default()).collect();
        race(volumes.len() * 80, |_, round| {
            volumes[round / 80].record(9, 500, 255);
        });
        for volume in &volumes {
            assert_eq!(total(volume.0.load(Relaxed)), 80 * SHARDS as u64);
        }
    }

    proptest! {
        #[test]
        fn knows_enough_as_a_list_of_times_does(
            start in 0..u64::MAX / 2,
            steps in prop::collection::vec(0..300u64, 1..100),
            enough in 1..20u8,
        ) {
            let volume = Volume::default();
            let (mut now, mut times) = (start, Vec::new());
            for step in steps {
                now += step;
                times.push(now / 100);
                let live = times.iter().filter(|slice| now / 100 - **slice < 5).count();
                prop_assert_eq!(volume.record(now, 500, enough), live >= usize::from(enough));
            }
        }
    }
}
