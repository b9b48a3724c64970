//! One replica, as all shards see it.
//!
//! Every access is `Relaxed`. Each counter is a fact of its own: no pick reads one to conclude that
//! some other memory is ready, so there is nothing for an ordering to order. What is wanted is only
//! that no increment gets lost, which read-modify-write gives under any ordering. A count that is a
//! few nanoseconds old makes a pick that would have been right a few nanoseconds ago; balancing by
//! two random choices is made for information that stale.
//!
//! The counters share one padded line (two, where the prefetcher pulls pairs): a request touches
//! them together, and neighbours in memory are other replicas, busy on other cores. The address,
//! which never changes, lies outside it and stays in every core's cache.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// How long after a failed connect others are preferred.
pub const UNREACHABLE_FOR_NS: u64 = 1_000_000_000;

/// A replica's address and what traffic tells of it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub addr: SocketAddr,
    counters: CachePadded<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    outstanding: AtomicU32,
    total: AtomicU64,
    failures: AtomicU64,
    /// Time of the last failed connect; 0 if a connect has succeeded since, or none failed.
    unreachable_at: AtomicU64,
}

impl Endpoint {
    /// A replica of which nothing is known yet.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Endpoint {
        Endpoint {
            addr,
            counters: CachePadded::default(),
        }
    }

    /// Counts a request that is sent to it.
    pub fn begin(&self) {
        self.counters.outstanding.fetch_add(1, Relaxed);
        self.counters.total.fetch_add(1, Relaxed);
    }

    /// Counts a request that is over, however it ended. Once for every [`Endpoint::begin`].
    pub fn end(&self) {
        let before = self.counters.outstanding.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a request ended that never began");
    }

    /// Requests on their way, over all shards.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.counters.outstanding.load(Relaxed)
    }

    /// Requests ever sent to it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counters.total.load(Relaxed)
    }

    /// Connects that failed, ever.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.counters.failures.load(Relaxed)
    }

    /// Notes that a connect failed at this time (ns of the caller's monotonic clock).
    pub fn mark_unreachable(&self, now_ns: u64) {
        self.counters.failures.fetch_add(1, Relaxed);
        self.counters.unreachable_at.store(now_ns.max(1), Relaxed);
    }

    /// Notes that a connect succeeded.
    pub fn mark_reachable(&self) {
        // Reads first: the usual case must not take the line away from the other cores.
        if self.counters.unreachable_at.load(Relaxed) != 0 {
            self.counters.unreachable_at.store(0, Relaxed);
        }
    }

    /// Whether no connect failed in the last [`UNREACHABLE_FOR_NS`], or one succeeded since. After
    /// that time the endpoint is worth a try again, with the traffic that comes.
    #[must_use]
    pub fn is_reachable(&self, now_ns: u64) -> bool {
        let at = self.counters.unreachable_at.load(Relaxed);
        // Clocks of shards may differ a little: a failure in the future has just happened.
        at == 0 || now_ns.saturating_sub(at) >= UNREACHABLE_FOR_NS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("127.0.0.1:80".parse().unwrap())
    }

    #[test]
    fn counts_what_begins_and_ends() {
        let e = endpoint();
        e.begin();
        e.begin();
        e.end();
        assert_eq!((e.outstanding(), e.total(), e.failures()), (1, 2, 0));
    }

    #[test]
    fn loses_no_count_between_threads() {
        let e = Arc::new(endpoint());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let e = Arc::clone(&e);
                thread::spawn(move || {
                    for _ in 0..10_000 {
                        e.begin();
                        e.end();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((e.outstanding(), e.total()), (0, 40_000));
    }

    #[test]
    fn is_unreachable_for_a_while_after_a_failed_connect() {
        let e = endpoint();
        assert!(e.is_reachable(0));
        e.mark_unreachable(0);
        assert!(!e.is_reachable(0), "even at time zero");
        e.mark_unreachable(5_000);
        assert!(!e.is_reachable(4_000), "another shard's clock is behind");
        assert!(!e.is_reachable(5_000 + UNREACHABLE_FOR_NS - 1));
        assert!(e.is_reachable(5_000 + UNREACHABLE_FOR_NS));
        e.mark_unreachable(7_000);
        e.mark_reachable();
        assert!(e.is_reachable(7_000));
        assert_eq!(e.failures(), 3);
    }

    #[test]
    fn two_endpoints_share_no_line() {
        assert!(align_of::<Endpoint>() >= 64);
    }
}
