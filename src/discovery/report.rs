//! What others ask of discovery: its state, its namers, and that it goes by other tables.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::resolved;
use crate::naming::Path;

use super::namer::Namers;
use super::names::Table;

/// A question, and where its answer goes.
pub enum Query {
    Report(oneshot::Sender<Report>),
    /// The namers themselves, to be asked.
    Namers(oneshot::Sender<Namers>),
    /// Go by these from now on; answered when names that are bound already were bound by them.
    Reload(Reload, oneshot::Sender<()>),
}

/// What a configuration says of binding.
pub struct Reload {
    pub namers: Vec<resolved::Namer>,
    /// By the router's number.
    pub routers: BTreeMap<usize, Table>,
    /// Shards, on each of which a router that is gone lives until its last request has ended.
    pub shards: usize,
}

/// The state of discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names that shards remember, and those of them that are bound.
    pub names: usize,
    pub bound: usize,
    /// Namers' answers that names depend on.
    pub answers: usize,
    /// Bound names of which the replicas are followed, and their replicas.
    pub sets: usize,
    pub replicas: usize,
    /// Of those, the ones that are not well by their health check.
    pub unhealthy: usize,
    /// Sets that are kept although nothing good was heard of them for so long.
    pub failing: Vec<Failing>,
    /// Names whose requests at once are limited.
    pub limited: Vec<Limited>,
    /// Of routers, by their numbers: keys that the tables of their services' rate limits forgot before
    /// their time.
    pub rate_evictions: Vec<(usize, u64)>,
}

/// A name whose requests at once are limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The router's number.
    pub router: usize,
    pub name: Path,
    /// How many may be served at once at present.
    pub limit: u32,
    /// How many are, and how many wait.
    pub active: u32,
    pub pending: u32,
}

/// A set that is kept for want of a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub id: Path,
    pub age: Duration,
    pub why: String,
}

impl Report {
    /// Age of the oldest set that is kept for want of a better one.
    #[must_use]
    pub fn stale(&self) -> Duration {
        let ages = self.failing.iter().map(|failing| failing.age);
        ages.max().unwrap_or_default()
    }
}
