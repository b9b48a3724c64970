//! A timeout at every hop, or one deadline for all: what is done for nobody.

use ringlink::balance::Kind;
use ringlink::resilience::admission::AdmissionConfig;
use ringlink::resilience::codel::CodelConfig;
use ringlink::resilience::limit::LimitConfig;

use super::super::clock::{MS, SEC};
use super::super::policy::{Guarding, Policy, without_accrual};
use super::super::report::{Claim, Report, Scale, Table, percent};
use super::super::server::{Server, Work};
use super::super::world::{Plan, Tier, World};
use super::capacity;

pub fn run(scale: Scale) -> Report {
    let length = scale.of(60, 15) * SEC;
    let mut table = Table::new(&[
        "policy",
        "answered in time",
        "first tier: work for nobody",
        "second",
        "third",
    ]);
    let mut found = Vec::new();
    let policies = [
        ("timeouts", false, false),
        ("deadlines", true, false),
        (
            "deadlines; limit, queue and CoDel at the last tier",
            true,
            true,
        ),
    ];
    for (name, deadlines, guarded) in policies {
        let stats = World::run(plan(name, deadlines, guarded, length)).stats;
        let wasted = |tier: usize| {
            let tier = stats.tiers[tier];
            tier.wasted as f64 / tier.work.max(1) as f64
        };
        let mut row = vec![name.to_owned(), percent(stats.success_rate())];
        row.extend((0..3).map(|tier| percent(wasted(tier))));
        table.row(row);
        found.push((stats.success_rate(), wasted(2)));
    }
    Report {
        name: "deadlines",
        title: "Deadlines in a chain",
        setting: "Three services in a row; clients wait for 500 ms, and each hop has that timeout. \
                  The last one is offered 1.3 times what it can do, first come first served. Nothing \
                  is cancelled that has begun."
            .to_owned(),
        tables: vec![table],
        charts: Vec::new(),
        claims: vec![
            Claim::at_most("work for nobody, deadlines alone, %", 100.0 * found[1].1, 50.0),
            Claim::at_least("answered in time, deadlines alone, %", 100.0 * found[1].0, 50.0),
            Claim::at_most("work for nobody with the guard, %", 100.0 * found[2].1, 1.0),
            Claim::at_least("answered in time with the guard, %", 100.0 * found[2].0, 65.0),
        ],
    }
}

fn plan(name: &'static str, deadlines: bool, guarded: bool, length: u64) -> Plan {
    let tier = |workers: usize, guard: Option<Guarding>| Tier {
        policy: Policy {
            deadlines,
            guard,
            total_timeout: 500 * MS,
            ..without_accrual(name, Kind::P2c)
        },
        proxies: 2,
        shards: 2,
        known: 4,
        servers: (0..4)
            .map(|_| Server::new(Work::Exponential(10 * MS), workers))
            .collect(),
    };
    let guard = guarded.then(|| Guarding {
        limit: Some(LimitConfig::default()),
        admission: AdmissionConfig {
            max_pending: 100,
            ..AdmissionConfig::default()
        },
        codel: CodelConfig::default(),
    });
    let full = 4.0 * capacity(10 * MS, 4);
    Plan {
        seed: 1,
        tiers: vec![tier(16, None), tier(16, None), tier(4, guard)],
        // Light at first, so that the limit knows what is usual.
        rates: vec![(0, 0.25 * full), (5 * SEC, 1.3 * full)],
        length,
        counts_from: 8 * SEC,
        joins_at: None,
    }
}
