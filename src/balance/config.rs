//! What a balancer is made from, and what it is asked with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a client balances. The default is linkerd's: power of two choices, five tries.
#[derive(Debug, Clone, PartialEq)]
pub struct BalancerConfig {
    pub kind: Kind,
    /// Tries to find an open endpoint, at least 1; then the last one found is taken as it is.
    pub max_effort: u32,
    /// How long an endpoint that joins others takes to reach its full share.
    pub slow_start: Option<Duration>,
    /// The zone that this process stands in: endpoints there are preferred as far as they reach.
    pub prefer_zone: Option<Arc<str>>,
    /// Share of open endpoints, 0 to 1, below which health is ignored: so few would only be crushed
    /// by the traffic of all, and it is likelier that the network or the judge is ill. 0: never.
    pub panic_threshold: f64,
}

/// The ways to pick.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The less loaded of two drawn at random.
    P2c,
    /// The same by latency: peak EWMA with this time constant.
    Ewma { decay: Duration },
    /// The same within a subset that grows and shrinks with the load.
    Aperture(Aperture),
    /// The least loaded of all.
    Heap,
    /// One after the other.
    RoundRobin,
    /// By a hash of the request, so that like requests meet at one endpoint.
    RingHash(RingHash),
}

/// The subset of an aperture balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Aperture {
    /// Time constant of the average of requests under way.
    pub smooth_window: Duration,
    /// At or below so many requests per endpoint the subset shrinks.
    pub low_load: f64,
    /// At or above so many it grows.
    pub high_load: f64,
    /// Endpoints at least, 1 or more.
    pub min_aperture: usize,
}

/// The ring of a hashing balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct RingHash {
    /// Points on the ring for an endpoint of average weight.
    pub virtual_nodes: u32,
    /// How much more than its part of the requests under way an endpoint may have, more than 1.
    pub load_factor: f64,
}

/// Where a balancer works. It decides which part of a large set the balancer of each shard uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// This shard's number, less than `shards`.
    pub shard: usize,
    /// The process's shards, at least 1.
    pub shards: usize,
    /// The process's place among its like, as a fraction of 2^64 of the way round: a random number,
    /// or, for the instance of number `i` in a known fleet, the better spread `i` times
    /// `0x9e37_79b9_7f4a_7c15`.
    pub process_seed: u64,
}

/// One question to a balancer.
pub struct Pick<'a, R: FnMut() -> u64> {
    /// The time, by the clock that the endpoints are told.
    pub now_ns: u64,
    /// Random bits.
    pub random: &'a mut R,
    /// Endpoints to avoid while there are others: where earlier attempts failed, the latest last.
    /// Of more than [`MAX_EXCLUDED`] the latest count.
    pub excluded: &'a [SocketAddr],
    /// What like requests have in common; only hashing balancers ask.
    pub hash: Option<u64>,
}

/// How many endpoints a pick can avoid.
pub const MAX_EXCLUDED: usize = 16;

/// How a request ended, as its endpoint is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// Nobody waited for the end: it says nothing of the endpoint but that it took longer.
    Abandoned,
}

impl Default for BalancerConfig {
    fn default() -> BalancerConfig {
        BalancerConfig {
            kind: Kind::P2c,
            max_effort: 5,
            slow_start: None,
            prefer_zone: None,
            // Fewer than one in four: of a set of two to four a single survivor is still trusted.
            panic_threshold: 0.25,
        }
    }
}

impl Default for Aperture {
    /// linkerd's.
    fn default() -> Aperture {
        Aperture {
            smooth_window: Duration::from_secs(5),
            low_load: 0.5,
            high_load: 2.0,
            min_aperture: 1,
        }
    }
}

impl Default for RingHash {
    /// The points of Ketama, the factor of the paper's authors.
    fn default() -> RingHash {
        RingHash {
            virtual_nodes: 160,
            load_factor: 1.25,
        }
    }
}

impl Default for Place {
    /// The only shard of its process.
    fn default() -> Place {
        Place {
            shard: 0,
            shards: 1,
            process_seed: 0,
        }
    }
}

impl Place {
    /// The shard's place on a ring, as a fraction of 2^64: the shards of a process stand at equal
    /// distances from each other.
    pub(super) fn coordinate(self) -> u64 {
        // Rounded up, so that it lies on a boundary or behind it, never just before.
        let way = (self.shard as u128 * (1 << 64)).div_ceil(self.shards.max(1) as u128);
        self.process_seed.wrapping_add(way as u64)
    }
}

/// A duration in ns; the longest that fits if it is longer.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
