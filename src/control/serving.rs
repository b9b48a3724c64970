//! What a shard serves: its routers and servers, changed by what its mailbox brings.
//!
//! A generation is taken in at once, between two requests: routers and servers that stay get their
//! settings, new ones begin, those that are gone drain. Nothing here waits, so no request sees a
//! half of it.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::balance::Place;
use crate::discovery::Said;
use crate::engine::mailbox::Receiver;
use crate::engine::{Key, Listener, Shard};
use crate::router::server::{Server, accept, adopt};
use crate::router::settings::Settings;
use crate::router::{HandOver, Router, Surroundings};

use super::generation::{Change, ServerChange};
use super::shard::{Mail, Outside, ShardSnapshot};

/// The generation that each shard is in.
pub type Generations = Arc<[AtomicU64]>;

/// See the module's head.
pub struct Serving {
    shard: Shard,
    outside: Outside,
    routers: BTreeMap<usize, Rc<Router>>,
    servers: BTreeMap<usize, Accepting>,
    /// Servers that are gone and still have connections.
    leaving: Vec<Rc<Server>>,
    /// Routers that are gone and may still have requests, which wait for news.
    left: BTreeMap<usize, Weak<Router>>,
}

struct Accepting {
    server: Rc<Server>,
    task: Key,
}

impl Serving {
    #[must_use]
    pub fn new(shard: &Shard, outside: Outside) -> Serving {
        Serving {
            shard: shard.clone(),
            outside,
            routers: BTreeMap::new(),
            servers: BTreeMap::new(),
            leaving: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    /// Reads the shard's mail, for as long as the shard runs.
    pub async fn run(mut self, inbox: Receiver<Mail>) {
        loop {
            match inbox.recv().await {
                Mail::Told(router, told) => {
                    let left = || self.left.get(&router).and_then(Weak::upgrade);
                    if let Some(router) = self.routers.get(&router).cloned().or_else(left) {
                        router.update(&told);
                    }
                }
                Mail::Accepted { server, fd } => match self.servers.get(&server) {
                    Some(accepting) => adopt(&accepting.server, fd),
                    // It was accepted just before its server went.
                    None => self.shard.close(fd),
                },
                Mail::Reload(change, done) => {
                    self.take_in(*change);
                    // Who asked may have given up; that is no loss.
                    let _ = done.send(());
                }
                Mail::Drain => self.drain(),
                Mail::Stop => self.shard.stop(),
                Mail::Snapshot(reply) => drop(reply.send(self.snapshot())),
            }
        }
    }

    /// Takes in a generation.
    pub fn take_in(&mut self, change: Change) {
        let mut routers = std::mem::take(&mut self.routers);
        for (number, settings) in change.routers {
            let router = match (routers.remove(&number), settings) {
                (Some(router), None) => router,
                (Some(router), Some(settings)) => {
                    router.reload(settings);
                    router
                }
                (None, Some(settings)) => self.router(number, settings),
                (None, None) => continue,
            };
            self.routers.insert(number, router);
        }
        self.left.retain(|_, router| router.strong_count() > 0);
        let gone = routers
            .iter()
            .map(|(number, router)| (*number, Rc::downgrade(router)));
        self.left.extend(gone);
        let mut servers = std::mem::take(&mut self.servers);
        for change in change.servers {
            let Some(router) = self.routers.get(&change.router) else {
                continue;
            };
            let router = Rc::clone(router);
            let number = change.number;
            let accepting = match servers.remove(&number) {
                Some(accepting) => {
                    let settings = Rc::new(change.settings);
                    accepting.server.reload(router, settings, change.bounds);
                    Some(accepting)
                }
                None => self.begin(router, change),
            };
            self.servers
                .extend(accepting.map(|accepting| (number, accepting)));
        }
        self.leaving
            .retain(|server| !server.connections.borrow().is_empty());
        for accepting in servers.into_values() {
            self.end(&accepting);
            self.leaving.push(accepting.server);
        }
        // Only now may others hand over connections of its new servers.
        let generations = &self.outside.generations;
        generations[self.shard.id()].store(change.generation, Ordering::Release);
    }

    fn begin(&self, router: Rc<Router>, change: ServerChange) -> Option<Accepting> {
        let listener = match Listener::adopt(&self.shard, change.socket?) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!("a shard cannot listen: {error}");
                return None;
            }
        };
        let server = Server::new(
            change.number,
            router,
            Rc::new(change.settings),
            change.bounds,
        );
        let task = self.shard.spawn(accept(Rc::clone(&server), listener));
        Some(Accepting { server, task })
    }

    /// Closes a listener and lets its connections finish.
    fn end(&self, accepting: &Accepting) {
        self.shard.cancel(accepting.task);
        accepting.server.drain();
    }

    fn router(&self, number: usize, settings: Settings) -> Rc<Router> {
        let id = self.shard.id();
        let wishes = self.outside.wishes.clone();
        let around = Surroundings {
            // The slow path outlives the shards; when it is gone, so is the process.
            wishes: Rc::new(move |wish| {
                let said = Said {
                    shard: id,
                    router: number,
                    wish,
                };
                drop(wishes.send(said));
            }),
            hand_over: self.hand_over(),
            loads: self.outside.loads.clone(),
            place: Place {
                shard: id,
                shards: self.outside.generations.len(),
                process_seed: self.outside.process_seed,
            },
            seed: seed(id, number),
        };
        Router::new(&self.shard, settings, around)
    }

    fn hand_over(&self) -> HandOver {
        let siblings = Arc::clone(&self.outside.siblings);
        let generations = Arc::clone(&self.outside.generations);
        let own = self.shard.id();
        Rc::new(move |shard, server, fd| {
            let of = |shard: usize| generations[shard].load(Ordering::Acquire);
            let knows = of(shard) >= of(own);
            knows
                && siblings.get().is_some_and(|siblings| {
                    siblings[shard].send(Mail::Accepted { server, fd }).is_ok()
                })
        })
    }

    fn snapshot(&self) -> ShardSnapshot {
        let of_server = |router: &Rc<Router>| {
            let servers = self.servers.values().map(|accepting| &accepting.server);
            let servers = servers.chain(&self.leaving);
            let of_router = servers.filter(|server| Rc::ptr_eq(&server.router(), router));
            of_router
                .map(|server| server.connections.borrow().len() as u64)
                .sum()
        };
        let snapshot =
            |(number, router): (&usize, &Rc<Router>)| (*number, router.snapshot(of_server(router)));
        ShardSnapshot {
            shard: self.shard.id(),
            driver: self.shard.driver_name(),
            counters: self.shard.counters(),
            routers: self.routers.iter().map(snapshot).collect(),
            ops_in_flight: self.shard.ops_in_flight(),
        }
    }

    /// Closes the listeners, lets connections finish, and reports when the last is gone.
    fn drain(&mut self) {
        const LOOK_EVERY_NS: u64 = 10_000_000;
        for accepting in std::mem::take(&mut self.servers).into_values() {
            self.end(&accepting);
            self.leaving.push(accepting.server);
        }
        let servers = self.leaving.clone();
        let shard = self.shard.clone();
        let drained = self.outside.drained.clone();
        self.shard.spawn(async move {
            let busy = |server: &Rc<Server>| !server.connections.borrow().is_empty();
            while servers.iter().any(busy) {
                shard.sleep_until(shard.now() + LOOK_EVERY_NS).await;
            }
            let _ = drained.send(shard.id());
        });
    }
}

/// Differs between processes, shards and routers; nothing depends on it being secret.
fn seed(shard: usize, router: usize) -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one((shard, router))
}
