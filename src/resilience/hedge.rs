//! Hedged requests: when a response takes longer than most, the request is sent a second time
//! elsewhere, and the first answer counts (Dean and Barroso, "The tail at scale", 2013).
//!
//! "Longer than most" is a percentile of the service's own latency: with the 95th, one request in
//! twenty is hedged, however the service speeds up or slows down. A fixed delay would hedge all of
//! them on the day that the service is slow, which is the day not to. What is left of that risk the
//! retry budget bounds, which a hedge withdraws from as a retry does.
//!
//! The percentile is read off a histogram with eight buckets to each power of two, so that it is at
//! most an eighth too long and never too short. Recording is one addition to a counter that all shards
//! share. Once a second one of them reads the percentile off, and every ten seconds it halves the
//! counters: the past fades, with a half-life of that. A P² estimator or a t-digest is smaller or
//! finer, but neither can be written to by many cores at once.
//!
//! **Bound.** A second's reading may miss what is recorded during it, and a halving may meet it: each
//! such sample counts full or half, and none is lost or negative.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

const NS_PER_MS: u64 = 1_000_000;
const READ_EVERY_NS: u64 = 1_000_000_000;
/// Readings between halvings.
const HALVE_EVERY: u32 = 10;
/// Latencies are in units of 2^10 ns, about a microsecond.
const UNIT_BITS: u32 = 10;
/// Buckets to a power of two: 2^3.
const FINE_BITS: u32 = 3;
/// Latencies from 2^27 units on, two minutes, count as that.
const RANGE_BITS: u32 = 27;
const BUCKETS: usize = ((RANGE_BITS - FINE_BITS + 1) as usize) << FINE_BITS;
/// What a sample adds, so that it can be halved a few times.
const SAMPLE: u32 = 16;

/// When a request is sent a second time.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgeConfig {
    /// After the latency that this part of the requests stays under: between 0 and 1.
    pub percentile: f64,
    /// Requests to know before the first hedge.
    pub min_samples: u32,
    /// Never earlier than after this many milliseconds.
    pub min_delay_ms: u64,
    /// A service whose percentile is later than this is not hedged.
    pub max_delay_ms: u64,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        HedgeConfig {
            percentile: 0.95,
            min_samples: 100,
            min_delay_ms: 1,
            max_delay_ms: 10_000,
        }
    }
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct Hedge {
    config: HedgeConfig,
    /// The delay; 0 if there is none.
    delay_ns: AtomicU64,
    /// When the percentile is read again.
    reads_at: AtomicU64,
    readings: AtomicU32,
    counts: CachePadded<[AtomicU32; BUCKETS]>,
}

impl Hedge {
    #[must_use]
    pub fn new(config: &HedgeConfig) -> Hedge {
        Hedge {
            config: config.clone(),
            delay_ns: AtomicU64::new(0),
            reads_at: AtomicU64::new(0),
            readings: AtomicU32::new(0),
            counts: CachePadded::new([const { AtomicU32::new(0) }; BUCKETS]),
        }
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &HedgeConfig {
        &self.config
    }

    /// After how long without a response to send a second request; `None` if not at all.
    #[must_use]
    pub fn delay_ns(&self) -> Option<u64> {
        let delay = self.delay_ns.load(Relaxed);
        (delay > 0).then_some(delay)
    }

    /// Tells how long a response took: the first request's own, hedged or not, or the tail would
    /// vanish from what defines it.
    pub fn record(&self, latency_ns: u64, now_ns: u64) {
        self.counts[bucket(latency_ns)].fetch_add(SAMPLE, Relaxed);
        let reads_at = self.reads_at.load(Relaxed);
        if now_ns >= reads_at {
            let next = now_ns.saturating_add(READ_EVERY_NS);
            let swap = self
                .reads_at
                .compare_exchange(reads_at, next, Relaxed, Relaxed);
            if swap.is_ok() {
                self.read();
            }
        }
    }

    fn read(&self) {
        let delay = self
            .percentile_ns()
            .filter(|delay| *delay <= self.config.max_delay_ms.saturating_mul(NS_PER_MS));
        let least = self.config.min_delay_ms.saturating_mul(NS_PER_MS).max(1);
        let delay = delay.map_or(0, |delay| delay.max(least));
        self.delay_ns.store(delay, Relaxed);
        if self.readings.fetch_add(1, Relaxed) % HALVE_EVERY == HALVE_EVERY - 1 {
            for count in self.counts.iter() {
                let _ = count.fetch_update(Relaxed, Relaxed, |n| (n > 0).then_some(n / 2));
            }
        }
    }

    /// The end of the bucket in which the percentile lies, if there are enough samples.
    fn percentile_ns(&self) -> Option<u64> {
        let counts = || self.counts.iter().map(|n| u64::from(n.load(Relaxed)));
        let total: u64 = counts().sum();
        if total < u64::from(self.config.min_samples.max(1)) * u64::from(SAMPLE) {
            return None;
        }
        let rank = (total as f64 * self.config.percentile).ceil() as u64;
        let mut sum = 0;
        let is_reached = |count: u64| {
            sum += count;
            sum >= rank
        };
        counts().position(is_reached).map(bucket_end_ns)
    }
}

/// The bucket of a latency: by its highest bit, and the three after it.
fn bucket(latency_ns: u64) -> usize {
    let units = (latency_ns >> UNIT_BITS).min((1 << RANGE_BITS) - 1);
    match units.checked_ilog2() {
        Some(high) if high >= FINE_BITS => {
            let octave = u64::from(high - FINE_BITS);
            // The high bit itself counts as the first octave's eight.
            ((octave << FINE_BITS) + (units >> octave)) as usize
        }
        _ => units as usize,
    }
}

/// The shortest latency that is longer than all of a bucket.
fn bucket_end_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket >> FINE_BITS).saturating_sub(1);
    let fine = bucket - (octave << FINE_BITS);
    ((fine + 1) << octave) << UNIT_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{SHARDS, dice, race};
    use super::*;

    const MS: u64 = NS_PER_MS;
    const SECOND: u64 = READ_EVERY_NS;

    fn config(percentile: f64) -> HedgeConfig {
        HedgeConfig {
            percentile,
            min_samples: 10,
            min_delay_ms: 0,
            max_delay_ms: 100_000,
        }
    }

    #[test]
    fn buckets_are_an_eighth_wide_and_in_order() {
        let mut last = 0;
        for bits in 0..40u32 {
            for ns in [1u64 << bits, (1 << bits) + (1 << bits) / 3, (2 << bits) - 1] {
                let found = bucket(ns);
                assert!(found >= last && found < BUCKETS, "{ns}");
                last = found;
                if ns < 1 << (RANGE_BITS + UNIT_BITS) {
                    let end = bucket_end_ns(found);
                    assert!(end > ns, "{ns} ends at {end}");
                    assert!(end <= ns + ns / 8 + (1 << UNIT_BITS), "{ns} ends at {end}");
                }
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!((bucket(0), bucket_end_ns(0)), (0, 1 << UNIT_BITS));
        for n in 1..BUCKETS {
            assert_eq!(bucket(bucket_end_ns(n - 1)), n, "no gap and no overlap");
        }
    }

    #[test]
    fn waits_for_enough_samples() {
        let hedge = Hedge::new(&config(0.5));
        for n in 0..9 {
            hedge.record(5 * MS, n * SECOND);
            assert_eq!(hedge.delay_ns(), None);
        }
        hedge.record(5 * MS, 9 * SECOND);
        assert!(hedge.delay_ns().is_some());
    }

    #[test]
    fn keeps_its_bounds() {
        let mut bounded = config(0.5);
        (bounded.min_delay_ms, bounded.max_delay_ms) = (20, 100);
        let delay = |latency_ms| {
            let hedge = Hedge::new(&bounded);
            (0..20).for_each(|n| hedge.record(latency_ms * MS, n * SECOND / 2));
            hedge.delay_ns()
        };
        assert_eq!(delay(1), Some(20 * MS));
        assert!(delay(50).is_some_and(|delay| (50 * MS..57 * MS).contains(&delay)));
        assert_eq!(delay(500), None, "too slow to be hedged");
    }

    #[test]
    fn follows_a_service_that_changes() {
        let hedge = Hedge::new(&config(0.9));
        let mut now = 0;
        let mut run = |latency_ms: u64, seconds: u64| {
            for _ in 0..seconds * 100 {
                now += 10 * MS;
                hedge.record(latency_ms * MS, now);
            }
            hedge.delay_ns().unwrap() / MS
        };
        assert_eq!(run(10, 60), 10);
        // A tenth of the weight is new within two seconds.
        assert!(run(100, 5) >= 100);
        // And a tenth of it is old until more than one half-life has passed.
        assert!(run(10, 8) >= 100);
        assert_eq!(run(10, 25), 10);
    }

    #[test]
    fn too_few_samples_are_forgotten() {
        let hedge = Hedge::new(&HedgeConfig {
            min_samples: 25,
            ..config(0.5)
        });
        (0..100).for_each(|n| hedge.record(5 * MS, n * SECOND / 50));
        assert!(hedge.delay_ns().is_some());
        // One in ten seconds: ten between halvings, so never more than twenty.
        (1..60).for_each(|n| hedge.record(5 * MS, n * 10 * SECOND));
        assert_eq!(hedge.delay_ns(), None);
    }

    #[test]
    fn the_percentile_is_a_sample_that_so_many_do_not_exceed() {
        let hedge = Hedge::new(&config(0.5));
        for n in 0..100 {
            hedge.record(if n < 50 { 10 * MS } else { 1_000 * MS }, 0);
        }
        let found = hedge.percentile_ns().unwrap() / MS;
        assert_eq!(found, 10);
    }

    #[test]
    fn loses_no_sample_between_threads() {
        let hedge = Hedge::new(&config(0.5));
        race(20, |_, round| {
            (0..20_000).for_each(|_| hedge.record(MS, SECOND + round as u64));
        });
        let total: u32 = hedge.counts.iter().map(|n| n.load(Relaxed)).sum();
        assert_eq!(total, 400_000 * SHARDS as u32 * SAMPLE);
    }

    #[test]
    fn halving_meets_recording() {
        let hedge = Hedge::new(&config(0.5));
        // One in each round reads, and every tenth round halves.
        race(3_000, |_, round| hedge.record(MS, round as u64 * SECOND));
        let total: u32 = hedge.counts.iter().map(|n| n.load(Relaxed)).sum();
        // Ten rounds a halving make twenty; had it gone below zero, it would be a lot.
        assert!(total < 50 * SHARDS as u32 * SAMPLE, "{total}");
    }

    proptest! {
        #[test]
        fn is_never_early_and_at_most_an_eighth_late(
            seed in any::<u64>(),
            percentile in 0.05..0.999f64,
            scale in 12..30u32,
        ) {
            let (hedge, mut random) = (Hedge::new(&config(percentile)), dice(seed));
            let mut latencies: Vec<u64> = (0..400).map(|_| random() >> (64 - scale)).collect();
            latencies.iter().for_each(|latency| hedge.record(*latency, 0));
            latencies.sort_unstable();
            let rank = (400.0 * percentile).ceil() as usize;
            let exact = latencies[rank.clamp(1, 400) - 1];
            let found = hedge.percentile_ns().unwrap();
            prop_assert!(found >= exact && found <= exact + exact / 8 + 1_024);
        }
    }
}
