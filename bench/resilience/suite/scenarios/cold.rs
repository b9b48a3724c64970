//! A replica joins, and is slow until it has warmed up.

use std::time::Duration;

use ringlink::balance::{BalancerConfig, Kind};

use super::super::chart::Chart;
use super::super::clock::SEC;
use super::super::policy::{Picks, Policy, others, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number};
use super::super::world::{Plan, World};
use super::{MEAN_NS, WORKERS, capacity, latencies, over_time, servers, tier};

const JOINS: u64 = 5 * SEC;
const COLD: u64 = 10 * SEC;

pub fn run(scale: Scale) -> Report {
    let length = JOINS + COLD + scale.of(10, 1) * SEC;
    let slowly = |name, kind| Policy {
        picks: Picks::Ringlink(BalancerConfig {
            kind,
            slow_start: Some(Duration::from_secs(20)),
            ..BalancerConfig::default()
        }),
        ..ringlink(name, Kind::P2c)
    };
    let policies = [
        slowly("ringlink p2c, slow start", Kind::P2c),
        ringlink("ringlink p2c", Kind::P2c),
        slowly("ringlink roundRobin, slow start", Kind::RoundRobin),
        ringlink("ringlink roundRobin", Kind::RoundRobin),
    ];
    let mut table = Table::new(&["policy", "p50 ms", "p99", "p99.9", "p99 before it joined"]);
    let (mut lines, mut p99s) = (Vec::new(), Vec::new());
    for policy in policies.into_iter().chain(others()) {
        let name = policy.name;
        let before = World::run(plan(&policy, 0, JOINS));
        let world = World::run(plan(&policy, JOINS, length));
        let mut row = vec![name.to_owned()];
        row.extend(latencies(&world.stats));
        row.push(number(before.stats.percentile(99.0), 1));
        table.row(row);
        p99s.push(world.stats.percentile(99.0));
        if lines.len() < 4 {
            let mean = |step: super::Step| step.latency as f64 / 1e6 / step.succeeded.max(1) as f64;
            lines.push(over_time(name, &world.stats, 5, mean));
        }
    }
    let chart = Chart {
        title: "A cold replica joins after 5 s",
        below: "mean latency of what was answered in each half second".to_owned(),
        x: "seconds",
        y: "ms",
        lines,
    };
    Report {
        name: "cold",
        title: "A cold replica joins",
        setting:
            "To five replicas (8 workers, 10 ms) under half load comes a sixth, whose work takes \
                  ten times as long in its first 10 s. Latencies from then on; slow start of 20 s."
                .to_owned(),
        tables: vec![table],
        charts: vec![("cold".to_owned(), chart)],
        claims: vec![
            Claim::at_most(
                "p2c: p99 with slow start over without",
                p99s[0] / p99s[1],
                0.8,
            ),
            Claim::at_most(
                "roundRobin: p99 with slow start over without",
                p99s[2] / p99s[3],
                0.8,
            ),
        ],
    }
}

fn plan(policy: &Policy, counts_from: u64, length: u64) -> Plan {
    let mut fleet = servers(6);
    fleet[5].faults.slow.push(((JOINS, JOINS + COLD), 10.0));
    let mut tier = tier(policy.clone(), fleet);
    tier.known = 5;
    Plan {
        counts_from,
        joins_at: Some(JOINS),
        ..super::plan(tier, 0.5 * 5.0 * capacity(MEAN_NS, WORKERS), length)
    }
}
