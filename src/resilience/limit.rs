//! An adaptive limit on the requests to a service that are on their way: as many as it can work on,
//! and few that wait there.
//!
//! A fixed limit is right for one day's capacity. What tells the right one at any time is latency:
//! beyond what a service can do at once, more requests only wait longer (Little's law). The rule is
//! the one that Netflix's `Gradient2Limit` and Envoy's adaptive concurrency share. Every window, the
//! limit is multiplied by the gradient, how much slower the window was than the service is without a
//! queue, and gets some headroom to find out whether more would do ([`gradient`]).
//!
//! They differ in how they know the latency without a queue. Netflix takes a long-term average, which
//! drifts along with a lasting overload and then calls it normal. Envoy measures anew every minute,
//! with three requests at once, and refuses the rest of the traffic meanwhile. Here the baseline is
//! learnt for nothing whenever less than half of the limit is used, as at most times of most services;
//! only if that did not happen for a minute is the limit halved for a moment, and halved again as
//! long as the latency falls with it. Means of windows are compared, not minima: a service that
//! answers cheap and dear requests would be held to the cheapest.
//!
//! All shards share the limit. A response is recorded by one addition; the one that ends a window,
//! alone, moves the limit.
//!
//! **Bound.** Which of two windows a response counts for may be wrong by as many as there are shards.
//! The limit never leaves its range, and moves by at most a tenth of itself (and its headroom) a
//! window.

pub mod gradient;

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crossbeam_utils::CachePadded;

use gradient::{Gradient, WORDS, WindowSample};

const NS_PER_MS: u64 = 1_000_000;
/// Sums of latencies are in units of 2^7 ns, in 48 bits under 16 of their number.
const UNIT_BITS: u32 = 7;
const SUM_BITS: u32 = 48;
const LONGEST: u64 = u32::MAX as u64;
/// A window ends with this number of responses even if it is not over: half of what can be counted.
const FULL: u64 = 1 << 15;
/// The end of a window while a shard moves the limit.
const CLAIMED: u64 = u64::MAX;

/// How the limit moves.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitConfig {
    /// The limit stays from here…
    pub min: u32,
    /// …to here…
    pub max: u32,
    /// …and begins here.
    pub initial: u32,
    /// How many times slower than without a queue is still fine: at least 1.
    pub tolerance: f64,
    /// Which part of the way to where it should be the limit goes each window: 0 to 1.
    pub smoothing: f64,
    /// The least length of a window, in milliseconds.
    pub window_ms: u64,
    /// The least number of responses in a window.
    pub min_samples: u32,
    /// Seconds after which the latency without a queue is measured if it did not show.
    pub baseline_secs: u32,
    /// Up to which part of that time is added by draw, so that the proxies of a fleet do not measure
    /// at once.
    pub jitter: f64,
}

impl Default for LimitConfig {
    /// Netflix's and Envoy's.
    fn default() -> Self {
        LimitConfig {
            min: 10,
            max: 1_000,
            initial: 20,
            tolerance: 1.5,
            smoothing: 0.2,
            window_ms: 100,
            min_samples: 10,
            baseline_secs: 60,
            jitter: 0.15,
        }
    }
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct Limit {
    config: LimitConfig,
    /// Read by every request, written once a window.
    current: AtomicU32,
    /// Responses that a window needs.
    needed: AtomicU32,
    window_ends: AtomicU64,
    /// A [`Gradient`]; whoever claimed the window's end may use it.
    state: [AtomicU64; WORDS],
    window: CachePadded<Window>,
}

/// Written by every response.
#[derive(Debug, Default)]
struct Window {
    /// Number of latencies above their sum.
    latencies: AtomicU64,
    most_in_flight: AtomicU32,
}

impl Limit {
    #[must_use]
    pub fn new(config: &LimitConfig) -> Limit {
        let state = Gradient::new(config);
        Limit {
            config: config.clone(),
            current: AtomicU32::new(state.current()),
            needed: AtomicU32::new(state.needed(config)),
            window_ends: AtomicU64::new(0),
            state: state.to_words().map(AtomicU64::new),
            window: CachePadded::default(),
        }
    }

    /// How it moves.
    #[must_use]
    pub fn config(&self) -> &LimitConfig {
        &self.config
    }

    /// How many requests may be on their way at once.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// The latency without a queue, as far as it is known; for people.
    #[must_use]
    pub fn baseline_ns(&self) -> u64 {
        let state = Gradient::from_words(self.state.each_ref().map(|word| word.load(Relaxed)));
        state.baseline_ns as u64
    }

    /// Tells how long a response took, with how many on their way. A timeout counts as its time; a
    /// failure that came fast must not be told, or a service that fails would be sent more.
    ///
    /// * `random`: 64 random bits, used once a minute.
    pub fn record(&self, latency_ns: u64, in_flight: u32, now_ns: u64, random: u64) {
        let units = (latency_ns >> UNIT_BITS).min(LONGEST);
        let one = (1 << SUM_BITS) | units;
        let before = self.window.latencies.fetch_add(one, Relaxed);
        // Reads first: most responses are not the window's peak.
        if in_flight > self.window.most_in_flight.load(Relaxed) {
            self.window.most_in_flight.fetch_max(in_flight, Relaxed);
        }
        let count = (before >> SUM_BITS) + 1;
        let ends = self.window_ends.load(Relaxed);
        let is_over = now_ns >= ends && count >= u64::from(self.needed.load(Relaxed));
        if ends != CLAIMED && (is_over || count >= FULL) {
            self.end_window(ends, now_ns, random);
        }
    }

    fn end_window(&self, ends: u64, now_ns: u64, random: u64) {
        let claim = self
            .window_ends
            .compare_exchange(ends, CLAIMED, Acquire, Relaxed);
        if claim.is_err() {
            return;
        }
        let latencies = self.window.latencies.swap(0, Relaxed);
        let most_in_flight = self.window.most_in_flight.swap(0, Relaxed);
        let count = latencies >> SUM_BITS;
        if count > 0 {
            let sum = (latencies & ((1 << SUM_BITS) - 1)) << UNIT_BITS;
            let sample = WindowSample {
                mean_ns: sum as f64 / count as f64,
                most_in_flight,
            };
            let words = self.state.each_ref().map(|word| word.load(Relaxed));
            let mut state = Gradient::from_words(words);
            state.step(&self.config, sample, now_ns, random);
            for (word, new) in self.state.iter().zip(state.to_words()) {
                word.store(new, Relaxed);
            }
            self.current.store(state.current(), Relaxed);
            self.needed.store(state.needed(&self.config), Relaxed);
        }
        let window_ns = self.config.window_ms.saturating_mul(NS_PER_MS);
        let next = now_ns.saturating_add(window_ns).min(CLAIMED - 1);
        self.window_ends.store(next, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{dice, race};
    use super::*;

    const MS: u64 = NS_PER_MS;

    /// Responses of a service that works on `capacity` at once, as many on their way as may be.
    fn load(limit: &Limit, capacity: u32, now: &mut u64, seconds: u64) {
        let mut random = dice(*now);
        let until = *now + seconds * 1_000 * MS;
        while *now < until {
            let in_flight = limit.current();
            let latency = 10 * MS * u64::from(in_flight.max(capacity)) / u64::from(capacity);
            limit.record(latency, in_flight, *now, random());
            *now += latency / u64::from(in_flight);
        }
    }

    #[test]
    fn finds_the_capacity_under_overload() {
        // 1.5 · capacity + √limit = limit.
        for (capacity, expected) in [(10, 20), (40, 68), (100, 163), (500, 778)] {
            let (limit, mut now) = (Limit::new(&LimitConfig::default()), 0);
            load(&limit, capacity, &mut now, 30);
            let found = limit.current();
            assert!(
                found.abs_diff(expected) <= 3 + expected / 20,
                "{found} for {capacity}"
            );
            assert_eq!(limit.baseline_ns() / MS, 10);
        }
    }

    #[test]
    fn a_window_needs_time_and_responses() {
        let limit = Limit::new(&LimitConfig::default());
        let step = |n: u64, now: u64| {
            (0..n).for_each(|_| limit.record(MS, 20, now, 0));
            limit.baseline_ns() > 0
        };
        assert!(!step(9, 0) && step(1, 0));
        assert_eq!(limit.window_ends.load(Relaxed), 100 * MS);
        step(100, 99 * MS);
        assert_eq!(limit.window.latencies.load(Relaxed) >> SUM_BITS, 100);
        step(1, 100 * MS);
        assert_eq!(limit.window.latencies.load(Relaxed), 0);
    }

    #[test]
    fn latencies_of_any_length_are_survived() {
        let limit = Limit::new(&LimitConfig::default());
        for n in 0..200_000u64 {
            limit.record(u64::MAX, u32::MAX, u64::MAX - n % 2, n);
        }
        assert!((10..=1_000).contains(&limit.current()));
        assert_eq!(limit.baseline_ns(), LONGEST << UNIT_BITS);
    }

    #[test]
    fn one_shard_ends_a_window() {
        let limit = Limit::new(&LimitConfig::default());
        (0..10).for_each(|_| limit.record(MS, 20, 0, 0));
        let (ends, state) = (limit.window_ends.load(Relaxed), limit.baseline_ns());
        limit.record(9 * MS, 20, MS, 0);
        // Another shard had seen the end of the window before.
        limit.end_window(0, MS, 0);
        assert_eq!(
            (limit.window_ends.load(Relaxed), limit.baseline_ns()),
            (ends, state)
        );
        assert_eq!(limit.window.latencies.load(Relaxed) >> SUM_BITS, 1);
        // While the end is claimed, nobody else touches it, however many responses come.
        limit.window_ends.store(CLAIMED, Relaxed);
        (0..FULL + 10).for_each(|_| limit.record(9 * MS, 20, u64::MAX, 0));
        assert_eq!(
            (limit.window_ends.load(Relaxed), limit.baseline_ns()),
            (CLAIMED, state)
        );
        // A window without a response ends too, and says nothing.
        limit.window_ends.store(ends, Relaxed);
        limit.window.latencies.store(0, Relaxed);
        limit.end_window(ends, 500 * MS, 0);
        assert_eq!(
            (limit.window_ends.load(Relaxed), limit.baseline_ns()),
            (600 * MS, state)
        );
    }

    #[test]
    fn shards_end_windows_together() {
        let limit = Limit::new(&LimitConfig {
            window_ms: 0,
            min_samples: 2,
            ..LimitConfig::default()
        });
        race(5_000, |_, round| {
            limit.record(5 * MS, limit.current(), 1 + round as u64, 0);
        });
        // No claim was left behind, and equal latencies mix to the same mean in whatever windows.
        assert!(limit.window_ends.load(Relaxed) < CLAIMED);
        assert!(limit.baseline_ns().abs_diff(5 * MS) < 200);
        assert!(limit.current() > 20, "it had room");
    }
}
