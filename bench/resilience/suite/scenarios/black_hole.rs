//! A replica that answers errors, fast: for whoever seeks the least loaded it is the best.

use std::time::Duration;

use ringlink::balance::Kind;
use ringlink::resilience::accrual::{AccrualConfig, AccrualPolicy};

use super::super::clock::SEC;
use super::super::policy::{Policy, others, ringlink, without_accrual};
use super::super::report::{Claim, Report, Scale, Table, percent};
use super::super::world::World;
use super::{MEAN_NS, WORKERS, capacity, plan, servers, share, tier};

pub fn run(scale: Scale) -> Report {
    let length = scale.of(60, 12) * SEC;
    let decay = Duration::from_secs(10);
    let by_rate = Policy {
        accrual: Some(AccrualConfig {
            policy: AccrualPolicy::SuccessRate {
                success_rate: 0.8,
                requests: 30,
            },
            ..AccrualConfig::default()
        }),
        ..ringlink("ringlink, successRate 0.8", Kind::P2c)
    };
    let policies = [
        ringlink("ringlink", Kind::P2c),
        ringlink("ringlink ewma", Kind::Ewma { decay }),
        by_rate,
        without_accrual("ringlink, no accrual", Kind::P2c),
        without_accrual("ringlink ewma, no accrual", Kind::Ewma { decay }),
    ];
    let mut table = Table::new(&[
        "policy",
        "it errs always: its share",
        "errors",
        "it errs half of the time: its share",
        "errors",
    ]);
    let mut claims = Vec::new();
    for policy in policies.into_iter().chain(others()) {
        let name = policy.name;
        let mut row = vec![name.to_owned()];
        for part in [1.0, 0.5] {
            let mut fleet = servers(10);
            fleet[0].faults.errs.push(((0, u64::MAX), part));
            let rate = 0.6 * 10.0 * capacity(MEAN_NS, WORKERS);
            let world = World::run(plan(tier(policy.clone(), fleet), rate, length));
            let errors = 1.0 - world.stats.success_rate();
            row.push(percent(share(&world, 0)));
            row.push(percent(errors));
            if name == "ringlink" && part == 1.0 {
                claims.push(Claim::at_most(
                    "errors with accrual, %",
                    100.0 * errors,
                    0.1,
                ));
            }
            if name == "ringlink, successRate 0.8" && part == 0.5 {
                let says = "errors by success rate, erring half of the time, %";
                claims.push(Claim::at_most(says, 100.0 * errors, 0.5));
            }
        }
        table.row(row);
    }
    Report {
        name: "black-hole",
        title: "A replica that fails fast",
        setting: "Ten replicas (8 workers, 10 ms) under 60 % load; one answers 500 after half a \
                  millisecond. No retries, so that every error shows."
            .to_owned(),
        tables: vec![table],
        charts: Vec::new(),
        claims,
    }
}
