//! Clients: one per bound name and shard. A client knows the replicas of its name, picks one for
//! each request, and keeps connections to them.
//!
//! The replicas are a snapshot that the slow path sends and replaces; their state (requests in
//! flight, latency, health) lives in atomics that all shards share, so that the shards balance as one.
//! A snapshot without any replica never replaces one that has some: discovery is advisory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::balance::{Balancer, Endpoint, Outcome, Pick, Place};
use crate::config::resolved::{ClientParams, ClientPolicy, HashKey, Policies};
use crate::engine::{Key, Shard};
use crate::resilience::accrual::Accrual;
use crate::resilience::fail_fast::FailFast;

use super::ask::{Replicas, Target, Wish, Wishes};
use super::pool::Pool;
use super::shared::{ClientShared, Local};

enum State {
    /// The first answer is still to come.
    Unknown,
    Failed(String),
    Known,
}

/// A policy, and what is made of it once.
pub struct Rules {
    pub policy: ClientPolicy,
    pub accrual: Accrual,
    pub fail_fast: FailFast,
}

impl Rules {
    fn new(policy: ClientPolicy) -> Rc<Rules> {
        Rc::new(Rules {
            accrual: Accrual::new(&policy.accrual),
            fail_fast: FailFast::default(),
            policy,
        })
    }
}

/// See the module's head.
pub struct Client {
    pub target: Target,
    pub(super) rules: RefCell<Rc<Rules>>,
    state: RefCell<State>,
    balancer: RefCell<Balancer>,
    shared: RefCell<Option<Local<ClientShared>>>,
    waiting: RefCell<Vec<Key>>,
    /// Requests that wait for room at a replica.
    pub waiters: Cell<usize>,
    pub pool: Pool,
}

impl Client {
    /// The policy in force.
    #[must_use]
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// The hash that its balancer goes by, if its policy has a key for one.
    pub fn hash_by(&self, hash: impl FnOnce(&HashKey) -> Option<u64>) -> Option<u64> {
        self.rules.borrow().policy.hash.as_ref().and_then(hash)
    }

    /// What the shards know of it together, once the slow path has told.
    #[must_use]
    pub fn shared(&self) -> Option<Local<ClientShared>> {
        self.shared.borrow().clone()
    }

    /// Ready when the replicas are known, or known not to be had.
    pub fn poll_replicas(&self, shard: &Shard) -> Poll<Result<(), String>> {
        match &*self.state.borrow() {
            State::Known => Poll::Ready(Ok(())),
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

    /// Picks the endpoint for one request, avoiding those where it was `tried`, the latest last, as
    /// long as there are others.
    pub fn pick(
        &self,
        random: &mut impl FnMut() -> u64,
        now: u64,
        tried: &[SocketAddr],
        hash: Option<u64>,
    ) -> Option<Arc<Endpoint>> {
        match &*self.state.borrow() {
            State::Known => self.balancer.borrow_mut().pick(Pick {
                now_ns: now,
                random,
                excluded: tried,
                hash,
            }),
            State::Unknown | State::Failed(_) => None,
        }
    }

    /// Counts a request at an endpoint.
    pub fn begin(&self, endpoint: &Endpoint, now: u64) {
        self.balancer.borrow_mut().begin(endpoint, now);
    }

    /// Counts the end of a request, and the latency of its response's head in ns. Once for each
    /// [`Client::begin`].
    pub fn end(&self, endpoint: &Endpoint, outcome: Outcome, latency: u64, now: u64) {
        let mut balancer = self.balancer.borrow_mut();
        balancer.end(endpoint, outcome, latency, now);
    }

    /// Replicas known at present.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        match &*self.state.borrow() {
            State::Known => self.balancer.borrow().set().len(),
            State::Unknown | State::Failed(_) => 0,
        }
    }

    fn update(&self, shard: &Shard, answer: &Replicas) {
        let mut state = self.state.borrow_mut();
        match answer {
            Replicas::Known(set) if !set.endpoints.is_empty() => {
                let mut balancer = self.balancer.borrow_mut();
                balancer.update(Arc::clone(set), shard.now());
                *state = State::Known;
            }
            Replicas::Gone(why) => *state = State::Failed(why.clone()),
            // Never let an empty or failing answer take away a set that was good.
            _ if matches!(*state, State::Known) => return,
            Replicas::Known(_) => *state = State::Failed("no replicas".to_owned()),
            Replicas::Failed(why) => *state = State::Failed(why.clone()),
        }
        for task in self.waiting.borrow_mut().drain(..) {
            shard.wake(task);
        }
    }

    /// Goes by another policy from now on.
    fn reload(&self, policy: ClientPolicy, place: Place, now: u64) {
        if policy == self.rules.borrow().policy {
            return;
        }
        if policy.balancer != self.rules.borrow().policy.balancer {
            let mut balancer = Balancer::new(&policy.balancer, place);
            balancer.update(Arc::clone(self.balancer.borrow().set()), now);
            self.balancer.replace(balancer);
        }
        self.rules.replace(Rules::new(policy));
    }

    /// Closes idle connections that ended, grew old, or lead to a replica that is gone.
    pub fn reap(&self, now: u64) {
        let policy = &self.rules().policy;
        let balancer = self.balancer.borrow();
        match &*self.state.borrow() {
            State::Known => self.pool.reap(now, policy, |addr| balancer.has(addr)),
            State::Unknown | State::Failed(_) => self.pool.reap(now, policy, |_| true),
        }
    }
}

/// The clients of one router on one shard.
pub struct Clients {
    shard: Shard,
    place: Place,
    policies: RefCell<Policies<ClientParams>>,
    wishes: Wishes,
    by_target: RefCell<HashMap<Target, Rc<Client>, foldhash::fast::FixedState>>,
}

impl Clients {
    #[must_use]
    pub fn new(
        shard: &Shard,
        place: Place,
        policies: Policies<ClientParams>,
        wishes: Wishes,
        seed: u64,
    ) -> Clients {
        Clients {
            shard: shard.clone(),
            place,
            policies: RefCell::new(policies),
            wishes,
            by_target: RefCell::new(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(
                seed,
            ))),
        }
    }

    /// Goes by other policies from now on; connections stay.
    pub fn reload(&self, policies: &Policies<ClientParams>) {
        self.policies.borrow_mut().clone_from(policies);
        for client in self.by_target.borrow().values() {
            let policy = policies.policy(&client.target.id);
            client.reload(policy, self.place, self.shard.now());
        }
    }

    /// The client of a bound name, made (and its replicas asked for) at first use.
    pub fn get(&self, target: &Target) -> Rc<Client> {
        let mut by_target = self.by_target.borrow_mut();
        if let Some(client) = by_target.get(target) {
            return Rc::clone(client);
        }
        let rules = Rules::new(self.policies.borrow().policy(&target.id));
        let client = Rc::new(Client {
            target: target.clone(),
            balancer: RefCell::new(Balancer::new(&rules.policy.balancer, self.place)),
            rules: RefCell::new(rules),
            state: RefCell::new(State::Unknown),
            shared: RefCell::default(),
            waiting: RefCell::default(),
            waiters: Cell::new(0),
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

    /// Takes in what the shards share of a bound name from now on.
    pub fn share(&self, target: &Target, shared: &Arc<ClientShared>) {
        if let Some(client) = self.by_target.borrow().get(target) {
            client.shared.replace(Some(Rc::new(Arc::clone(shared))));
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

    /// Requests that wait for room at a replica.
    #[must_use]
    pub fn waiters(&self) -> usize {
        let by_target = self.by_target.borrow();
        by_target.values().map(|client| client.waiters.get()).sum()
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
