//! One replica, as all shards see it.
//!
//! Every access is `Relaxed`. Each counter is a fact of its own: no pick reads one to conclude that
//! some other memory is ready, so there is nothing for an ordering to order. What is wanted is only
//! that no increment gets lost, which read-modify-write gives under any ordering. A count that is a
//! few nanoseconds old makes a pick that would have been right a few nanoseconds ago; balancing by
//! two random choices is made for information that stale.
//!
//! The words are in two pairs of lines (the prefetcher pulls pairs). What every request writes is
//! together in one: a request touches all of it, and neighbours in memory are other replicas, busy
//! on other cores. What changes only when the endpoint falls ill or recovers is in the other, with
//! the address: it stays in every core's cache, so that a balancer may ask for the health of
//! endpoints that it does not pick.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

use crate::resilience::accrual::AccrualCell;
use crate::resilience::gate;

use super::ewma::{self, PeakEwma};

/// How long after a failed connect others are preferred.
pub const UNREACHABLE_FOR_NS: u64 = 1_000_000_000;

/// `revive_at` of an endpoint that is busy until told otherwise.
const INDEFINITELY: u64 = u64::MAX - 1;
/// `revive_at` of an endpoint that is closed.
const CLOSED: u64 = u64::MAX;
/// `born_at` of an endpoint that no balancer has seen yet.
const UNSEEN: u64 = u64::MAX;

/// Whether an endpoint should be given requests: the smaller, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Yes.
    Open,
    /// Only if none is open: it has failed lately.
    Busy,
    /// Only if all are closed: it has said that it will serve no more.
    Closed,
}

/// A replica's address and what traffic tells of it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it stands, if that is known.
    pub zone: Option<Arc<str>>,
    /// Time of the last failed connect; 0 if a connect has succeeded since, or none failed.
    unreachable_at: AtomicU64,
    /// 0 if open, or when to try it again.
    revive_at: AtomicU64,
    /// When it joined a set that had others: 0 if it did not.
    born_at: AtomicU64,
    counters: CachePadded<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    outstanding: AtomicU32,
    accrual: AccrualCell,
    peak: PeakEwma,
    total: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    connect_failures: AtomicU64,
}

impl Endpoint {
    /// A replica of which nothing is known yet, one of the first of its name.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Endpoint {
        Endpoint {
            addr,
            zone: None,
            unreachable_at: AtomicU64::new(0),
            revive_at: AtomicU64::new(0),
            born_at: AtomicU64::new(0),
            counters: CachePadded::default(),
        }
    }

    /// The same in a zone.
    #[must_use]
    pub fn in_zone(self, zone: Option<Arc<str>>) -> Endpoint {
        Endpoint { zone, ..self }
    }

    /// The same as one that joins others, and may have to warm up: see [`Endpoint::age`].
    #[must_use]
    pub fn newborn(self) -> Endpoint {
        self.born_at.store(UNSEEN, Relaxed);
        self
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

    /// Counts a request that was judged.
    pub fn judge(&self, success: bool) {
        let counter = if success {
            &self.counters.successes
        } else {
            &self.counters.failures
        };
        counter.fetch_add(1, Relaxed);
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

    /// Requests ever judged to have succeeded.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.counters.successes.load(Relaxed)
    }

    /// Requests ever judged to have failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.counters.failures.load(Relaxed)
    }

    /// Connects that failed, ever.
    #[must_use]
    pub fn connect_failures(&self) -> u64 {
        self.counters.connect_failures.load(Relaxed)
    }

    /// What failure accrual knows of it.
    #[must_use]
    pub fn accrual(&self) -> &AccrualCell {
        &self.counters.accrual
    }

    /// Takes in how long a request took that ended now, for [`Endpoint::ewma_load`]; the average
    /// forgets with the time constant `decay_ns`.
    pub fn observe(&self, rtt_ns: u64, now_ns: u64, decay_ns: u64) {
        self.counters.peak.observe(rtt_ns, now_ns, decay_ns);
    }

    /// What a request would wait here, in ns: the peak-EWMA cost times the requests on their way
    /// for its weight (1 for the average), this one included. See [`super::ewma`].
    #[must_use]
    pub fn ewma_load(&self, now_ns: u64, decay_ns: u64, weight: f64) -> f64 {
        let cost = self.ewma_cost(now_ns, decay_ns);
        ewma::load(cost, self.outstanding(), weight)
    }

    /// The peak-EWMA cost, ns; 0 if nothing was observed.
    #[must_use]
    pub fn ewma_cost(&self, now_ns: u64, decay_ns: u64) -> f64 {
        self.counters.peak.cost(now_ns, decay_ns)
    }

    /// Notes that a connect failed at this time (ns of the caller's monotonic clock).
    pub fn mark_unreachable(&self, now_ns: u64) {
        self.counters.connect_failures.fetch_add(1, Relaxed);
        self.unreachable_at.store(now_ns.max(1), Relaxed);
    }

    /// Notes that a connect succeeded.
    pub fn mark_reachable(&self) {
        // Reads first: the usual case must not take the line away from the other cores.
        if self.unreachable_at.load(Relaxed) != 0 {
            self.unreachable_at.store(0, Relaxed);
        }
    }

    /// Whether no connect failed in the last [`UNREACHABLE_FOR_NS`], or one succeeded since. After
    /// that time the endpoint is worth a try again, with the traffic that comes.
    #[must_use]
    pub fn is_reachable(&self, now_ns: u64) -> bool {
        let at = self.unreachable_at.load(Relaxed);
        // Clocks of shards may differ a little: a failure in the future has just happened.
        at == 0 || now_ns.saturating_sub(at) >= UNREACHABLE_FOR_NS
    }

    /// Gives it requests again, at once.
    pub fn open(&self) {
        if self.revive_at.load(Relaxed) != 0 {
            self.revive_at.store(0, Relaxed);
        }
    }

    /// Keeps requests away until this time; after it the endpoint is open again.
    pub fn busy_until(&self, revive_at_ns: u64) {
        let at = revive_at_ns.clamp(1, INDEFINITELY);
        self.revive_at.store(at, Relaxed);
    }

    /// Keeps requests away until told otherwise, more so than from a busy one.
    pub fn close(&self) {
        self.revive_at.store(CLOSED, Relaxed);
    }

    /// Whether it should be given requests now.
    #[must_use]
    pub fn status(&self, now_ns: u64) -> Status {
        match self.revive_at.load(Relaxed) {
            CLOSED => Status::Closed,
            at if now_ns < at || at == INDEFINITELY => Status::Busy,
            _ if !self.is_reachable(now_ns) => Status::Busy,
            _ => match self.counters.accrual.status(now_ns) {
                gate::Status::Open => Status::Open,
                gate::Status::Busy => Status::Busy,
            },
        }
    }

    /// How long ago it joined a set that had others, ns; `None` if it was among the first. Sets are
    /// made where no clock is, so its life begins when this is asked for the first time.
    pub fn age(&self, now_ns: u64) -> Option<u64> {
        let mut at = self.born_at.load(Relaxed);
        if at == UNSEEN {
            let now = now_ns.max(1);
            let first = self.born_at.compare_exchange(at, now, Relaxed, Relaxed);
            at = first.map_or_else(|other| other, |_| now);
        }
        (at != 0).then(|| now_ns.saturating_sub(at))
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
        assert_eq!(
            (e.outstanding(), e.total(), e.connect_failures()),
            (1, 2, 0)
        );
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
        assert_eq!(e.connect_failures(), 3);
    }

    #[test]
    fn two_endpoints_share_no_line() {
        assert!(align_of::<Endpoint>() >= 64);
        // Two pairs of lines: one that requests write, one that they read.
        assert!(size_of::<Endpoint>() <= 256, "{}", size_of::<Endpoint>());
        assert!(size_of::<Counters>() <= 128);
    }

    #[test]
    fn status_follows_health_and_reachability() {
        let e = endpoint();
        assert_eq!(e.status(0), Status::Open);
        e.busy_until(100);
        assert_eq!((e.status(99), e.status(100)), (Status::Busy, Status::Open));
        e.busy_until(0);
        assert_eq!(e.status(1), Status::Open);
        e.busy_until(u64::MAX);
        assert_eq!(e.status(u64::MAX), Status::Busy, "not closed");
        e.close();
        assert_eq!(e.status(u64::MAX), Status::Closed);
        e.open();
        assert_eq!(e.status(0), Status::Open);
        e.mark_unreachable(5);
        assert_eq!(e.status(5), Status::Busy);
        e.close();
        assert_eq!(e.status(5), Status::Closed, "the worse of both");
        assert!(Status::Open < Status::Busy && Status::Busy < Status::Closed);
    }

    #[test]
    fn the_first_have_no_age_and_others_from_when_they_are_seen() {
        let e = endpoint();
        assert_eq!(e.age(7), None);
        let e = endpoint().newborn();
        assert_eq!((e.age(7), e.age(9), e.age(3)), (Some(0), Some(2), Some(0)));
        let e = endpoint().newborn();
        assert_eq!((e.age(0), e.age(5)), (Some(0), Some(4)), "0 is no birth");
    }

    #[test]
    fn counts_what_was_judged() {
        let e = endpoint();
        e.judge(true);
        e.judge(true);
        e.judge(false);
        assert_eq!((e.successes(), e.failures()), (2, 1));
    }

    #[test]
    fn load_is_cost_times_requests() {
        let e = endpoint();
        assert_eq!(e.ewma_load(1, 10, 1.0), 0.0);
        e.begin();
        assert_eq!(e.ewma_load(1, 10, 1.0), ewma::PENALTY + 1.0);
        e.observe(50, 1, 10);
        assert_eq!((e.ewma_cost(1, 10), e.ewma_load(1, 10, 1.0)), (50.0, 100.0));
        assert_eq!(e.ewma_load(1, 10, 2.0), 75.0);
    }
}
