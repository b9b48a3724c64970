//! Failure accrual: by what a replica is judged, and for how long it is then left alone.

use super::cursor::{Cursor, open_kind};
use super::keys::policy as keys;
use super::retries::backoff;
use super::value::Value;
use crate::resilience::accrual::{AccrualConfig, AccrualPolicy};

/// Within what the average can count.
const MOST_REQUESTS: u64 = 10_000_000;
/// A day: a rate over longer says nothing of now.
const LONGEST_WINDOW_SECS: u64 = 86_400;

pub fn accrual(value: Value<'_>) -> Option<AccrualConfig> {
    let (kind, mut block) = open_kind(value, &keys::ACCRUALS, None)?;
    let policy = match kind {
        "io.l5d.successRate" => success_rate(&mut block),
        "io.l5d.successRateWindowed" => success_rate_windowed(&mut block),
        "none" => Some(AccrualPolicy::None),
        _ => Some(AccrualPolicy::ConsecutiveFailures {
            failures: block.int("failures", 1..=1_000_000, 5),
        }),
    };
    let waits = block.get("backoff").and_then(backoff);
    block.finish();
    Some(AccrualConfig {
        policy: policy?,
        backoff: waits.unwrap_or(AccrualConfig::default().backoff),
    })
}

fn success_rate(block: &mut Cursor<'_>) -> Option<AccrualPolicy> {
    let rate = rate(block);
    let requests = block.required("requests", "the number of requests that it looks at");
    let requests = requests?.int(1..=MOST_REQUESTS)?;
    Some(AccrualPolicy::SuccessRate {
        success_rate: rate?,
        requests: u32::try_from(requests).ok()?,
    })
}

fn success_rate_windowed(block: &mut Cursor<'_>) -> Option<AccrualPolicy> {
    let rate = rate(block);
    let window = block.required("window", "the seconds that it looks at");
    let window = window?.int(1..=LONGEST_WINDOW_SECS)?;
    Some(AccrualPolicy::SuccessRateWindowed {
        success_rate: rate?,
        window_secs: u32::try_from(window).ok()?,
    })
}

fn rate(block: &mut Cursor<'_>) -> Option<f64> {
    let help = "the share of successes that a replica needs, from 0 to 1";
    block.required("successRate", help)?.decimal(0.0..=1.0)
}
