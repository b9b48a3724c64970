//! When requests are hedged, from the file.

use serde_json::{Value as Json, json};

use super::cursor::{Cursor, MOST};
use super::keys::policy as keys;
use super::value::Value;
use crate::resilience::hedge::HedgeConfig;

/// A percentile below this would hedge the half of all requests, and one of 100 none.
const PERCENTILES: std::ops::RangeInclusive<f64> = 50.0..=99.99;
/// An hour.
const LONGEST_MS: u64 = 3_600_000;
const MOST_SAMPLES: u64 = 1_000_000;

/// The `hedge` of a service.
pub fn hedge(value: Value<'_>) -> Option<HedgeConfig> {
    let mut block = Cursor::open(value.clone(), &keys::HEDGE);
    let default = HedgeConfig::default();
    let percentile = block.decimal("percentile", PERCENTILES);
    let min_delay_ms = block.int("minDelayMs", 0..=LONGEST_MS, default.min_delay_ms);
    let max_delay_ms = block.int("maxDelayMs", 1..=LONGEST_MS, default.max_delay_ms);
    let least = u64::from(default.min_samples);
    let samples: u64 = block.int("minSamples", 1..=MOST_SAMPLES.min(MOST), least);
    block.finish();
    if min_delay_ms > max_delay_ms {
        value.wrong(format!(
            "`minDelayMs` is {min_delay_ms}, more than `maxDelayMs`: {max_delay_ms}"
        ));
    }
    Some(HedgeConfig {
        percentile: percentile.map_or(default.percentile, |percent| percent / 100.0),
        min_samples: u32::try_from(samples).unwrap_or(u32::MAX),
        min_delay_ms,
        max_delay_ms,
    })
}

/// In the language of the file.
pub fn to_json(hedge: &HedgeConfig) -> Json {
    json!({
        "percentile": (hedge.percentile * 100.0 * 1e5).round() / 1e5,
        "minDelayMs": hedge.min_delay_ms,
        "maxDelayMs": hedge.max_delay_ms,
        "minSamples": hedge.min_samples,
    })
}
