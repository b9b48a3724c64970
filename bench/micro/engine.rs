//! The parts of every request that are not its bytes: the balancer's pick and the timers.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlink::balance::rng::Rng;
use ringlink::balance::{ReplicaSet, p2c};
use ringlink::engine::timer::TimerWheel;

fn picks(c: &mut Criterion) {
    for replicas in [2u16, 10, 1000] {
        let addrs = (0..replicas).map(|n| ([10, 0, (n >> 8) as u8, n as u8], 80).into());
        let set = ReplicaSet::from_addrs(addrs, None);
        let mut rng = Rng::new(1);
        c.bench_function(&format!("pick one of {replicas}"), |b| {
            b.iter(|| {
                let picked = p2c::pick(black_box(&set), &mut || rng.next_u64(), 1, None);
                if let Some(endpoint) = picked {
                    endpoint.begin();
                }
            });
        });
    }
}

fn timers(c: &mut Criterion) {
    const MS: u64 = 1_000_000;
    let mut wheel = TimerWheel::new(0);
    let keys: Vec<_> = (0..10_000).map(|token| wheel.insert(token)).collect();
    let mut rng = Rng::new(1);
    for key in &keys {
        wheel.set(*key, 60_000 * MS + rng.below(5_000 * MS));
    }
    let mut later = 70_000 * MS;
    c.bench_function("move a timer later", |b| {
        b.iter(|| {
            later += 1;
            wheel.set(keys[7], black_box(later));
        });
    });
    c.bench_function("move a timer earlier and back", |b| {
        b.iter(|| {
            wheel.set(keys[9], black_box(10_000 * MS));
            wheel.set(keys[9], black_box(60_000 * MS));
        });
    });
    let mut now = 0;
    c.bench_function("advance a millisecond with nothing due", |b| {
        b.iter(|| {
            now += 1;
            wheel.advance(black_box(now), |_, _| {});
        });
    });
}

criterion_group!(benches, picks, timers);
criterion_main!(benches);
