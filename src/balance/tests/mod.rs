//! Balancers as their users see them: what every kind promises, and what each promises besides.

mod aperture;
mod every_kind;
mod health;
mod heap;
mod latency;
mod ring_hash;
mod round_robin;
mod slow_start;
mod two_choices;
mod zoned;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::rng::Rng;
use super::*;

const SECOND: u64 = 1_000_000_000;

/// The address of the endpoint that tests call by this number.
fn addr(number: usize) -> SocketAddr {
    let [.., high, low] = u16::try_from(number / 50_000).unwrap().to_be_bytes();
    let port = u16::try_from(number % 50_000).unwrap();
    SocketAddr::from(([10, 0, high, low], port))
}

fn number(endpoint: &Endpoint) -> usize {
    let std::net::IpAddr::V4(ip) = endpoint.addr.ip() else {
        panic!("an address of IPv4");
    };
    let [.., high, low] = ip.octets();
    usize::from(u16::from_be_bytes([high, low])) * 50_000 + usize::from(endpoint.addr.port())
}

fn set(count: usize) -> Arc<ReplicaSet> {
    Arc::new(ReplicaSet::from_addrs((0..count).map(addr), None))
}

fn weighted(weights: &[f64]) -> Arc<ReplicaSet> {
    let pairs = weights.iter().enumerate().map(|(n, w)| (addr(n), *w));
    Arc::new(ReplicaSet::from_weighted(pairs, None))
}

/// Every kind; the aperture as wide as can be.
fn kinds() -> [Kind; 6] {
    [
        Kind::P2c,
        Kind::Ewma {
            decay: Duration::from_secs(10),
        },
        Kind::Aperture(Aperture {
            min_aperture: usize::MAX,
            ..Aperture::default()
        }),
        Kind::Heap,
        Kind::RoundRobin,
        Kind::RingHash(RingHash::default()),
    ]
}

fn of(kind: Kind) -> BalancerConfig {
    BalancerConfig {
        kind,
        ..BalancerConfig::default()
    }
}

/// A balancer with dice and a clock.
struct Client {
    balancer: Balancer,
    rng: Rng,
    now: u64,
}

impl Client {
    fn new(config: &BalancerConfig, set: &Arc<ReplicaSet>) -> Client {
        Client::at(config, set, Place::default())
    }

    fn at(config: &BalancerConfig, set: &Arc<ReplicaSet>, place: Place) -> Client {
        let mut balancer = Balancer::new(config, place);
        balancer.update(Arc::clone(set), SECOND);
        Client {
            balancer,
            rng: Rng::new(5 + place.shard as u64),
            now: SECOND,
        }
    }

    fn pick_but(&mut self, excluded: &[SocketAddr]) -> Arc<Endpoint> {
        let hash = self.rng.next_u64();
        self.pick_by(excluded, Some(hash)).unwrap()
    }

    fn pick_by(&mut self, excluded: &[SocketAddr], hash: Option<u64>) -> Option<Arc<Endpoint>> {
        self.balancer.pick(Pick {
            now_ns: self.now,
            random: &mut || self.rng.next_u64(),
            excluded,
            hash,
        })
    }

    /// How often each endpoint is picked, with no request ever under way.
    fn picks(&mut self, count: usize) -> Vec<usize> {
        self.picks_but(count, &[])
    }

    fn picks_but(&mut self, count: usize, excluded: &[SocketAddr]) -> Vec<usize> {
        let mut seen = vec![0; self.balancer.set().len()];
        for _ in 0..count {
            seen[number(&self.pick_but(excluded))] += 1;
        }
        seen
    }

    fn send(&mut self) -> Arc<Endpoint> {
        let endpoint = self.pick_but(&[]);
        self.balancer.begin(&endpoint, self.now);
        endpoint
    }

    fn finish(&mut self, endpoint: &Endpoint, rtt_ns: u64) {
        let now = self.now;
        self.balancer.end(endpoint, Outcome::Success, rtt_ns, now);
    }

    /// How often each endpoint is picked while so many requests are under way, which end in the
    /// order in which they began.
    fn steady(&mut self, count: usize, under_way: usize) -> Vec<usize> {
        let mut seen = vec![0; self.balancer.set().len()];
        let mut running = VecDeque::new();
        for _ in 0..count {
            let endpoint = self.send();
            seen[number(&endpoint)] += 1;
            running.push_back(endpoint);
            if running.len() > under_way {
                let first = running.pop_front().unwrap();
                self.finish(&first, 1_000_000);
            }
            self.now += 10_000;
        }
        for endpoint in running {
            self.finish(&endpoint, 1_000_000);
        }
        seen
    }
}

/// Whether each count is its expected part of their sum, but for this fraction of it.
#[track_caller]
fn assert_shares(seen: &[usize], expected: &[f64], tolerance: f64, what: &impl std::fmt::Debug) {
    let count: usize = seen.iter().sum();
    let sum: f64 = expected.iter().sum();
    assert_eq!(seen.len(), expected.len());
    for (seen, expected) in seen.iter().zip(expected) {
        let expected = expected / sum * count as f64;
        let error = (*seen as f64 - expected).abs();
        assert!(
            error <= tolerance * expected,
            "{what:?}: {seen} for {expected}"
        );
    }
}
