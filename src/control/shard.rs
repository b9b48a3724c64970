//! A shard's thread: makes its driver, its routers and its listeners, then turns until it is told
//! to stop. What reaches it from outside comes through one mailbox.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::config::resolved::{Config, DriverChoice};
use crate::discovery::Said;
use crate::engine::driver::epoll::Epoll;
use crate::engine::driver::uring::{RingSizes, Uring, UringError};
use crate::engine::driver::{Driver, Fd, ListenOptions};
use crate::engine::mailbox::{Receiver, Sender, mailbox};
use crate::engine::{BufPool, Listener, Shard, ShardCounters};
use crate::router::ask::Told;
use crate::router::server::{Loads, accept, adopt};
use crate::router::{Router, Surroundings};
use crate::telemetry::RouterSnapshot;

use super::StartError;

/// Messages that may wait in a shard's mailbox.
const MAILBOX: usize = 4096;
/// Events that the epoll driver takes at once.
const EPOLL_EVENTS: usize = 1024;

/// What a shard is told.
pub enum Mail {
    /// What the slow path tells a router.
    Told(usize, Told),
    /// A connection that another shard accepted.
    Accepted {
        router: usize,
        server: usize,
        fd: Fd,
    },
    /// Stop accepting and finish what is in flight.
    Drain,
    /// Stop now.
    Stop,
    /// Tell what you counted.
    Snapshot(oneshot::Sender<ShardSnapshot>),
}

/// What one shard counted.
#[derive(Clone)]
pub struct ShardSnapshot {
    pub shard: usize,
    pub driver: &'static str,
    pub counters: ShardCounters,
    pub routers: Vec<RouterSnapshot>,
    pub ops_in_flight: usize,
}

/// The addresses that one shard listens on: `[router][server]`.
pub type Addresses = Vec<Vec<SocketAddr>>;

/// What a shard says when it runs.
pub struct Ready {
    pub mail: Sender<Mail>,
    pub addresses: Addresses,
    pub driver: &'static str,
}

/// What a shard's thread is made from.
pub struct Plan {
    pub id: usize,
    pub core: Option<core_affinity::CoreId>,
    pub config: Arc<Config>,
    pub loads: Loads,
    /// Where to listen, when another shard has settled the ports already.
    pub addresses: Option<Addresses>,
    pub shards: usize,
    /// Where the shards say what they wish to know.
    pub wishes: tokio::sync::mpsc::UnboundedSender<Said>,
    /// The mailboxes of all shards, filled in once they run.
    pub siblings: Arc<std::sync::OnceLock<Vec<Sender<Mail>>>>,
    /// Told when this shard has nothing in flight any more after [`Mail::Drain`].
    pub drained: tokio::sync::mpsc::UnboundedSender<usize>,
}

/// Runs a shard on the calling thread until it is stopped. `ready` hears how starting went.
pub fn run(plan: Plan, ready: &mpsc::Sender<Result<Ready, StartError>>) {
    if let Some(core) = plan.core {
        core_affinity::set_for_current(core);
    }
    let id = plan.id;
    match start(plan) {
        Ok((shard, started)) => {
            // The receiver waits for every shard, so it is there.
            let _ = ready.send(Ok(started));
            if let Err(error) = shard.run() {
                tracing::error!(shard = id, "the shard's driver failed: {error}");
            }
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

fn start(plan: Plan) -> Result<(Shard, Ready), StartError> {
    let engine = &plan.config.engine;
    let driver = make_driver(&plan)?;
    let bufs = BufPool::new(engine.buffer_count, engine.buffer_size).map_err(StartError::Memory)?;
    let shard = Shard::new(plan.id, driver, bufs);
    let (mail, inbox) = mailbox(&shard, MAILBOX);
    let routers: Vec<Rc<Router>> = (0..plan.config.routers.len())
        .map(|index| make_router(&shard, &plan, index))
        .collect();
    let mut addresses = Addresses::new();
    let mut accepting = Vec::new();
    for (r, router) in routers.iter().enumerate() {
        let mut of_router = Vec::new();
        for (s, server) in router.servers.iter().enumerate() {
            let wanted = match &plan.addresses {
                Some(settled) => settled[r][s],
                None => SocketAddr::new(server.ip, server.port),
            };
            let options = ListenOptions {
                backlog: server.backlog,
                reuse_port: plan.shards > 1,
                no_delay: server.no_delay,
            };
            let listener =
                Listener::bind(&shard, wanted, options).map_err(|error| StartError::Listen {
                    router: router.config.label.clone(),
                    addr: wanted,
                    error,
                })?;
            of_router.push(listener.addr());
            accepting.push(shard.spawn(accept(Rc::clone(router), s, listener)));
        }
        addresses.push(of_router);
    }
    let ready = Ready {
        mail,
        addresses,
        driver: shard.driver_name(),
    };
    let drained = plan.drained.clone();
    let reader = Reader {
        shard: shard.clone(),
        routers,
        accepting,
        drained,
    };
    shard.spawn(reader.run(inbox));
    Ok((shard, ready))
}

fn make_router(shard: &Shard, plan: &Plan, index: usize) -> Rc<Router> {
    let (wishes, id) = (plan.wishes.clone(), shard.id());
    let siblings = Arc::clone(&plan.siblings);
    let around = Surroundings {
        // The slow path outlives the shards; when it is gone, so is the process.
        wishes: Rc::new(move |wish| {
            let said = Said {
                shard: id,
                router: index,
                wish,
            };
            drop(wishes.send(said));
        }),
        hand_over: Rc::new(move |shard, server, fd| {
            siblings.get().is_some_and(|siblings| {
                let mail = Mail::Accepted {
                    router: index,
                    server,
                    fd,
                };
                siblings[shard].send(mail).is_ok()
            })
        }),
        loads: plan.loads.clone(),
        max_connections: plan.config.engine.max_connections,
        seed: seed(shard.id(), index),
    };
    let config = Arc::new(plan.config.routers[index].clone());
    Router::new(shard, config, around)
}

/// Differs between processes, shards and routers; nothing depends on it being secret.
fn seed(shard: usize, router: usize) -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one((shard, router))
}

fn make_driver(plan: &Plan) -> Result<Driver, StartError> {
    let engine = &plan.config.engine;
    let sizes = RingSizes {
        entries: engine.ring_entries,
        completion_entries: engine.completion_entries,
    };
    let uring = || Uring::new(sizes, engine.buffer_count);
    let epoll = || Epoll::new(EPOLL_EVENTS).map_err(StartError::Epoll);
    match engine.driver {
        DriverChoice::Uring => match uring() {
            Ok(uring) => Ok(Driver::Uring(Box::new(uring))),
            Err(error) => Err(StartError::Uring(error)),
        },
        DriverChoice::Epoll => Ok(Driver::Epoll(Box::new(epoll()?))),
        DriverChoice::Auto => match uring() {
            Ok(uring) => Ok(Driver::Uring(Box::new(uring))),
            Err(cause) => {
                if plan.id == 0 {
                    warn_fallback(&cause);
                }
                Ok(Driver::Epoll(Box::new(epoll()?)))
            }
        },
    }
}

fn warn_fallback(cause: &UringError) {
    tracing::warn!("using epoll: {cause}");
}

/// The task that reads a shard's mail.
struct Reader {
    shard: Shard,
    routers: Vec<Rc<Router>>,
    accepting: Vec<crate::engine::Key>,
    drained: tokio::sync::mpsc::UnboundedSender<usize>,
}

impl Reader {
    async fn run(self, inbox: Receiver<Mail>) {
        loop {
            match inbox.recv().await {
                Mail::Told(router, told) => self.routers[router].update(&told),
                Mail::Accepted { router, server, fd } => {
                    let router = &self.routers[router];
                    adopt(router, &router.servers[server], fd);
                }
                Mail::Drain => self.drain(),
                Mail::Stop => self.shard.stop(),
                Mail::Snapshot(reply) => {
                    // Who asked may have given up; that is no loss.
                    let _ = reply.send(self.snapshot());
                }
            }
        }
    }

    fn snapshot(&self) -> ShardSnapshot {
        ShardSnapshot {
            shard: self.shard.id(),
            driver: self.shard.driver_name(),
            counters: self.shard.counters(),
            routers: self
                .routers
                .iter()
                .map(|router| router.snapshot())
                .collect(),
            ops_in_flight: self.shard.ops_in_flight(),
        }
    }

    /// Closes the listeners, lets connections finish, and reports when the last is gone.
    fn drain(&self) {
        const LOOK_EVERY_NS: u64 = 10_000_000;
        for task in &self.accepting {
            self.shard.cancel(*task);
        }
        for router in &self.routers {
            router.drain();
        }
        let routers = self.routers.clone();
        let shard = self.shard.clone();
        let drained = self.drained.clone();
        self.shard.spawn(async move {
            let busy = |router: &Rc<Router>| !router.connections.borrow().is_empty();
            while routers.iter().any(busy) {
                shard.sleep_until(shard.now() + LOOK_EVERY_NS).await;
            }
            let _ = drained.send(shard.id());
        });
    }
}
