//! Everything is down: what retries add to it.

use ringlink::balance::Kind;
use ringlink::resilience::backoff::Backoff;
use ringlink::resilience::budget::BudgetConfig;

use super::super::clock::SEC;
use super::super::policy::{Picks, Policy, Retry, budgeted, nginx, others, plain, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number, percent};
use super::super::stats::Stats;
use super::super::world::World;
use super::{plan, servers, tier};

/// When, and until when.
const DOWN: (u64, u64) = (10 * SEC, 40 * SEC);
const RATE: f64 = 1_000.0;

pub fn run(scale: Scale) -> Report {
    let length = scale.of(50, 25) * SEC;
    let retrying = Policy {
        retry: Some(budgeted(BudgetConfig::default())),
        ..ringlink("ringlink", Kind::P2c)
    };
    let naive = Policy {
        retry: Some(Retry {
            most: 3,
            budget: None,
            backoff: Backoff::default(),
            once_in_chain: false,
        }),
        ..plain("three retries", Picks::Rounds { fail_timeout: 0 })
    };
    let mut table = Table::new(&[
        "policy",
        "errors: attempts/request",
        "most in a second",
        "refused: attempts/request",
        "most in a second",
    ]);
    let mut claims = Vec::new();
    for policy in [retrying, naive].into_iter().chain(others()) {
        let name = policy.name;
        let mut row = vec![name.to_owned()];
        for refuses in [false, true] {
            let mut fleet = servers(10);
            for server in &mut fleet {
                let faults = &mut server.faults;
                if refuses {
                    faults.refuses.push(DOWN);
                } else {
                    faults.errs.push((DOWN, 1.0));
                }
            }
            let mut plan = plan(tier(policy.clone(), fleet), RATE, length);
            plan.counts_from = DOWN.0;
            plan.length = plan.length.min(DOWN.1);
            let stats = World::run(plan).stats;
            row.push(number(stats.amplification(), 2));
            row.push(number(peak(&stats), 0));
            if name == "ringlink" {
                let how = if refuses { "refused" } else { "errors" };
                let says = format!("{how}: retries over what the budgets allow");
                claims.push(Claim::at_most(says, overdrawn(&stats), 1.01));
            }
        }
        table.row(row);
    }
    Report {
        name: "outage",
        title: "A full outage",
        setting: format!(
            "Ten replicas, 1,000 requests/s; after 10 s all answer 500, or refuse connects. Two \
             proxies, each with a budget of 10 retries/s and {}, for 10 s. nginx tries every server \
             once, then answers for {} s by itself.",
            percent(BudgetConfig::default().percent_can_retry),
            nginx_fail_timeout()
        ),
        tables: vec![table],
        charts: Vec::new(),
        claims,
    }
}

fn nginx_fail_timeout() -> u64 {
    match nginx().picks {
        Picks::Rounds { fail_timeout } => fail_timeout / SEC,
        _ => 0,
    }
}

/// Most attempts in a second.
fn peak(stats: &Stats) -> f64 {
    // The last step holds what came after the end.
    let seconds = stats.steps[..stats.steps.len() - 1].chunks_exact(10);
    let attempts = seconds.map(|steps| steps.iter().map(|step| step.attempts).sum::<u64>());
    attempts.max().unwrap_or(0) as f64
}

/// Retries in the worst nine tenths of a budget's memory, over what the requests of any whole of it
/// up to then pay for, with the reserve of both proxies. (What pays for requeues is successes, and
/// so less.)
fn overdrawn(stats: &Stats) -> f64 {
    let config = BudgetConfig::default();
    let steps = &stats.steps[..stats.steps.len() - 1];
    let reserve = 2.0 * f64::from(config.min_retries_per_sec * config.ttl_secs);
    let requests = |end: usize| -> u64 {
        let steps = &steps[end.saturating_sub(100)..end];
        steps.iter().map(|step| step.succeeded + step.failed).sum()
    };
    let worst = (100..=steps.len()).map(|end| {
        let retries: u64 = steps[end - 90..end].iter().map(|step| step.retries).sum();
        let requests = (end - 90..=end).map(requests).max().unwrap_or(0);
        retries as f64 / (config.percent_can_retry * requests as f64 + reserve)
    });
    worst.fold(0.0, f64::max)
}
