//! Control: starts the shards, answers what they ask the slow path, and ends the process in order.
//!
//! The slow path is one thread with a tokio runtime: signals, name resolution, the admin server.
//! Nothing on the request path ever waits for it except the first request to a name.
#![forbid(unsafe_code)]

pub mod shard;
pub mod slow;
mod start;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::resolved::Config;
use crate::discovery::{Namers, Query, Report};
use crate::engine::driver::uring::UringError;
use crate::engine::mailbox::Sender;
use crate::router::server::Loads;
use shard::{Addresses, Mail, ShardSnapshot};

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
    config: Arc<Config>,
    shards: Vec<Sender<Mail>>,
    loads: Loads,
    addresses: Addresses,
    driver: &'static str,
    queries: mpsc::Sender<Query>,
}

impl Running {
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Logs what runs and where it listens.
    pub fn announce(&self, admin: SocketAddr) {
        tracing::info!(
            "ringlink {}: {} on {} shard(s)",
            env!("CARGO_PKG_VERSION"),
            self.driver(),
            self.shard_count()
        );
        for (router, addresses) in self.config().routers.iter().zip(self.addresses()) {
            for addr in addresses {
                tracing::info!("router {} listens on {addr}", router.label);
            }
        }
        tracing::info!("admin: http://{admin}/");
    }

    /// Where each router's servers listen.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.inner.addresses
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
        let deadline = Instant::now() + MUST_ARRIVE;
        for (id, shard) in self.inner.shards.iter().enumerate() {
            let mut message = mail();
            // A full mailbox empties as the shard turns; if it does not, the shard is stuck.
            while let Err(back) = shard.send(message) {
                if Instant::now() > deadline {
                    tracing::error!(shard = id, "the shard takes no messages");
                    break;
                }
                message = back;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
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
        let grace = self.config().admin.shutdown_grace;
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
