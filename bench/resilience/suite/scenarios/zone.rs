//! A zone is lost: a third of the replicas, at once.

use ringlink::balance::Kind;
use ringlink::resilience::budget::BudgetConfig;

use super::super::chart::Chart;
use super::super::clock::SEC;
use super::super::policy::{Policy, budgeted, others, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number, percent};
use super::super::world::World;
use super::{MEAN_NS, WORKERS, capacity, over_time, plan, servers, success, tier};

/// When, and for how long.
const LOST: (u64, u64) = (10 * SEC, 30 * SEC);

pub fn run(scale: Scale) -> Report {
    let length = scale.of(45, 20) * SEC;
    let retrying = Policy {
        retry: Some(budgeted(BudgetConfig::default())),
        ..ringlink("ringlink", Kind::P2c)
    };
    let mut table = Table::new(&[
        "policy",
        "refused: success",
        "p99 ms",
        "vanished: success",
        "p99 ms",
        "worst second",
    ]);
    let (mut lines, mut claims) = (Vec::new(), Vec::new());
    for policy in [retrying].into_iter().chain(others()) {
        let mut row = vec![policy.name.to_owned()];
        for vanishes in [false, true] {
            let mut fleet = servers(12);
            for server in &mut fleet[..4] {
                let faults = &mut server.faults;
                let spans = if vanishes {
                    &mut faults.vanishes
                } else {
                    &mut faults.refuses
                };
                spans.push(LOST);
            }
            let mut policy = policy.clone();
            // How long a client waits.
            policy.total_timeout = 3 * SEC;
            let rate = 0.5 * 12.0 * capacity(MEAN_NS, WORKERS);
            let name = policy.name;
            let mut plan = plan(tier(policy, fleet), rate, length);
            plan.counts_from = LOST.0 - SEC;
            let stats = World::run(plan).stats;
            row.push(percent(stats.success_rate()));
            row.push(number(stats.percentile(99.0), 0));
            if name == "ringlink" {
                let (how, bound) = if vanishes {
                    ("vanished", 99.5)
                } else {
                    ("refused", 99.95)
                };
                let says = format!("success when a third {how}, %");
                claims.push(Claim::at_least(says, 100.0 * stats.success_rate(), bound));
            }
            if vanishes {
                let line = over_time(name, &stats, 10, success);
                let worst = line
                    .points
                    .iter()
                    .skip(1)
                    .map(|p| p.1)
                    .fold(100.0, f64::min);
                row.push(percent(worst / 100.0));
                lines.push(line);
            }
        }
        table.row(row);
    }
    let chart = Chart {
        title: "A third of the replicas vanishes for 20 s",
        below: "answers that were good, % in each second; clients wait for 3 s".to_owned(),
        x: "seconds",
        y: "%",
        lines,
    };
    Report {
        name: "zone",
        title: "A zone lost",
        setting: "Twelve replicas (8 workers, 10 ms) under half load. From 10 s on, for 20 s, four \
                  refuse connects, or vanish: packets to them are lost. Clients wait for 3 s. Connects \
                  time out after 1 s (ringlink), 60 s (nginx), 5 s (Envoy; HAProxy, by its examples)."
            .to_owned(),
        tables: vec![table],
        charts: vec![("zone".to_owned(), chart)],
        claims,
    }
}
