//! What became of the requests that one router mirrored on one shard.
//!
//! A router that mirrors nothing pays for none of this: the tables are empty, and the histograms are
//! made when the first answer is compared.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::router::latency_histogram;

/// What was counted, of one shard or of several.
#[derive(Clone, Debug, Default)]
pub struct MirrorSnapshot {
    /// Copies that were sent, or would have been if there had been somebody to send them to.
    pub sent: u64,
    /// Places that are taken: of requests that will be mirrored, and of copies in flight.
    pub active: u64,
    /// Requests that were drawn and not mirrored, by the reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Copies that got no whole answer, by the reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// Copies that did: by the classes of both answers' statuses (2 for 2xx), the client's first.
    pub compared: BTreeMap<(u16, u16), u64>,
    /// How long both answers took; `None` before the first.
    pub latencies: Option<Latencies>,
}

/// Microseconds to the head of the answer, of compared requests.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Of the client's answer, from the request's head on.
    pub primary: Histogram<u64>,
    /// Of the copy's, from when it was begun.
    pub mirror: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies {
            primary: latency_histogram(),
            mirror: latency_histogram(),
        }
    }
}

/// An answer, as far as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub status: u16,
    /// ns to its head.
    pub latency: u64,
}

/// The counters of one router on one shard.
#[derive(Default)]
pub struct MirrorStats(RefCell<MirrorSnapshot>);

impl MirrorStats {
    /// Counts a request that was drawn and is not mirrored.
    pub fn skip(&self, reason: &'static str) {
        *self.0.borrow_mut().skipped.entry(reason).or_default() += 1;
    }

    /// A place was taken.
    pub fn enter(&self) {
        self.0.borrow_mut().active += 1;
    }

    /// A place is free again.
    pub fn leave(&self) {
        self.0.borrow_mut().active -= 1;
    }

    /// Counts a copy that is sent.
    pub fn send(&self) {
        self.0.borrow_mut().sent += 1;
    }

    /// Counts a copy that got no whole answer.
    pub fn fail(&self, reason: &'static str) {
        *self.0.borrow_mut().failed.entry(reason).or_default() += 1;
    }

    /// Compares the answer to a copy with the client's.
    pub fn compare(&self, primary: Answer, mirror: Answer) {
        let mut counts = self.0.borrow_mut();
        let classes = (primary.status / 100, mirror.status / 100);
        *counts.compared.entry(classes).or_default() += 1;
        let latencies = counts.latencies.get_or_insert_default();
        let us = |answer: Answer| (answer.latency / 1_000).max(1);
        latencies.primary.saturating_record(us(primary));
        latencies.mirror.saturating_record(us(mirror));
    }

    #[must_use]
    pub fn read(&self) -> Ref<'_, MirrorSnapshot> {
        self.0.borrow()
    }
}

impl MirrorSnapshot {
    /// Adds what another shard did.
    pub fn merge(&mut self, other: &MirrorSnapshot) {
        self.sent += other.sent;
        self.active += other.active;
        for (mine, theirs) in [
            (&mut self.skipped, &other.skipped),
            (&mut self.failed, &other.failed),
        ] {
            for (reason, count) in theirs {
                *mine.entry(reason).or_default() += count;
            }
        }
        for (classes, count) in &other.compared {
            *self.compared.entry(*classes).or_default() += count;
        }
        if let Some(theirs) = &other.latencies {
            let mine = self.latencies.get_or_insert_default();
            // Histograms of one making always fit into each other.
            let _ = mine.primary.add(&theirs.primary);
            let _ = mine.mirror.add(&theirs.mirror);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let one = MirrorStats::default();
        let mut sum = one.read().clone();
        let answer = |status, latency| Answer { status, latency };
        one.skip("body");
        one.fail("timeout");
        one.send();
        one.enter();
        one.compare(answer(204, 5_000_000), answer(503, 0));
        sum.merge(&one.read());
        sum.merge(&one.read());
        assert_eq!((sum.sent, sum.active), (2, 2));
        assert_eq!((sum.skipped["body"], sum.failed["timeout"]), (2, 2));
        assert_eq!(sum.compared[&(2, 5)], 2);
        let latencies = sum.latencies.unwrap();
        assert_eq!((latencies.primary.len(), latencies.mirror.max()), (2, 1));
    }
}
