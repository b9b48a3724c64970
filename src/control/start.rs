//! Starting: the ports first, then one thread per shard, pinned.
//!
//! Shards of one process share their ports by `SO_REUSEPORT`, and the kernel would let a second
//! process of the same user share them, too: half of the requests would silently go to the old
//! configuration. So every port is first bound without that option, which fails when anybody else
//! listens there.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use crate::config::resolved::{Config, Cores};
use crate::discovery::{Query, Said};
use crate::engine::mailbox::Sender;
use crate::router::server::Loads;

use super::generation::Generation;
use super::reload::Order;
use super::shard::{Mail, Outside, Plan, Ready, run};
use super::{Inner, Running, StartError};

/// Questions about discovery that may wait.
const QUERIES: usize = 16;
/// Reloads that may wait.
const ORDERS: usize = 4;

/// What [`start`] hands to the slow path.
pub struct Started {
    pub running: Running,
    /// What the shards wish to know.
    pub said: mpsc::UnboundedReceiver<Said>,
    /// What others wish to know of discovery.
    pub queries: mpsc::Receiver<Query>,
    /// Reloads that are asked for.
    pub orders: mpsc::Receiver<Order>,
    /// Shards that have drained.
    pub drained: mpsc::UnboundedReceiver<usize>,
    /// Shards whose thread has ended, for whatever reason.
    pub ended: mpsc::UnboundedReceiver<usize>,
    pub threads: Vec<JoinHandle<()>>,
    pub mailboxes: Vec<Sender<Mail>>,
}

/// Starts the shards of a configuration and waits until all of them listen.
///
/// # Errors
/// The first thing that stood in the way; what was started ends with the process.
pub fn start(config: Arc<Config>) -> Result<Started, StartError> {
    let cores = choose_cores(&config.engine.cores)?;
    raise_descriptor_limit();
    let shards = cores.len();
    let generation = Generation::of(Arc::clone(&config), None, shards)?;
    let (wishes, said) = mpsc::unbounded_channel();
    let (query_sender, queries) = mpsc::channel(QUERIES);
    let (order_sender, orders) = mpsc::channel(ORDERS);
    let (drained_sender, drained) = mpsc::unbounded_channel();
    let (ended_sender, ended) = mpsc::unbounded_channel();
    let outside = Outside {
        loads: Loads::new(shards, config.engine.max_connections),
        wishes,
        siblings: Arc::default(),
        process_seed: process_seed(),
        generations: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        drained: drained_sender,
    };
    let mut mailboxes = Vec::new();
    let mut threads = Vec::new();
    let mut driver = "";
    for (id, core) in cores.into_iter().enumerate() {
        let plan = Plan {
            id,
            core,
            engine: config.engine.clone(),
            first: generation
                .change(None, id)
                .map_err(StartError::Descriptors)?,
            outside: outside.clone(),
        };
        let (thread, ready) = spawn(plan, ended_sender.clone())?;
        driver = ready.driver;
        mailboxes.push(ready.mail);
        threads.push(thread);
    }
    // Nobody else sets it.
    let _ = outside.siblings.set(mailboxes.clone());
    let running = Running {
        inner: Arc::new(Inner {
            generation: watch::Sender::new(Arc::new(generation)),
            shards: mailboxes.clone(),
            loads: outside.loads,
            driver,
            queries: query_sender,
            orders: order_sender,
            reloads: Mutex::default(),
        }),
    };
    Ok(Started {
        running,
        said,
        queries,
        orders,
        drained,
        ended,
        threads,
        mailboxes,
    })
}

/// Differs between processes; nothing depends on it being secret.
fn process_seed() -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one(std::process::id())
}

/// Tells that a shard's thread is over, be it by returning or by a panic.
struct Ended {
    id: usize,
    told: mpsc::UnboundedSender<usize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens only while starting fails, which is told in another way.
        let _ = self.told.send(self.id);
    }
}

fn spawn(
    plan: Plan,
    told: mpsc::UnboundedSender<usize>,
) -> Result<(JoinHandle<()>, Ready), StartError> {
    let id = plan.id;
    let (sender, receiver) = std_mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("shard-{id}"))
        .spawn(move || {
            let _ended = Ended { id, told };
            run(plan, &sender);
        })
        .map_err(|error| StartError::Thread(id, error))?;
    let ready = receiver.recv().map_err(|_| StartError::ShardGone)??;
    Ok((thread, ready))
}

/// Every connection is a descriptor, and the usual soft limit of 1024 is for programs that use
/// `select`.
fn raise_descriptor_limit() {
    let raised = rlimit::Resource::NOFILE
        .get()
        .and_then(|(_, hard)| rlimit::Resource::NOFILE.set(hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!("at most {limit} descriptors"),
        Err(error) => tracing::warn!("the limit on descriptors stays as it is: {error}"),
    }
}

/// Whether this process could listen on an address. Binds it for a moment, without listening.
///
/// # Errors
/// Why it could not; usually somebody else listens there.
pub fn is_free(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections that linger from an earlier run do not count.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// One entry per shard: the core that it is pinned to, where cores can be told.
fn choose_cores(cores: &Cores) -> Result<Vec<Option<core_affinity::CoreId>>, StartError> {
    let ours = core_affinity::get_core_ids().unwrap_or_default();
    match cores {
        Cores::Auto if ours.is_empty() => Ok(vec![None]),
        Cores::Auto => Ok(ours.into_iter().map(Some).collect()),
        // More shards than cores are not pinned: the kernel shares the cores out.
        Cores::Count(count) if *count > ours.len() => Ok(vec![None; *count]),
        Cores::Count(count) => Ok(ours.into_iter().take(*count).map(Some).collect()),
        Cores::List(wanted) => wanted
            .iter()
            .map(|id| match ours.iter().find(|core| core.id == *id) {
                Some(core) => Ok(Some(*core)),
                None => Err(StartError::NoSuchCore(*id)),
            })
            .collect(),
    }
}
