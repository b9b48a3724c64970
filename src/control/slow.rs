//! The slow-path thread: name resolution, signals, the admin server, and the end of the process.
//!
//! It is the process's main thread, pinned nowhere, on a tokio-uring runtime (plain tokio where
//! io_uring is forbidden or not wanted). It only ever waits: nothing here polls a clock, so an idle
//! ringlink costs no time.
//!
//! An end has one of four shapes, [`Ending`]. Orderly: on SIGTERM, SIGINT or `POST /admin/shutdown`
//! the listeners close, requests in flight finish (with `Connection: close`), and what is not done
//! within `admin.shutdownGraceMs` is cut; that is a success, since the operator set that limit. A
//! second signal ends at once. And a shard that dies takes the process with it: the alternative, a
//! proxy that refuses one connection in eight, is harder to notice and to heal than a restart.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::config::resolved::DriverChoice;
use crate::discovery::{self, Namers, Tables};
use crate::engine::mailbox::Sender;
use crate::router::ask::Told;

use super::shard::Mail;
use super::source::Source;
use super::{Running, Started, reload};

/// How long a shard that was told to stop may take.
const LAST_TURNS: Duration = Duration::from_secs(3);
/// How long answers wait for room in a mailbox before the next try.
const FULL: Duration = Duration::from_millis(1);

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything in flight was finished.
    Finished,
    /// What had not finished within the grace was cut.
    Cut,
    /// A second signal came.
    Forced,
    /// This shard's thread ended by itself.
    ShardDied(usize),
}

/// A wish that the process ends in order; clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks for the end.
    async fn asked(&self) {
        self.0.notified().await;
    }
}

/// Runs the slow path on the calling thread until the end, and beside it what `admin` makes: the
/// admin server, which stands above this room.
///
/// # Errors
/// When the runtime cannot be made or signals cannot be caught.
pub fn run<A>(
    started: Started,
    source: Source,
    admin: impl FnOnce(Running, Stop) -> A,
) -> io::Result<Ending>
where
    A: Future<Output = ()> + Send + 'static,
{
    let uring = started.running.generation().config.engine.driver != DriverChoice::Epoll;
    let stop = Stop::default();
    let admin = admin(started.running.clone(), stop.clone());
    block_on(uring, serve(started, source, admin, stop))
}

fn block_on(uring: bool, future: impl Future<Output = io::Result<Ending>>) -> io::Result<Ending> {
    if uring {
        match tokio_uring::Runtime::new(&tokio_uring::builder()) {
            Ok(runtime) => return runtime.block_on(future),
            Err(error) => tracing::debug!("the slow path runs without io_uring: {error}"),
        }
    }
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build()?.block_on(future)
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks for the end.
    async fn end(&mut self, running: &Running) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: reloading");
                    let running = running.clone();
                    // How it went is logged where it is done.
                    tokio::spawn(async move { drop(running.reload().await) });
                }
            }
        }
    }
}

async fn serve(
    started: Started,
    source: Source,
    admin: impl Future<Output = ()> + Send + 'static,
    stop: Stop,
) -> io::Result<Ending> {
    let Started {
        running,
        said,
        queries,
        orders,
        mut drained,
        mut ended,
        mailboxes,
        ..
    } = started;
    let mut signals = Signals::catch()?;
    let forwarders: Vec<_> = mailboxes.into_iter().map(forward).collect();
    let generation = running.generation();
    let tables = Tables {
        routers: generation.tables(),
        namers: Namers::of(&generation.config.namers),
    };
    drop(generation);
    let tell = move |shard: usize, router, told| {
        // The forwarder lives as long as the runtime.
        let _ = forwarders[shard].send((router, told));
    };
    tokio::spawn(discovery::serve(tables, said, queries, tell));
    tokio::spawn(reload::serve(running.clone(), source, orders));
    tokio::spawn(admin);
    tokio::select! {
        signal = signals.end(&running) => tracing::info!("{signal}: shutting down"),
        () = stop.asked() => tracing::info!("/admin/shutdown: shutting down"),
        died = ended.recv() => return Ok(Ending::ShardDied(died.unwrap_or_default())),
    }
    tokio::select! {
        finished = running.shut_down(&mut drained) => {
            last_turns(&running, &mut ended).await;
            Ok(if finished { Ending::Finished } else { Ending::Cut })
        }
        _ = signals.end(&running) => Ok(Ending::Forced),
    }
}

/// Waits for the shards' threads.
async fn last_turns(running: &Running, ended: &mut mpsc::UnboundedReceiver<usize>) {
    let all = async {
        for _ in 0..running.shard_count() {
            ended.recv().await;
        }
    };
    if tokio::time::timeout(LAST_TURNS, all).await.is_err() {
        tracing::warn!("a shard does not stop: leaving without it");
    }
}

/// Carries news to a shard in their order, waiting while its mailbox is full: lost news would leave
/// a name without replicas until they change.
fn forward(mailbox: Sender<Mail>) -> mpsc::UnboundedSender<(usize, Told)> {
    let (sender, mut news) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((router, told)) = news.recv().await {
            let mut mail = Mail::Told(router, told);
            while let Err(back) = mailbox.send(mail) {
                mail = back;
                tokio::time::sleep(FULL).await;
            }
        }
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::control::start;

    fn started() -> Started {
        let text = "{engine: {driver: epoll, cores: 1}, admin: {shutdownGraceMs: 2000}, \
                    routers: [{protocol: http, servers: [{port: 0}]}]}";
        start(Arc::new(config::load(text).unwrap())).unwrap()
    }

    #[test]
    fn a_wish_ends_it_in_order() {
        let ending = run(started(), Source::Made, |_, stop| async move { stop.ask() });
        assert_eq!(ending.unwrap(), Ending::Finished);
    }

    #[test]
    fn a_dead_shard_ends_it() {
        let mut started = started();
        let (died, ended) = mpsc::unbounded_channel();
        died.send(0).unwrap();
        started.ended = ended;
        let ending = run(started, Source::Made, |_, _| async {});
        assert_eq!(ending.unwrap(), Ending::ShardDied(0));
    }
}
