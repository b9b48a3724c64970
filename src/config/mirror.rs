//! Dark traffic: a share of a service's requests is sent to another name as well.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::cursor::Cursor;
use super::keys::policy as keys;
use super::value::Value;
use crate::balance::rng::fraction;
use crate::naming::Path;

/// Bytes of one body that may be copied at most, in KiB.
const MOST_BODY_KB: u64 = 16 * 1024;
/// Copies at once at most.
const MOST_CONCURRENT: u64 = 65_536;
/// The longest that one copy may take, in ms.
const LONGEST_MS: u64 = 60_000;

/// What is mirrored where, and what that may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// The logical name that copies go to.
    pub to: Path,
    /// Of a hundred requests, so many.
    pub percent: f64,
    /// Copies at once on one shard, of all services that mirror to this name.
    pub max_concurrent: u32,
    /// A request with a larger body is not mirrored; of an answer no more is read.
    pub body_bytes: usize,
    /// A copy is given up after so long.
    pub timeout: Duration,
}

impl Mirror {
    /// Whether a request is one of those that are mirrored, by 64 random bits.
    #[must_use]
    pub fn draws(&self, random: u64) -> bool {
        fraction(random) * 100.0 < self.percent
    }

    /// As it is written in a file.
    pub fn to_json(&self) -> Json {
        json!({
            "to": self.to.to_string(),
            "percent": self.percent,
            "maxConcurrent": self.max_concurrent,
            "maxBodyKB": self.body_bytes / 1024,
            "timeoutMs": self.timeout.as_millis() as u64,
        })
    }
}

pub fn mirror(value: Value<'_>) -> Option<Mirror> {
    let mut block = Cursor::open(value, &keys::MIRROR);
    let to = block.required("to", "the name that the copies go to, as /svc/dark");
    let to = to.and_then(|value| {
        let path = value.path()?;
        if path.is_empty() {
            value.wrong("no name");
            return None;
        }
        Some(path)
    });
    let percent = block.required("percent", "how many of a hundred requests are mirrored");
    let percent = percent.and_then(|value| value.decimal(0.0..=100.0));
    let max_concurrent = block.int("maxConcurrent", 1..=MOST_CONCURRENT, 64);
    let body_kb: usize = block.int("maxBodyKB", 0..=MOST_BODY_KB, 64);
    let timeout_ms = block.int("timeoutMs", 1..=LONGEST_MS, 1000);
    block.finish();
    Some(Mirror {
        to: to?,
        percent: percent?,
        max_concurrent,
        body_bytes: body_kb * 1024,
        timeout: Duration::from_millis(timeout_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rng::Rng;

    #[test]
    fn a_share_is_drawn() {
        let mut mirror = Mirror {
            to: "/svc/dark".parse().unwrap(),
            percent: 0.0,
            max_concurrent: 1,
            body_bytes: 0,
            timeout: Duration::from_secs(1),
        };
        for (percent, least, most) in [
            (0.0, 0, 0),
            (1.0, 800, 1200),
            (12.5, 12_000, 13_000),
            (100.0, 100_000, 100_000),
        ] {
            mirror.percent = percent;
            let mut rng = Rng::new(7);
            let drawn = (0..100_000).filter(|_| mirror.draws(rng.next_u64()));
            let drawn = drawn.count();
            assert!((least..=most).contains(&drawn), "{percent} %: {drawn}");
        }
    }
}
