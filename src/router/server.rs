//! Servers: listening sockets of one shard, and who gets the connections they accept.
//!
//! Every shard listens on every address (`SO_REUSEPORT`) and the kernel spreads connections over
//! them by a hash, which is uneven when they are few and long-lived. So a shard that has noticeably
//! more than the least loaded one hands a connection over right after accepting it, when nothing
//! was read from it yet.
//!
//! A reload may give a server other settings, or another router: its connections stay, and their
//! next requests go by what is in force then. Only a server that is gone from the configuration
//! drains.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use crossbeam_utils::CachePadded;

use crate::config::resolved;
use crate::engine::driver::Fd;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{Key, Listener, Socket, Timer};

use super::Router;
use super::connection::serve;
use super::door::{Bounds, Door};

/// Connections more than the least loaded shard has, before one is handed over.
const SLACK: usize = 4;
/// How long accepting rests when descriptors have run out.
const REST_NS: u64 = 100_000_000;

/// Client connections of every shard, for placing new ones, and the limit on all.
#[derive(Clone)]
pub struct Loads {
    shards: Arc<[CachePadded<AtomicUsize>]>,
    limit: Arc<AtomicUsize>,
}

impl Loads {
    #[must_use]
    pub fn new(shards: usize, limit: usize) -> Loads {
        Loads {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            limit: Arc::new(AtomicUsize::new(limit)),
        }
    }

    /// Changes the limit; what is open stays.
    pub fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn of(&self, shard: usize) -> usize {
        self.shards[shard].load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.all().into_iter().sum::<usize>() >= self.limit.load(Ordering::Relaxed)
    }

    /// Connections of each shard.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.shards.len()).map(|shard| self.of(shard)).collect()
    }

    /// The shard that should take a connection that `shard` accepted.
    fn place(&self, shard: usize) -> usize {
        let mine = self.of(shard);
        let (least, load) = (0..self.shards.len())
            .map(|other| (other, self.of(other)))
            .min_by_key(|(_, load)| *load)
            .unwrap_or((shard, mine));
        if mine > load + SLACK + load / 8 {
            least
        } else {
            shard
        }
    }
}

/// A listening address of this shard, and who serves there. See the module's head.
pub struct Server {
    /// The same on all shards.
    pub number: usize,
    at: RefCell<(Rc<Router>, Rc<resolved::Server>)>,
    /// What its requests go through, if they are limited.
    door: RefCell<Option<Rc<Door>>>,
    /// No new requests: connections close after their answer.
    pub draining: Cell<bool>,
    /// The tasks of its connections.
    pub connections: RefCell<HashSet<Key, foldhash::fast::FixedState>>,
}

impl Server {
    #[must_use]
    pub fn new(
        number: usize,
        router: Rc<Router>,
        settings: Rc<resolved::Server>,
        bounds: Bounds,
    ) -> Rc<Server> {
        let door = Door::new(settings.limits.clone(), bounds);
        Rc::new(Server {
            number,
            door: RefCell::new(door.map(Rc::new)),
            at: RefCell::new((router, settings)),
            draining: Cell::new(false),
            connections: RefCell::default(),
        })
    }

    /// Whose it is now, and its settings.
    #[must_use]
    pub fn now(&self) -> (Rc<Router>, Rc<resolved::Server>) {
        self.at.borrow().clone()
    }

    #[must_use]
    pub fn router(&self) -> Rc<Router> {
        Rc::clone(&self.at.borrow().0)
    }

    /// The door that requests go through now; `None` if it stands open.
    #[must_use]
    pub fn door(&self) -> Option<Rc<Door>> {
        self.door.borrow().clone()
    }

    /// Whether requests go through one.
    #[must_use]
    pub fn has_door(&self) -> bool {
        self.door.borrow().is_some()
    }

    /// Gives it other settings, or another router, from the next request of each connection on.
    pub fn reload(&self, router: Rc<Router>, settings: Rc<resolved::Server>, bounds: Bounds) {
        let is_same = |door: &Rc<Door>| door.is_of(&settings.limits, &bounds);
        if !self.door.borrow().as_ref().is_some_and(is_same) {
            let door = Door::new(settings.limits.clone(), bounds);
            self.door.replace(door.map(Rc::new));
        }
        let before = self.at.replace((router, settings));
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::RouterLeaked) {
            return std::mem::forget(before);
        }
        drop(before);
    }

    /// Begins an orderly end: idle connections close, busy ones after their answer.
    pub fn drain(&self) {
        self.draining.set(true);
        let router = self.router();
        for task in self.connections.borrow().iter() {
            router.shard.wake(*task);
        }
    }
}

/// Counts a connection for as long as it lives.
struct Counted {
    server: Rc<Server>,
    loads: Loads,
    shard: usize,
    task: Key,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.loads.shards[self.shard].fetch_sub(1, Ordering::Relaxed);
        self.server.connections.borrow_mut().remove(&self.task);
    }
}

/// Starts serving a connection on this shard.
pub fn adopt(server: &Rc<Server>, fd: Fd) {
    let router = server.router();
    let shard = &router.shard;
    let socket = Socket::adopt(shard, fd);
    let loads = router.loads.clone();
    loads.shards[shard.id()].fetch_add(1, Ordering::Relaxed);
    let (of_task, server) = (shard.clone(), Rc::clone(server));
    shard.spawn(async move {
        let task = of_task.this_task();
        server.connections.borrow_mut().insert(task);
        let _counted = Counted {
            server: Rc::clone(&server),
            loads,
            shard: of_task.id(),
            task,
        };
        serve(&of_task, &server, socket).await;
    });
}

/// Accepts until it is cancelled.
pub async fn accept(server: Rc<Server>, listener: Listener) {
    let shard = server.router().shard.clone();
    let timer = Timer::new(&shard);
    loop {
        if server.router().loads.is_full() {
            listener.pause();
            rest(&shard, &timer).await;
            listener.resume();
            if server.router().loads.is_full() {
                continue;
            }
        }
        match poll_fn(|_| listener.poll_accept()).await {
            Ok(fd) => {
                let router = server.router();
                router.stats.accepted.set(router.stats.accepted.get() + 1);
                let target = router.loads.place(shard.id());
                if target == shard.id() {
                    adopt(&server, fd);
                } else {
                    let handed = router.hand_over(target, server.number, fd);
                    if !handed {
                        adopt(&server, fd);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(
                    router = server.router().settings().config.label,
                    "cannot accept a connection: {error}; trying again in 100 ms"
                );
                rest(&shard, &timer).await;
                listener.resume();
            }
        }
    }
}

async fn rest(shard: &crate::engine::Shard, timer: &Timer) {
    timer.set(shard.now() + REST_NS);
    poll_fn(|_| {
        if timer.is_expired() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
