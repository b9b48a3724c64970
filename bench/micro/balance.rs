//! Picks, by every kind and over small and large sets; and whole requests, with what begins and ends.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringlink::balance::rng::Rng;
use ringlink::balance::{
    Aperture, Balancer, BalancerConfig, Kind, Outcome, Pick, Place, ReplicaSet, RingHash,
};

fn kinds() -> [(&'static str, Kind); 6] {
    let decay = Duration::from_secs(10);
    // Half of the largest set: a window that has to be drawn from, not the whole.
    let aperture = Aperture {
        min_aperture: 5_000,
        ..Aperture::default()
    };
    [
        ("p2c", Kind::P2c),
        ("ewma", Kind::Ewma { decay }),
        ("aperture", Kind::Aperture(aperture)),
        ("heap", Kind::Heap),
        ("roundRobin", Kind::RoundRobin),
        ("ringHash", Kind::RingHash(RingHash::default())),
    ]
}

/// Equal weights are the usual case and the fast one; otherwise every draw walks down a tree.
fn set(replicas: u32, even: bool) -> Arc<ReplicaSet> {
    let replica = |n: u32| {
        let addr = SocketAddr::from((n.to_be_bytes(), 80));
        (addr, if even { 1.0 } else { f64::from(1 + n % 3) })
    };
    let set = ReplicaSet::from_weighted((0..replicas).map(replica), None);
    let mut rng = Rng::new(1);
    for endpoint in &set.endpoints {
        (0..rng.below(4)).for_each(|_| endpoint.begin());
        endpoint.observe(1_000_000 + rng.below(1_000_000), 1, 10_000_000_000);
    }
    Arc::new(set)
}

fn balancer(kind: &Kind, set: &Arc<ReplicaSet>) -> Balancer {
    let config = BalancerConfig {
        kind: kind.clone(),
        ..BalancerConfig::default()
    };
    let mut balancer = Balancer::new(&config, Place::default());
    balancer.update(Arc::clone(set), 1);
    balancer
}

fn picks(c: &mut Criterion) {
    for (weights, even) in [("", true), (" by weight", false)] {
        let mut group = c.benchmark_group(format!("pick{weights}"));
        for (name, kind) in kinds() {
            for replicas in [10, 1_000, 10_000] {
                let mut balancer = balancer(&kind, &set(replicas, even));
                let mut rng = Rng::new(1);
                group.bench_function(BenchmarkId::new(name, replicas), |b| {
                    b.iter(|| {
                        let hash = rng.next_u64();
                        balancer.pick(Pick {
                            now_ns: black_box(1),
                            random: &mut || rng.next_u64(),
                            excluded: &[],
                            hash: Some(hash),
                        })
                    });
                });
            }
        }
        group.finish();
    }
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick, begin, end");
    for (name, kind) in kinds() {
        for replicas in [10, 1_000, 10_000] {
            let mut balancer = balancer(&kind, &set(replicas, true));
            let mut rng = Rng::new(1);
            let mut now = 1;
            group.bench_function(BenchmarkId::new(name, replicas), |b| {
                b.iter(|| {
                    now += 1_000;
                    let hash = rng.next_u64();
                    let picked = balancer.pick(Pick {
                        now_ns: now,
                        random: &mut || rng.next_u64(),
                        excluded: &[],
                        hash: Some(hash),
                    });
                    if let Some(endpoint) = &picked {
                        balancer.begin(endpoint, now);
                        balancer.end(endpoint, Outcome::Success, 1_500_000, now);
                    }
                });
            });
        }
    }
    group.finish();
}

fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    for (name, kind) in kinds() {
        for replicas in [10, 1_000, 10_000] {
            let sets = [set(replicas, true), set(replicas, true)];
            let mut balancer = balancer(&kind, &sets[0]);
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(name, replicas), |b| {
                b.iter(|| {
                    turn += 1;
                    balancer.update(Arc::clone(&sets[turn % 2]), 1);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, picks, requests, updates);
criterion_main!(benches);
