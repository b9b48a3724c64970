//! What the room's tests share: dice with a seed, and shards that race.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// Random bits: SplitMix64.
pub fn dice(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Threads that race: as many as even a small machine runs at once.
pub const SHARDS: usize = 2;

/// Does the work of (shard, round) on all shards, which begin each round together. Threads that are
/// only started one after the other hardly ever meet.
pub fn race(rounds: usize, work: impl Fn(usize, usize) + Sync) {
    let arrived = AtomicUsize::new(0);
    thread::scope(|scope| {
        for shard in 0..SHARDS {
            let (arrived, work) = (&arrived, &work);
            scope.spawn(move || {
                for round in 0..rounds {
                    arrived.fetch_add(1, SeqCst);
                    let mut spins = 0;
                    while arrived.load(SeqCst) < (round + 1) * SHARDS {
                        spins += 1;
                        if spins > 2_000 {
                            thread::yield_now();
                        }
                        std::hint::spin_loop();
                    }
                    work(shard, round);
                }
            });
        }
    });
}
