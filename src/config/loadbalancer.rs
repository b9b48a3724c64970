//! Load balancers: a kind, and what all kinds have in common.

use super::cursor::{Cursor, open_kind};
use super::identifier::{header, token};
use super::keys::policy as keys;
use super::resolved::HashKey;
use super::value::{Value, shown};
use crate::balance::{Aperture, BalancerConfig, Kind, RingHash};

/// More would be more than there can be in flight.
const MOST_LOAD: f64 = 1_000_000.0;

/// A balancer, and what it hashes by.
pub fn balancer(value: Value<'_>) -> Option<(BalancerConfig, Option<HashKey>)> {
    let (kind, mut block) = open_kind(value, &keys::BALANCERS, None)?;
    let mut hash = None;
    let kind = match kind {
        "ewma" => Kind::Ewma {
            decay: block.ms("decayTimeMs", 10_000),
        },
        "aperture" => Kind::Aperture(aperture(&mut block)),
        "heap" => Kind::Heap,
        "roundRobin" => Kind::RoundRobin,
        "ringHash" => {
            let help =
                "what like requests have in common: path, client, {header: NAME} or {cookie: NAME}";
            hash = block.required("hashBy", help).and_then(hash_by);
            Kind::RingHash(ring(&mut block))
        }
        _ => Kind::P2c,
    };
    let default = BalancerConfig::default();
    let percent = block.get("panicThresholdPercent");
    let percent = percent.and_then(|value| value.int(0..=100));
    let config = BalancerConfig {
        kind,
        max_effort: block.int("maxEffort", 1..=1000, default.max_effort),
        slow_start: block.opt_ms("slowStartMs"),
        prefer_zone: None,
        panic_threshold: percent.map_or(default.panic_threshold, |n| n as f64 / 100.0),
    };
    block.finish();
    Some((config, hash))
}

fn aperture(block: &mut Cursor<'_>) -> Aperture {
    let default = Aperture::default();
    let (low, high) = (
        block.decimal("lowLoad", 0.0..=MOST_LOAD),
        block.decimal("highLoad", 0.0..=MOST_LOAD),
    );
    let (low_load, high_load) = (
        low.unwrap_or(default.low_load),
        high.unwrap_or(default.high_load),
    );
    if low_load >= high_load {
        let (key, message) = match high {
            Some(_) => (
                "highLoad",
                format!("{high_load} is not more than `lowLoad`, which is {low_load}"),
            ),
            None => (
                "lowLoad",
                format!("{low_load} is not less than `highLoad`, which is {high_load}"),
            ),
        };
        block.get(key).inspect(|value| value.wrong(message));
    }
    Aperture {
        smooth_window: block
            .opt_ms("smoothWindowMs")
            .unwrap_or(default.smooth_window),
        low_load,
        high_load,
        min_aperture: block.int("minAperture", 1..=1_000_000, default.min_aperture),
    }
}

fn ring(block: &mut Cursor<'_>) -> RingHash {
    let default = RingHash::default();
    // At 1 everybody has to have the same number of requests: nothing is left for the hash to say.
    let factor = block.decimal("loadFactor", 1.01..=1000.0);
    RingHash {
        virtual_nodes: block.int("virtualNodes", 1..=10_000, default.virtual_nodes),
        load_factor: factor.unwrap_or(default.load_factor),
    }
}

fn hash_by(value: Value<'_>) -> Option<HashKey> {
    if !value.is_map() {
        return match value.text("path, client or a map")? {
            "path" => Some(HashKey::Path),
            "client" => Some(HashKey::Client),
            other => {
                let message = format!("requests have no `{}` to hash by", shown(other));
                value.wrong_help(message, "path, client, {header: NAME} or {cookie: NAME}");
                None
            }
        };
    }
    let mut block = Cursor::open(value.clone(), &keys::HASH_BY);
    let given = (block.get("header"), block.get("cookie"));
    block.finish();
    match given {
        (Some(name), None) => header(&name).map(HashKey::Header),
        (None, Some(name)) => token(&name, "cookie").map(HashKey::Cookie),
        _ => {
            value.wrong("one of `header` and `cookie`");
            None
        }
    }
}
