//! Trying again: what pays for it, and how long to wait before.

use super::cursor::{Cursor, MOST, open_kind};
use super::keys::policy as keys;
use super::value::Value;
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::BudgetConfig;

/// Retries per request at most, in Finagle, too.
const MOST_RETRIES: f64 = 1000.0;

pub fn budget(value: Value<'_>) -> BudgetConfig {
    let mut block = Cursor::open(value, &keys::BUDGET);
    let default = BudgetConfig::default();
    let share = block.decimal("percentCanRetry", 0.0..=MOST_RETRIES);
    let budget = BudgetConfig {
        ttl_secs: block.int("ttlSecs", 1..=60, default.ttl_secs),
        min_retries_per_sec: block.int("minRetriesPerSec", 0..=MOST, default.min_retries_per_sec),
        percent_can_retry: share.unwrap_or(default.percent_can_retry),
    };
    block.finish();
    budget
}

pub fn backoff(value: Value<'_>) -> Option<Backoff> {
    let (kind, mut block) = open_kind(value, &keys::BACKOFFS, None)?;
    let backoff = match kind {
        "jittered" => jittered(&mut block),
        _ => Some(Backoff::Constant {
            ms: block.int("ms", 0..=MOST, 0),
        }),
    };
    block.finish();
    backoff
}

fn jittered(block: &mut Cursor<'_>) -> Option<Backoff> {
    let min = block.required("minMs", "the first wait");
    let max = block.required("maxMs", "the longest wait");
    // From 0 it would never grow.
    let min = min.and_then(|value| value.int(1..=MOST));
    let (min_ms, value) = (min?, max?);
    let max_ms = value.int(1..=MOST)?;
    if min_ms > max_ms {
        value.wrong(format!("{max_ms} is less than `minMs`, which is {min_ms}"));
        return None;
    }
    Some(Backoff::Jittered { min_ms, max_ms })
}
