//! Three services in a row, each of which retries the next: how one failure multiplies.

use ringlink::balance::Kind;
use ringlink::resilience::backoff::Backoff;
use ringlink::resilience::budget::BudgetConfig;

use super::super::clock::{MS, SEC};
use super::super::policy::{Policy, Retry, budgeted, without_accrual};
use super::super::report::{Claim, Report, Scale, Table, number};
use super::super::server::{Server, Work};
use super::super::world::{Plan, Tier, World};

const RATE: f64 = 500.0;

pub fn run(scale: Scale) -> Report {
    let length = scale.of(60, 30) * SEC;
    let small = BudgetConfig {
        min_retries_per_sec: 1,
        percent_can_retry: 0.07,
        ..BudgetConfig::default()
    };
    let alone = |budget| Retry {
        once_in_chain: false,
        ..budgeted(budget)
    };
    let naive = Retry {
        most: 3,
        budget: None,
        backoff: Backoff::default(),
        once_in_chain: false,
    };
    let policies = [
        ("three retries at every tier", Some(naive)),
        ("budgets, defaults", Some(budgeted(BudgetConfig::default()))),
        (
            "the same, each tier for itself",
            Some(alone(BudgetConfig::default())),
        ),
        (
            "each for itself, percentCanRetry 0.07, minRetriesPerSec 1",
            Some(alone(small)),
        ),
        ("no retries", None),
    ];
    let mut table = Table::new(&["policy", "load of the last tier ÷ requests"]);
    let mut loads = Vec::new();
    for (name, retry) in policies {
        let policy = Policy {
            retry,
            // Else it would be the accrual of whole tiers that is measured.
            ..without_accrual(name, Kind::P2c)
        };
        let load = World::run(plan(&policy, length)).stats.amplification();
        table.row(vec![name.to_owned(), number(load, 2)]);
        loads.push(load);
    }
    Report {
        name: "chain",
        title: "Retries in a chain",
        setting: "Three services of four replicas, each called through two proxies, 500 requests/s. \
                  The last answers nothing but errors from 10 s on; counted from 20 s on, when what \
                  budgets had saved is spent."
            .to_owned(),
        tables: vec![table],
        charts: Vec::new(),
        claims: vec![
            Claim::at_least("naive amplification", loads[0], 27.0),
            Claim::at_most("budgets by default", loads[1], 1.25),
            Claim::at_most("each tier for itself, by their bound of 1.24³", loads[2], 1.91),
            Claim::at_most("each for itself, percentCanRetry 0.07", loads[3], 1.25),
        ],
    }
}

fn plan(policy: &Policy, length: u64) -> Plan {
    let tier = |fails: bool| {
        let server = |_| {
            let mut server = Server::new(Work::Exponential(2 * MS), 64);
            if fails {
                server.faults.errs.push(((10 * SEC, u64::MAX), 1.0));
            }
            server
        };
        Tier {
            policy: policy.clone(),
            proxies: 2,
            shards: 2,
            known: 4,
            servers: (0..4).map(server).collect(),
        }
    };
    Plan {
        seed: 1,
        tiers: vec![tier(false), tier(false), tier(true)],
        rates: vec![(0, RATE)],
        length,
        counts_from: 20 * SEC,
        joins_at: None,
    }
}
