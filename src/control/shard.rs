//! A shard's thread: makes its driver, takes in the first generation, then turns until it is told to
//! stop. What reaches it from outside comes through one mailbox, which [`Serving`] reads.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use crate::config::resolved::{self, DriverChoice};
use crate::discovery::Said;
use crate::engine::driver::epoll::Epoll;
use crate::engine::driver::uring::{RingSizes, Uring, UringError};
use crate::engine::driver::{Driver, Fd};
use crate::engine::mailbox::{Sender, mailbox};
use crate::engine::{BufPool, Shard, ShardCounters};
use crate::router::ask::Told;
use crate::router::server::Loads;
use crate::telemetry::RouterSnapshot;

use super::StartError;
use super::generation::Change;
use super::serving::{Generations, Serving};

/// Messages that may wait in a shard's mailbox.
const MAILBOX: usize = 4096;
/// Events that the epoll driver takes at once.
const EPOLL_EVENTS: usize = 1024;

/// What a shard is told.
pub enum Mail {
    /// What the slow path tells a router.
    Told(usize, Told),
    /// A connection of this server that another shard accepted.
    Accepted { server: usize, fd: Fd },
    /// Take in a generation, and say so when it is done.
    Reload(Box<Change>, oneshot::Sender<()>),
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
    /// By the router's number.
    pub routers: BTreeMap<usize, RouterSnapshot>,
    pub ops_in_flight: usize,
}

/// What a shard says when it runs.
pub struct Ready {
    pub mail: Sender<Mail>,
    pub driver: &'static str,
}

/// What a shard has to do with the rest of the process.
#[derive(Clone)]
pub struct Outside {
    pub loads: Loads,
    /// Where the shards say what they wish to know.
    pub wishes: tokio::sync::mpsc::UnboundedSender<Said>,
    /// The mailboxes of all shards, filled in once they run.
    pub siblings: Arc<OnceLock<Vec<Sender<Mail>>>>,
    pub generations: Generations,
    /// The process's place among its like.
    pub process_seed: u64,
    /// Told when this shard has nothing in flight any more after [`Mail::Drain`].
    pub drained: tokio::sync::mpsc::UnboundedSender<usize>,
}

/// What a shard's thread is made from.
pub struct Plan {
    pub id: usize,
    pub core: Option<core_affinity::CoreId>,
    pub engine: resolved::Engine,
    pub first: Change,
    pub outside: Outside,
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
    let engine = &plan.engine;
    let driver = make_driver(&plan)?;
    let bufs = BufPool::new(engine.buffer_count, engine.buffer_size).map_err(StartError::Memory)?;
    let shard = Shard::new(plan.id, driver, bufs);
    let (mail, inbox) = mailbox(&shard, MAILBOX);
    let ready = Ready {
        mail,
        driver: shard.driver_name(),
    };
    let mut serving = Serving::new(&shard, plan.outside);
    serving.take_in(plan.first);
    shard.spawn(serving.run(inbox));
    Ok((shard, ready))
}

fn make_driver(plan: &Plan) -> Result<Driver, StartError> {
    let engine = &plan.engine;
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
