//! The world of one run: clients, the proxies in front of each tier of replicas, and the replicas.
//!
//! A client's request is a call to the first tier. A call passes a proxy (one of its shards, by
//! chance: where the connection happened to be accepted), becomes one attempt or several on replicas, and
//! a replica of a tier that has another behind it makes a call there once its own work is done.
//! Nobody reads a real clock or rolls real dice: a seed is a run.

use std::sync::Arc;

use ringlink::balance::rng::{Rng, fraction, scale};
use ringlink::balance::{Endpoint, Place, ReplicaSet};
use ringlink::resilience::accrual::Accrual;
use ringlink::resilience::backoff;
use ringlink::resilience::budget::{Budget, BudgetConfig};
use ringlink::resilience::hedge::Hedge;

use super::clock::{Clock, SEC, US};
use super::guard::Guard;
use super::picker::{Picker, address};
use super::policy::{Picks, Policy, Reconnect};
use super::server::Server;
use super::stats::Stats;

/// One way over the network.
pub const WIRE_NS: u64 = 250 * US;

/// A service: its replicas, and the proxies through which it is called.
pub struct Tier {
    pub policy: Policy,
    pub proxies: usize,
    pub shards: usize,
    pub servers: Vec<Server>,
    /// How many of the servers are known at first; all the others join at [`Plan::joins_at`].
    pub known: usize,
}

/// What is to be run.
pub struct Plan {
    pub seed: u64,
    pub tiers: Vec<Tier>,
    /// Requests per second of all clients, from these times on.
    pub rates: Vec<(u64, f64)>,
    /// When clients stop; the run goes on until nothing is on its way, for a minute at most.
    pub length: u64,
    /// From when on it counts.
    pub counts_from: u64,
    pub joins_at: Option<u64>,
}

#[derive(Clone, Copy)]
pub enum Event {
    Arrive,
    Join,
    /// An attempt reaches its replica.
    Reach(usize),
    /// Its work is done.
    Worked(usize),
    /// What came of it reaches the proxy.
    Answer(usize, Answer),
    /// A call's time is up.
    Due(usize),
    /// A call may be hedged now.
    Hedge(usize),
    /// A call is tried again now; on this replica.
    Again(usize, Option<usize>),
    /// A proxy's queue may hold who has waited for too long.
    Patience(usize, usize),
}

/// What comes of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Success,
    Error,
    /// An error that must not be tried again.
    Final,
    /// The connect was refused, or nobody answered it.
    Unconnected,
}

/// One call of a service.
pub struct Call {
    pub tier: usize,
    pub proxy: usize,
    pub shard: usize,
    /// The attempt whose work made it; none if a client did.
    pub parent: Option<usize>,
    /// The client's own call.
    pub root: usize,
    pub started: u64,
    /// When it got past the guard.
    pub admitted: Option<u64>,
    pub due: u64,
    pub attempts: Vec<usize>,
    pub retries: u32,
    pub reconnects: u32,
    pub place: backoff::Place,
    /// Attempts under way.
    pub open: u32,
    pub over: bool,
}

/// One try of a call on a replica.
pub struct Attempt {
    pub call: usize,
    pub server: usize,
    pub endpoint: Arc<Endpoint>,
    pub sent: u64,
    pub probe: bool,
    /// Sent although its endpoint was Busy.
    pub despite: bool,
    /// As far as the proxy is concerned.
    pub over: bool,
    pub work: u64,
}

/// A proxy in front of a service.
pub struct Proxy {
    pub set: Arc<ReplicaSet>,
    pub shards: Vec<Picker>,
    pub accrual: Option<Accrual>,
    pub requeues: Option<Budget>,
    pub retries: Option<Budget>,
    pub hedge: Option<Hedge>,
    pub guard: Option<Guard>,
}

/// See the module's head.
pub struct World {
    pub clock: Clock<Event>,
    pub rng: Rng,
    pub plan: Plan,
    /// By tier.
    pub proxies: Vec<Vec<Proxy>>,
    pub calls: Vec<Call>,
    pub attempts: Vec<Attempt>,
    pub stats: Stats,
}

impl World {
    /// Runs a plan to its end.
    pub fn run(plan: Plan) -> World {
        let mut rng = Rng::new(plan.seed);
        let proxies = plan.tiers.iter().map(|tier| proxies(tier, &mut rng));
        let mut world = World {
            proxies: proxies.collect(),
            stats: Stats::new(&plan),
            clock: Clock::new(),
            calls: Vec::new(),
            attempts: Vec::new(),
            rng,
            plan,
        };
        world.clock.after(0, Event::Arrive);
        if let Some(at) = world.plan.joins_at {
            world.clock.at(SEC + at, Event::Join);
        }
        let end = SEC + world.plan.length + 60 * SEC;
        while let Some(event) = world.clock.next() {
            if world.clock.now() > end {
                break;
            }
            world.happen(event);
        }
        world
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> u64 {
        self.clock.now() - SEC
    }

    /// Whether what happens now counts.
    pub fn counts(&self) -> bool {
        (self.plan.counts_from..self.plan.length).contains(&self.elapsed())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Join => self.join(),
            Event::Reach(attempt) => self.reach(attempt),
            Event::Worked(attempt) => self.worked(attempt),
            Event::Answer(attempt, answer) => self.settle(attempt, answer),
            Event::Due(call) => self.expire(call),
            Event::Hedge(call) => self.hedge(call),
            Event::Again(call, server) => self.again(call, server),
            Event::Patience(tier, proxy) => self.sweep(tier, proxy),
        }
    }

    /// A client's request, and when the next one comes: a Poisson process.
    fn arrive(&mut self) {
        let elapsed = self.elapsed();
        if elapsed >= self.plan.length {
            return;
        }
        let rates = self.plan.rates.iter().rev();
        let rate = rates
            .clone()
            .find(|(from, _)| *from <= elapsed)
            .map_or(1.0, |(_, rate)| *rate);
        let gap = -(1.0 - fraction(self.rng.next_u64())).ln() / rate;
        self.clock.after((gap * SEC as f64) as u64, Event::Arrive);
        let proxy = scale(self.rng.next_u64(), self.plan.tiers[0].proxies);
        self.call(0, proxy, None);
    }

    /// Everybody is told of the servers that join.
    fn join(&mut self) {
        let now = self.clock.now();
        for (tier, proxies) in self.plan.tiers.iter().zip(&mut self.proxies) {
            let addrs = || (0..tier.servers.len()).map(address);
            for proxy in proxies {
                proxy.set = Arc::new(ReplicaSet::from_addrs(addrs(), Some(&proxy.set)));
                for picker in &mut proxy.shards {
                    picker.update(&proxy.set, now);
                }
            }
        }
    }
}

fn proxies(tier: &Tier, rng: &mut Rng) -> Vec<Proxy> {
    (0..tier.proxies).map(|_| proxy(tier, rng)).collect()
}

fn proxy(tier: &Tier, rng: &mut Rng) -> Proxy {
    let policy = &tier.policy;
    let set = Arc::new(ReplicaSet::from_addrs((0..tier.known).map(address), None));
    let process_seed = rng.next_u64();
    let shard = |shard| {
        let place = Place {
            shard,
            shards: tier.shards,
            process_seed,
        };
        let mut picker = Picker::new(&policy.picks, &set, place, rng);
        picker.update(&set, SEC);
        picker
    };
    let retries = policy
        .retry
        .as_ref()
        .and_then(|retry| retry.budget.as_ref());
    let default = BudgetConfig::default();
    let hedges = policy.hedge.as_ref().map(|_| &default);
    let is_ringlink = matches!(policy.picks, Picks::Ringlink(_));
    Proxy {
        shards: (0..tier.shards).map(shard).collect(),
        accrual: policy
            .accrual
            .as_ref()
            .filter(|_| is_ringlink)
            .map(Accrual::new),
        requeues: match &policy.reconnect {
            Reconnect::Budget(config) => Some(Budget::new(config)),
            _ => None,
        },
        // What pays for retries pays for hedges.
        retries: retries.or(hedges).map(Budget::new),
        hedge: policy.hedge.as_ref().map(Hedge::new),
        guard: policy
            .guard
            .as_ref()
            .map(|guard| Guard::new(guard, tier.shards)),
        set,
    }
}
