//! Each replica stops for 200 ms every few seconds, as for a garbage collection.

use ringlink::balance::Kind;
use ringlink::balance::rng::Rng;
use ringlink::resilience::hedge::HedgeConfig;

use super::super::clock::{MS, SEC};
use super::super::policy::{Policy, others, ringlink};
use super::super::report::{Claim, Report, Scale, Table, number, percent};
use super::super::server::{Server, Work};
use super::super::world::World;
use super::{latencies, pauses, plan, tier};

pub fn run(scale: Scale) -> Report {
    let length = scale.of(60, 15) * SEC;
    let hedged = Policy {
        hedge: Some(HedgeConfig::default()),
        ..ringlink("ringlink, hedged", Kind::P2c)
    };
    let policies = [ringlink("ringlink", Kind::P2c), hedged];
    let mut table = Table::new(&["policy", "p50 ms", "p99", "p99.9", "p99.99", "attempts"]);
    let mut found = Vec::new();
    for policy in policies.into_iter().chain(others()) {
        let name = policy.name;
        let mut plan = plan(tier(policy, fleet(length)), 1_500.0, length);
        plan.counts_from = 5 * SEC;
        let world = World::run(plan);
        let stats = &world.stats;
        let extra = stats.amplification() - 1.0;
        let mut row = vec![name.to_owned()];
        row.extend(latencies(stats));
        row.push(number(stats.percentile(99.99), 1));
        row.push(format!("+{}", percent(extra)));
        table.row(row);
        found.push((stats.percentile(99.9), extra));
    }
    let gain = found[0].0 / found[1].0;
    Report {
        name: "pauses",
        title: "Pauses, and hedged requests",
        setting: "Twenty replicas, 5 ms of work (log-normal, σ 0.5); each stops for 200 ms every 5 s \
                  in the mean, at random. 1,500 requests/s. Hedged at the 95th percentile, paid for by \
                  the default budget."
            .to_owned(),
        tables: vec![table],
        charts: Vec::new(),
        claims: vec![
            Claim::at_least("p99.9 is so many times lower with hedging", gain, 5.0),
            Claim::at_most("extra load of hedging, %", 100.0 * found[1].1, 5.0),
        ],
    }
}

fn fleet(length: u64) -> Vec<Server> {
    let mut rng = Rng::new(2);
    let server = |_| {
        let mut server = Server::new(Work::LogNormal(5 * MS, 0.5), 16);
        server.faults.pauses = pauses(&mut rng, length, 200 * MS, 5 * SEC);
        server
    };
    (0..20).map(server).collect()
}
