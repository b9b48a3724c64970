//! After an outage all come back at once: whether those that are found first have to carry all.

use ringlink::balance::{BalancerConfig, Kind};

use super::super::chart::Chart;
use super::super::clock::SEC;
use super::super::policy::{Picks, Policy, others, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number, percent};
use super::super::stats::{Stats, Step};
use super::super::world::World;
use super::{MEAN_NS, WORKERS, capacity, over_time, plan, servers, tier};

const DOWN: u64 = 10 * SEC;

pub fn run(scale: Scale) -> Report {
    let up = DOWN + scale.of(60, 30) * SEC;
    let length = up + scale.of(120, 40) * SEC;
    let as_finagle = |name| Policy {
        revives: false,
        ..ringlink(name, Kind::P2c)
    };
    let panicking = Policy {
        picks: Picks::Ringlink(BalancerConfig {
            panic_threshold: 0.5,
            ..BalancerConfig::default()
        }),
        ..as_finagle("only probes revive, panic threshold 0.5")
    };
    let policies = [
        ringlink("ringlink", Kind::P2c),
        as_finagle("only probes revive (Finagle's rule)"),
        panicking,
    ];
    let mut table = Table::new(&[
        "policy",
        "success",
        "p50 ms",
        "p99",
        "seconds until the mean is usual",
    ]);
    let (mut lines, mut found) = (Vec::new(), Vec::new());
    for policy in policies.into_iter().chain(others()) {
        let name = policy.name;
        let mut fleet = servers(10);
        for server in &mut fleet {
            server.faults.errs.push(((DOWN, up), 1.0));
        }
        let mut tier = tier(policy, fleet);
        tier.proxies = 1;
        tier.policy.total_timeout = 3 * SEC;
        let mut plan = plan(tier, 0.6 * 10.0 * capacity(MEAN_NS, WORKERS), length);
        plan.counts_from = up;
        let stats = World::run(plan).stats;
        let until = until_usual(&stats, up);
        table.row(vec![
            name.to_owned(),
            percent(stats.success_rate()),
            number(stats.percentile(50.0), 1),
            number(stats.percentile(99.0), 1),
            number(until, 1),
        ]);
        found.push((stats.success_rate(), stats.percentile(99.0)));
        if lines.len() < 3 {
            lines.push(over_time(name, &stats, 10, mean));
        }
    }
    let chart = Chart {
        title: "After a full outage",
        below: "mean latency of what was answered in each second".to_owned(),
        x: "seconds",
        y: "ms",
        lines,
    };
    Report {
        name: "recovery",
        title: "After a full outage",
        setting: format!(
            "Ten replicas (8 workers, 10 ms), 60 % load, one proxy; from 10 s on all answer 500, for \
             {} s. What follows then, clients waiting for 3 s.",
            (up - DOWN) / SEC
        ),
        tables: vec![table],
        charts: vec![("recovery".to_owned(), chart)],
        claims: vec![
            Claim::at_least("success after the outage, %", 100.0 * found[0].0, 99.9),
            Claim::at_most("p99 after it, ms", found[0].1, 100.0),
        ],
    }
}

fn mean(step: Step) -> f64 {
    step.latency as f64 / 1e6 / step.succeeded.max(1) as f64
}

/// From when on no half second has a mean of more than 20 ms, in seconds after the outage.
fn until_usual(stats: &Stats, up: u64) -> f64 {
    let line = over_time("", stats, 5, mean);
    let up = up as f64 / SEC as f64;
    let unusual = line.points.iter().rev().find(|(_, mean)| *mean > 20.0);
    unusual.map_or(0.0, |(at, _)| (at + 0.5 - up).max(0.0))
}
