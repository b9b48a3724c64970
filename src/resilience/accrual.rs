//! Failure accrual: an endpoint that fails too often gets no requests for a while, and then one.
//!
//! What traffic tells of an endpoint lies in its [`AccrualCell`], atomics that all shards share:
//! eight shards that each waited for their own five failures in a row would send forty requests into
//! a dead host. What is to be made of it is an [`Accrual`], one per client. Both are plain data; the
//! endpoint embeds the cell, and nothing is allocated for it.
//!
//! A request goes through four calls:
//!
//! 1. [`AccrualCell::status`] tells the balancer whom to avoid. A Busy endpoint may still be picked
//!    if all are (fail open).
//! 2. [`AccrualCell::begin_probe`] right after the pick. If true, this request is the probe and
//!    passes `true` below.
//! 3. [`Accrual::on_success`], [`Accrual::on_failure`], or, if the request ended without telling
//!    anything (the client left, the peer discarded it), [`AccrualCell::on_ignored`].
//!
//! Unlike in Finagle, of a dead endpoint only the probe's own end counts. There, the first response
//! to come decides, and a request that was sent before the host died, timing out while the probe is
//! on its way, makes it dead for the next and longer backoff. A failed probe always does that here:
//! Finagle asks the policy once more, which may find too few requests in the window to say so.
//!
//! When most of a set is dead the balancer fails open, and Busy endpoints are sent to all the same.
//! Of such a request, one that was picked while its endpoint was Busy and is no probe, a success is
//! told by [`Accrual::on_success_despite`], and revives at once. In Finagle it tells nothing, and
//! that makes an outage outlast its cause: all replicas are well again, the few whose backoff is
//! over first are enough for the balancer not to fail open any more, and have to carry the traffic
//! of all until the others' backoffs, of minutes by then, are over (bench/resilience, `recovery`).
//! A failure of such a request still tells nothing; the backoff would run to its end by it.
//!
//! Costs: with nothing wrong, a success is two loads of one line for `consecutiveFailures`, a few
//! more for the rates, and writes only what changes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::backoff::Backoff;
use super::ema::{Ema, MOST_SAMPLES};
use super::gate::{Ejected, Gate, State, Status};
use super::volume::Volume;

const NS_PER_SEC: u64 = 1_000_000_000;
/// Requests in the window below which a rate over time is no reason (Finagle's default).
const ENOUGH_REQUESTS: u8 = 5;

/// When an endpoint is dead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AccrualPolicy {
    /// After this many failures in a row.
    ConsecutiveFailures { failures: u32 },
    /// When the moving average of successes over this many requests is lower than the rate, once
    /// there were that many.
    SuccessRate { success_rate: f64, requests: u32 },
    /// When the moving average of successes over this many seconds is lower than the rate, once that
    /// time has passed and if it has seen 5 requests.
    SuccessRateWindowed { success_rate: f64, window_secs: u32 },
    /// Never.
    None,
}

/// When an endpoint is dead, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct AccrualConfig {
    pub policy: AccrualPolicy,
    pub backoff: Backoff,
}

impl Default for AccrualConfig {
    fn default() -> Self {
        AccrualConfig {
            policy: AccrualPolicy::ConsecutiveFailures { failures: 5 },
            backoff: Backoff::EqualJittered {
                start_ms: 5_000,
                max_ms: 300_000,
            },
        }
    }
}

/// What is known of an endpoint, by all shards together; 64 bytes.
#[derive(Debug, Default)]
pub struct AccrualCell {
    gate: Gate,
    /// Of [`super::fail_fast`]: the same machine, driven by connects.
    pub(super) connects: Gate,
    /// Share of successes.
    rate: Ema,
    volume: Volume,
    /// When this life began, as far as the window is concerned; 0 before the first result.
    alive_since: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
}

/// A policy, prepared. See the module's head.
#[derive(Clone, Debug)]
pub struct Accrual {
    policy: AccrualPolicy,
    backoff: Backoff,
    /// What the average of [`AccrualPolicy::SuccessRate`] keeps at each request.
    keep: f64,
}

impl AccrualCell {
    /// Whether requests should go there.
    #[must_use]
    pub fn status(&self, now_ns: u64) -> Status {
        self.gate.status(now_ns).max(self.connects.status(now_ns))
    }

    /// The state of failure accrual, for people.
    #[must_use]
    pub fn state(&self, now_ns: u64) -> State {
        self.gate.state(now_ns)
    }

    /// Makes the picked request the probe if one is due. Of all shards that ask, one hears yes.
    #[must_use]
    pub fn begin_probe(&self, now_ns: u64) -> bool {
        let accrual = self.gate.begin_probe(now_ns);
        self.connects.begin_probe(now_ns) || accrual
    }

    /// A request ended without telling anything of the endpoint.
    pub fn on_ignored(&self, is_probe: bool) {
        if is_probe {
            self.gate.release();
            self.connects.release();
        }
    }

    fn reset(&self, now_ns: u64) {
        self.failures.store(0, Relaxed);
        self.rate.reset();
        self.volume.reset();
        self.alive_since.store(now_ns.max(1), Relaxed);
    }

    fn alive_for(&self, now_ns: u64) -> u64 {
        match self.alive_since.load(Relaxed) {
            0 => {
                let now = now_ns.max(1);
                let swap = self.alive_since.compare_exchange(0, now, Relaxed, Relaxed);
                now_ns.saturating_sub(swap.err().unwrap_or(now))
            }
            since => now_ns.saturating_sub(since),
        }
    }
}

impl Accrual {
    #[must_use]
    pub fn new(config: &AccrualConfig) -> Accrual {
        let keep = match config.policy {
            AccrualPolicy::SuccessRate { requests, .. } => (-1.0 / f64::from(requests)).exp(),
            _ => 0.0,
        };
        Accrual {
            policy: config.policy,
            backoff: config.backoff,
            keep,
        }
    }

    /// A request succeeded. True if that revived the endpoint.
    pub fn on_success(&self, cell: &AccrualCell, now_ns: u64, is_probe: bool) -> bool {
        if is_probe {
            // It may have been sent on a connection that was there.
            cell.connects.open_at_once();
        }
        if cell.gate.state(now_ns) != State::Alive {
            return is_probe && cell.gate.revive(|| cell.reset(now_ns));
        }
        match self.policy {
            AccrualPolicy::ConsecutiveFailures { .. } => {
                // Reads first: the usual case must not take the line away from the other cores.
                if cell.failures.load(Relaxed) != 0 {
                    cell.failures.store(0, Relaxed);
                }
            }
            AccrualPolicy::SuccessRate { requests, .. } => {
                cell.rate.observe_next(1.0, self.keep, cap(requests));
            }
            AccrualPolicy::SuccessRateWindowed { window_secs, .. } => {
                observe(cell, now_ns, 1.0, window_secs);
            }
            AccrualPolicy::None => {}
        }
        false
    }

    /// A request succeeded that was sent although the endpoint was Busy, not as a probe. True if that
    /// revived the endpoint.
    pub fn on_success_despite(&self, cell: &AccrualCell, now_ns: u64) -> bool {
        let connects = cell.connects.open_at_once();
        cell.gate.open_after(|| cell.reset(now_ns)) || connects
    }

    /// A request failed, by the classifier or for want of a connection (then tell
    /// [`super::fail_fast::FailFast`] first, if there is one). Says so if that ejected the endpoint,
    /// by 64 random bits for the backoff's jitter.
    pub fn on_failure(
        &self,
        cell: &AccrualCell,
        now_ns: u64,
        random: u64,
        is_probe: bool,
    ) -> Option<Ejected> {
        if is_probe {
            // If it failed otherwise than by a connect, it says nothing of connects.
            cell.connects.release();
        }
        let from = if cell.gate.state(now_ns) == State::Alive {
            if !self.is_fatal(cell, now_ns) {
                return None;
            }
            State::Alive
        } else if is_probe {
            State::ProbeClosed
        } else {
            return None;
        };
        cell.gate.eject(from, now_ns, &self.backoff, random)
    }

    /// Counts a failure; whether it is the one that kills.
    fn is_fatal(&self, cell: &AccrualCell, now_ns: u64) -> bool {
        match self.policy {
            AccrualPolicy::ConsecutiveFailures { failures } => {
                cell.failures.fetch_add(1, Relaxed).saturating_add(1) >= failures
            }
            AccrualPolicy::SuccessRate {
                success_rate,
                requests,
            } => {
                let average = cell.rate.observe_next(0.0, self.keep, cap(requests));
                average.stamp >= cap(requests) && average.value < success_rate
            }
            AccrualPolicy::SuccessRateWindowed {
                success_rate,
                window_secs,
            } => {
                let (rate, is_enough) = observe(cell, now_ns, 0.0, window_secs);
                is_enough && rate < success_rate
            }
            AccrualPolicy::None => false,
        }
    }
}

/// Takes in a result; the rate, and whether there is enough to judge by it.
fn observe(cell: &AccrualCell, now_ns: u64, sample: f64, window_secs: u32) -> (f64, bool) {
    let window_ns = u64::from(window_secs) * NS_PER_SEC;
    let are_enough = cell.volume.record(now_ns, window_ns, ENOUGH_REQUESTS);
    let has_passed = cell.alive_for(now_ns) >= window_ns;
    let average = cell.rate.observe_at(now_ns, sample, window_ns);
    (average.value, are_enough && has_passed)
}

fn cap(requests: u32) -> u32 {
    requests.clamp(1, MOST_SAMPLES)
}

#[cfg(test)]
mod tests;
