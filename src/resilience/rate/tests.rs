//! Rate limits: what a key may do, and what others cannot take from it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::super::tests::{SHARDS, dice, race};
use super::*;

const MS: u64 = NS_PER_MS;

fn config(requests: u32, per_ms: u64, burst: u32, keys: u32) -> RateConfig {
    RateConfig {
        requests,
        per_ms,
        burst,
        keys,
    }
}

fn allowed(limiter: &RateLimiter, key: u64, now: u64) -> bool {
    matches!(limiter.check(key, now), Rated::Allowed { .. })
}

/// How many of these requests at once are allowed.
fn burst(limiter: &RateLimiter, key: u64, now: u64, requests: usize) -> usize {
    (0..requests).filter(|_| allowed(limiter, key, now)).count()
}

#[test]
fn counts_down_and_refills() {
    // 10 a second, 3 at once; 100 ms is a whole number of units.
    let limiter = RateLimiter::new(&config(10, 1_000, 3, 8));
    let table = [
        (0, Some((2, 100))),
        (0, Some((1, 200))),
        (0, Some((0, 300))),
        (0, None),
        (99, None),
        (100, Some((0, 300))),
        (100, None),
        (300, Some((1, 200))),
        (1_000, Some((2, 100))),
    ];
    for (ms, expected) in table {
        let rated = limiter.check(7, ms * MS);
        match expected {
            Some((remaining, reset)) => assert_eq!(
                rated,
                Rated::Allowed {
                    remaining,
                    reset_ns: reset * MS
                },
                "{ms}"
            ),
            None => assert_eq!(
                rated,
                Rated::Limited {
                    retry_after_ns: (100 - ms % 100) * MS
                },
                "{ms}"
            ),
        }
    }
}

#[test]
fn keys_do_not_disturb_each_other() {
    let limiter = RateLimiter::new(&config(1, 1_000, 2, 1 << 10));
    let mut random = dice(1);
    let keys: Vec<u64> = (0..100).map(|_| random()).collect();
    for _ in 0..2 {
        assert!(keys.iter().all(|key| allowed(&limiter, *key, 0)));
    }
    assert!(!keys.iter().any(|key| allowed(&limiter, *key, 0)));
    assert_eq!(limiter.evictions(), 0);
}

#[test]
fn a_full_set_gives_up_what_is_full_soonest() {
    let limiter = RateLimiter::new(&config(1, 1_000, 3, 8));
    let key = |n: u64| n << TIME_BITS;
    // Key 1 has asked once, the others twice.
    for n in 1..=8 {
        assert_eq!(
            burst(&limiter, key(n), 0, if n == 1 { 1 } else { 2 }),
            n.min(2) as usize
        );
    }
    assert_eq!(limiter.evictions(), 0);
    assert_eq!(burst(&limiter, key(9), 0, 5), 3);
    assert_eq!(limiter.evictions(), 1);
    assert_eq!(burst(&limiter, key(2), 0, 5), 1, "still known");
    assert_eq!(burst(&limiter, key(1), 0, 5), 3, "forgotten");
    // Once full, a bucket gives way without loss.
    let evictions = limiter.evictions();
    for n in 20..28 {
        assert_eq!(burst(&limiter, key(n), 10_000 * MS, 5), 3);
    }
    assert_eq!(limiter.evictions(), evictions);
}

#[test]
fn times_wrap_and_clocks_differ() {
    let wrap = (TIME_MASK + 1) << UNIT_BITS;
    for now in [
        0,
        wrap - 150 * MS,
        wrap,
        5 * wrap - MS,
        u64::MAX - 10_000 * MS,
    ] {
        let limiter = RateLimiter::new(&config(10, 1_000, 3, 8));
        assert_eq!(burst(&limiter, 1, now + 500 * MS, 5), 3, "{now}");
        // Half a second behind: still limited, not new.
        assert_eq!(burst(&limiter, 1, now, 5), 0, "{now}");
        assert_eq!(burst(&limiter, 1, now + 700 * MS, 5), 2, "{now}");
    }
}

#[test]
fn a_key_costs_eight_bytes() {
    assert_eq!(size_of::<Set>(), 8 * WAYS);
    let sets = |keys| RateLimiter::new(&config(1, 1, 1, keys)).sets.len();
    assert_eq!([0, 8, 9, 1 << 16].map(sets), [1, 1, 2, 1 << 13]);
}

#[test]
fn odd_configurations_are_survived() {
    for (requests, per_ms, burst_, expected) in [
        (0, 1_000, 1, 1),
        (1, 1_000, 0, 1),
        (u32::MAX, 1, 1, 1),
        (1, u64::MAX, u32::MAX, 1),
        (1, 0, 5, 5),
    ] {
        let limiter = RateLimiter::new(&config(requests, per_ms, burst_, 0));
        assert_eq!(
            burst(&limiter, 3, 0, 10),
            expected,
            "{requests} {per_ms} {burst_}"
        );
    }
}

#[test]
fn who_looked_too_early_looks_again() {
    let limiter = RateLimiter::new(&config(1, 1_000, 5, 8));
    let (first, second) = (1 << TIME_BITS, 2 << TIME_BITS);
    // Both saw the same free bucket, then the same bucket of the first.
    let [for_first, for_second] = [first, second].map(|tag| limiter.find(&limiter.sets[0], tag, 0));
    assert!(limiter.take(&for_first, first, 0).is_some());
    assert_eq!(limiter.take(&for_second, second, 0), None);
    let [one, other] = [first, first].map(|tag| limiter.find(&limiter.sets[0], tag, 0));
    assert!(limiter.take(&one, first, 0).is_some());
    assert_eq!(limiter.take(&other, first, 0), None);
    assert_eq!(
        (burst(&limiter, first, 0, 9), burst(&limiter, second, 0, 9)),
        (3, 5)
    );
}

#[test]
fn is_exact_between_threads() {
    // A burst that lasts for half of the rounds.
    let most = 50_000 * SHARDS as u32;
    let limiter = RateLimiter::new(&config(1, 1_000, most, 8));
    let count = AtomicUsize::new(0);
    race(20, |_, _| {
        count.fetch_add(burst(&limiter, 5, MS, 5_000), Relaxed);
    });
    assert_eq!(count.into_inner(), most as usize);
}

#[test]
fn of_all_shards_one_makes_the_bucket() {
    const ROUNDS: usize = 2_000;
    let limiter = RateLimiter::new(&config(1, 1_000, 2, 8));
    let counts: Vec<_> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    race(ROUNDS, |_, round| {
        // Nothing is left of the bucket of the round before.
        let (key, now) = ((round as u64) << TIME_BITS, round as u64 * 10_000 * MS);
        let is_allowed = allowed(&limiter, key, now);
        counts[round].fetch_add(usize::from(is_allowed), Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Relaxed) == 2));
}

#[test]
fn threads_that_push_each_other_out_stay_within_the_bound() {
    // 32 keys on one set of eight: every admission is paid for by a bucket or an eviction.
    let limiter = RateLimiter::new(&config(1, 3_600_000, 10, 8));
    let count = AtomicUsize::new(0);
    race(5_000, |shard, round| {
        let key = dice((round * SHARDS + shard) as u64)() % 32;
        let is_allowed = allowed(&limiter, key << TIME_BITS, MS);
        count.fetch_add(usize::from(is_allowed), Relaxed);
    });
    let bursts = WAYS as u64 + limiter.evictions();
    assert!(count.into_inner() as u64 <= 10 * bursts);
}

proptest! {
    /// In any stretch of time: at most a burst and what the rate allows.
    #[test]
    fn never_more_than_burst_and_rate(
        requests in 1..1_000u32,
        most in 1..50u32,
        steps in prop::collection::vec((0..20_000u64, 0..4u64), 1..300),
    ) {
        let limiter = RateLimiter::new(&config(requests, 1_000, most, 64));
        let (mut now, mut times) = (0, BTreeMap::<u64, Vec<u64>>::new());
        for (step, key) in steps {
            now += step * 1_000;
            match limiter.check(key << TIME_BITS, now) {
                Rated::Allowed { remaining, .. } => {
                    prop_assert!(remaining < most);
                    times.entry(key).or_default().push(now);
                }
                Rated::Limited { retry_after_ns } => prop_assert!(retry_after_ns > 0),
            }
        }
        for times in times.values() {
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let by_rate = (to - from + 64) as f64 * f64::from(requests) / 1e9;
                    let allowed = f64::from(most) + by_rate;
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }
    }

    #[test]
    fn is_allowed_again_when_it_says(
        requests in 1..1_000u32,
        most in 1..20u32,
        start in 0..u64::MAX / 2,
    ) {
        let limiter = RateLimiter::new(&config(requests, 1_000, most, 8));
        prop_assert_eq!(burst(&limiter, 9, start, most as usize), most as usize);
        let Rated::Limited { retry_after_ns } = limiter.check(9, start) else {
            return Err(TestCaseError::fail("the burst was used up"));
        };
        prop_assert!(!allowed(&limiter, 9, start + retry_after_ns - 64));
        prop_assert!(allowed(&limiter, 9, start + retry_after_ns));
    }
}
