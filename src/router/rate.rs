//! Rate limits: which requests count together, and what one too many is told.
//!
//! The buckets are one table that all shards share. That of a router's services is one table, too,
//! for all of its names that have the same limit: strangers can make up names, and a table for each
//! would be theirs to fill. Keys are hashed with a secret of this process, so that nobody can choose
//! his to push out others'.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use super::door::Level;
use super::exchange::{Outcome, Walk};
use super::forwarded;
use super::refusal::{Lines, Refusal};
use crate::config::resolved::{RateKey, RateLimit};
use crate::http::RequestHead;
use crate::resilience::rate::{RateLimiter, Rated};

const NS_PER_SEC: u64 = 1_000_000_000;

/// A table of buckets, of one limit.
#[derive(Debug)]
pub struct Rates {
    pub of: RateLimit,
    table: RateLimiter,
    secret: RandomState,
}

impl Rates {
    #[must_use]
    pub fn new(of: &RateLimit) -> Arc<Rates> {
        Arc::new(Rates {
            of: of.clone(),
            table: RateLimiter::new(&of.rate),
            secret: RandomState::new(),
        })
    }

    /// Counts a request of a logical name, empty for those of a server, by what it has in common with
    /// others.
    fn check(&self, name: &[u8], common: Common<'_>, now: u64) -> Rated {
        self.table.check(self.secret.hash_one((name, common)), now)
    }

    /// Keys that were forgotten before their time.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.table.evictions()
    }
}

/// What a request has in common with those that it counts with.
#[derive(Hash)]
enum Common<'h> {
    Nothing,
    Bytes(&'h [u8]),
    V4([u8; 4]),
    /// The first half: what one client is given.
    V6([u8; 8]),
}

fn common<'h>(
    by: &RateKey,
    head: &'h RequestHead,
    client: impl FnOnce() -> Option<IpAddr>,
) -> Common<'h> {
    match by {
        RateKey::Everything => Common::Nothing,
        RateKey::Path => Common::Bytes(head.path()),
        RateKey::Header(name) if name.eq_ignore_ascii_case("host") => {
            Common::Bytes(head.authority())
        }
        RateKey::Header(name) => {
            let value = head.fields.get_named(name.as_bytes());
            value.map_or(Common::Nothing, Common::Bytes)
        }
        RateKey::Client => match client() {
            None => Common::Nothing,
            Some(IpAddr::V4(ip)) => Common::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Common::V6([a, b, c, d, e, f, g, h])
            }
        },
    }
}

impl Walk<'_, '_> {
    /// Counts the request, of this logical name if that is known.
    ///
    /// # Errors
    /// 429 if it is one too many.
    pub(super) fn count(&self, rates: &Rates, level: Level, name: &[u8]) -> Result<(), Outcome> {
        let client = || {
            let (ends, socket) = self.request.ends();
            let peer = ends.peer(socket)?.ip();
            let told = self.by.server.x_forwarded.as_ref();
            Some(told.map_or(peer, |told| {
                forwarded::client(told, &self.head.fields, peer)
            }))
        };
        let common = common(&rates.of.by, self.head, client);
        match rates.check(name, common, self.by.router.shard.now()) {
            Rated::Allowed { .. } => Ok(()),
            Rated::Limited { retry_after_ns } => {
                Err(Outcome::Refused(refusal(&rates.of, level, retry_after_ns)))
            }
        }
    }
}

/// One too many (RFC 6585 §4). The limit is told as draft-ietf-httpapi-ratelimit-headers-10 has it,
/// to strangers, too: they are whom it is about.
fn refusal(of: &RateLimit, level: Level, retry_after_ns: u64) -> Refusal {
    let (whose, reason) = match level {
        Level::Server => ("server", "rate-limited"),
        Level::Service => ("service", "service-rate-limited"),
    };
    let (requests, seconds) = (of.rate.requests, of.seconds());
    let after = retry_after_ns.div_ceil(NS_PER_SEC);
    let text = format!("more than {requests} requests in {seconds} s to this {whose}");
    let mut refusal = Refusal::client(429, reason, text);
    refusal.lines = Lines::Everybody(format!(
        "retry-after: {after}\r\n\
         ratelimit-policy: \"{whose}\";q={requests};w={seconds}\r\n\
         ratelimit: \"{whose}\";r=0;t={after}\r\n"
    ));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::rate::RateConfig;

    fn rates(requests: u32) -> Arc<Rates> {
        Rates::new(&RateLimit {
            by: RateKey::Everything,
            rate: RateConfig {
                requests,
                per_ms: 60_000,
                burst: 1,
                keys: 1 << 16,
            },
        })
    }

    fn is_allowed(rates: &Rates, name: &[u8], common: Common<'_>) -> bool {
        matches!(rates.check(name, common, 0), Rated::Allowed { .. })
    }

    #[test]
    fn names_and_keys_count_apart() {
        let rates = rates(1);
        for name in [&b""[..], b"a", b"ab"] {
            assert!(is_allowed(&rates, name, Common::Nothing));
            assert!(!is_allowed(&rates, name, Common::Nothing));
            for bytes in [&b""[..], b"b", b"bc"] {
                assert!(is_allowed(&rates, name, Common::Bytes(bytes)));
                assert!(!is_allowed(&rates, name, Common::Bytes(bytes)));
            }
        }
    }

    #[test]
    fn what_requests_have_in_common() {
        let mut head = RequestHead::new();
        assert!(head.fields.push(b"X-Key", b"a"));
        let hash = |by: &RateKey, client: &str| {
            let client = client.parse::<IpAddr>().ok();
            let state = RandomState::new();
            let of = |by: &RateKey| state.hash_one(common(by, &head, || client));
            [of(by), of(&RateKey::Everything)]
        };
        let client = |text: &str| match common(&RateKey::Client, &head, || text.parse().ok()) {
            Common::V4(ip) => ip.to_vec(),
            Common::V6(ip) => ip.to_vec(),
            Common::Nothing | Common::Bytes(_) => Vec::new(),
        };
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:2"));
        assert!(client("").is_empty());
        let [absent, everything] = hash(&RateKey::Header("x-other".to_owned()), "");
        assert_eq!(absent, everything);
        let [present, everything] = hash(&RateKey::Header("x-KEY".to_owned()), "");
        assert_ne!(present, everything);
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let refusal = refusal(&rates(7).of, Level::Server, 1_500_000_000);
        assert_eq!((refusal.status, refusal.reason), (429, "rate-limited"));
        let lines = "retry-after: 2\r\nratelimit-policy: \"server\";q=7;w=60\r\n\
                     ratelimit: \"server\";r=0;t=2\r\n";
        assert_eq!(refusal.veiled().lines.as_str(), lines);
    }
}
