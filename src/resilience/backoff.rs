//! Backoffs: how long to wait before the next try.
//!
//! A series is a rule ([`Backoff`]) and a place in it ([`Place`]). The place is one word, so that it
//! fits into an atomic beside the state of an endpoint, and an endless series costs no memory.
//!
//! Every rule but the constant one has jitter, since what failed together would otherwise come back
//! together (Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015). The series are
//! those of Finagle, which linkerd names in its configuration.

use super::draw::{below, between};

const NS_PER_MS: u64 = 1_000_000;
/// From here on every doubling is beyond any maximum.
const LAST_STEP: u64 = 63;

/// A rule for delays, in milliseconds as the configuration has them. Every series is endless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Always the same.
    Constant { ms: u64 },
    /// Decorrelated jitter: the minimum first, then anything from the last delay on and below three
    /// times it, or below the maximum if that is less.
    Jittered { min_ms: u64, max_ms: u64 },
    /// The start first; then at least `half` = start · 2^(n−1), and less than twice that; at most
    /// the maximum.
    EqualJittered { start_ms: u64, max_ms: u64 },
    /// The start first, then anything below start · 2^n, or below the maximum if that is less.
    ExponentialJittered { start_ms: u64, max_ms: u64 },
}

impl Default for Backoff {
    /// No waiting at all: linkerd's for retries.
    fn default() -> Self {
        Backoff::Constant { ms: 0 }
    }
}

/// How far a series has come: the last delay of a [`Backoff::Jittered`], the number of delays of the
/// others. A place means something to the rule that moved it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place(u64);

impl Place {
    /// As one word, to be kept in an atomic.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The place that [`Place::bits`] told of; 0 is the beginning.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Place {
        Place(bits)
    }
}

impl Backoff {
    /// The next delay in nanoseconds, by 64 random bits.
    pub fn next(&self, place: &mut Place, random: u64) -> u64 {
        match *self {
            Backoff::Constant { ms } => ns(ms),
            Backoff::Jittered { min_ms, max_ms } => {
                let last = place.0;
                place.0 = if last == 0 {
                    ns(min_ms)
                } else {
                    between(random, last, last.saturating_mul(3).min(ns(max_ms)))
                };
                place.0
            }
            Backoff::EqualJittered { start_ms, max_ms } => {
                let step = advance(place);
                let half = doubled(ns(start_ms), step.saturating_sub(1));
                let jitter = if step == 0 { 0 } else { below(random, half) };
                half.saturating_add(jitter).min(ns(max_ms))
            }
            Backoff::ExponentialJittered { start_ms, max_ms } => {
                let step = advance(place);
                let most = doubled(ns(start_ms), step).min(ns(max_ms));
                if step == 0 { most } else { below(random, most) }
            }
        }
    }

    /// No delay of the series is longer, in nanoseconds.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        match *self {
            Backoff::Constant { ms } => ns(ms),
            Backoff::Jittered { min_ms, max_ms } => ns(min_ms.max(max_ms)),
            Backoff::EqualJittered { max_ms, .. } | Backoff::ExponentialJittered { max_ms, .. } => {
                ns(max_ms)
            }
        }
    }
}

/// The number of delays so far; counts one more.
fn advance(place: &mut Place) -> u64 {
    let step = place.0;
    place.0 = (step + 1).min(LAST_STEP);
    step.min(LAST_STEP)
}

fn doubled(start: u64, times: u64) -> u64 {
    start.saturating_mul(1 << times.min(LAST_STEP))
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::dice;
    use super::*;

    /// The first delays in milliseconds, if every draw gives these bits.
    fn series<const N: usize>(backoff: Backoff, random: u64) -> [u64; N] {
        let mut place = Place::default();
        [(); N].map(|()| backoff.next(&mut place, random) / NS_PER_MS)
    }

    #[test]
    fn the_series_at_their_lowest_middle_and_highest() {
        const MIDDLE: u64 = 1 << 63;
        let constant = Backoff::Constant { ms: 7 };
        let jittered = Backoff::Jittered {
            min_ms: 10,
            max_ms: 500,
        };
        let equal = Backoff::EqualJittered {
            start_ms: 5_000,
            max_ms: 300_000,
        };
        let exponential = Backoff::ExponentialJittered {
            start_ms: 1_000,
            max_ms: 32_000,
        };
        let table = [
            (constant, 0, [7, 7, 7, 7, 7, 7, 7, 7]),
            (constant, u64::MAX, [7, 7, 7, 7, 7, 7, 7, 7]),
            (jittered, 0, [10, 10, 10, 10, 10, 10, 10, 10]),
            (jittered, MIDDLE, [10, 20, 40, 80, 160, 320, 410, 455]),
            (jittered, u64::MAX, [10, 29, 89, 269, 499, 499, 499, 499]),
            (
                equal,
                0,
                [
                    5_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000,
                ],
            ),
            (
                equal,
                MIDDLE,
                [
                    5_000, 7_500, 15_000, 30_000, 60_000, 120_000, 240_000, 300_000,
                ],
            ),
            (
                equal,
                u64::MAX,
                [
                    5_000, 9_999, 19_999, 39_999, 79_999, 159_999, 300_000, 300_000,
                ],
            ),
            (exponential, 0, [1_000, 0, 0, 0, 0, 0, 0, 0]),
            (
                exponential,
                MIDDLE,
                [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000],
            ),
        ];
        for (backoff, random, expected) in table {
            assert_eq!(series(backoff, random), expected, "{backoff:?} {random:x}");
        }
    }

    #[test]
    fn the_default_does_not_wait() {
        assert_eq!(series(Backoff::default(), u64::MAX), [0, 0, 0]);
    }

    #[test]
    fn a_place_survives_being_a_word() {
        let backoff = Backoff::Jittered {
            min_ms: 3,
            max_ms: 100,
        };
        let (mut random, mut again) = (dice(4), dice(4));
        let (mut kept, mut word) = (Place::default(), 0);
        for _ in 0..20 {
            let mut place = Place::from_bits(word);
            let delay = backoff.next(&mut place, random());
            word = place.bits();
            assert_eq!(delay, backoff.next(&mut kept, again()));
        }
    }

    fn any_backoff() -> impl Strategy<Value = Backoff> {
        let ms = || prop_oneof![0..1_000u64, any::<u64>()];
        (0..4, ms(), ms()).prop_map(|(kind, a, b)| match kind {
            0 => Backoff::Constant { ms: a },
            1 => Backoff::Jittered {
                min_ms: a.min(b),
                max_ms: a.max(b),
            },
            2 => Backoff::EqualJittered {
                start_ms: a.min(b),
                max_ms: a.max(b),
            },
            _ => Backoff::ExponentialJittered {
                start_ms: a,
                max_ms: b,
            },
        })
    }

    proptest! {
        #[test]
        fn no_delay_is_longer_than_the_longest(backoff in any_backoff(), seed in any::<u64>()) {
            let (mut random, mut place) = (dice(seed), Place::default());
            let longest = backoff.longest_ns();
            for _ in 0..100 {
                prop_assert!(backoff.next(&mut place, random()) <= longest);
            }
        }

        #[test]
        fn equal_jitter_waits_at_least_its_half(seed in any::<u64>()) {
            let backoff = Backoff::EqualJittered { start_ms: 5, max_ms: 300 };
            let (mut random, mut place) = (dice(seed), Place::default());
            let mut half = 5 * NS_PER_MS;
            backoff.next(&mut place, random());
            for _ in 0..10 {
                let delay = backoff.next(&mut place, random());
                let most = backoff.longest_ns();
                prop_assert!(delay >= half.min(most) && delay <= (2 * half).min(most));
                half *= 2;
            }
        }
    }
}
