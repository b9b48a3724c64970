//! Faults on purpose, from the file: which requests of a service, and what is done to them.

use serde_json::{Map, Value as Json, json};

use super::cursor::{Cursor, MOST};
use super::keys::limits as keys;
use super::route::{Wanted, conditions};
use super::routes::{headers, methods, path_text};
use super::value::Value;
use crate::resilience::fault::{AbortConfig, DelayConfig, FaultConfig};

/// What is done to a part of the requests that look like this. What it does not speak of may be
/// anything.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// This path and those below it, as a route's: it never ends with a slash.
    pub path: Option<String>,
    /// Any of these; all, if there are none.
    pub methods: Vec<String>,
    /// Each of these.
    pub headers: Vec<(String, Wanted)>,
    pub faults: FaultConfig,
}

impl FaultRule {
    /// In the language of the file.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut wanted = Map::new();
        if let Some(path) = &self.path {
            let path = if path.is_empty() { "/" } else { path };
            wanted.insert("path".into(), json!(path));
        }
        if !self.methods.is_empty() {
            wanted.insert("methods".into(), json!(self.methods));
        }
        if !self.headers.is_empty() {
            wanted.insert("headers".into(), conditions(&self.headers));
        }
        let mut json = Map::new();
        if !wanted.is_empty() {
            json.insert("match".into(), Json::Object(wanted));
        }
        let FaultConfig { abort, delay } = &self.faults;
        if let Some(AbortConfig { fraction, status }) = abort {
            let abort = json!({ "percent": percent(*fraction), "status": status });
            json.insert("abort".into(), abort);
        }
        if let Some(DelayConfig { fraction, ms }) = delay {
            let delay = json!({ "percent": percent(*fraction), "ms": ms });
            json.insert("delay".into(), delay);
        }
        Json::Object(json)
    }
}

/// As it was written: with up to five digits after the point.
fn percent(fraction: f64) -> f64 {
    (fraction * 100.0 * 1e5).round() / 1e5
}

/// The `faults` of a service, in their order.
pub fn faults(value: Value<'_>) -> Vec<FaultRule> {
    let items = value.list().unwrap_or_default().into_iter();
    items.filter_map(rule).collect()
}

fn rule(value: Value<'_>) -> Option<FaultRule> {
    let mut block = Cursor::open(value.clone(), &keys::FAULT);
    let mut wanted = block.block("match", &keys::FAULT_MATCH);
    let path = wanted.get("path").and_then(|value| path_text(&value));
    let methods = wanted.get("methods").map_or_else(Vec::new, |v| methods(&v));
    let headers = wanted.get("headers").map_or_else(Vec::new, |v| headers(&v));
    wanted.finish();
    let (abort, delay) = (block.get("abort"), block.get("delay"));
    block.finish();
    if abort.is_none() && delay.is_none() {
        value.wrong("a fault has an `abort`, a `delay` or both");
    }
    let (abort, delay) = (abort.map(self::abort), delay.map(self::delay));
    Some(FaultRule {
        path: path.map(|text| text.trim_end_matches('/').to_owned()),
        methods,
        headers,
        faults: FaultConfig {
            abort: abort.flatten(),
            delay: delay.flatten(),
        },
    })
}

fn abort(value: Value<'_>) -> Option<AbortConfig> {
    let mut block = Cursor::open(value, &keys::ABORT);
    let fraction = fraction(&mut block);
    let status = block.required("status", "what they are answered with");
    let status = status.and_then(|value| value.int(400..=599));
    block.finish();
    Some(AbortConfig {
        fraction: fraction?,
        status: u16::try_from(status?).ok()?,
    })
}

fn delay(value: Value<'_>) -> Option<DelayConfig> {
    let mut block = Cursor::open(value, &keys::DELAY);
    let fraction = fraction(&mut block);
    let ms = block.required("ms", "how long they wait");
    let ms = ms.and_then(|value| value.int(1..=MOST));
    block.finish();
    Some(DelayConfig {
        fraction: fraction?,
        ms: ms?,
    })
}

fn fraction(block: &mut Cursor<'_>) -> Option<f64> {
    let percent = block.required("percent", "which part of the requests, from 0 to 100");
    percent?.decimal(0.0..=100.0).map(|percent| percent / 100.0)
}
