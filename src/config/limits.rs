//! Limits on the requests of a server or a service: as given, and in the language of the file.
//!
//! Both have the same ones, so that one piece of the data path keeps them. A service is given each by
//! itself, since entries by prefix override single parameters.

use serde_json::{Value as Json, json};

use super::cursor::{Cursor, MOST, open_kind};
use super::identifier::header;
use super::keys::limits as keys;
use super::value::{Value, shown};
use crate::resilience::admission::AdmissionConfig;
use crate::resilience::codel::CodelConfig;
use crate::resilience::limit::LimitConfig;
use crate::resilience::rate::RateConfig;

/// More at once, or in a second, than a machine takes.
const MOST_REQUESTS: u64 = 1_000_000;
/// A day.
const LONGEST_SECS: u64 = 86_400;
/// The longest that a bucket may take to fill: 30 days.
const LONGEST_FILL_SECS: u64 = 30 * LONGEST_SECS;
/// A service that may be slower by more has no limit.
const MOST_TOLERANCE: f64 = 100.0;
/// A minute: a limit that moves more slowly follows nothing.
const LONGEST_WINDOW_MS: u64 = 60_000;
/// Keys of one table: 32 MiB.
const MOST_KEYS: u64 = 1 << 22;

/// What bounds the requests of a server or a service. By default nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// How often a key may ask.
    pub rate: Option<RateLimit>,
    /// Requests served at once, and those that wait for a place; more are refused.
    pub admission: AdmissionConfig,
    /// How many are served at once by how long they take; within the limit above.
    pub adaptive: Option<LimitConfig>,
    /// How those that wait for a place are dealt with; without it the longest is served first, and
    /// each waits as long as it may.
    pub codel: Option<CodelConfig>,
}

/// How often requests that have something in common may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    pub by: RateKey,
    /// In `per_ms` are whole seconds.
    pub rate: RateConfig,
}

/// What requests have in common that count together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// That they are requests.
    Everything,
    /// The client's address; of IPv6 its network of 64 bits, which one client has whole.
    Client,
    /// The path, without the query.
    Path,
    /// The value of a header. Those without it count together.
    Header(String),
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.rate.is_none() && !self.are_on_places()
    }

    /// Whether a request needs a place.
    #[must_use]
    pub fn are_on_places(&self) -> bool {
        self.admission.max_concurrent < u32::MAX || self.adaptive.is_some()
    }
}

impl RateLimit {
    /// In the language of the file.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let by = match &self.by {
            RateKey::Everything => json!("everything"),
            RateKey::Client => json!("client"),
            RateKey::Path => json!("path"),
            RateKey::Header(name) => json!({ "header": name }),
        };
        json!({
            "requests": self.rate.requests,
            "perSecs": self.seconds(),
            "burst": self.rate.burst,
            "by": by,
            "maxKeys": self.rate.keys,
        })
    }

    /// The time in which so many requests may come.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.rate.per_ms / 1000
    }
}

/// What a server's block says.
pub fn limits(block: &mut Cursor<'_>) -> Limits {
    let (max_concurrent, max_pending) = places(block, true);
    let default = AdmissionConfig::default();
    Limits {
        rate: block.get("rateLimit").and_then(rate_limit),
        admission: AdmissionConfig {
            max_concurrent: max_concurrent.unwrap_or(default.max_concurrent),
            max_pending: max_pending.unwrap_or(default.max_pending),
        },
        adaptive: block.get("adaptiveLimit").and_then(adaptive_limit),
        codel: queue(block, max_pending, true).flatten(),
    }
}

/// Requests at once, and those that wait. `whole`: nobody else can say what is not said here.
pub fn places(block: &mut Cursor<'_>, whole: bool) -> (Option<u32>, Option<u32>) {
    let (concurrent, pending) = (
        block.get("maxConcurrentRequests"),
        block.get("maxPendingRequests"),
    );
    let is_limited = concurrent.is_some() || block.get("adaptiveLimit").is_some();
    let read = |value: &Option<Value<'_>>, least| {
        let count = value.as_ref()?.int(least..=MOST)?;
        u32::try_from(count).ok()
    };
    let counts = (read(&concurrent, 1), read(&pending, 0));
    if let Some(value) = pending
        && whole
        && !is_limited
        && counts.1 > Some(0)
    {
        value.wrong("nobody waits without `maxConcurrentRequests` or `adaptiveLimit`");
    }
    counts
}

/// The `queue` of a block: what CoDel goes by, if it is that.
pub fn queue(
    block: &mut Cursor<'_>,
    max_pending: Option<u32>,
    whole: bool,
) -> Option<Option<CodelConfig>> {
    let value = block.get("queue")?;
    if whole && max_pending.unwrap_or_default() == 0 {
        value.wrong("nobody waits without `maxPendingRequests`");
    }
    let (kind, mut block) = open_kind(value.clone(), &keys::QUEUES, None)?;
    if kind != "codel" {
        block.finish();
        return Some(None);
    }
    let default = CodelConfig::default();
    let config = CodelConfig {
        target_ms: block.int("targetMs", 1..=MOST, default.target_ms),
        interval_ms: block.int("intervalMs", 1..=MOST, default.interval_ms),
    };
    block.finish();
    let (target, interval) = (config.target_ms, config.interval_ms);
    if interval < 2 * target {
        value.wrong(format!(
            "`intervalMs` is {interval}, and less than two times `targetMs`, which is {target}"
        ));
    }
    Some(Some(config))
}

/// In the language of the file.
pub fn queue_to_json(codel: Option<&CodelConfig>) -> Json {
    match codel {
        None => json!({ "kind": "fifo" }),
        Some(CodelConfig {
            target_ms,
            interval_ms,
        }) => json!({ "kind": "codel", "targetMs": target_ms, "intervalMs": interval_ms }),
    }
}

/// The `adaptiveLimit` of a block.
pub fn adaptive_limit(value: Value<'_>) -> Option<LimitConfig> {
    let mut block = Cursor::open(value.clone(), &keys::ADAPTIVE_LIMIT);
    let default = LimitConfig::default();
    let (min, max) = (
        block.int("min", 1..=MOST, default.min),
        block.int("max", 1..=MOST, default.max),
    );
    let initial = block.int(
        "initial",
        1..=MOST,
        default.initial.clamp(min, max.max(min)),
    );
    let tolerance = block.decimal("tolerance", 1.0..=MOST_TOLERANCE);
    let window: u64 = block.int("windowMs", 1..=LONGEST_WINDOW_MS, default.window_ms);
    let baseline = block.int("baselineSecs", 1..=LONGEST_SECS, default.baseline_secs);
    block.finish();
    if !(min..=max).contains(&initial) {
        value.wrong(format!(
            "`initial` is {initial}, and not within `min` to `max`: {min} to {max}"
        ));
    }
    Some(LimitConfig {
        min,
        max,
        initial,
        tolerance: tolerance.unwrap_or(default.tolerance),
        window_ms: window,
        baseline_secs: baseline,
        ..default
    })
}

/// In the language of the file.
pub fn adaptive_to_json(limit: &LimitConfig) -> Json {
    json!({
        "min": limit.min,
        "max": limit.max,
        "initial": limit.initial,
        "tolerance": limit.tolerance,
        "windowMs": limit.window_ms,
        "baselineSecs": limit.baseline_secs,
    })
}

/// The `rateLimit` of a block.
pub fn rate_limit(value: Value<'_>) -> Option<RateLimit> {
    let mut block = Cursor::open(value.clone(), &keys::RATE_LIMIT);
    let requests = block.required(
        "requests",
        "how many may come in `perSecs`, a second by default",
    );
    let requests = requests.and_then(|value| value.int(1..=MOST_REQUESTS));
    let seconds: u64 = block.int("perSecs", 1..=LONGEST_SECS, 1);
    let burst = block.get("burst").map(|value| value.int(1..=MOST_REQUESTS));
    let keys: u32 = block.int("maxKeys", 1..=MOST_KEYS, RateConfig::default().keys);
    let by = match block.get("by") {
        None => Some(RateKey::Everything),
        Some(value) => key(value),
    };
    block.finish();
    let requests = requests?;
    let burst = burst.unwrap_or(Some(requests))?;
    if burst * seconds / requests > LONGEST_FILL_SECS {
        value.wrong(format!(
            "{burst} at once would take {} days to be allowed again: 30 at most",
            burst * seconds / requests / 86_400
        ));
    }
    Some(RateLimit {
        by: by?,
        rate: RateConfig {
            requests: u32::try_from(requests).ok()?,
            per_ms: seconds * 1000,
            burst: u32::try_from(burst).ok()?,
            keys,
        },
    })
}

fn key(value: Value<'_>) -> Option<RateKey> {
    let help = "everything, client, path or {header: NAME}";
    if value.is_map() {
        let mut block = Cursor::open(value, &keys::RATE_BY);
        let name = block.required("header", "the name of a header");
        block.finish();
        return header(&name?).map(RateKey::Header);
    }
    match value.text(help)? {
        "everything" => Some(RateKey::Everything),
        "client" => Some(RateKey::Client),
        "path" => Some(RateKey::Path),
        other => {
            let message = format!("requests do not count together by `{}`", shown(other));
            value.wrong_help(message, help);
            None
        }
    }
}
