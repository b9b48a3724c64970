//! The data path: what one shard does for one router.
//!
//! A request walks: [`server`] accepts, [`connection`] reads heads one after the other,
//! [`exchange`] takes each to its end ([`identify`] → [`bind`] → [`client`] picks an endpoint →
//! [`pool`] or a new connection → [`pump`] moves the bodies), and the connection goes on. What is
//! specific to HTTP/1.1 lives in [`h1`]; the rest speaks of heads, body events and buffers.
//!
//! Everything here belongs to one shard and is reached without a lock; the only things shared with
//! other shards are atomics: the endpoints' state and the shards' loads.
#![forbid(unsafe_code)]

pub mod admission;
pub mod ask;
mod attempt;
pub mod bind;
pub mod client;
mod clock;
pub mod connection;
pub mod context;
mod cookies;
pub mod deadline;
pub mod door;
pub mod edits;
pub mod ends;
pub mod exchange;
mod faults;
mod forwarded;
pub mod h1;
pub mod hashed;
mod hedge;
pub mod identify;
mod in_flight;
mod limit;
mod location;
mod mirror;
pub mod pool;
pub mod pump;
pub mod rate;
pub mod receive;
pub mod refusal;
pub mod retry;
mod room;
pub mod server;
pub mod settings;
pub mod shared;
mod trace;
pub mod tunnel;
mod via;
mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::balance::Place;
use crate::balance::rng::Rng;
use crate::engine::driver::Fd;
use crate::engine::{FuturePool, Key, Shard, Timer};
use crate::http::{RequestHead, ResponseHead};
use crate::telemetry::mirror::MirrorStats;
use crate::telemetry::{RouterSnapshot, RouterStats};

use ask::{Told, Wishes};
use bind::Binder;
use client::Clients;
use refusal::Refusal;
use server::Loads;
use settings::Settings;

/// Heads kept for reuse.
const HEADS_KEPT: usize = 256;
/// Heads that a sweep leaves in place.
const HEADS_TRIMMED: usize = 16;

/// The heads of a request and of its response.
type Heads = (Box<RequestHead>, Box<ResponseHead>);

/// Gives a connection to another shard: (shard, server's number, descriptor). False when that shard
/// does not take it: its mailbox is full, or it does not know the server yet.
pub type HandOver = Rc<dyn Fn(usize, usize, Fd) -> bool>;

/// One router on one shard.
pub struct Router {
    pub shard: Shard,
    pub binder: Binder,
    pub clients: Clients,
    pub stats: RouterStats,
    pub mirrors: MirrorStats,
    pub futures: FuturePool,
    pub loads: Loads,
    /// The task that idle connections wake.
    pub reaper: Cell<Key>,
    settings: RefCell<Rc<Settings>>,
    hand_over: HandOver,
    rng: RefCell<Rng>,
    spare: RefCell<Vec<Heads>>,
}

/// What a router gets from outside.
pub struct Surroundings {
    pub wishes: Wishes,
    pub hand_over: HandOver,
    pub loads: Loads,
    /// Where this shard stands among its like, for balancers that divide a large set among them.
    pub place: Place,
    /// All chance of the router comes from here, the order of its tables included.
    pub seed: u64,
}

impl Router {
    /// Makes a router on a shard and starts its reaper.
    #[must_use]
    pub fn new(shard: &Shard, settings: Settings, around: Surroundings) -> Rc<Router> {
        let config = &settings.config;
        let router = Rc::new(Router {
            shard: shard.clone(),
            binder: Binder::new(
                shard,
                config.binding_cache,
                config.service.clone(),
                Rc::clone(&around.wishes),
                around.seed,
            ),
            clients: Clients::new(
                shard,
                around.place,
                config.client.clone(),
                around.wishes,
                around.seed,
            ),
            stats: RouterStats::default(),
            mirrors: MirrorStats::default(),
            futures: FuturePool::default(),
            loads: around.loads,
            reaper: Cell::new(Key::NONE),
            hand_over: around.hand_over,
            rng: RefCell::new(Rng::new(around.seed)),
            spare: RefCell::default(),
            settings: RefCell::new(Rc::new(settings)),
        });
        let reaped = Rc::downgrade(&router);
        let shard_of_reaper = shard.clone();
        let reaper = shard.spawn(async move {
            let timer = Timer::new(&shard_of_reaper);
            loop {
                pool::next_sweep(&shard_of_reaper, &timer).await;
                let Some(router) = reaped.upgrade() else {
                    return;
                };
                router.binder.expire();
                router.clients.reap();
                router.trim();
            }
        });
        router.reaper.set(reaper);
        router
    }

    /// What is in force now.
    #[must_use]
    pub fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// Puts other settings in force, for the requests that begin from now on.
    pub fn reload(&self, settings: Settings) {
        let config = &settings.config;
        self.binder.reload(config.binding_cache, &config.service);
        self.clients.reload(&config.client);
        let before = self.settings.replace(Rc::new(settings));
        drop(before);
    }

    /// Sixty-four random bits. (Asked for at several places of a request's walk, whose code is best small.)
    #[inline(never)]
    pub fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    /// Takes in what the slow path says.
    pub fn update(&self, told: &Told) {
        match told {
            Told::Bound(asked, binding) => self.binder.update(asked, binding, &self.clients),
            Told::Replicas(target, replicas) => self.clients.update(target, replicas),
            Told::Service(asked, shared) => self.binder.share(asked, shared),
            Told::Client(target, shared) => self.clients.share(target, shared),
        }
    }

    /// What it counted; its servers know how many connections are open.
    #[must_use]
    pub fn snapshot(&self, connections: u64) -> RouterSnapshot {
        let mut snapshot = self.stats.snapshot();
        snapshot.active_connections = connections;
        snapshot.idle_connections = self.clients.idle_connections() as u64;
        snapshot.waiters = self.clients.waiters() as u64;
        snapshot.bound_names = self.binder.len() as u64;
        snapshot.mirror = self.mirrors.read().clone();
        snapshot
    }

    fn hand_over(&self, shard: usize, server: usize, fd: Fd) -> bool {
        let handed = (self.hand_over)(shard, server, fd);
        if handed {
            self.stats.handed_over.set(self.stats.handed_over.get() + 1);
        }
        handed
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.stats.count_status(refusal.status);
        self.stats.count_refusal(refusal.reason);
        tracing::debug!(
            router = self.settings.borrow().config.label,
            status = refusal.status,
            reason = refusal.reason,
            fault = ?refusal.fault,
            "{}",
            refusal.text
        );
    }

    /// A pair of heads for one request. A request that comes to its end gives them back.
    fn heads(&self) -> Heads {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    fn keep_heads(&self, (mut request, mut response): Heads) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < HEADS_KEPT {
            request.clear();
            response.clear();
            spare.push((request, response));
        }
    }

    fn trim(&self) {
        self.futures.trim(HEADS_TRIMMED);
        let mut spare = self.spare.borrow_mut();
        spare.truncate(HEADS_TRIMMED);
        spare.shrink_to(HEADS_TRIMMED);
    }
}

/// Takes one from a counter when dropped.
struct Active<'a>(&'a Cell<u64>);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
