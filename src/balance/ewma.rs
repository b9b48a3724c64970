//! Peak EWMA: how slow an endpoint is, with a memory that fears slowness more than it trusts speed.
//!
//! A round trip that is slower than the average is taken at once; a faster one moves the average by
//! as much as time has passed, `exp(-elapsed/decay)` (Finagle's peak EWMA, linkerd's `ewma`). So one
//! bad answer is enough to be avoided, and only a while of good ones is enough to be sought again.
//! The load of an endpoint is that cost times the requests it would then have; the pick is by two
//! random choices, as everywhere.
//!
//! All shards feed one cell, without a lock: the cost and the time up to which it has decayed are
//! one word, which a compare-and-swap loop replaces. So each step is taken whole and in some order,
//! no peak is lost, and every span of time decays the cost once, whoever comes. (With two words, a
//! thread that is preempted between them would apply a long decay to a peak that came after it.)
//! For both to fit, the cost is an `f32` and time is told in ticks of about a millisecond: what ends
//! within one tick is taken if it is a peak, and of the rest the first counts for all of the time
//! since the last, which makes the average one of samples. It is one of seconds.
//!
//! Unlike linkerd's, a look at the load decays what it returns and not the cell: being looked at
//! must neither take the line away from other cores nor count as an answer that took no time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What an endpoint of which nothing is known weighs while a request is on its way to it: as good
/// as infinite, so that one request probes it and not a thousand (linkerd: `Long.MaxValue >> 16`).
pub const PENALTY: f64 = (i64::MAX >> 16) as f64;

/// A tick is 2 to the power of so many ns.
const TICK_BITS: u32 = 20;
/// How many ticks a clock may be behind another.
const BEHIND: u32 = 1 << 16;

/// The cost of one endpoint, in nanoseconds of round trip.
#[derive(Debug, Default)]
pub(super) struct PeakEwma {
    /// The ticks up to which the cost has decayed (they wrap after 52 days), above the bits of the
    /// cost, which is 0 while nothing was observed.
    word: AtomicU64,
}

impl PeakEwma {
    /// Takes in a round trip that ended now; the average forgets with the time constant `decay_ns`.
    pub fn observe(&self, rtt_ns: u64, now_ns: u64, decay_ns: u64) {
        let rtt = rtt_ns as f64;
        let step = |word| {
            let (stamp, cost) = parts(word);
            let elapsed = elapsed(stamp, now_ns);
            let next = if rtt > cost {
                rtt
            } else {
                let kept = decay(elapsed, decay_ns);
                cost * kept + rtt * (1.0 - kept)
            };
            let stamp = stamp.wrapping_add(elapsed);
            Some(u64::from(stamp) << 32 | u64::from((next as f32).to_bits()))
        };
        // The step never declines, so there is no error.
        let _ = self.word.fetch_update(Relaxed, Relaxed, step);
    }

    /// The cost as it has decayed by now.
    pub fn cost(&self, now_ns: u64, decay_ns: u64) -> f64 {
        let (stamp, cost) = parts(self.word.load(Relaxed));
        cost * decay(elapsed(stamp, now_ns), decay_ns)
    }
}

/// Stamp and cost.
fn parts(word: u64) -> (u32, f64) {
    ((word >> 32) as u32, f64::from(f32::from_bits(word as u32)))
}

/// Ticks since a stamp; none by a clock that is behind the one that set it.
fn elapsed(stamp: u32, now_ns: u64) -> u32 {
    let ticks = ((now_ns >> TICK_BITS) as u32).wrapping_sub(stamp);
    if ticks > u32::MAX - BEHIND { 0 } else { ticks }
}

/// What is left of a cost after so many ticks.
fn decay(ticks: u32, decay_ns: u64) -> f64 {
    if ticks == 0 {
        return 1.0;
    }
    let elapsed_ns = u64::from(ticks) << TICK_BITS;
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

    const TICK: u64 = 1 << TICK_BITS;
    const DECAY: u64 = 10_000 * TICK;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected.abs() * 1e-6
    }

    #[test]
    fn follows_the_formula() {
        // (now, rtt) and the cost after it, by the formula done by hand.
        let w1 = (-0.1f64).exp();
        let w2 = (-0.5f64).exp();
        let cases = [
            (1_000, 100, 100.0),
            // Faster, a tenth of the time constant later.
            (2_000, 50, 100.0 * w1 + 50.0 * (1.0 - w1)),
            // A peak, taken whole.
            (2_000, 400, 400.0),
            // Behind the stamp: no time has passed, so a faster one changes nothing.
            (1_000, 10, 400.0),
            (7_000, 0, 400.0 * w2),
        ];
        let cell = PeakEwma::default();
        let mut latest = 0;
        for (ticks, rtt, expected) in cases {
            cell.observe(rtt, ticks * TICK + 77, DECAY);
            latest = ticks.max(latest);
            let found = cell.cost(latest * TICK, DECAY);
            assert!(close(found, expected), "{found} for {expected}");
        }
    }

    #[test]
    fn decays_while_idle_without_being_touched() {
        let cell = PeakEwma::default();
        cell.observe(1000, TICK, DECAY);
        for _ in 0..100 {
            let found = cell.cost(10_001 * TICK, DECAY);
            assert!(close(found, 1000.0 * (-1.0f64).exp()), "{found}");
        }
        assert!(close(cell.cost(TICK, DECAY), 1000.0));
    }

    #[test]
    fn a_decay_of_no_time_forgets_at_once() {
        let cell = PeakEwma::default();
        cell.observe(1000, TICK, 0);
        cell.observe(10, TICK, 0);
        assert!(close(cell.cost(TICK, 0), 1000.0), "no time has passed");
        cell.observe(10, 2 * TICK, 0);
        assert!(close(cell.cost(2 * TICK, 0), 10.0));
    }

    /// The average settles at the mean, though only one sample of each tick counts, and small steps
    /// are not lost to the few bits of the cost.
    #[test]
    fn many_small_steps_come_to_the_mean() {
        let cell = PeakEwma::default();
        cell.observe(3_000_000, TICK, DECAY);
        let mut now = TICK;
        for i in 0..800_000u64 {
            now += TICK / 4;
            cell.observe(1_000_000 + i % 2, now, DECAY);
        }
        let found = cell.cost(now, DECAY);
        let expected = 1e6 + 2e6 * (-20.0f64).exp();
        assert!(
            (found / expected - 1.0).abs() < 0.01,
            "{found} for {expected}"
        );
    }

    #[test]
    fn survives_the_wrap_of_its_clock() {
        let end = u64::from(u32::MAX) << TICK_BITS;
        let cell = PeakEwma::default();
        cell.observe(500, end / 2, DECAY);
        cell.observe(1000, end, DECAY);
        let found = cell.cost(end + DECAY, DECAY);
        assert!(close(found, 1000.0 * (-1.0f64).exp()), "{found}");
        cell.observe(0, end + DECAY, DECAY);
        assert!(close(cell.cost(end + DECAY, DECAY), found));
        // However long it was idle, it does not stop forgetting.
        for days in [10, 26, 40, 51, 100] {
            let later = end + days * 86_400 * 1_000_000_000;
            cell.observe(1_000_000, later, DECAY);
            cell.observe(10, later + DECAY * 30, DECAY);
            assert!(cell.cost(later + DECAY * 30, DECAY) < 11.0, "{days}");
        }
    }

    #[test]
    fn load_of_what_was_never_measured_is_a_penalty() {
        assert_eq!(load(0.0, 0, 1.0), 0.0);
        assert_eq!(load(0.0, 2, 1.0), 140_737_488_355_327.0 + 2.0);
        assert_eq!(load(5.0, 0, 1.0), 5.0);
        assert_eq!(load(5.0, 3, 1.0), 20.0);
        assert_eq!(load(5.0, 3, 3.0), 10.0);
    }

    /// A peak stays, whoever else observes at that time, even after a long silence.
    #[test]
    fn threads_lose_no_peak() {
        for round in 1..200 {
            let cell = Arc::new(PeakEwma::default());
            let now = round * 1_000 * TICK;
            let observers: Vec<_> = (0..4u64)
                .map(|thread| {
                    let cell = Arc::clone(&cell);
                    thread::spawn(move || {
                        for i in 0..200u64 {
                            let peak = thread == 3 && i == 1;
                            let rtt = if peak { 1_000_000_000 } else { 1 + i % 7 };
                            cell.observe(rtt, now, DECAY);
                        }
                    })
                })
                .collect();
            for observer in observers {
                observer.join().unwrap();
            }
            // All at the same time: nothing may have decayed.
            assert!(close(cell.cost(now, DECAY), 1e9));
        }
    }

    /// Time decays the cost once, however many account for it: if all observe 0, the cost at the
    /// end is what one observer would have left.
    #[test]
    fn threads_share_out_the_time() {
        let cell = Arc::new(PeakEwma::default());
        cell.observe(1_000_000_000, TICK, DECAY);
        let observers: Vec<_> = (0..4u64)
            .map(|thread| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    for i in 0..5_000u64 {
                        cell.observe(0, (1 + 4 * i + thread) * TICK, DECAY);
                    }
                })
            })
            .collect();
        for observer in observers {
            observer.join().unwrap();
        }
        let end = 20_000 * TICK;
        let expected = 1e9 * (-((end - TICK) as f64) / DECAY as f64).exp();
        let found = cell.cost(end, DECAY);
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
    }
}
