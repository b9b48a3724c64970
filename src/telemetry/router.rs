//! The counters of one router on one shard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::mirror::MirrorSnapshot;

/// Statuses that are counted one by one; anything else counts as 0.
const STATUSES: usize = 600;

/// Counters of one router on one shard. See [`RouterSnapshot`] for their meaning.
pub struct RouterStats {
    pub requests: Cell<u64>,
    statuses: Box<[Cell<u64>]>,
    refusals: RefCell<BTreeMap<&'static str, u64>>,
    latency: RefCell<Histogram<u64>>,
    pub accepted: Cell<u64>,
    pub active_requests: Cell<u64>,
    pub handed_over: Cell<u64>,
    pub connects: Cell<u64>,
    pub connect_failures: Cell<u64>,
    pub reuses: Cell<u64>,
    pub retries: Cell<u64>,
    pub requeues: Cell<u64>,
    pub hedges: Cell<u64>,
    pub hedges_won: Cell<u64>,
    pub stale: Cell<u64>,
    pub client_gone: Cell<u64>,
    pub truncated: Cell<u64>,
}

/// What a router did on one shard, and the sums of several.
#[derive(Clone)]
pub struct RouterSnapshot {
    /// Requests whose head was read, refused ones included.
    pub requests: u64,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Responses that the proxy made itself, by their reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Microseconds from a request's head to its response's last byte.
    pub latency: Histogram<u64>,
    pub accepted: u64,
    pub active_connections: u64,
    pub active_requests: u64,
    /// Connections given to a less loaded shard right after accepting them.
    pub handed_over: u64,
    /// Connections made to backends.
    pub connects: u64,
    pub connect_failures: u64,
    /// Requests sent on a pooled connection.
    pub reuses: u64,
    /// Attempts after the first, of whatever kind.
    pub retries: u64,
    /// Of those, the requeues: the attempt before was never delivered.
    pub requeues: u64,
    /// Requests that were sent a second time while the first response was awaited.
    pub hedges: u64,
    /// Of those, the ones whose second attempt was the answer.
    pub hedges_won: u64,
    /// Of those, the ones for a pooled connection that turned out to be closed.
    pub stale: u64,
    /// Requests that wait for room at a backend.
    pub waiters: u64,
    /// Requests whose client left before the response's end.
    pub client_gone: u64,
    /// Responses cut short by their backend.
    pub truncated: u64,
    /// Idle connections to backends.
    pub idle_connections: u64,
    /// Entries of the binding cache.
    pub bound_names: u64,
    pub mirror: MirrorSnapshot,
}

#[inline]
fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Default for RouterStats {
    fn default() -> Self {
        RouterStats {
            requests: Cell::default(),
            statuses: (0..STATUSES).map(|_| Cell::new(0)).collect(),
            refusals: RefCell::default(),
            latency: RefCell::new(latency_histogram()),
            accepted: Cell::default(),
            active_requests: Cell::default(),
            handed_over: Cell::default(),
            connects: Cell::default(),
            connect_failures: Cell::default(),
            reuses: Cell::default(),
            retries: Cell::default(),
            requeues: Cell::default(),
            hedges: Cell::default(),
            hedges_won: Cell::default(),
            stale: Cell::default(),
            client_gone: Cell::default(),
            truncated: Cell::default(),
        }
    }
}

/// Two significant digits, 1 µs to an hour, saturating.
pub(super) fn latency_histogram() -> Histogram<u64> {
    // The bounds are constants within what the constructor documents.
    Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("valid bounds")
}

impl RouterStats {
    /// Counts a response by its status.
    #[inline]
    pub fn count_status(&self, status: u16) {
        let index = usize::from(status);
        add(&self.statuses[if index < STATUSES { index } else { 0 }]);
    }

    /// Counts a response that the proxy made, by its reason.
    pub fn count_refusal(&self, reason: &'static str) {
        *self.refusals.borrow_mut().entry(reason).or_default() += 1;
    }

    /// Records the duration of a request, in nanoseconds.
    #[inline]
    pub fn record_latency(&self, nanoseconds: u64) {
        self.latency
            .borrow_mut()
            .saturating_record((nanoseconds / 1_000).max(1));
    }

    #[must_use]
    pub fn snapshot(&self) -> RouterSnapshot {
        let statuses = self
            .statuses
            .iter()
            .enumerate()
            .filter(|(_, count)| count.get() > 0)
            .map(|(status, count)| (status as u16, count.get()))
            .collect();
        RouterSnapshot {
            requests: self.requests.get(),
            statuses,
            refusals: self.refusals.borrow().clone(),
            latency: self.latency.borrow().clone(),
            accepted: self.accepted.get(),
            active_connections: 0,
            active_requests: self.active_requests.get(),
            handed_over: self.handed_over.get(),
            connects: self.connects.get(),
            connect_failures: self.connect_failures.get(),
            reuses: self.reuses.get(),
            retries: self.retries.get(),
            requeues: self.requeues.get(),
            hedges: self.hedges.get(),
            hedges_won: self.hedges_won.get(),
            stale: self.stale.get(),
            waiters: 0,
            client_gone: self.client_gone.get(),
            truncated: self.truncated.get(),
            idle_connections: 0,
            bound_names: 0,
            mirror: MirrorSnapshot::default(),
        }
    }
}

impl RouterSnapshot {
    /// Adds what another shard did.
    pub fn merge(&mut self, other: &RouterSnapshot) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (reason, count) in &other.refusals {
            *self.refusals.entry(reason).or_default() += count;
        }
        // Histograms of one making always fit into each other.
        let _ = self.latency.add(&other.latency);
        self.mirror.merge(&other.mirror);
        for (mine, theirs) in [
            (&mut self.requests, other.requests),
            (&mut self.accepted, other.accepted),
            (&mut self.active_connections, other.active_connections),
            (&mut self.active_requests, other.active_requests),
            (&mut self.handed_over, other.handed_over),
            (&mut self.connects, other.connects),
            (&mut self.connect_failures, other.connect_failures),
            (&mut self.reuses, other.reuses),
            (&mut self.retries, other.retries),
            (&mut self.requeues, other.requeues),
            (&mut self.hedges, other.hedges),
            (&mut self.hedges_won, other.hedges_won),
            (&mut self.stale, other.stale),
            (&mut self.waiters, other.waiters),
            (&mut self.client_gone, other.client_gone),
            (&mut self.truncated, other.truncated),
            (&mut self.idle_connections, other.idle_connections),
            (&mut self.bound_names, other.bound_names),
        ] {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let one = RouterStats::default();
        one.count_status(200);
        one.count_refusal("no-hosts-available");
        one.record_latency(5_000_000);
        let mut sum = one.snapshot();
        sum.merge(&one.snapshot());
        assert_eq!(sum.statuses[&200], 2);
        assert_eq!(sum.refusals["no-hosts-available"], 2);
        assert_eq!(sum.latency.len(), 2);
        assert!((4_900..=5_100).contains(&sum.latency.value_at_quantile(0.5)));
    }
}
