//! Many shards, each with a balancer of its own: whether they balance as one would.

use std::time::Duration;

use ringlink::balance::{Aperture, Kind};

use super::super::clock::{MS, SEC};
use super::super::policy::{Picks, Policy, plain, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number};
use super::super::server::{Server, Work};
use super::super::world::{Plan, Tier, World};

pub fn run(scale: Scale) -> Report {
    let length = scale.of(30, 6) * SEC;
    let decay = Duration::from_secs(10);
    let policies = [
        ringlink("ringlink p2c", Kind::P2c),
        ringlink("ringlink ewma", Kind::Ewma { decay }),
        ringlink("ringlink heap", Kind::Heap),
        ringlink("ringlink roundRobin", Kind::RoundRobin),
        plain("Envoy (model)", Picks::Rounds { fail_timeout: 0 }),
        plain("Envoy LR (model)", Picks::LeastRequest),
    ];
    let mut even = Table::new(&[
        "policy",
        "1 shard: most requests ÷ mean",
        "2 shards",
        "16 shards",
        "p99 ms, 1 shard",
        "2 shards",
        "16 shards",
    ]);
    let mut claims = Vec::new();
    for policy in policies {
        let runs = [1, 2, 16].map(|shards| World::run(plan(&policy, shards, 20, 2_400.0, length)));
        let peaks = runs.each_ref().map(peak);
        let p99s = runs.each_ref().map(|run| run.stats.percentile(99.0));
        let mut row = vec![policy.name.to_owned()];
        row.extend(peaks.map(|peak| number(peak, 3)));
        row.extend(p99s.map(|p99| number(p99, 1)));
        even.row(row);
        if policy.name.starts_with("ringlink") {
            let worst = f64::max(peaks[1], peaks[2]) / peaks[0];
            let says = format!(
                "{}: the busiest endpoint's load over one balancer's",
                policy.name
            );
            claims.push(Claim::at_most(says, worst, 1.05));
        }
    }
    let kind = Kind::Aperture(Aperture::default());
    let aperture = ringlink("ringlink aperture", kind);
    let mut pairs = Table::new(&["policy", "shards", "pairs of shard and endpoint", "p99 ms"]);
    let p2c = ringlink("ringlink p2c", Kind::P2c);
    let mut counts = Vec::new();
    for (policy, shards) in [(&aperture, 1), (&aperture, 8), (&p2c, 8)] {
        let world = World::run(plan(policy, shards, 1_000, 4_000.0, length));
        let count = distinct(&world, shards);
        let p99 = world.stats.percentile(99.0);
        pairs.row(vec![
            policy.name.to_owned(),
            shards.to_string(),
            number(count, 0),
            number(p99, 1),
        ]);
        counts.push(count);
    }
    let says = "aperture: pairs of 8 shards over those of one";
    claims.push(Claim::at_most(says, counts[1] / counts[0], 4.0));
    Report {
        name: "shards",
        title: "Balance across shards",
        setting: "One process. Above: twenty replicas of 8 workers, 20 ms (exponential), 2,400 \
                  requests/s: 30 % load. Below: 1,000 replicas, 4,000 requests/s; pairs are \
                  the connections that there have to be at least."
            .to_owned(),
        tables: vec![even, pairs],
        charts: Vec::new(),
        claims,
    }
}

fn plan(policy: &Policy, shards: usize, replicas: usize, rate: f64, length: u64) -> Plan {
    let server = |_| Server::new(Work::Exponential(20 * MS), 8);
    Plan {
        seed: 1,
        tiers: vec![Tier {
            policy: policy.clone(),
            proxies: 1,
            shards,
            known: replicas,
            servers: (0..replicas).map(server).collect(),
        }],
        rates: vec![(0, rate)],
        length,
        counts_from: SEC,
        joins_at: None,
    }
}

/// The most that a replica got, over the mean.
fn peak(world: &World) -> f64 {
    let arrived = world.plan.tiers[0]
        .servers
        .iter()
        .map(|server| server.arrived);
    let (most, all) = (arrived.clone().max(), arrived.clone().sum::<u64>());
    most.unwrap_or(0) as f64 * arrived.len() as f64 / all.max(1) as f64
}

/// Pairs of a shard and an endpoint between which a request went, once it had settled.
fn distinct(world: &World, shards: usize) -> f64 {
    let mut seen = vec![false; shards * world.plan.tiers[0].servers.len()];
    let settled = |sent: &u64| *sent >= 2 * SEC;
    for attempt in world
        .attempts
        .iter()
        .filter(|attempt| settled(&attempt.sent))
    {
        seen[attempt.server * shards + world.calls[attempt.call].shard] = true;
    }
    seen.iter().filter(|seen| **seen).count() as f64
}
