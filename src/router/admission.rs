//! Admission: how many requests of a server are served at once, over all shards
//! (`maxConcurrentRequests`), and how many wait for a place (`maxPendingRequests`).
//!
//! One more is refused at once, in the words of Finagle's nacks: a proxy before this one sends it
//! elsewhere. A place that comes free on this shard wakes who has waited longest here; a shard whose
//! places all come free elsewhere looks again every millisecond.

use std::future::poll_fn;
use std::task::Poll;

use super::deadline;
use super::exchange::{Outcome, Walk};
use super::refusal::Refusal;
use super::server::Server;
use crate::engine::Key;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::resilience::admission::Admitted;
use crate::resilience::nack::{Nack, RETRYABLE_REQUEST};

/// Time between two looks for a place that came free on another shard.
const LOOK_NS: u64 = 1_000_000;

/// A place of a request, for as long as it lives.
pub struct Place<'s>(&'s Server);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::PlaceLeaked) {
            return;
        }
        self.0.admission.leave();
        if let Some(task) = self.0.pending.borrow_mut().pop_front() {
            self.0.router().shard.wake(task);
        }
    }
}

/// A request that waits; it gives up when dropped before it was promoted. Either way it leaves the
/// line: another one would be woken in its stead for ever.
struct Pending<'s> {
    server: &'s Server,
    task: Key,
    is_promoted: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut line = self.server.pending.borrow_mut();
        let at = line.iter().position(|task| *task == self.task);
        #[cfg(feature = "planted-bugs")]
        let at = at.filter(|_| !planted(Bug::LineLeaked));
        if let Some(at) = at {
            line.remove(at);
        }
        if !self.is_promoted {
            self.server.admission.give_up();
        }
    }
}

impl<'w> Walk<'w, '_> {
    /// Gets the request a place; `None` where there is no limit.
    pub(super) async fn admit(&mut self) -> Result<Option<Place<'w>>, Outcome> {
        let (server, limits) = (self.by.at, &self.by.server.admission);
        if limits.max_concurrent == u32::MAX {
            return Ok(None);
        }
        match server.admission.enter(limits) {
            Admitted::In => return Ok(Some(Place(server))),
            Admitted::Refused => return Err(Outcome::Refused(self.overloaded())),
            Admitted::Waits => {}
        }
        let shard = &self.by.router.shard;
        let task = shard.this_task();
        server.pending.borrow_mut().push_back(task);
        let mut pending = Pending {
            server,
            task,
            is_promoted: false,
        };
        self.due = self.brought();
        let due = self.due();
        poll_fn(|_| {
            if shard.now() >= due {
                let refusal = match due == self.due {
                    true => deadline::exceeded(),
                    false => self.overloaded(),
                };
                return Poll::Ready(Err(Outcome::Refused(refusal)));
            }
            if server.admission.promote(limits) {
                pending.is_promoted = true;
                return Poll::Ready(Ok(Some(Place(server))));
            }
            self.timer.set((shard.now() + LOOK_NS).min(due));
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
    }

    /// The deadline that it brings, which is taken off it later.
    fn brought(&self) -> u64 {
        let believed = !self.by.server.clear_context;
        let fields = &self.head.fields;
        deadline::given(fields, fields.names(), &self.by.router.shard, believed)
    }

    fn overloaded(&self) -> Refusal {
        let has_body = !self.head.body.is_empty();
        let kept = self
            .head
            .fields
            .get_named(RETRYABLE_REQUEST.as_bytes())
            .is_some();
        let text = "as many requests as this server takes are being served";
        let mut refusal = Refusal::proxy(503, "overloaded", text);
        refusal.lines = match Nack::of_request(has_body, kept) {
            Nack::Retryable => {
                "finagle-http-nack: true\r\nretry-after: 0\r\nl5d-retryable: true\r\n"
            }
            Nack::NonRetryable => "finagle-http-nonretryable-nack: true\r\n",
        };
        refusal
    }
}
