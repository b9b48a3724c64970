//! Admission: how many requests of a server are served at once, over all shards
//! (`maxConcurrentRequests`), and how many wait for a place (`maxPendingRequests`).
//!
//! One more is refused at once, in the words of Finagle's nacks: a proxy before this one sends it
//! elsewhere. A place that comes free on this shard wakes who has waited longest here; a shard whose
//! places all come free elsewhere looks again every millisecond.

use std::future::poll_fn;
use std::task::Poll;

use super::exchange::{Outcome, Walk};
use super::refusal::Refusal;
use super::server::Server;
use crate::resilience::admission::Admitted;
use crate::resilience::nack::{Nack, RETRYABLE_REQUEST};

/// Time between two looks for a place that came free on another shard.
const LOOK_NS: u64 = 1_000_000;

/// A place of a request, for as long as it lives.
pub struct Place<'s>(&'s Server);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.admission.leave();
        if let Some(task) = self.0.pending.borrow_mut().pop_front() {
            self.0.router().shard.wake(task);
        }
    }
}

/// A request that waits; it gives up when dropped before it was promoted.
struct Pending<'s>(Option<&'s Server>);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.0 {
            server.admission.give_up();
        }
    }
}

impl<'w> Walk<'w, '_> {
    /// Whether the server limits how many requests it takes.
    pub(super) fn is_limited(&self) -> bool {
        self.by.server.admission.max_concurrent != u32::MAX
    }

    /// Gets the request a place.
    pub(super) async fn admit(&mut self) -> Result<Place<'w>, Outcome> {
        let (server, limits) = (self.by.at, &self.by.server.admission);
        match server.admission.enter(limits) {
            Admitted::In => return Ok(Place(server)),
            Admitted::Refused => return Err(Outcome::Refused(self.overloaded())),
            Admitted::Waits => {}
        }
        let mut pending = Pending(Some(server));
        let shard = &self.by.router.shard;
        let mut queued = false;
        poll_fn(|_| {
            if server.admission.promote(limits) {
                pending.0 = None;
                return Poll::Ready(Ok(Place(server)));
            }
            if shard.now() >= self.due() {
                return Poll::Ready(Err(Outcome::Refused(self.overloaded())));
            }
            if !std::mem::replace(&mut queued, true) {
                server.pending.borrow_mut().push_back(shard.this_task());
            }
            self.timer.set(shard.now() + LOOK_NS);
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
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
