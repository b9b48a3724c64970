//! The rule by which an adaptive limit moves, one window at a time.
//!
//! ```text
//!  gradient = tolerance · baseline / mean, from 0.5 to 1
//!  limit   += smoothing · (limit · gradient + √limit − limit)
//! ```
//!
//! It settles where the mean is about the tolerance times the baseline. The square root, as headroom,
//! grows with the limit but slower: large limits find more room in larger steps, and their latency
//! does not suffer for it. The gradient's floor keeps one bad window from halving the traffic.
//!
//! A window in which less than half of the limit was on its way says what the service is like
//! without a queue, and nothing of the limit. If there was none for long, a probe finds out: it
//! halves the limit, waits until no more than that are on their way, and measures; if that was
//! faster by a fifth, there was still a queue, and it halves again. So a baseline that was learnt
//! under load costs one probe, however wrong it is.

use super::super::draw::fraction;
use super::LimitConfig;

const NS_PER_SEC: f64 = 1_000_000_000.0;
const LEAST_GRADIENT: f64 = 0.5;
/// A probe goes on as long as the mean is less than this part of the last one.
const FELL: f64 = 0.8;
/// Windows in which a probe waits for what was on its way before: streams may be there for hours.
const MOST_DRAINS: u32 = 10;
/// The most responses that a probe measures by.
const ENOUGH: u32 = 50;

/// Words of a [`Gradient`] in atomics.
pub const WORDS: usize = 6;

/// What a window saw.
#[derive(Clone, Copy, Debug)]
pub struct WindowSample {
    /// The mean latency, more than 0.
    pub mean_ns: f64,
    /// The most that were on their way at once.
    pub most_in_flight: u32,
}

/// The state of the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient {
    limit: f64,
    /// The latency without a queue; 0 if nothing is known.
    pub baseline_ns: f64,
    /// When to find out again.
    due_ns: u64,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Probe {
    limit: f64,
    /// The mean at twice this limit.
    last_ns: f64,
    /// Windows to wait at most; 0 if this one measures.
    drains: u32,
}

impl Gradient {
    #[must_use]
    pub fn new(config: &LimitConfig) -> Gradient {
        Gradient {
            limit: within(config, f64::from(config.initial)),
            baseline_ns: 0.0,
            due_ns: 0,
            probe: None,
        }
    }

    /// The limit that holds: a probe's while there is one.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.probe.map_or(self.limit, |probe| probe.limit) as u32
    }

    /// Responses that the next window needs. A probe measures by more than others, but not for many
    /// times its latency.
    #[must_use]
    pub fn needed(&self, config: &LimitConfig) -> u32 {
        let is_measuring = self.probe.is_some_and(|probe| probe.drains == 0);
        let more = if is_measuring {
            self.current().min(ENOUGH)
        } else {
            0
        };
        config.min_samples.max(more).max(1)
    }

    /// Takes in a window.
    pub fn step(&mut self, config: &LimitConfig, sample: WindowSample, now_ns: u64, random: u64) {
        if let Some(probe) = self.probe {
            self.probe = self.probed(probe, config, sample, now_ns, random);
            return;
        }
        let is_light = f64::from(sample.most_in_flight) < self.limit / 2.0;
        if is_light {
            let way = if self.baseline_ns > 0.0 {
                config.smoothing
            } else {
                1.0
            };
            self.baseline_ns += way * (sample.mean_ns - self.baseline_ns);
            self.renew(config, now_ns, random);
        } else if self.baseline_ns <= 0.0 {
            // Better than nothing, and to be found out at once.
            self.baseline_ns = sample.mean_ns;
            self.due_ns = now_ns;
        } else if now_ns >= self.due_ns {
            self.probe = Some(Probe {
                limit: within(config, self.limit / 2.0),
                last_ns: sample.mean_ns,
                drains: MOST_DRAINS,
            });
        } else {
            let gradient = config.tolerance * self.baseline_ns / sample.mean_ns.max(1.0);
            let gradient = gradient.clamp(LEAST_GRADIENT, 1.0);
            let wanted = self.limit * gradient + self.limit.sqrt();
            let next = self.limit + config.smoothing * (wanted - self.limit);
            self.limit = within(config, next);
        }
    }

    fn probed(
        &mut self,
        probe: Probe,
        config: &LimitConfig,
        sample: WindowSample,
        now_ns: u64,
        random: u64,
    ) -> Option<Probe> {
        if probe.drains > 0 {
            let is_drained = f64::from(sample.most_in_flight) <= probe.limit;
            let drains = if is_drained { 0 } else { probe.drains - 1 };
            return Some(Probe { drains, ..probe });
        }
        let half = within(config, probe.limit / 2.0);
        if sample.mean_ns < FELL * probe.last_ns && half < probe.limit {
            return Some(Probe {
                limit: half,
                last_ns: sample.mean_ns,
                drains: MOST_DRAINS,
            });
        }
        self.baseline_ns = sample.mean_ns.min(probe.last_ns);
        self.renew(config, now_ns, random);
        None
    }

    /// Puts off the next probe.
    fn renew(&mut self, config: &LimitConfig, now_ns: u64, random: u64) {
        let seconds = f64::from(config.baseline_secs) * (1.0 + config.jitter * fraction(random));
        self.due_ns = now_ns.saturating_add((seconds * NS_PER_SEC) as u64);
    }

    pub(super) fn to_words(self) -> [u64; WORDS] {
        let probe = self.probe.unwrap_or(Probe {
            limit: 0.0,
            last_ns: 0.0,
            drains: 0,
        });
        [
            self.limit.to_bits(),
            self.baseline_ns.to_bits(),
            self.due_ns,
            probe.limit.to_bits(),
            probe.last_ns.to_bits(),
            u64::from(probe.drains),
        ]
    }

    pub(super) fn from_words(words: [u64; WORDS]) -> Gradient {
        let [limit, baseline_ns, due_ns, probe_limit, last_ns, drains] = words;
        let probe = Probe {
            limit: f64::from_bits(probe_limit),
            last_ns: f64::from_bits(last_ns),
            drains: drains as u32,
        };
        Gradient {
            limit: f64::from_bits(limit),
            baseline_ns: f64::from_bits(baseline_ns),
            due_ns,
            // A limit is never 0.
            probe: (probe.limit > 0.0).then_some(probe),
        }
    }
}

/// The limit is at least 1, whatever is configured: with none, nothing would be learnt any more.
fn within(config: &LimitConfig, limit: f64) -> f64 {
    let least = f64::from(config.min.max(1));
    limit.clamp(least, f64::from(config.max).max(least))
}

#[cfg(test)]
mod tests;
