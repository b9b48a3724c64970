//! More comes than can be served.

use ringlink::balance::Kind;
use ringlink::resilience::admission::AdmissionConfig;
use ringlink::resilience::codel::CodelConfig;
use ringlink::resilience::limit::LimitConfig;

use super::super::chart::{Chart, Line};
use super::super::clock::{MS, SEC};
use super::super::policy::{Guarding, Policy, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number, percent};
use super::super::server::{Server, Work};
use super::super::world::{Plan, Tier, World};
use super::capacity;

/// Light load until then.
const FROM: u64 = 5 * SEC;
const REPLICAS: usize = 4;
const WORKERS: usize = 4;

pub fn run(scale: Scale) -> Report {
    let length = FROM + scale.of(30, 8) * SEC;
    let guarding = Guarding {
        limit: Some(LimitConfig::default()),
        admission: AdmissionConfig {
            max_pending: 100,
            ..AdmissionConfig::default()
        },
        codel: CodelConfig::default(),
    };
    let limit_only = Guarding {
        admission: AdmissionConfig::default(),
        ..guarding.clone()
    };
    let guards = [
        (
            "ringlink: limit, queue, CoDel",
            Some(guarding.clone()),
            true,
        ),
        ("the same, overloaded from its start", Some(guarding), false),
        ("ringlink: limit alone", Some(limit_only), true),
        ("none", None, true),
    ];
    let capacity = REPLICAS as f64 * capacity(10 * MS, WORKERS);
    let policy = |name, guard| Policy {
        guard,
        total_timeout: SEC,
        ..ringlink(name, Kind::P2c)
    };
    let unloaded = World::run(plan(policy("unloaded", None), 0.3 * capacity, true, length));
    let unloaded = unloaded.stats.percentile(99.0);
    let mut table = Table::new(&[
        "policy",
        "load ÷ capacity",
        "goodput ÷ capacity",
        "admitted p50 ms",
        "p99",
        "p99 ÷ unloaded",
    ]);
    let (mut lines, mut claims) = (Vec::new(), Vec::new());
    for (name, guard, learns) in guards {
        let mut points = Vec::new();
        for load in [0.5, 1.0, 2.0, 5.0, 10.0] {
            let plan = plan(policy(name, guard.clone()), load * capacity, learns, length);
            let seconds = (length - plan.counts_from) as f64 / SEC as f64;
            let stats = World::run(plan).stats;
            let goodput = stats.succeeded as f64 / seconds / capacity;
            let p99 = stats.percentile(99.0) / unloaded;
            points.push((load, 100.0 * goodput));
            table.row(vec![
                name.to_owned(),
                number(load, 1),
                percent(goodput),
                number(stats.percentile(50.0), 1),
                number(stats.percentile(99.0), 1),
                number(p99, 2),
            ]);
            if guard.is_some() && load == 10.0 {
                let says = format!("{name}: goodput at ten times, % of capacity");
                claims.push(Claim::at_least(says, 100.0 * goodput, 80.0));
                let says = format!("{name}: admitted p99 over unloaded");
                claims.push(Claim::at_most(says, p99, 3.0));
            }
        }
        lines.push(Line {
            name: name.to_owned(),
            points,
        });
    }
    let chart = Chart {
        title: "Goodput under overload",
        below: "answers in time (1 s), % of capacity".to_owned(),
        x: "load ÷ capacity",
        y: "%",
        lines,
    };
    Report {
        name: "overload",
        title: "Overload",
        setting: format!(
            "A proxy of four shards before {REPLICAS} replicas of {WORKERS} workers, 10 ms \
             (exponential); clients wait for 1 s, and replicas work for those that are gone. Light load for \
             5 s, then this much. A queue of 100 where there is one. Unloaded p99: {unloaded:.1} ms."
        ),
        tables: vec![table],
        charts: vec![("overload".to_owned(), chart)],
        claims,
    }
}

fn plan(policy: Policy, rate: f64, learns: bool, length: u64) -> Plan {
    let servers = (0..REPLICAS).map(|_| Server::new(Work::Exponential(10 * MS), WORKERS));
    let light = 0.25 * REPLICAS as f64 * capacity(10 * MS, WORKERS);
    Plan {
        seed: 1,
        tiers: vec![Tier {
            policy,
            proxies: 1,
            shards: 4,
            known: REPLICAS,
            servers: servers.collect(),
        }],
        rates: vec![(0, if learns { light } else { rate }), (FROM, rate)],
        length,
        counts_from: FROM + 3 * SEC,
        joins_at: None,
    }
}
