//! Reloading: another configuration in the place of the one in force, without touching traffic.
//!
//! Whatever can be wrong is found out before anything changes: the file is read and checked, the
//! addresses that are new are listened on, the indexes of routes are built. Then discovery binds what
//! is bound already by the new tables, and last every shard takes in its part in one step. Reloads
//! come one after the other; what asks (a signal, the admin server, a change of the file) waits in
//! one queue.
//!
//! `engine` and the admin server's address are what the process is built on: a configuration that
//! has others is refused as a whole, rather than half of it put in force.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::discovery::{Query, Reload, Table, TablePolicies};

use super::follow::Follow;
use super::generation::{Change, Generation};
use super::shard::Mail;
use super::source::{Source, SourceError};
use super::{Running, StartError};

/// How long discovery or a shard may take to take in a generation.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a configuration was not put in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("`{0}` cannot change while ringlink runs: restart it")]
    NeedsRestart(&'static str),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0} did not take it in in time")]
    Stuck(&'static str),
    #[error("ringlink is ending")]
    Ending,
}

/// A wish for a reload, and where its outcome goes: the number of the generation then in force.
pub type Order = oneshot::Sender<Result<u64, ReloadError>>;

/// How reloads went.
#[derive(Clone, Debug, Default)]
pub struct Reloads {
    pub applied: u64,
    pub refused: u64,
    /// Whether the last one was refused: what runs is not what the file says.
    pub behind: bool,
}

impl Running {
    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub async fn reload(&self) -> Result<u64, ReloadError> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.inner.orders.send(reply).await;
        sent.map_err(|_| ReloadError::Ending)?;
        outcome.await.map_err(|_| ReloadError::Ending)?
    }
}

/// Does what is ordered, and what the file asks for by changing, until the runtime ends.
pub(super) async fn serve(running: Running, source: Source, mut orders: mpsc::Receiver<Order>) {
    let mut follow = Follow::default();
    loop {
        let wanted = running.generation().config.admin.reload_on_change;
        follow.switch(source.file().filter(|_| wanted));
        tokio::select! {
            order = orders.recv() => {
                let Some(reply) = order else { return };
                let outcome = reload(&running, &source).await;
                // Who asked may have given up; that is no loss.
                let _ = reply.send(outcome);
            }
            () = follow.changed() => drop(reload(&running, &source).await),
        }
    }
}

async fn reload(running: &Running, source: &Source) -> Result<u64, ReloadError> {
    let outcome = attempt(running, source).await;
    let reloads = running.inner.reloads.lock();
    let mut reloads = reloads.unwrap_or_else(PoisonError::into_inner);
    reloads.behind = outcome.is_err();
    match &outcome {
        Ok(generation) => {
            reloads.applied += 1;
            tracing::info!("reloaded: generation {generation} is in force");
        }
        Err(error) => {
            reloads.refused += 1;
            tracing::error!("not reloaded, nothing has changed: {error}");
        }
    }
    outcome
}

async fn attempt(running: &Running, source: &Source) -> Result<u64, ReloadError> {
    let before = running.generation();
    let (from, shards) = (source.clone(), running.shard_count());
    let prepared = tokio::task::spawn_blocking(move || prepare(&from, &before, shards));
    let prepared = prepared.await.map_err(|_| ReloadError::Ending)??;
    put_in_force(running, prepared).await
}

/// A generation, and what each shard has to do to be in it.
struct Prepared {
    generation: Generation,
    changes: Vec<Change>,
}

/// Everything that can fail.
fn prepare(source: &Source, before: &Generation, shards: usize) -> Result<Prepared, ReloadError> {
    let config = source.load_again()?;
    let old = &before.config;
    if !old.engine.is_like(&config.engine) {
        return Err(ReloadError::NeedsRestart("engine"));
    }
    if old.admin.addr != config.admin.addr {
        return Err(ReloadError::NeedsRestart("admin.ip` and `admin.port"));
    }
    let generation = Generation::of(Arc::new(config), Some(before), shards)?;
    let changes = (0..shards).map(|shard| generation.change(Some(before), shard));
    let changes: Result<Vec<Change>, _> = changes.collect();
    Ok(Prepared {
        changes: changes.map_err(StartError::Descriptors)?,
        generation,
    })
}

async fn put_in_force(running: &Running, prepared: Prepared) -> Result<u64, ReloadError> {
    let Prepared {
        mut generation,
        changes,
    } = prepared;
    bind_by(running, &generation).await?;
    generation.configure();
    let mut told = Vec::new();
    for (shard, change) in changes.into_iter().enumerate() {
        let (done, taken_in) = oneshot::channel();
        running
            .tell(shard, Mail::Reload(Box::new(change), done))
            .await;
        told.push(taken_in);
    }
    let config = &generation.config;
    running.inner.loads.limit(config.engine.max_connections);
    let number = generation.number;
    running.inner.generation.send_replace(Arc::new(generation));
    for taken_in in told {
        let taken_in = tokio::time::timeout(PATIENCE, taken_in).await;
        taken_in
            .ok()
            .and_then(Result::ok)
            .ok_or(ReloadError::Stuck("a shard"))?;
    }
    Ok(number)
}

/// Has discovery go by the tables of a generation.
async fn bind_by(running: &Running, generation: &Generation) -> Result<(), ReloadError> {
    let (done, bound) = oneshot::channel();
    let reload = Reload {
        namers: generation.config.namers.clone(),
        routers: generation.tables(),
        shards: running.shard_count(),
    };
    let sent = running
        .inner
        .queries
        .send(Query::Reload(reload, done))
        .await;
    sent.map_err(|_| ReloadError::Ending)?;
    let bound = tokio::time::timeout(PATIENCE, bound).await;
    bound
        .ok()
        .and_then(Result::ok)
        .ok_or(ReloadError::Stuck("discovery"))
}

impl Generation {
    /// What names are bound by, by the routers' numbers.
    pub(super) fn tables(&self) -> std::collections::BTreeMap<usize, Table> {
        let table = |router: &super::generation::RouterAt| Table {
            dtab: router.config.dtab.clone(),
            transformers: router.config.transformers.clone(),
            policies: TablePolicies {
                client: router.config.client.clone(),
                service: router.config.service.clone(),
            },
        };
        self.routers
            .iter()
            .map(|router| (router.number, table(router)))
            .collect()
    }
}
