//! The nack admission filter: a client whose peers mostly refuse sends them less.
//!
//! A nack is cheap for the one who sends it, but not free: a cluster that is busy refusing gets no
//! work done. So when the share of accepted requests falls below a threshold, a part of the requests
//! is refused here, growing with how far it fell (the client-side throttling of Beyer et al., "Site
//! Reliability Engineering", 2016, chapter 21, as Finagle's `NackAdmissionFilter` has it). A quarter
//! still goes out, or the recovery would never be seen.
//!
//! One filter per client, shared by all shards. The moving average starts at 1, so that the first
//! nack of a quiet client is not the whole truth, and under five requests a second nothing is dropped.

use super::draw::happens;
use super::ema::Ema;
use super::volume::Volume;

const NS_PER_SEC: u64 = 1_000_000_000;
/// The rate is that of this many requests.
const ENOUGH: u8 = 50;

/// When requests are refused without asking.
#[derive(Clone, Debug, PartialEq)]
pub struct NackFilterConfig {
    /// Seconds in which the past fades by e.
    pub window_secs: u32,
    /// The accepted share below which requests are dropped: between 0 and 1.
    pub threshold: f64,
    /// The most that is dropped: 0 to 1.
    pub most_dropped: f64,
    /// Requests a second below which nothing is dropped.
    pub min_per_sec: u32,
}

impl Default for NackFilterConfig {
    fn default() -> Self {
        NackFilterConfig {
            window_secs: 120,
            threshold: 0.5,
            most_dropped: 0.75,
            min_per_sec: 5,
        }
    }
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct NackFilter {
    config: NackFilterConfig,
    window_ns: u64,
    /// The time in which [`ENOUGH`] requests make the least rate.
    volume_ns: u64,
    accepted: Ema,
    volume: Volume,
}

impl NackFilter {
    #[must_use]
    pub fn new(config: &NackFilterConfig) -> NackFilter {
        NackFilter {
            config: config.clone(),
            window_ns: u64::from(config.window_secs) * NS_PER_SEC,
            volume_ns: u64::from(ENOUGH) * NS_PER_SEC / u64::from(config.min_per_sec.max(1)),
            accepted: Ema::default(),
            volume: Volume::default(),
        }
    }

    /// Counts a request and decides by 64 random bits whether it may be sent.
    #[must_use]
    pub fn admits(&self, now_ns: u64, random: u64) -> bool {
        let is_busy = self.volume.record(now_ns, self.volume_ns, ENOUGH);
        let Some(accepted) = self.accepted.get() else {
            self.accepted.observe_at(now_ns, 1.0, self.window_ns);
            return true;
        };
        !(is_busy && happens(random, self.dropped_at(accepted.value)))
    }

    /// Tells how a request that was sent ended: whether it was not nacked.
    pub fn record(&self, now_ns: u64, was_accepted: bool) {
        let sample = if was_accepted { 1.0 } else { 0.0 };
        self.accepted.observe_at(now_ns, sample, self.window_ns);
    }

    /// The share of requests that is refused at present, but for the least rate; for people.
    #[must_use]
    pub fn dropped(&self) -> f64 {
        let accepted = self.accepted.get();
        accepted.map_or(0.0, |accepted| self.dropped_at(accepted.value))
    }

    /// Nothing at the threshold, all (but for the limit) at 0, straight in between.
    fn dropped_at(&self, accepted: f64) -> f64 {
        if accepted < self.config.threshold {
            (1.0 - accepted / self.config.threshold).min(self.config.most_dropped)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::dice;
    use super::*;

    const MS: u64 = 1_000_000;

    fn filter() -> NackFilter {
        NackFilter::new(&NackFilterConfig::default())
    }

    #[test]
    fn drops_by_the_reference() {
        // min(0.75, 1 - 2 · ema) below 0.5.
        let table = [
            (1.0, 0.0),
            (0.5, 0.0),
            (0.45, 0.1),
            (0.25, 0.5),
            (0.2, 0.6),
            (0.125, 0.75),
            (0.0, 0.75),
        ];
        for (accepted, dropped) in table {
            assert!(
                (filter().dropped_at(accepted) - dropped).abs() < 1e-12,
                "{accepted}"
            );
        }
    }

    /// Sends requests of which all are nacked; how many were dropped, second by second.
    fn dropped_per_second(filter: &NackFilter, per_second: u64, seconds: u64) -> Vec<u64> {
        let (mut random, mut now) = (dice(1), 0);
        let second = |_| {
            let mut dropped = 0;
            for _ in 0..per_second {
                now += 1_000 * MS / per_second;
                if filter.admits(now, random()) {
                    filter.record(now, false);
                } else {
                    dropped += 1;
                }
            }
            dropped
        };
        (0..seconds).map(second).collect()
    }

    #[test]
    fn grows_as_the_average_falls() {
        let dropped = dropped_per_second(&filter(), 1_000, 400);
        // e^(-t/120) falls below a half after 83 s, and to an eighth after 250 s.
        assert_eq!(dropped[..80].iter().sum::<u64>(), 0);
        assert!((450..650).contains(&dropped[160]), "{}", dropped[160]);
        assert!(
            dropped[300..].iter().all(|n| (690..810).contains(n)),
            "{dropped:?}"
        );
    }

    #[test]
    fn a_quiet_client_is_left_alone() {
        let dropped = dropped_per_second(&filter(), 4, 600);
        assert_eq!(dropped.iter().sum::<u64>(), 0);
        let dropped = dropped_per_second(&filter(), 7, 600);
        assert!(dropped[500..].iter().sum::<u64>() > 400);
    }

    #[test]
    fn recovers() {
        let filter = filter();
        dropped_per_second(&filter, 100, 600);
        assert!(filter.dropped() > 0.74);
        let mut random = dice(2);
        for n in 0..60_000 {
            let now = (600_000 + n * 5) * MS;
            if filter.admits(now, random()) {
                filter.record(now, true);
            }
        }
        assert_eq!(filter.dropped(), 0.0);
    }

    #[test]
    fn the_first_nack_is_not_the_whole_truth() {
        let filter = filter();
        assert!(filter.admits(0, 0));
        filter.record(MS, false);
        filter.record(2 * MS, false);
        assert_eq!(filter.dropped(), 0.0);
    }
}
