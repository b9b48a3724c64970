//! Starting: one thread per shard, pinned; the first settles the ports, the others follow.

use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::config::resolved::{Config, Cores};
use crate::engine::mailbox::Sender;
use crate::router::client::ResolveRequest;
use crate::router::server::Loads;

use super::shard::{Addresses, Mail, Plan, Ready, run};
use super::{Inner, Running, StartError};

/// What [`start`] hands to the slow path.
pub struct Started {
    pub running: Running,
    /// What the shards ask to be resolved.
    pub resolves: mpsc::UnboundedReceiver<ResolveRequest>,
    /// Shards that have drained.
    pub drained: mpsc::UnboundedReceiver<usize>,
    pub threads: Vec<JoinHandle<()>>,
    pub mailboxes: Vec<Sender<Mail>>,
}

/// Starts the shards of a configuration and waits until all of them listen.
///
/// # Errors
/// The first thing that stood in the way; what was started ends with the process.
pub fn start(config: Arc<Config>) -> Result<Started, StartError> {
    let cores = choose_cores(&config.engine.cores)?;
    let shards = cores.len();
    let loads = Loads::new(shards);
    let siblings: Arc<OnceLock<Vec<Sender<Mail>>>> = Arc::new(OnceLock::new());
    let (resolver, resolves) = mpsc::unbounded_channel();
    let (drained_sender, drained) = mpsc::unbounded_channel();
    let mut addresses: Option<Addresses> = None;
    let mut mailboxes = Vec::new();
    let mut threads = Vec::new();
    let mut driver = "";
    for (id, core) in cores.into_iter().enumerate() {
        let plan = Plan {
            id,
            core,
            config: Arc::clone(&config),
            loads: loads.clone(),
            addresses: addresses.clone(),
            shards,
            resolver: resolver.clone(),
            siblings: Arc::clone(&siblings),
            drained: drained_sender.clone(),
        };
        let (thread, ready) = spawn(plan)?;
        addresses.get_or_insert(ready.addresses);
        driver = ready.driver;
        mailboxes.push(ready.mail);
        threads.push(thread);
    }
    // Nobody else sets it.
    let _ = siblings.set(mailboxes.clone());
    let running = Running {
        inner: Arc::new(Inner {
            config,
            shards: mailboxes.clone(),
            loads,
            addresses: addresses.unwrap_or_default(),
            driver,
        }),
    };
    Ok(Started {
        running,
        resolves,
        drained,
        threads,
        mailboxes,
    })
}

fn spawn(plan: Plan) -> Result<(JoinHandle<()>, Ready), StartError> {
    let id = plan.id;
    let (sender, receiver) = std_mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("shard-{id}"))
        .spawn(move || run(plan, &sender))
        .map_err(|error| StartError::Thread(id, error))?;
    let ready = receiver.recv().map_err(|_| StartError::ShardGone)??;
    Ok((thread, ready))
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
