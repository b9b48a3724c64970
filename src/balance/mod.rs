//! Load balancing: which replica of a name takes the next request.
//!
//! The counters of a replica ([`Endpoint`]) are shared by all shards, so that eight cores make one
//! decision and not eight blind ones; the set of replicas ([`ReplicaSet`]) is an immutable snapshot
//! that discovery replaces whole. Between the two lies everything a balancer has to know, and none
//! of it takes a lock.
//!
//! The room is pure: time and randomness are arguments. A shard passes its own [`rng::Rng`] and
//! the time it has read once for the loop turn; a test passes a seed, and gets the same picks again.
#![forbid(unsafe_code)]

mod endpoint;
pub mod p2c;
mod replicas;
pub mod rng;
pub mod weighted;

pub use endpoint::{Endpoint, UNREACHABLE_FOR_NS};
pub use replicas::ReplicaSet;
