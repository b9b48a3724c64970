//! The parts of every request that are not its bytes: the timers.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlink::balance::rng::Rng;
use ringlink::engine::timer::TimerWheel;

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

criterion_group!(benches, timers);
criterion_main!(benches);
