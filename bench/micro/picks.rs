//! So many requests' picks by one kind of balancer, and nothing else: for `bench/picks`, which counts
//! their instructions.
//!
//! `picks KIND REPLICAS PICKS`; without arguments (as `cargo bench` runs it) a few of each kind.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringlink::balance::rng::Rng;
use ringlink::balance::{
    Aperture, Balancer, BalancerConfig, Kind, Outcome, Pick, Place, ReplicaSet, RingHash,
};

const KINDS: [&str; 6] = ["p2c", "ewma", "aperture", "heap", "roundRobin", "ringHash"];

fn kind(name: &str) -> Option<Kind> {
    let decay = Duration::from_secs(10);
    Some(match name {
        "p2c" => Kind::P2c,
        "ewma" => Kind::Ewma { decay },
        "aperture" => Kind::Aperture(Aperture::default()),
        "heap" => Kind::Heap,
        "roundRobin" => Kind::RoundRobin,
        "ringHash" => Kind::RingHash(RingHash::default()),
        _ => return None,
    })
}

/// Picks, and counts the request in and out, as the proxy does; eight are always in flight.
fn run(kind: Kind, replicas: u32, picks: usize) {
    let config = BalancerConfig {
        kind,
        ..BalancerConfig::default()
    };
    let mut balancer = Balancer::new(&config, Place::default());
    let replica = |n: u32| (SocketAddr::from((n.to_be_bytes(), 80)), 1.0);
    let set = ReplicaSet::from_weighted((0..replicas).map(replica), None);
    balancer.update(Arc::new(set), 1);
    let mut rng = Rng::new(1);
    let mut now = 1;
    let mut flying = std::array::from_fn::<_, 8, _>(|_| None);
    for at in 0..picks {
        now += 20_000;
        let hash = Some(rng.next_u64());
        let picked = balancer.pick(Pick {
            now_ns: black_box(now),
            random: &mut || rng.next_u64(),
            excluded: &[],
            hash,
        });
        if let Some(endpoint) = &picked {
            balancer.begin(endpoint, now);
        }
        if let Some(endpoint) = std::mem::replace(&mut flying[at % 8], picked) {
            balancer.end(&endpoint, Outcome::Success, 160_000, now);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let named = arguments.first().and_then(|name| kind(name));
    if let (Some(kind), Some(replicas), Some(picks)) = (named, number(1), number(2)) {
        return run(kind, replicas, picks as usize);
    }
    KINDS
        .into_iter()
        .filter_map(kind)
        .for_each(|kind| run(kind, 10, 1_000));
}
