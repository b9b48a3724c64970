//! An exponential moving average of fractions, in one atomic word that all shards share.
//!
//! `average = sample · (1 − w) + average · w`, where w says how much of the past is kept; the first
//! sample is the average. Finagle's `Ema` keeps a stamp and a double under a lock. Here both are
//! halves of a word, so that no shard ever sees the average of one moment with the stamp of another:
//! 24 bits of stamp and 40 of a binary fraction. The stamp counts samples ([`Ema::observe_next`]) or
//! time ([`Ema::observe_at`]), for which a window is 2^14 ticks.
//!
//! Two samples of the same tick weigh nothing against each other by the formula itself, so the
//! second one writes nothing: even a busy endpoint's line moves between cores at most 2^14 times a
//! window. The average is then of one sample per tick, whichever came first; its standard error at a
//! true fraction of one half is 0.3 %. Every unit of the fraction is 10^-12, so that a rate of 0.9999
//! is told from 1 after many small steps, which 32 bits of floating point could not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Ticks of a window of time.
const TICKS: u64 = 1 << 14;
const STAMP_BITS: u32 = 24;
const VALUE_BITS: u32 = 64 - STAMP_BITS;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;
/// Ticks by which the clocks of two shards may be apart: that far ahead is no time passed.
const AHEAD: u64 = 1_024;

/// The most samples that [`Ema::observe_next`] counts.
pub const MOST_SAMPLES: u32 = STAMP_MASK as u32;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Ema(AtomicU64);

/// What an [`Ema`] holds once there was a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    /// From 0 to 1.
    pub value: f64,
    /// Samples so far ([`Ema::observe_next`]), or the tick of the last one.
    pub stamp: u32,
}

impl Average {
    /// Never 0, which means that there was no sample.
    fn word(self) -> u64 {
        let value = (self.value.clamp(0.0, 1.0) * (VALUE_MASK - 1) as f64).round() as u64;
        (u64::from(self.stamp) << VALUE_BITS) | (value + 1)
    }

    fn of(word: u64) -> Option<Average> {
        let value = (word & VALUE_MASK).checked_sub(1)?;
        Some(Average {
            value: value as f64 / (VALUE_MASK - 1) as f64,
            stamp: (word >> VALUE_BITS) as u32,
        })
    }
}

impl Ema {
    /// Takes in the next sample, of which all before keep the weight `keep`. Counts up to `most`
    /// samples (at most [`MOST_SAMPLES`]).
    pub fn observe_next(&self, sample: f64, keep: f64, most: u32) -> Average {
        self.step(|past| match past {
            None => Average {
                value: sample,
                stamp: 1,
            },
            Some(past) => Average {
                value: sample * (1.0 - keep) + past.value * keep,
                stamp: past.stamp.saturating_add(1).min(most),
            },
        })
    }

    /// Takes in a sample of this time; the past fades by e for every window that passes.
    pub fn observe_at(&self, now_ns: u64, sample: f64, window_ns: u64) -> Average {
        let tick = (now_ns / (window_ns / TICKS).max(1)) & STAMP_MASK;
        self.step(|past| {
            let Some(past) = past else {
                return Average {
                    value: sample,
                    stamp: tick as u32,
                };
            };
            let passed = tick.wrapping_sub(u64::from(past.stamp)) & STAMP_MASK;
            if passed == 0 || passed > STAMP_MASK - AHEAD {
                return past;
            }
            let keep = (-(passed as f64) / TICKS as f64).exp();
            Average {
                value: sample * (1.0 - keep) + past.value * keep,
                stamp: tick as u32,
            }
        })
    }

    /// The average at its last sample; `None` before the first.
    pub fn get(&self) -> Option<Average> {
        Average::of(self.0.load(Relaxed))
    }

    /// Forgets all samples.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }

    /// Moves on; a step that changes nothing writes nothing.
    fn step(&self, next: impl Fn(Option<Average>) -> Average) -> Average {
        let mut seen = self.0.load(Relaxed);
        loop {
            let average = next(Average::of(seen));
            let word = average.word();
            // As it is kept: what is returned now is what is found later.
            let average = Average::of(word).unwrap_or(average);
            if word == seen {
                return average;
            }
            match self.0.compare_exchange_weak(seen, word, Relaxed, Relaxed) {
                Ok(_) => return average,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::draw::{fraction, happens};
    use super::super::tests::{SHARDS, dice, race};
    use super::*;

    const WINDOW: u64 = 30_000_000_000;

    fn value(ema: &Ema) -> f64 {
        ema.get().map_or(f64::NAN, |average| average.value)
    }

    #[test]
    fn follows_the_formula() {
        let ema = Ema::default();
        assert_eq!(ema.get(), None);
        let keep = (-1.0f64 / 10.0).exp();
        let mut expected = 1.0;
        ema.observe_next(1.0, keep, 100);
        for n in 2..=20u32 {
            let average = ema.observe_next(0.0, keep, 15);
            expected *= keep;
            assert!((average.value - expected).abs() < 1e-9, "{n}");
            assert_eq!(average.stamp, n.min(15));
        }
        ema.reset();
        assert_eq!(ema.get(), None);
        // The first sample is the average, even where all is zero.
        assert_eq!(ema.observe_at(0, 0.0, WINDOW).value, 0.0);
        assert_eq!(value(&ema), 0.0);
    }

    #[test]
    fn fades_with_time() {
        for start in [0, 7 * WINDOW, (STAMP_MASK - 5) * (WINDOW / TICKS)] {
            let ema = Ema::default();
            ema.observe_at(start, 1.0, WINDOW);
            let half = ema.observe_at(start + WINDOW / 2, 0.0, WINDOW).value;
            assert!((half - (-0.5f64).exp()).abs() < 1e-3, "{half}");
            let again = ema.observe_at(start + WINDOW / 2, 0.0, WINDOW).value;
            assert_eq!(again, half, "no time, no weight");
            let late = ema.observe_at(start, 0.0, WINDOW / 2).value;
            assert!(late <= half, "another shard's clock is behind");
            let after = ema.observe_at(start + 60 * WINDOW, 1.0, WINDOW).value;
            assert!(after > 0.999_999);
        }
    }

    #[test]
    fn an_unchanged_average_is_not_written() {
        let ema = Ema::default();
        ema.observe_next(1.0, 0.9, 3);
        ema.observe_next(1.0, 0.9, 3);
        ema.observe_next(1.0, 0.9, 3);
        let before = ema.0.load(Relaxed);
        ema.observe_next(1.0, 0.9, 3);
        assert_eq!(before, ema.0.load(Relaxed));
    }

    #[test]
    fn tells_a_small_share_of_failures_at_many_samples_a_tick() {
        // 20000 a second for four windows, of which 1 in 2000 fails.
        let (ema, mut random) = (Ema::default(), dice(2));
        ema.observe_at(0, 0.5, WINDOW);
        for n in 1..=2_400_000u64 {
            let sample = f64::from(u8::from(!happens(random(), 0.000_5)));
            ema.observe_at(n * 50_000, sample, WINDOW);
        }
        // What is left of the first half after four windows is 0.009.
        let expected = 0.999_5 - 0.5 * (-4.0f64).exp();
        assert!((value(&ema) - expected).abs() < 0.001, "{}", value(&ema));
    }

    #[test]
    fn shards_share_one_average() {
        let ema = Ema::default();
        let keep = (-1.0f64 / 1_000.0).exp();
        race(200, |shard, _| {
            for n in 0..200 {
                let sample = if (shard + n) % 2 == 0 { 1.0 } else { 0.0 };
                ema.observe_next(sample, keep, MOST_SAMPLES);
            }
        });
        let average = ema.get().unwrap();
        assert_eq!(
            average.stamp as usize,
            40_000 * SHARDS,
            "no sample was lost"
        );
        assert!((average.value - 0.5).abs() < 0.05, "{}", average.value);
    }

    proptest! {
        #[test]
        fn is_within_its_samples(seed in any::<u64>(), low in 0.0..0.5f64, high in 0.5..1.0f64) {
            let (ema, mut random) = (Ema::default(), dice(seed));
            let mut now = random() >> 20;
            for _ in 0..100 {
                now += random() >> 30;
                let sample = low + (high - low) * fraction(random());
                let value = ema.observe_at(now, sample, WINDOW).value;
                prop_assert!(value >= low - 1e-9 && value <= high + 1e-9);
            }
        }
    }
}
