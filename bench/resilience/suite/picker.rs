//! Who takes the next request: ringlink's balancer, or a model of another's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringlink::balance::rng::{Rng, scale};
use ringlink::balance::{Balancer, Endpoint, Outcome, Pick, Place, ReplicaSet};

use super::policy::Picks;

/// The address of a replica.
pub fn address(server: usize) -> SocketAddr {
    SocketAddr::from(((10u32 << 24 | server as u32).to_be_bytes(), 80))
}

/// The replica of an address.
pub fn server(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & 0x00ff_ffff) as usize,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.to_bits() as usize,
    }
}

/// The balancer of one shard.
pub enum Picker {
    Ringlink(Box<Balancer>),
    Rounds(Rounds),
    LeastRequest(Arc<ReplicaSet>),
}

/// One after the other, as nginx's workers and Envoy's do it for equal weights.
pub struct Rounds {
    set: Arc<ReplicaSet>,
    next: usize,
    fail_timeout: u64,
    /// When each last failed; 0 if never.
    failed: Vec<u64>,
}

impl Picker {
    pub fn new(picks: &Picks, set: &Arc<ReplicaSet>, place: Place, rng: &mut Rng) -> Picker {
        match picks {
            Picks::Ringlink(config) => Picker::Ringlink(Box::new(Balancer::new(config, place))),
            Picks::Rounds { fail_timeout } => Picker::Rounds(Rounds {
                set: Arc::clone(set),
                next: scale(rng.next_u64(), set.len()),
                fail_timeout: *fail_timeout,
                failed: vec![0; set.len()],
            }),
            Picks::LeastRequest => Picker::LeastRequest(Arc::clone(set)),
        }
    }

    pub fn update(&mut self, set: &Arc<ReplicaSet>, now: u64) {
        match self {
            Picker::Ringlink(balancer) => balancer.update(Arc::clone(set), now),
            Picker::Rounds(rounds) => {
                rounds.set = Arc::clone(set);
                rounds.failed.resize(set.len(), 0);
            }
            Picker::LeastRequest(of) => *of = Arc::clone(set),
        }
    }

    pub fn pick(
        &mut self,
        now: u64,
        rng: &mut Rng,
        excluded: &[SocketAddr],
    ) -> Option<Arc<Endpoint>> {
        match self {
            Picker::Ringlink(balancer) => balancer.pick(Pick {
                now_ns: now,
                random: &mut || rng.next_u64(),
                excluded,
                hash: None,
            }),
            Picker::Rounds(rounds) => rounds.pick(now, excluded),
            Picker::LeastRequest(set) => {
                let mut draw = || &set.endpoints[scale(rng.next_u64(), set.len())];
                let (first, second) = (draw(), draw());
                let less = second.outstanding() < first.outstanding();
                Some(Arc::clone(if less { second } else { first }))
            }
        }
    }

    pub fn begin(&mut self, endpoint: &Endpoint, now: u64) {
        match self {
            Picker::Ringlink(balancer) => balancer.begin(endpoint, now),
            _ => endpoint.begin(),
        }
    }

    pub fn end(&mut self, endpoint: &Endpoint, outcome: Outcome, rtt: u64, now: u64) {
        match self {
            Picker::Ringlink(balancer) => balancer.end(endpoint, outcome, rtt, now),
            _ => endpoint.end(),
        }
    }

    /// A connect failed, or a connection broke.
    pub fn failed(&mut self, endpoint: &Endpoint, now: u64) {
        match self {
            Picker::Ringlink(_) => endpoint.mark_unreachable(now),
            Picker::Rounds(rounds) => rounds.failed[server(endpoint.addr)] = now,
            Picker::LeastRequest(_) => {}
        }
    }
}

impl Rounds {
    fn pick(&mut self, now: u64, excluded: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        for _ in 0..self.set.len() {
            self.next = (self.next + 1) % self.set.len();
            let endpoint = &self.set.endpoints[self.next];
            let failed = &mut self.failed[self.next];
            let is_down = *failed != 0 && now - *failed <= self.fail_timeout;
            if is_down || excluded.contains(&endpoint.addr) {
                continue;
            }
            // One request tries it again; the others wait for what comes of it.
            if *failed != 0 {
                *failed = if self.fail_timeout > 0 { now } else { 0 };
            }
            return Some(Arc::clone(endpoint));
        }
        None
    }
}
