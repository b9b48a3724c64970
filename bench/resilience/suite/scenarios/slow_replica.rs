//! One replica of ten is ten times slower than the others.

use std::time::Duration;

use ringlink::balance::{Aperture, Kind};

use super::super::clock::SEC;
use super::super::policy::{others, ringlink};
use super::super::report::{Claim, Report, Scale, Table, percent};
use super::super::world::World;
use super::{MEAN_NS, WORKERS, capacity, latencies, plan, servers, share, tier};

pub fn run(scale: Scale) -> Report {
    let length = scale.of(60, 12) * SEC;
    let rate = 0.5 * 9.0 * capacity(MEAN_NS, WORKERS);
    let decay = Duration::from_secs(10);
    let policies = [
        ringlink("ringlink p2c", Kind::P2c),
        ringlink("ringlink ewma", Kind::Ewma { decay }),
        ringlink("ringlink aperture", Kind::Aperture(Aperture::default())),
        ringlink("ringlink heap", Kind::Heap),
        ringlink("ringlink roundRobin", Kind::RoundRobin),
    ];
    let mut table = Table::new(&[
        "policy",
        "share of the slow one",
        "p50 ms",
        "p99",
        "p99.9",
        "p99 ÷ without it",
    ]);
    let mut claims = Vec::new();
    for policy in policies.into_iter().chain(others()) {
        let name = policy.name;
        let without = World::run(plan(tier(policy.clone(), servers(9)), rate, length));
        let mut fleet = servers(10);
        fleet[9].faults.slow.push(((0, u64::MAX), 10.0));
        let with = World::run(plan(tier(policy, fleet), rate, length));
        let ratio = with.stats.percentile(99.0) / without.stats.percentile(99.0);
        let mut row = vec![name.to_owned(), percent(share(&with, 9))];
        row.extend(latencies(&with.stats));
        row.push(format!("{ratio:.2}"));
        table.row(row);
        match name {
            "ringlink p2c" | "ringlink heap" => {
                let says = format!("{name}: the slow one's share, %");
                claims.push(Claim::at_most(says, 100.0 * share(&with, 9), 5.0));
            }
            "ringlink ewma" => {
                let says = format!("{name}: the slow one's share, %");
                claims.push(Claim::at_most(says, 100.0 * share(&with, 9), 1.5));
                claims.push(Claim::at_most(
                    format!("{name}: p99 over without it"),
                    ratio,
                    1.5,
                ));
            }
            _ => {}
        }
    }
    Report {
        name: "slow-replica",
        title: "One slow replica",
        setting:
            "Ten replicas of 8 workers, 10 ms of work in the mean (exponential); one takes ten \
                  times as long. Load: half of what the nine others can do. \"Without it\": the \
                  nine alone."
                .to_owned(),
        tables: vec![table],
        charts: Vec::new(),
        claims,
    }
}
