//! Load balancing: which replica of a name takes the next request.
//!
//! The counters of a replica ([`Endpoint`]) are shared by all shards, so that eight cores make one
//! decision and not eight blind ones; the set of replicas ([`ReplicaSet`]) is an immutable snapshot
//! that discovery replaces whole. On them works a [`Balancer`], one per client and shard, made from
//! a [`BalancerConfig`]: of the kinds of linkerd and one more, each in a file of its own. Between
//! these lies everything that balancing has to know, and none of it takes a lock.
//!
//! The room is pure: time and randomness are arguments. A shard passes its own [`rng::Rng`] and
//! the time it has read once for the loop turn; a test passes a seed, and gets the same picks again.
#![forbid(unsafe_code)]

mod aperture;
mod balancer;
mod config;
mod endpoint;
mod ewma;
mod group;
mod hash;
mod heap;
mod method;
mod p2c;
mod queue;
mod replicas;
mod ring_hash;
pub mod rng;
mod roster;
mod round_robin;
mod shares;
pub mod weighted;
mod zones;

#[cfg(test)]
mod tests;

pub use balancer::{Balancer, Tally};
pub use config::{Aperture, BalancerConfig, Kind, MAX_EXCLUDED, Outcome, Pick, Place, RingHash};
pub use endpoint::{Endpoint, Status, UNREACHABLE_FOR_NS};
pub use replicas::{Replica, ReplicaSet};
