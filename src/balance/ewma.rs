//! Peak EWMA: how slow an endpoint is, with a memory that fears slowness more than it trusts speed.
//!
//! A round trip that is slower than the average is taken at once; a faster one moves the average by
//! as much as time has passed, `exp(-elapsed/decay)` (Finagle's peak EWMA, linkerd's `ewma`). So one
//! bad answer is enough to be avoided, and only a while of good ones is enough to be sought again.
//! The load of an endpoint is that cost times the requests it would then have; the pick is by two
//! random choices, as everywhere.
//!
//! All shards feed one cell, without a lock. Each observer first moves the stamp forward, and learns
//! from that very step which span of time is its to account for: every nanosecond decays the cost
//! once, whoever comes. Then it applies its own step to the cost in a compare-and-swap loop, so that
//! no peak and no decay is lost. Two that observe in the same instant may apply their steps in the
//! other order, which is what would have happened had they come in that order. A reader may see a
//! stamp without the cost that belongs to it: for a few nanoseconds the cost then lacks the last
//! decay, and the pick is one that would have been right before.
//!
//! Unlike linkerd's, a look at the load decays what it returns and not the cell: being looked at
//! must neither take the line away from other cores nor count as an answer that took no time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What an endpoint of which nothing is known weighs while a request is on its way to it: as good
/// as infinite, so that one request probes it and not a thousand (linkerd: `Long.MaxValue >> 16`).
pub const PENALTY: f64 = (i64::MAX >> 16) as f64;

/// The cost of one endpoint, in nanoseconds of round trip.
#[derive(Debug, Default)]
pub(super) struct PeakEwma {
    /// Time up to which the cost has decayed.
    stamp: AtomicU64,
    /// Bits of an `f64`; 0 while nothing was observed.
    cost: AtomicU64,
}

impl PeakEwma {
    /// Takes in a round trip that ended now; the average forgets with the time constant `decay_ns`.
    pub fn observe(&self, rtt_ns: u64, now_ns: u64, decay_ns: u64) {
        // A clock that is behind the last observer's accounts for no time.
        let before = self.stamp.fetch_max(now_ns, Relaxed);
        let kept = decay(now_ns.saturating_sub(before), decay_ns);
        let rtt = rtt_ns as f64;
        let step = |bits| {
            let cost = f64::from_bits(bits);
            let next = if rtt > cost {
                rtt
            } else {
                cost * kept + rtt * (1.0 - kept)
            };
            Some(next.to_bits())
        };
        // The step never declines, so there is no error.
        let _ = self.cost.fetch_update(Relaxed, Relaxed, step);
    }

    /// The cost as it has decayed by now.
    pub fn cost(&self, now_ns: u64, decay_ns: u64) -> f64 {
        let idle = now_ns.saturating_sub(self.stamp.load(Relaxed));
        f64::from_bits(self.cost.load(Relaxed)) * decay(idle, decay_ns)
    }
}

fn decay(elapsed_ns: u64, decay_ns: u64) -> f64 {
    (-(elapsed_ns as f64) / decay_ns.max(1) as f64).exp()
}

/// The load of an endpoint of this cost with `pending` requests under way, of which it carries
/// `weight` (1 for the average) at a time.
pub(super) fn load(cost: f64, pending: u32, weight: f64) -> f64 {
    let pending = f64::from(pending);
    if cost == 0.0 && pending > 0.0 {
        PENALTY + pending / weight
    } else {
        cost * (pending / weight + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const DECAY: u64 = 10 * SECOND;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected.abs() * 1e-9
    }

    #[test]
    fn follows_the_formula() {
        // (now, rtt) and the cost after it, by the formula done by hand.
        let w1 = (-0.1f64).exp();
        let w2 = (-0.5f64).exp();
        let cases = [
            (SECOND, 100.0, 100.0),
            // Faster, one second later.
            (2 * SECOND, 50.0, 100.0 * w1 + 50.0 * (1.0 - w1)),
            // A peak, taken whole.
            (2 * SECOND, 400.0, 400.0),
            // Behind the stamp: no time has passed, so a faster one changes nothing.
            (SECOND, 10.0, 400.0),
            (7 * SECOND, 0.0, 400.0 * w2),
        ];
        let cell = PeakEwma::default();
        for (now, rtt, expected) in cases {
            cell.observe(rtt as u64, now, DECAY);
            let found = cell.cost(now, DECAY);
            assert!(close(found, expected), "{found} for {expected}");
        }
    }

    #[test]
    fn decays_while_idle_without_being_touched() {
        let cell = PeakEwma::default();
        cell.observe(1000, SECOND, DECAY);
        for _ in 0..100 {
            let found = cell.cost(11 * SECOND, DECAY);
            assert!(close(found, 1000.0 * (-1.0f64).exp()), "{found}");
        }
        assert!(close(cell.cost(SECOND, DECAY), 1000.0));
    }

    #[test]
    fn a_decay_of_no_time_forgets_at_once() {
        let cell = PeakEwma::default();
        cell.observe(1000, SECOND, 0);
        cell.observe(10, SECOND, 0);
        assert!(close(cell.cost(SECOND, 0), 1000.0), "no time has passed");
        cell.observe(10, 2 * SECOND, 0);
        assert!(close(cell.cost(2 * SECOND, 0), 10.0));
    }

    #[test]
    fn load_of_what_was_never_measured_is_a_penalty() {
        assert_eq!(load(0.0, 0, 1.0), 0.0);
        assert_eq!(load(0.0, 2, 1.0), 140_737_488_355_327.0 + 2.0);
        assert_eq!(load(5.0, 0, 1.0), 5.0);
        assert_eq!(load(5.0, 3, 1.0), 20.0);
        assert_eq!(load(5.0, 3, 3.0), 10.0);
    }

    /// The last of many peaks stays, whoever else observes.
    #[test]
    fn threads_lose_no_peak() {
        for round in 1..50 {
            let cell = Arc::new(PeakEwma::default());
            let observers: Vec<_> = (0..4u64)
                .map(|thread| {
                    let cell = Arc::clone(&cell);
                    thread::spawn(move || {
                        for i in 0..2_000u64 {
                            let peak = thread == 3 && i == 1_000;
                            let rtt = if peak { 1_000_000_000 } else { 1 + i % 7 };
                            cell.observe(rtt, round * SECOND, DECAY);
                        }
                    })
                })
                .collect();
            for observer in observers {
                observer.join().unwrap();
            }
            // All at the same time: nothing may have decayed.
            assert!(close(cell.cost(round * SECOND, DECAY), 1e9));
        }
    }

    /// Time decays the cost once, however many account for it: if all observe 0, the cost at the
    /// end is what one observer would have left.
    #[test]
    fn threads_share_out_the_time() {
        let cell = Arc::new(PeakEwma::default());
        cell.observe(1_000_000_000, SECOND, DECAY);
        let observers: Vec<_> = (0..4u64)
            .map(|thread| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    for i in 0..10_000u64 {
                        cell.observe(0, SECOND + (4 * i + thread) * (SECOND / 4_000), DECAY);
                    }
                })
            })
            .collect();
        for observer in observers {
            observer.join().unwrap();
        }
        let end = SECOND + 39_999 * (SECOND / 4_000);
        let expected = 1e9 * (-((end - SECOND) as f64) / DECAY as f64).exp();
        let found = cell.cost(end, DECAY);
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    }
}
