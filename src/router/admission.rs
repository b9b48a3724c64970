//! Admission: through the door of the server as a request comes, and through that of its service once
//! its name is known.
//!
//! Of those served at once (`maxConcurrentRequests`) each has a place, over all shards; some more may
//! wait for one (`maxPendingRequests`). One more is refused at once, in the words of Finagle's nacks:
//! a proxy before this one sends it elsewhere. What ends a request ends its wait, too: its deadline,
//! the time that it is given, its client.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::bind::Route;
use super::deadline;
use super::door::{Door, Level};
use super::exchange::{Outcome, Walk, after};
use super::refusal::{Lines, Refusal, Retry};
use crate::config::resolved::ServicePolicy;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{NEVER, Shard};
use crate::resilience::admission::Admitted;
use crate::resilience::nack::{Nack, RETRYABLE_REQUEST};

/// Time between two looks for a place that came free on another shard.
const LOOK_NS: u64 = 1_000_000;

/// The places that a request has.
#[derive(Default)]
pub struct Places {
    pub(super) service: Option<Place>,
    pub(super) server: Option<Place>,
}

/// A place of a request, for as long as it lives.
pub(super) struct Place {
    pub door: Rc<Door>,
    shard: Shard,
    /// When it was given.
    pub since: u64,
    /// How many had one then, this one among them.
    pub taken: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::PlaceLeaked) {
            return;
        }
        self.door.bounds.admission.leave();
        wake_next(&self.door, &self.shard);
    }
}

fn wake_next(door: &Door, shard: &Shard) {
    door.waiters.wake(shard.now(), |task| shard.wake(task));
}

/// A request that waits; it gives up when dropped before it was promoted.
struct Waiting<'d> {
    door: &'d Door,
    shard: &'d Shard,
    number: u64,
    is_pending: bool,
}

impl<'d> Waiting<'d> {
    fn begin(door: &'d Door, shard: &'d Shard) -> Self {
        Waiting {
            number: door.waiters.join(shard.this_task(), shard.now()),
            is_pending: true,
            door,
            shard,
        }
    }

    /// What becomes of it now.
    fn poll(&mut self) -> Turn {
        let (now, waiters) = (self.shard.now(), &self.door.waiters);
        let patient_until = waiters.patient_until(self.number, now);
        if now > patient_until {
            return Turn::TooLong;
        }
        if !waiters.is_next(self.number) {
            return Turn::Later(patient_until.saturating_add(1));
        }
        let admission = &self.door.bounds.admission;
        if !admission.promote(&self.door.places()) {
            return Turn::Later((now + LOOK_NS).min(patient_until.saturating_add(1)));
        }
        self.is_pending = false;
        if waiters.serves(self.number, now) {
            return Turn::Served;
        }
        admission.leave();
        Turn::TooLong
    }
}

/// What becomes of a request that waits.
enum Turn {
    /// It has a place.
    Served,
    /// It has waited for too long.
    TooLong,
    /// It waits on, and looks again then.
    Later(u64),
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_pending {
            self.door.bounds.admission.give_up();
        }
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::LineLeaked) {
            return;
        }
        self.door.waiters.leave(self.number);
        wake_next(self.door, self.shard);
    }
}

impl Walk<'_, '_> {
    /// Takes the request through the door of its server.
    ///
    /// # Errors
    /// How it ended there.
    pub(super) async fn admit(&mut self) -> Result<(), Outcome> {
        let Some(door) = self.by.at.door() else {
            return Ok(());
        };
        if let Some(rates) = &door.bounds.rates {
            self.count(rates, Level::Server, b"")?;
        }
        if door.has_places() {
            let (fields, shard) = (&self.head.fields, &self.by.router.shard);
            let believed = !self.by.server.clear_context;
            let due = deadline::given(fields, fields.names(), shard, believed);
            let time = self.by.server.timeout;
            let until = time.map_or(NEVER, |time| after(self.started, time));
            let place = self.place(&door, Level::Server, due, until).await?;
            self.places.server = Some(place);
        }
        Ok(())
    }

    /// Takes the request, now that its name is known, through the door of its service, and through
    /// what is done to it there on purpose.
    ///
    /// # Errors
    /// How it ended there.
    pub(super) async fn admit_to(
        &mut self,
        route: &Rc<Route>,
        service: &ServicePolicy,
    ) -> Result<(), Outcome> {
        if !route.is_known() {
            // What the shards share of a name is told with what it is bound to.
            self.leaf(route).await?;
        }
        if let Some(door) = route.door() {
            if let Some(rates) = &door.bounds.rates {
                self.count(rates, Level::Service, route.asked.name.as_encoded())?;
            }
            if door.has_places() {
                let (due, until) = (self.due, self.due());
                let place = self.place(&door, Level::Service, due, until).await?;
                self.places.service = Some(place);
            }
        }
        match service.faults.is_empty() {
            true => Ok(()),
            false => self.suffer(&service.faults).await,
        }
    }

    /// Gets the request a place, before its deadline and before the end of its time.
    async fn place(
        &mut self,
        door: &Rc<Door>,
        level: Level,
        due: u64,
        until: u64,
    ) -> Result<Place, Outcome> {
        let shard = &self.by.router.shard;
        let place = || Place {
            door: Rc::clone(door),
            shard: shard.clone(),
            since: shard.now(),
            taken: door.bounds.admission.active(),
        };
        match door.bounds.admission.enter(&door.places()) {
            Admitted::In => {
                door.waiters.pass(shard.now());
                return Ok(place());
            }
            Admitted::Refused => return Err(Outcome::Refused(self.overloaded(level))),
            Admitted::Waits => {}
        }
        let mut waiting = Waiting::begin(door, shard);
        poll_fn(|_| {
            let look = match waiting.poll() {
                Turn::Served => return Poll::Ready(Ok(place())),
                Turn::TooLong => {
                    return Poll::Ready(Err(Outcome::Refused(self.queued_too_long(level))));
                }
                Turn::Later(look) => look,
            };
            let now = shard.now();
            if now >= due {
                return Poll::Ready(Err(Outcome::Refused(deadline::exceeded())));
            }
            if now >= until {
                let text = "no place came free in time";
                let refusal = Refusal::proxy(504, "request-timeout", text);
                return Poll::Ready(Err(Outcome::Refused(refusal.retry(Retry::Always))));
            }
            self.timer.set(look.min(due).min(until));
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
    }

    fn overloaded(&self, level: Level) -> Refusal {
        let (reason, text) = match level {
            Level::Server => (
                "overloaded",
                "as many requests as this server takes are being served",
            ),
            Level::Service => (
                "service-overloaded",
                "as many requests as this service takes are being served",
            ),
        };
        self.nack(reason, text)
    }

    fn queued_too_long(&self, level: Level) -> Refusal {
        let reason = match level {
            Level::Server => "queued-too-long",
            Level::Service => "service-queued-too-long",
        };
        self.nack(reason, "it waited for a place while too many others do")
    }

    /// Says that nobody looked at the request.
    fn nack(&self, reason: &'static str, text: &'static str) -> Refusal {
        let has_body = !self.head.body.is_empty();
        let kept = self
            .head
            .fields
            .get_named(RETRYABLE_REQUEST.as_bytes())
            .is_some();
        let mut refusal = Refusal::proxy(503, reason, text);
        refusal.lines = Lines::Proxies(match Nack::of_request(has_body, kept) {
            Nack::Retryable => {
                "finagle-http-nack: true\r\nretry-after: 0\r\nl5d-retryable: true\r\n"
            }
            Nack::NonRetryable => "finagle-http-nonretryable-nack: true\r\n",
        });
        refusal
    }
}
