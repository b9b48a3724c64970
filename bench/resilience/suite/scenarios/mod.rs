//! One file for each thing that goes wrong.

mod black_hole;
mod chain;
mod cold;
mod deadlines;
mod outage;
mod overload;
mod pauses;
mod recovery;
mod shards;
mod slow_replica;
mod zone;

use ringlink::balance::rng::Rng;

use super::chart::Line;
use super::clock::{MS, SEC};
use super::policy::Policy;
use super::report::{Report, Scale};
use super::server::{Server, Work};
use super::stats::{Stats, Step};
use super::world::{Plan, Tier};

pub type Scenario = fn(Scale) -> Report;

/// All of them, by name.
pub const ALL: [(&str, Scenario); 11] = [
    ("slow-replica", slow_replica::run),
    ("pauses", pauses::run),
    ("cold", cold::run),
    ("black-hole", black_hole::run),
    ("zone", zone::run),
    ("outage", outage::run),
    ("recovery", recovery::run),
    ("chain", chain::run),
    ("overload", overload::run),
    ("deadlines", deadlines::run),
    ("shards", shards::run),
];

/// What most scenarios serve with: 8 workers, and 10 ms of work in the mean.
const WORKERS: usize = 8;
const MEAN_NS: u64 = 10 * MS;

/// What a replica can do, requests per second.
fn capacity(work_ns: u64, workers: usize) -> f64 {
    workers as f64 * SEC as f64 / work_ns as f64
}

fn servers(count: usize) -> Vec<Server> {
    (0..count)
        .map(|_| Server::new(Work::Exponential(MEAN_NS), WORKERS))
        .collect()
}

/// One service behind two proxies of four shards each.
fn tier(policy: Policy, servers: Vec<Server>) -> Tier {
    Tier {
        policy,
        proxies: 2,
        shards: 4,
        known: servers.len(),
        servers,
    }
}

/// A plan for one service, under a steady rate of requests per second; the first two seconds do
/// not count.
fn plan(tier: Tier, rate: f64, length: u64) -> Plan {
    Plan {
        seed: 1,
        tiers: vec![tier],
        rates: vec![(0, rate)],
        length,
        counts_from: 2 * SEC,
        joins_at: None,
    }
}

/// The last tier's share of requests that one of its replicas got.
fn share(world: &super::world::World, server: usize) -> f64 {
    let servers = &world.plan.tiers[world.plan.tiers.len() - 1].servers;
    let all: u64 = servers.iter().map(|server| server.arrived).sum();
    servers[server].arrived as f64 / all.max(1) as f64
}

/// Pauses of this length, at random, this far apart in the mean.
fn pauses(rng: &mut Rng, length: u64, pause: u64, apart: u64) -> Vec<(u64, u64)> {
    let mut spans = Vec::new();
    let mut at = rng.below(2 * apart);
    while at < length {
        spans.push((at, at + pause));
        at += pause + apart / 2 + rng.below(apart);
    }
    spans
}

/// A line of something over the seconds of a run, in steps of so many tenths.
fn over_time(name: &str, stats: &Stats, tenths: usize, of: impl Fn(Step) -> f64) -> Line {
    let sum = |steps: &[Step]| {
        steps.iter().fold(Step::default(), |sum, step| Step {
            succeeded: sum.succeeded + step.succeeded,
            failed: sum.failed + step.failed,
            attempts: sum.attempts + step.attempts,
            retries: sum.retries + step.retries,
            latency: sum.latency + step.latency,
        })
    };
    // The last one holds whatever came after the end, too.
    let steps = &stats.steps[..stats.steps.len() - 1];
    let points = steps.chunks_exact(tenths).enumerate().map(|(n, steps)| {
        let at = (n * tenths) as f64 * Stats::STEP as f64 / SEC as f64;
        (at, of(sum(steps)))
    });
    Line {
        name: name.to_owned(),
        points: points.collect(),
    }
}

/// Part of the answers of a step that were good, %.
fn success(step: Step) -> f64 {
    let all = step.succeeded + step.failed;
    if all == 0 {
        return 0.0;
    }
    100.0 * step.succeeded as f64 / all as f64
}

fn latencies(stats: &Stats) -> Vec<String> {
    [50.0, 99.0, 99.9]
        .map(|p| super::report::number(stats.percentile(p), 1))
        .to_vec()
}
