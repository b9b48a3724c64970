//! Control: starts the shards, answers what they ask the slow path, and ends the process in order.
//!
//! The slow path is one thread with a tokio runtime: signals, name resolution, the admin server.
//! Nothing on the request path ever waits for it except the first request to a name.
#![forbid(unsafe_code)]

mod follow;
pub mod generation;
pub mod reload;
mod serving;
pub mod shard;
pub mod slow;
pub mod source;
mod start;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::discovery::{Namers, Query, Report};
use crate::engine::driver::uring::UringError;
use crate::engine::mailbox::Sender;
use crate::router::server::Loads;
use generation::Generation;
use reload::Reloads;
use shard::{Mail, ShardSnapshot};

pub use start::{Started, is_free, start};

/// How long a message that must arrive waits for room in a shard's mailbox.
const MUST_ARRIVE: Duration = Duration::from_secs(1);

/// Why ringlink did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} (engine.driver: epoll works without io_uring)")]
    Uring(UringError),
    #[error("epoll failed: {0}")]
    Epoll(io::Error),
    #[error("no address space for the receive buffers: {0} (lower engine.buffers.count)")]
    Memory(io::Error),
    #[error("router {router} cannot listen on {addr}: {error}")]
    Listen {
        router: String,
        addr: SocketAddr,
        error: io::Error,
    },
    #[error("engine.cores names core {0}, which this process may not run on")]
    NoSuchCore(usize),
    #[error("the admin server cannot listen on {addr}: {error}")]
    Admin { addr: SocketAddr, error: io::Error },
    #[error("no descriptors are left: {0}")]
    Descriptors(io::Error),
    #[error("no thread for shard {0}: {1}")]
    Thread(usize, io::Error),
    #[error("a shard ended while starting")]
    ShardGone,
}

/// A running ringlink, as the slow path sees it. Clones share it.
#[derive(Clone)]
pub struct Running {
    inner: Arc<Inner>,
}

struct Inner {
    generation: watch::Sender<Arc<Generation>>,
    shards: Vec<Sender<Mail>>,
    loads: Loads,
    driver: &'static str,
    queries: mpsc::Sender<Query>,
    orders: mpsc::Sender<reload::Order>,
    reloads: Mutex<Reloads>,
}

impl Running {
    /// What is in force now.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.inner.generation.borrow())
    }

    /// How reloads went.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        let reloads = self.inner.reloads.lock();
        reloads.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs what runs and where it listens.
    pub fn announce(&self, admin: SocketAddr) {
        tracing::info!(
            "ringlink {}: {} on {} shard(s)",
            env!("CARGO_PKG_VERSION"),
            self.driver(),
            self.shard_count()
        );
        for router in &self.generation().routers {
            for server in &router.servers {
                tracing::info!("router {} listens on {}", router.config.label, server.addr);
            }
        }
        tracing::info!("admin: http://{admin}/");
    }

    /// Connections of each shard.
    #[must_use]
    pub fn loads(&self) -> Vec<usize> {
        self.inner.loads.all()
    }

    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.inner.driver
    }

    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.inner.shards.len()
    }

    /// What every shard counted; a shard that does not answer within `patience` is left out.
    pub async fn snapshots(&self, patience: Duration) -> Vec<ShardSnapshot> {
        let deadline = Instant::now() + patience;
        let asked: Vec<_> = self
            .inner
            .shards
            .iter()
            .map(|shard| {
                let (reply, answer) = oneshot::channel();
                // A full mailbox drops the reply's sender, so the answer fails at once.
                let _ = shard.send(Mail::Snapshot(reply));
                answer
            })
            .collect();
        let mut snapshots = Vec::new();
        for answer in asked {
            if let Ok(Ok(snapshot)) = tokio::time::timeout_at(deadline, answer).await {
                snapshots.push(snapshot);
            }
        }
        snapshots
    }

    /// The state of discovery; `None` if there is no answer within `patience`.
    pub async fn discovery(&self, patience: Duration) -> Option<Report> {
        self.query(Query::Report, patience).await
    }

    /// The namers, to be asked; `None` if there is no answer within `patience`.
    pub async fn namers(&self, patience: Duration) -> Option<Namers> {
        self.query(Query::Namers, patience).await
    }

    async fn query<T>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
        patience: Duration,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.queries.try_send(query(reply)).ok()?;
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    async fn tell_all(&self, mail: impl Fn() -> Mail) {
        for shard in 0..self.shard_count() {
            self.tell(shard, mail()).await;
        }
    }

    /// Tells a shard something that must arrive.
    async fn tell(&self, shard: usize, mut mail: Mail) {
        let deadline = Instant::now() + MUST_ARRIVE;
        // A full mailbox empties as the shard turns; if it does not, the shard is stuck.
        while let Err(back) = self.inner.shards[shard].send(mail) {
            if Instant::now() > deadline {
                tracing::error!(shard, "the shard takes no messages");
                return;
            }
            mail = back;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Drains every shard and waits for them, no longer than the configured grace; then stops them.
    /// Tells whether everything had finished.
    pub async fn shut_down(&self, drained: &mut mpsc::UnboundedReceiver<usize>) -> bool {
        let all = async {
            self.tell_all(|| Mail::Drain).await;
            for _ in 0..self.shard_count() {
                if drained.recv().await.is_none() {
                    return;
                }
            }
        };
        let grace = self.generation().config.admin.shutdown_grace;
        let finished = tokio::time::timeout(grace, all).await.is_ok();
        if !finished {
            let left: usize = self.loads().into_iter().sum();
            tracing::warn!(
                connections = left,
                "not finished within {} ms: cutting what is left",
                grace.as_millis()
            );
        }
        self.tell_all(|| Mail::Stop).await;
        finished
    }
}
