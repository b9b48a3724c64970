//! Idle connections to backends, kept for the next request, per shard.
//!
//! An idle connection keeps a receive armed, so its end is a completion: it wakes the reaper, which
//! removes what is no longer quiet, and [`Pool::take`] never hands out a connection whose end has
//! been seen. The most recently used connection goes out first, so that a fall in load lets the
//! others grow old and close.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::resolved;
use crate::engine::{Key, NEVER, Shard, Timer};

use super::h1::outbound::Connection;

/// How often idle connections are looked over for age.
const SWEEP_NS: u64 = 1_000_000_000;

struct Idle {
    connection: Connection,
    since: u64,
}

/// The idle connections of one client (one bound name) on one shard. Its limits come with each call:
/// a reload may change them.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>, foldhash::fast::FixedState>>,
    count: Cell<usize>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

impl Pool {
    /// Idle connections in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.get()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A connection to `addr` that nothing was heard on since its last response.
    pub fn take(
        &self,
        addr: SocketAddr,
        now: u64,
        config: &resolved::ClientPolicy,
    ) -> Option<Connection> {
        let idle_ns = nanos(config.idle_timeout);
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&addr)?;
        while let Some(Idle { connection, since }) = stack.pop() {
            self.count.set(self.count.get() - 1);
            // The least used lie at the bottom: those are the ones that may grow old.
            let fresh = now.saturating_sub(since) < idle_ns || stack.len() < config.min_size;
            if fresh && connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last response ended cleanly; `reaper` is told when it ends.
    pub fn put(
        &self,
        addr: SocketAddr,
        connection: Connection,
        now: u64,
        reaper: Key,
        config: &resolved::ClientPolicy,
    ) {
        let life_ns = config.life_time.map_or(NEVER, nanos);
        if now.saturating_sub(connection.made_at) >= life_ns || !connection.is_quiet() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(addr).or_default();
        if stack.len() < config.max_idle {
            connection.watch(reaper);
            self.count.set(self.count.get() + 1);
            stack.push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Drops what has ended or is too old, and everything to endpoints that `keep` refuses.
    pub fn reap(
        &self,
        now: u64,
        config: &resolved::ClientPolicy,
        keep: impl Fn(SocketAddr) -> bool,
    ) {
        let idle_ns = nanos(config.idle_timeout);
        let mut idle = self.idle.borrow_mut();
        let mut count = 0;
        idle.retain(|addr, stack| {
            if !keep(*addr) {
                return false;
            }
            let mut old = stack.len().saturating_sub(config.min_size);
            stack.retain(|idle| {
                let goes = old > 0 && now.saturating_sub(idle.since) >= idle_ns;
                old -= usize::from(goes);
                !goes && idle.connection.is_quiet()
            });
            stack.shrink_to(stack.len() * 2);
            count += stack.len();
            !stack.is_empty()
        });
        self.count.set(count);
    }
}

/// Wakes at an idle connection's event, and now and then; the reaper's task waits on it.
pub async fn next_sweep(shard: &Shard, timer: &Timer) {
    timer.set(shard.now() + SWEEP_NS);
    let mut polled = false;
    std::future::poll_fn(|_| {
        if polled {
            return std::task::Poll::Ready(());
        }
        polled = true;
        std::task::Poll::Pending
    })
    .await;
}
