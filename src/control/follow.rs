//! Follows a file: tells when it says something else than before.
//!
//! What is watched is the directory, since editors and deployments put a new file in the place of the
//! old one, or (Kubernetes) swap a link beside it. Any event there is only a reason to read the file;
//! what counts is whether its bytes differ.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use inotify::{EventStream, Inotify, WatchMask};

/// A change is looked at when nothing more has happened for so long: files come in pieces.
const SETTLED: Duration = Duration::from_millis(100);
/// Time between two looks where the kernel does not say what happens.
const EVERY: Duration = Duration::from_secs(1);
/// Room for events that are read at once.
const EVENTS: usize = 4096;

/// A file that is followed, or none. See the module's head.
#[derive(Default)]
pub(super) struct Follow(Option<Following>);

struct Following {
    file: PathBuf,
    seen: Option<Vec<u8>>,
    events: Option<EventStream<Vec<u8>>>,
}

impl Follow {
    /// Follows this file from now on, or none.
    pub fn switch(&mut self, file: Option<&Path>) {
        let followed = self.0.as_ref().map(|following| following.file.as_path());
        if followed != file {
            self.0 = file.map(Following::begin);
        }
    }

    /// Waits until the file says something else than it did last.
    pub async fn changed(&mut self) {
        match &mut self.0 {
            Some(following) => following.changed().await,
            None => std::future::pending().await,
        }
    }
}

impl Following {
    fn begin(file: &Path) -> Following {
        let events = watch(file);
        if let Err(error) = &events {
            tracing::warn!("{} is looked at every second: {error}", file.display());
        }
        Following {
            file: file.to_owned(),
            seen: std::fs::read(file).ok(),
            events: events.ok(),
        }
    }

    async fn changed(&mut self) {
        loop {
            self.something().await;
            while tokio::time::timeout(SETTLED, self.something())
                .await
                .is_ok()
            {}
            let now = std::fs::read(&self.file).ok();
            // A file that is gone is about to be replaced.
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// Waits until something may have happened.
    async fn something(&mut self) {
        let event = match &mut self.events {
            Some(events) => poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await,
            None => return tokio::time::sleep(EVERY).await,
        };
        if !matches!(event, Some(Ok(_))) {
            self.events = None;
        }
    }
}

fn watch(file: &Path) -> std::io::Result<EventStream<Vec<u8>>> {
    let inotify = Inotify::init()?;
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::CREATE;
    inotify.watches().add(directory, mask)?;
    inotify.into_event_stream(vec![0; EVENTS])
}
