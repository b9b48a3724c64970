//! Active health checks, from the file.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::cursor::Cursor;
use super::keys::policy as keys;
use super::value::Value;

/// An hour.
const LONGEST_MS: u64 = 3_600_000;
const MOST_IN_A_ROW: u64 = 100;

/// How replicas are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for by GET; without one, that a connection can be made is enough.
    pub path: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// So many in a row that fail, and a replica gets no requests any more.
    pub failures: u32,
    /// So many in a row that succeed, and it does again.
    pub successes: u32,
}

impl HealthCheck {
    /// As it is written in a file.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "path": self.path,
            "intervalMs": self.interval.as_millis() as u64,
            "timeoutMs": self.timeout.as_millis() as u64,
            "failures": self.failures,
            "successes": self.successes,
        })
    }
}

/// The `healthCheck` of a client.
pub fn health_check(value: Value<'_>) -> Option<HealthCheck> {
    let mut block = Cursor::open(value, &keys::HEALTH_CHECK);
    let path = block.get("path").and_then(|value| {
        let text = value.text("a path")?;
        let is_target = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_target {
            value.wrong("no path: it begins with a slash, and has visible ASCII only");
        }
        is_target.then(|| text.to_owned())
    });
    let interval = block.int("intervalMs", 10..=LONGEST_MS, 5_000);
    let timeout = block.int("timeoutMs", 1..=LONGEST_MS, 1_000);
    let failures: u64 = block.int("failures", 1..=MOST_IN_A_ROW, 3);
    let successes: u64 = block.int("successes", 1..=MOST_IN_A_ROW, 1);
    block.finish();
    let few = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Some(HealthCheck {
        path,
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(timeout),
        failures: few(failures),
        successes: few(successes),
    })
}
