//! Discovery: what the slow path learns of names and of their replicas, and tells the shards.
//!
//! [`serve`] keeps one binding per name, whichever shards asked for it, and one list of replicas per
//! bound name. Both follow what [`Namer`]s say, and a shard hears of nothing but changes. A name that
//! no shard cares for any more is forgotten, and with it whatever was watched on its behalf.
//!
//! Discovery is advisory: an answer that fails or is empty never takes away what was good. A dead
//! replica is found by its traffic; a registry that forgets everything for a moment is an accident.
#![forbid(unsafe_code)]

mod fixed;
mod fs;
mod health;
mod namer;
mod names;
mod replicas;
mod report;
mod sharing;
mod transform;

#[cfg(test)]
mod tests;

pub use fixed::{Rewrite, Static};
pub use fs::Fs;
pub use namer::{Addrs, Answer, Found, Namer, Namers};
pub use names::{Said, Table, Tables, serve};
pub use report::{Query, Reload, Report};
pub use sharing::TablePolicies;
