//! Rate limits per key: a client's address, the value of a field, a path.
//!
//! A bucket of tokens is one number, the time at which it will be full again (GCRA, the generic cell
//! rate algorithm of ATM, ITU-T I.371). A request moves it on by one interval and is refused if that
//! is too far ahead. So a bucket is one word in an atomic, all shards share it, and a check is one
//! compare-and-swap: no sweep, no refill, no lock, and no split of the rate over shards, which hands
//! a client that sits on one connection an eighth of what it was promised.
//!
//! The keys are a fixed table in sets of eight, one line of the cache each; a word has 16 bits of the
//! key's hash above 48 of the time. **A bucket that is full again is the same as one that was never
//! there**: it is the first to be reused, and nothing is lost by it. If all eight of a set are in
//! use, the one that is full soonest gives way.
//!
//! **Bounds.** For a key in the table the limit is exact between all shards, but for their clocks: what
//! these differ by, times the rate. The interval is rounded up to 64 ns, which at 10 000 requests a
//! second costs a client 0.06 % of them, at a million 2.4 %. A key that was pushed out gets its burst
//! anew; [`RateLimiter::evictions`] counts these. One key in 8 000 shares the bucket of another in its
//! set, and the limit with it. When two shards first see a key at once and a third frees a place
//! between their looks, it may have two buckets until one is full: one burst more. A bucket that
//! stayed untouched for exactly 208 days less the time it takes to fill looks used.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const NS_PER_MS: u64 = 1_000_000;
/// Times are in units of 2^6 ns, so that 48 bits are 208 days and may wrap.
const UNIT_BITS: u32 = 6;
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// What the clocks of two shards may differ by: a second.
const SKEW: u64 = 1_000_000_000 >> UNIT_BITS;
/// The longest a bucket may take to fill: half of what 48 bits can tell, less the skew.
const LONGEST: u64 = (1 << (TIME_BITS - 1)) - SKEW;
/// Buckets of a set.
const WAYS: usize = 8;

/// How often each key may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Requests for each…
    pub requests: u32,
    /// …this many milliseconds.
    pub per_ms: u64,
    /// Requests that may come at once.
    pub burst: u32,
    /// Keys that are kept apart, rounded up to a power of two; 8 bytes each.
    pub keys: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        RateConfig {
            requests: 100,
            per_ms: 1_000,
            burst: 100,
            keys: 1 << 16,
        }
    }
}

/// What a request of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rated {
    Allowed {
        /// Requests that could come right after.
        remaining: u32,
        /// Until the bucket is full.
        reset_ns: u64,
    },
    Limited {
        /// Until the next request is allowed.
        retry_after_ns: u64,
    },
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct RateLimiter {
    /// What a request adds, in units.
    interval: u64,
    /// How far ahead a bucket may be, in units.
    tolerance: u64,
    sets: Box<[Set]>,
    evictions: AtomicU64,
}

/// One line of the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// A bucket as a check found it.
struct Found<'a> {
    bucket: &'a AtomicU64,
    seen: u64,
    /// Units until it is full.
    ahead: u64,
    is_own: bool,
}

impl RateLimiter {
    /// Allocates the table; nothing is allocated afterwards. A rate of nothing counts as one request,
    /// and what takes longer than 104 days to fill as that.
    #[must_use]
    pub fn new(config: &RateConfig) -> RateLimiter {
        let per = config.per_ms.saturating_mul(NS_PER_MS) >> UNIT_BITS;
        let interval = per.div_ceil(u64::from(config.requests.max(1)));
        let interval = interval.clamp(1, LONGEST);
        let tolerance = interval.saturating_mul(u64::from(config.burst.max(1)));
        let sets = (config.keys as usize).div_ceil(WAYS).next_power_of_two();
        RateLimiter {
            interval,
            tolerance: tolerance.min(LONGEST),
            sets: (0..sets).map(|_| Set::default()).collect(),
            evictions: AtomicU64::new(0),
        }
    }

    /// Counts a request of a key, by a hash that a client cannot foresee (keyed by a secret seed):
    /// otherwise it could choose keys that push each other out.
    pub fn check(&self, key_hash: u64, now_ns: u64) -> Rated {
        let now = (now_ns >> UNIT_BITS) & TIME_MASK;
        // The low bits choose the set, the high ones tell keys apart in it.
        let set = &self.sets[key_hash as usize & (self.sets.len() - 1)];
        let tag = key_hash & !TIME_MASK;
        // If another shard came first, a request was admitted: that ends at the latest when the bucket
        // is empty.
        loop {
            let found = self.find(set, tag, now);
            if let Some(rated) = self.take(&found, tag, now) {
                return rated;
            }
        }
    }

    /// Takes one from the bucket as it was found; `None` if it is no longer like that.
    fn take(&self, found: &Found<'_>, tag: u64, now: u64) -> Option<Rated> {
        let ahead = if found.is_own { found.ahead } else { 0 } + self.interval;
        if let Some(excess) = ahead.checked_sub(self.tolerance).filter(|n| *n > 0) {
            return Some(Rated::Limited {
                retry_after_ns: excess << UNIT_BITS,
            });
        }
        let next = tag | (now.wrapping_add(ahead) & TIME_MASK);
        let swap = found
            .bucket
            .compare_exchange(found.seen, next, Relaxed, Relaxed);
        swap.ok()?;
        if !found.is_own && found.ahead > 0 {
            self.evictions.fetch_add(1, Relaxed);
        }
        Some(Rated::Allowed {
            remaining: ((self.tolerance - ahead) / self.interval) as u32,
            reset_ns: ahead << UNIT_BITS,
        })
    }

    /// Buckets that gave way before they were full.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    /// The key's bucket, or the one to use for it: the first of those that are full soonest.
    fn find<'a>(&self, set: &'a Set, tag: u64, now: u64) -> Found<'a> {
        let look = |bucket: &'a AtomicU64| {
            let seen = bucket.load(Relaxed);
            let ahead = seen.wrapping_sub(now) & TIME_MASK;
            let is_in_use = ahead <= self.tolerance + SKEW;
            let ahead = if is_in_use { ahead } else { 0 };
            Found {
                bucket,
                seen,
                ahead,
                is_own: ahead > 0 && seen & !TIME_MASK == tag,
            }
        };
        let [first, others @ ..] = &set.0;
        let mut best = look(first);
        for bucket in others {
            if best.is_own {
                break;
            }
            let found = look(bucket);
            if found.is_own || found.ahead < best.ahead {
                best = found;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests;
