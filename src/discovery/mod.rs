//! Discovery: what the slow path learns of replicas.
//!
//! One watcher per host and port resolves it at once and then again and again, and sends what
//! changed to the shards that asked. Discovery is advisory: a lookup that fails or finds nothing
//! never takes away addresses that were good; a dead replica is found by its traffic.
#![forbid(unsafe_code)]

mod inet;

pub use inet::{Answer, watch};
