//! What a run came to.

use hdrhistogram::Histogram;

use super::clock::{MS, SEC};
use super::world::{Call, Plan};

/// Counts of one step of time.
#[derive(Clone, Copy, Default)]
pub struct Step {
    pub succeeded: u64,
    pub failed: u64,
    /// Attempts at the last tier.
    pub attempts: u64,
    pub retries: u64,
    /// Sum of the latencies of what succeeded, ns.
    pub latency: u64,
}

/// Of one tier.
#[derive(Clone, Copy, Default)]
pub struct TierStats {
    pub calls: u64,
    pub attempts: u64,
    /// Work that was done, ns.
    pub work: u64,
    /// Of that, for clients that had gone.
    pub wasted: u64,
}

/// Calls of clients that began while it counted, and everything over time.
pub struct Stats {
    pub succeeded: u64,
    pub failed: u64,
    /// Of those that succeeded, ns.
    pub latency: Histogram<u64>,
    pub tiers: Vec<TierStats>,
    /// By [`Stats::STEP`], when clients got their answers.
    pub steps: Vec<Step>,
    counts_from: u64,
    length: u64,
}

impl Stats {
    pub const STEP: u64 = 100 * MS;

    pub fn new(plan: &Plan) -> Stats {
        let steps = (plan.length / Stats::STEP + 1) as usize;
        Stats {
            succeeded: 0,
            failed: 0,
            latency: Histogram::new_with_bounds(1, 1_000 * SEC, 3).expect("bounds"),
            tiers: vec![TierStats::default(); plan.tiers.len()],
            steps: vec![Step::default(); steps],
            counts_from: plan.counts_from,
            length: plan.length,
        }
    }

    pub fn called(&mut self, tier: usize, counts: bool) {
        self.tiers[tier].calls += u64::from(counts);
    }

    pub fn attempted(&mut self, tier: usize, elapsed: u64, counts: bool) {
        self.tiers[tier].attempts += u64::from(counts);
        if tier + 1 == self.tiers.len() {
            self.step(elapsed).attempts += 1;
        }
    }

    pub fn retried(&mut self, elapsed: u64) {
        self.step(elapsed).retries += 1;
    }

    pub fn worked(&mut self, tier: usize, work: u64, was_late: bool) {
        self.tiers[tier].work += work;
        self.tiers[tier].wasted += if was_late { work } else { 0 };
    }

    pub fn finished(&mut self, call: &Call, succeeded: bool, now: u64) {
        let latency = now - call.started;
        let step = self.step(now - SEC);
        step.succeeded += u64::from(succeeded);
        step.failed += u64::from(!succeeded);
        step.latency += if succeeded { latency } else { 0 };
        let began = call.started - SEC;
        if !(self.counts_from..self.length).contains(&began) {
            return;
        }
        if succeeded {
            self.succeeded += 1;
            self.latency.saturating_record(latency);
        } else {
            self.failed += 1;
        }
    }

    /// In ms.
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / MS as f64
    }

    pub fn success_rate(&self) -> f64 {
        self.succeeded as f64 / (self.succeeded + self.failed).max(1) as f64
    }

    /// Attempts at the last tier per call of a client.
    pub fn amplification(&self) -> f64 {
        let (first, last) = (&self.tiers[0], &self.tiers[self.tiers.len() - 1]);
        last.attempts as f64 / first.calls.max(1) as f64
    }

    fn step(&mut self, elapsed: u64) -> &mut Step {
        let at = (elapsed / Stats::STEP) as usize;
        let last = self.steps.len() - 1;
        &mut self.steps[at.min(last)]
    }
}
