//! Servers: listening sockets of one shard, and who gets the connections they accept.
//!
//! Every shard listens on every address (`SO_REUSEPORT`) and the kernel spreads connections over
//! them by a hash, which is uneven when they are few and long-lived. So a shard that has noticeably
//! more than the least loaded one hands a connection over right after accepting it, when nothing
//! was read from it yet.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use crossbeam_utils::CachePadded;

use crate::config::resolved::Server;
use crate::engine::driver::Fd;
use crate::engine::{Key, Listener, Socket, Timer};

use super::Router;
use super::connection::serve;

/// Connections more than the least loaded shard has, before one is handed over.
const SLACK: usize = 4;
/// How long accepting rests when descriptors have run out.
const REST_NS: u64 = 100_000_000;

/// Client connections of every shard, for placing new ones and for the limit on all.
#[derive(Clone)]
pub struct Loads(Arc<[CachePadded<AtomicUsize>]>);

impl Loads {
    #[must_use]
    pub fn new(shards: usize) -> Loads {
        Loads((0..shards).map(|_| CachePadded::default()).collect())
    }

    fn of(&self, shard: usize) -> usize {
        self.0[shard].load(Ordering::Relaxed)
    }

    fn total(&self) -> usize {
        self.0.iter().map(|load| load.load(Ordering::Relaxed)).sum()
    }

    /// Connections of each shard.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.0.len()).map(|shard| self.of(shard)).collect()
    }

    /// The shard that should take a connection that `shard` accepted.
    fn place(&self, shard: usize) -> usize {
        let mine = self.of(shard);
        let (least, load) = (0..self.0.len())
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

/// Counts a connection for as long as it lives.
struct Counted {
    router: Rc<Router>,
    task: Key,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let router = &self.router;
        router.loads.0[router.shard.id()].fetch_sub(1, Ordering::Relaxed);
        let active = &router.stats.active_connections;
        active.set(active.get() - 1);
        router.connections.borrow_mut().remove(&self.task);
    }
}

/// Starts serving a connection on this shard.
pub fn adopt(router: &Rc<Router>, server: &Rc<Server>, fd: Fd) {
    let socket = Socket::adopt(&router.shard, fd);
    router.loads.0[router.shard.id()].fetch_add(1, Ordering::Relaxed);
    let active = &router.stats.active_connections;
    active.set(active.get() + 1);
    let owner = Rc::clone(router);
    let server = Rc::clone(server);
    router.shard.spawn(async move {
        let task = owner.shard.this_task();
        owner.connections.borrow_mut().insert(task);
        let _counted = Counted {
            router: Rc::clone(&owner),
            task,
        };
        serve(owner, server, socket).await;
    });
}

/// Accepts until it is cancelled.
pub async fn accept(router: Rc<Router>, index: usize, listener: Listener) {
    let server = Rc::clone(&router.servers[index]);
    let shard = router.shard.clone();
    let timer = Timer::new(&shard);
    loop {
        let full = router.loads.total() >= router.max_connections;
        if full {
            listener.pause();
            rest(&shard, &timer).await;
            listener.resume();
            if router.loads.total() >= router.max_connections {
                continue;
            }
        }
        match poll_fn(|_| listener.poll_accept()).await {
            Ok(fd) => {
                router.stats.accepted.set(router.stats.accepted.get() + 1);
                let target = router.loads.place(shard.id());
                if target == shard.id() {
                    adopt(&router, &server, fd);
                } else {
                    let handed = router.hand_over(target, index, fd);
                    if !handed {
                        adopt(&router, &server, fd);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(
                    router = router.config.label,
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
