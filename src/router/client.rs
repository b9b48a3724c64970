//! Clients: one per bound name and shard. A client knows the replicas of its name, picks one for
//! each request, and keeps connections to them.
//!
//! The replicas are a snapshot that the slow path sends and replaces; their state (requests in
//! flight, reachability) lives in atomics that all shards share, so that the shards balance as one.
//! A snapshot without any replica never replaces one that has some: discovery is advisory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::balance::{Endpoint, ReplicaSet, p2c};
use crate::config::resolved;
use crate::engine::{Key, Shard};
use crate::naming::{Inet, Path};

use super::pool::Pool;

/// What the slow path is asked: keep this shard informed of the replicas of a host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    pub shard: usize,
    pub inet: Inet,
}

/// What the slow path answers, at first and whenever it changes.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub inet: Inet,
    /// The replicas, or why there are none to be had.
    pub replicas: Result<Arc<ReplicaSet>, String>,
}

/// Where resolve requests go. Must not block.
pub type Resolver = Rc<dyn Fn(ResolveRequest)>;

enum Replicas {
    /// The first answer is still to come.
    Unknown,
    Failed(String),
    Known(Arc<ReplicaSet>),
}

/// See the module's head.
pub struct Client {
    pub id: Path,
    pub inet: Inet,
    replicas: RefCell<Replicas>,
    waiting: RefCell<Vec<Key>>,
    pub pool: Pool,
}

impl Client {
    /// Ready when the replicas are known, or known not to be had.
    pub fn poll_replicas(&self, shard: &Shard) -> Poll<Result<(), String>> {
        match &*self.replicas.borrow() {
            Replicas::Known(_) => Poll::Ready(Ok(())),
            Replicas::Failed(why) => Poll::Ready(Err(why.clone())),
            Replicas::Unknown => {
                self.waiting.borrow_mut().push(shard.this_task());
                Poll::Pending
            }
        }
    }

    /// Picks the endpoint for one request, avoiding `excluded` if there is another.
    pub fn pick(
        &self,
        random: &mut impl FnMut() -> u64,
        now: u64,
        excluded: Option<SocketAddr>,
    ) -> Option<Arc<Endpoint>> {
        match &*self.replicas.borrow() {
            Replicas::Known(set) => p2c::pick(set, random, now, excluded).map(Arc::clone),
            Replicas::Unknown | Replicas::Failed(_) => None,
        }
    }

    /// Replicas known at present.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        match &*self.replicas.borrow() {
            Replicas::Known(set) => set.endpoints.len(),
            Replicas::Unknown | Replicas::Failed(_) => 0,
        }
    }

    fn update(&self, shard: &Shard, answer: Result<Arc<ReplicaSet>, String>) {
        let mut replicas = self.replicas.borrow_mut();
        match answer {
            Ok(set) if !set.endpoints.is_empty() => *replicas = Replicas::Known(set),
            // Never let an empty or failing answer take away a set that was good.
            _ if matches!(*replicas, Replicas::Known(_)) => return,
            Ok(_) => *replicas = Replicas::Failed("no replicas".to_owned()),
            Err(why) => *replicas = Replicas::Failed(why),
        }
        for task in self.waiting.borrow_mut().drain(..) {
            shard.wake(task);
        }
    }

    /// Closes idle connections that ended, grew old, or lead to a replica that is gone.
    pub fn reap(&self, now: u64) {
        match &*self.replicas.borrow() {
            Replicas::Known(set) => self.pool.reap(now, |addr| {
                set.endpoints.iter().any(|endpoint| endpoint.addr == addr)
            }),
            Replicas::Unknown | Replicas::Failed(_) => self.pool.reap(now, |_| true),
        }
    }
}

/// The clients of one router on one shard.
pub struct Clients {
    shard: Shard,
    config: resolved::Client,
    resolver: Resolver,
    by_id: RefCell<HashMap<Path, Rc<Client>, foldhash::fast::FixedState>>,
}

impl Clients {
    #[must_use]
    pub fn new(shard: &Shard, config: resolved::Client, resolver: Resolver, seed: u64) -> Clients {
        Clients {
            shard: shard.clone(),
            config,
            resolver,
            by_id: RefCell::new(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(
                seed,
            ))),
        }
    }

    #[must_use]
    pub fn config(&self) -> &resolved::Client {
        &self.config
    }

    /// The client of a bound name, made (and its replicas asked for) at first use.
    pub fn get(&self, id: &Path, inet: &Inet) -> Rc<Client> {
        let mut by_id = self.by_id.borrow_mut();
        if let Some(client) = by_id.get(id) {
            return Rc::clone(client);
        }
        let client = Rc::new(Client {
            id: id.clone(),
            inet: inet.clone(),
            replicas: RefCell::new(Replicas::Unknown),
            waiting: RefCell::default(),
            pool: Pool::new(
                self.config.max_idle,
                self.config.idle_timeout,
                self.config.life_time,
            ),
        });
        by_id.insert(id.clone(), Rc::clone(&client));
        drop(by_id);
        (self.resolver)(ResolveRequest {
            shard: self.shard.id(),
            inet: inet.clone(),
        });
        client
    }

    /// Takes in an answer of the slow path.
    pub fn update(&self, answer: &Resolved) {
        for client in self.by_id.borrow().values() {
            if client.inet == answer.inet {
                client.update(&self.shard, answer.replicas.clone());
            }
        }
    }

    /// Reaps all pools, and forgets clients that nobody refers to and that hold no connection.
    pub fn reap(&self) {
        let now = self.shard.now();
        self.by_id.borrow_mut().retain(|_, client| {
            client.reap(now);
            Rc::strong_count(client) > 1 || !client.pool.is_empty()
        });
    }

    /// Idle connections in all pools.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.by_id
            .borrow()
            .values()
            .map(|client| client.pool.len())
            .sum()
    }
}
