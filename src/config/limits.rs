//! Limits on the requests of a server or a service: as given, and in the language of the file.
//!
//! Both have the same ones, so that one piece of the data path keeps them. A service is given each by
//! itself, since entries by prefix override single parameters.

use serde_json::{Value as Json, json};

use super::cursor::Cursor;
use super::identifier::header;
use super::keys::limits as keys;
use super::value::{Value, shown};
use crate::resilience::admission::AdmissionConfig;
use crate::resilience::rate::RateConfig;

/// More at once, or in a second, than a machine takes.
const MOST_REQUESTS: u64 = 1_000_000;
/// A day.
const LONGEST_SECS: u64 = 86_400;
/// The longest that a bucket may take to fill: 30 days.
const LONGEST_FILL_SECS: u64 = 30 * LONGEST_SECS;
/// Keys of one table: 32 MiB.
const MOST_KEYS: u64 = 1 << 22;

/// What bounds the requests of a server or a service. By default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// How often a key may ask.
    pub rate: Option<RateLimit>,
    /// Requests served at once, and those that wait for a place; more are refused.
    pub admission: AdmissionConfig,
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
        self.admission.max_concurrent < u32::MAX
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
