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

use crate::balance::{Balancer, BalancerConfig, Endpoint, Pick, Place};
use crate::config::resolved::{ClientParams, ClientPolicy, Policies};
use crate::engine::{Key, Shard};

use super::ask::{Replicas, Target, Wish, Wishes};
use super::pool::Pool;

enum State {
    /// The first answer is still to come.
    Unknown,
    Failed(String),
    Known(Box<Balancer>),
}

/// See the module's head.
pub struct Client {
    pub target: Target,
    policy: RefCell<Rc<ClientPolicy>>,
    replicas: RefCell<State>,
    waiting: RefCell<Vec<Key>>,
    pub pool: Pool,
}

impl Client {
    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Rc<ClientPolicy> {
        Rc::clone(&self.policy.borrow())
    }

    /// Ready when the replicas are known, or known not to be had.
    pub fn poll_replicas(&self, shard: &Shard) -> Poll<Result<(), String>> {
        match &*self.replicas.borrow() {
            State::Known(_) => Poll::Ready(Ok(())),
            State::Failed(why) => Poll::Ready(Err(why.clone())),
            State::Unknown => {
                let mut waiting = self.waiting.borrow_mut();
                let task = shard.this_task();
                if waiting.last() != Some(&task) {
                    waiting.push(task);
                }
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
        match &mut *self.replicas.borrow_mut() {
            State::Known(balancer) => balancer.pick(Pick {
                now_ns: now,
                random,
                excluded: excluded.as_slice(),
                hash: None,
            }),
            State::Unknown | State::Failed(_) => None,
        }
    }

    /// Replicas known at present.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        match &*self.replicas.borrow() {
            State::Known(balancer) => balancer.set().len(),
            State::Unknown | State::Failed(_) => 0,
        }
    }

    fn update(&self, shard: &Shard, answer: &Replicas) {
        let mut replicas = self.replicas.borrow_mut();
        match answer {
            Replicas::Known(set) if !set.endpoints.is_empty() => {
                if !matches!(*replicas, State::Known(_)) {
                    let balancer = Balancer::new(&BalancerConfig::default(), Place::default());
                    *replicas = State::Known(Box::new(balancer));
                }
                if let State::Known(balancer) = &mut *replicas {
                    balancer.update(Arc::clone(set), shard.now());
                }
            }
            Replicas::Gone(why) => *replicas = State::Failed(why.clone()),
            // Never let an empty or failing answer take away a set that was good.
            _ if matches!(*replicas, State::Known(_)) => return,
            Replicas::Known(_) => *replicas = State::Failed("no replicas".to_owned()),
            Replicas::Failed(why) => *replicas = State::Failed(why.clone()),
        }
        for task in self.waiting.borrow_mut().drain(..) {
            shard.wake(task);
        }
    }

    /// Closes idle connections that ended, grew old, or lead to a replica that is gone.
    pub fn reap(&self, now: u64) {
        let config = &*self.policy();
        match &*self.replicas.borrow() {
            State::Known(balancer) => self.pool.reap(now, config, |addr| balancer.has(addr)),
            State::Unknown | State::Failed(_) => self.pool.reap(now, config, |_| true),
        }
    }
}

/// The clients of one router on one shard.
pub struct Clients {
    shard: Shard,
    policies: RefCell<Policies<ClientParams>>,
    wishes: Wishes,
    by_target: RefCell<HashMap<Target, Rc<Client>, foldhash::fast::FixedState>>,
}

impl Clients {
    #[must_use]
    pub fn new(
        shard: &Shard,
        policies: Policies<ClientParams>,
        wishes: Wishes,
        seed: u64,
    ) -> Clients {
        Clients {
            shard: shard.clone(),
            policies: RefCell::new(policies),
            wishes,
            by_target: RefCell::new(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(
                seed,
            ))),
        }
    }

    /// Goes by another policy from now on; connections stay.
    pub fn reload(&self, policies: &Policies<ClientParams>) {
        self.policies.borrow_mut().clone_from(policies);
        for client in self.by_target.borrow().values() {
            let policy = policies.policy(&client.target.id);
            if policy != **client.policy.borrow() {
                client.policy.replace(Rc::new(policy));
            }
        }
    }

    /// The client of a bound name, made (and its replicas asked for) at first use.
    pub fn get(&self, target: &Target) -> Rc<Client> {
        let mut by_target = self.by_target.borrow_mut();
        if let Some(client) = by_target.get(target) {
            return Rc::clone(client);
        }
        let client = Rc::new(Client {
            target: target.clone(),
            policy: RefCell::new(Rc::new(self.policies.borrow().policy(&target.id))),
            replicas: RefCell::new(State::Unknown),
            waiting: RefCell::default(),
            pool: Pool::default(),
        });
        by_target.insert(target.clone(), Rc::clone(&client));
        drop(by_target);
        (self.wishes)(Wish::Watch(target.clone()));
        client
    }

    /// Takes in what the slow path says of replicas.
    pub fn update(&self, target: &Target, replicas: &Replicas) {
        if let Some(client) = self.by_target.borrow().get(target) {
            client.update(&self.shard, replicas);
        }
    }

    /// Reaps all pools, and forgets clients that nobody refers to and that hold no connection.
    pub fn reap(&self) {
        let now = self.shard.now();
        self.by_target.borrow_mut().retain(|target, client| {
            client.reap(now);
            let keep = Rc::strong_count(client) > 1 || !client.pool.is_empty();
            if !keep {
                (self.wishes)(Wish::Unwatch(target.clone()));
            }
            keep
        });
    }

    /// Idle connections in all pools.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.by_target
            .borrow()
            .values()
            .map(|client| client.pool.len())
            .sum()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for target in self.by_target.get_mut().keys() {
            (self.wishes)(Wish::Unwatch(target.clone()));
        }
    }
}
