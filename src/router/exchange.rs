//! One request's walk: identify, bind, pick, send, answer; and once more where that is safe and paid
//! for ([`retry`](super::retry)).

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::balance::Endpoint;
use crate::config::resolved::{DEFAULT_TOTAL, Route as TableRoute, ServicePolicy};
use crate::engine::Timer;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::{RequestHead, ResponseHead};
use crate::resilience::deadline::tighten;

use super::admission::Places;
use super::bind::{Leaf, Route};
use super::client::Client;
use super::connection::By;
use super::context;
use super::deadline;
use super::edits::Edits;
use super::h1::inbound::Request;
use super::hashed::hash;
use super::identify::Identified;
use super::identify::answer::answer;
use super::mirror::Mirrored;
use super::receive::receive;
use super::refusal::{Refusal, Retry};
use super::retry::{Course, Judge, MOST_ATTEMPTS};
use super::room::{Room, Waiting};

/// How a request ended.
pub enum Outcome {
    /// A response was written to its end: a backend's, or a route's own.
    Answered,
    /// The connection became a tunnel, which has ended.
    Tunnelled,
    /// The proxy must answer.
    Refused(Refusal),
    /// The client left.
    ClientGone,
    /// The response's body could not be completed: the connection must be cut, so that the client
    /// sees it.
    Truncated,
}

/// What a request brings along on its walk.
pub struct Walk<'w, 'c> {
    pub by: By<'w>,
    pub head: &'w mut RequestHead,
    pub response: &'w mut ResponseHead,
    pub request: &'w mut Request<'c>,
    pub timer: &'w Timer,
    /// When its head was complete.
    pub started: u64,
    /// When its time is over, by the deadline that it brought; [`NEVER`] if it brought none.
    pub due: u64,
    /// The time that its service gives it, once its name is known.
    pub total: Option<Duration>,
    /// What it holds of what is limited.
    pub places: Places,
    /// It is mirrored: a place for its copy, and the copy, once it is made.
    pub(super) mirrored: Option<Box<Mirrored>>,
}

/// What a pick came to.
enum Picked<'c> {
    At(Arc<Endpoint>),
    /// There is no room yet.
    Later(Waiting<'c>),
}

/// How an attempt ended.
pub(super) enum Ended {
    Outcome(Outcome),
    /// It failed before anything was answered.
    Failed(Refusal),
    /// The replica did not look at it, and sending it elsewhere is paid for.
    Requeue,
    /// The response was a failure that is retried after so many ns, which is paid for.
    Retry {
        after_ns: u64,
    },
}

impl<'w> Walk<'w, '_> {
    /// Takes the request to its end.
    pub async fn run(&mut self) -> Outcome {
        // Until its name is known, the server's limit is the only one.
        self.total = self.by.server.timeout;
        if self.by.at.has_door()
            && let Err(outcome) = self.admit().await
        {
            return outcome;
        }
        let (route, edits) = match self.name() {
            Ok(named) => named,
            Err(outcome) => return outcome,
        };
        let service = route.policy();
        self.total = earliest(service.total_timeout, self.by.server.timeout);
        self.request.keep_up_to(service.replay_bytes);
        if service.mirror.is_some() {
            self.draw_mirror(&route, &service);
        }
        if route.is_guarded()
            && let Err(outcome) = self.admit_to(&route, &service).await
        {
            return outcome;
        }
        let mut course = Course::default();
        let mut paid = false;
        loop {
            let leaf = match self.known_leaf(&route) {
                Some(leaf) => leaf,
                None => match self.leaf(&route).await {
                    Ok(leaf) => leaf,
                    Err(outcome) => return outcome,
                },
            };
            let now = self.by.router.shard.now();
            if !std::mem::replace(&mut paid, true)
                && let Some(shared) = route.shared()
            {
                shared.retries.deposit(now);
            }
            let ended = self
                .dispatch(&route, &service, &leaf, &edits, &mut course)
                .await;
            let after = match ended {
                Ended::Outcome(outcome) => return outcome,
                Ended::Retry { after_ns } => after_ns,
                Ended::Failed(refusal) => {
                    let random = self.by.router.random();
                    let repeatable = self.request.is_repeatable();
                    let now = self.by.router.shard.now();
                    let mut judge = self.judge(&route, &service, &leaf, &mut course);
                    match judge.failure(&refusal, repeatable, now, random) {
                        Some(after) => after,
                        None => return Outcome::Refused(course.mark(refusal)),
                    }
                }
                // Requeues are dealt with where they are dispatched.
                Ended::Requeue => 0,
            };
            self.count_retry();
            if !self.pause(after).await {
                return Outcome::ClientGone;
            }
        }
    }

    fn count_retry(&mut self) {
        let retries = &self.by.router.stats.retries;
        retries.set(retries.get() + 1);
        self.request.rewind();
    }

    /// When the request's time is over, all told.
    pub(super) fn due(&self) -> u64 {
        let total = self.total.map(nanos);
        tighten(self.due, self.started, total)
    }

    /// Why the request is not to be sent any more, if its time is over.
    pub(super) fn overdue(&self, now: u64) -> Option<Refusal> {
        if now >= self.due {
            return Some(deadline::exceeded());
        }
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::SentLate) {
            return None;
        }
        let text = "its time was over before it could be sent";
        (now >= self.due()).then(|| Refusal::proxy(504, "request-timeout", text))
    }

    fn judge<'j>(
        &self,
        route: &'j Route,
        service: &'j ServicePolicy,
        leaf: &'j Leaf,
        course: &'j mut Course,
    ) -> Judge<'j> {
        Judge {
            policy: service,
            method: self.head.method,
            course,
            route,
            client: &leaf.client,
            due: self.due(),
        }
    }

    /// Sends the request to one client, to one replica after another as long as none has looked at
    /// it.
    async fn dispatch(
        &mut self,
        route: &Route,
        service: &ServicePolicy,
        leaf: &Leaf,
        edits: &Edits<'w>,
        course: &mut Course,
    ) -> Ended {
        let stats = &self.by.router.stats;
        let mut fresh = false;
        loop {
            course.attempts += 1;
            let picked = match self.pick(&leaf.client, course) {
                Ok(Picked::At(endpoint)) => Ok(endpoint),
                Ok(Picked::Later(waiting)) => {
                    drop(waiting);
                    self.pick_in_time(&leaf.client, course).await
                }
                Err(outcome) => Err(outcome),
            };
            let endpoint = match picked {
                Ok(endpoint) => endpoint,
                Err(outcome) => return Ended::Outcome(outcome),
            };
            let judge = self.judge(route, service, leaf, course);
            let counter = match self.attempt(leaf, edits, &endpoint, fresh, judge).await {
                ended @ Ended::Outcome(_) => return ended,
                ended @ Ended::Retry { .. } => {
                    course.avoid(endpoint);
                    return ended;
                }
                // Paid for already.
                Ended::Requeue => {
                    course.avoid(endpoint);
                    &stats.requeues
                }
                Ended::Failed(refusal) if self.is_stale(&refusal, fresh) => {
                    fresh = true;
                    &stats.stale
                }
                Ended::Failed(refusal) => {
                    course.avoid(endpoint);
                    let now = self.by.router.shard.now();
                    let never_sent = refusal.retry == Retry::Always && self.request.is_repeatable();
                    let mut judge = self.judge(route, service, leaf, course);
                    // The same replica would refuse again.
                    if !(never_sent && judge.requeue(now)) {
                        return Ended::Failed(refusal);
                    }
                    &stats.requeues
                }
            };
            if course.attempts > MOST_ATTEMPTS {
                let text = "it was sent too often already";
                return Ended::Failed(Refusal::backend(502, "too-many-attempts", text));
            }
            counter.set(counter.get() + 1);
            self.count_retry();
        }
    }

    /// Whether a pooled connection turned out to be closed before a byte came back, and the request
    /// may be sent again on a new one. That is no load on top: the replica saw nothing of it.
    fn is_stale(&self, refusal: &Refusal, fresh: bool) -> bool {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::RepeatedUnsafely) && refusal.retry == Retry::IfReused {
            return self.request.is_repeatable();
        }
        refusal.retry == Retry::IfReused
            && !fresh
            && self.head.method.is_idempotent()
            && self.request.is_repeatable()
    }

    /// Picks a replica, at which there is room or will be.
    fn pick<'c>(&self, client: &'c Rc<Client>, course: &Course) -> Result<Picked<'c>, Outcome> {
        let router = self.by.router;
        let now = router.shard.now();
        if let Some(refusal) = self.overdue(now) {
            return Err(Outcome::Refused(refusal));
        }
        let hash = client.hash_by(|key| hash(key, self.head, self.request));
        let random = &mut || router.random();
        let picked = course.with_tried(|tried| client.pick(random, now, tried, hash));
        let Some(endpoint) = picked else {
            let text = format!("{} has no replicas", client.target.id);
            let refusal = Refusal::proxy(502, "no-hosts-available", text);
            return Err(Outcome::Refused(refusal));
        };
        match client.room(&endpoint) {
            Room::Free => Ok(Picked::At(endpoint)),
            Room::Waits(waiting) => Ok(Picked::Later(waiting)),
            Room::Full => {
                let text = format!("too many requests wait for {}", client.target.id);
                let refusal = Refusal::proxy(503, "too-many-waiters", text);
                Err(Outcome::Refused(refusal.retry(Retry::Always)))
            }
        }
    }

    /// Picks a replica, waiting for room at it where the policy limits that.
    async fn pick_in_time(
        &mut self,
        client: &Rc<Client>,
        course: &Course,
    ) -> Result<Arc<Endpoint>, Outcome> {
        loop {
            let _waiting = match self.pick(client, course)? {
                Picked::At(endpoint) => return Ok(endpoint),
                Picked::Later(waiting) => waiting,
            };
            // Room may come free on another shard, which does not tell.
            if !self.pause(ROOM_NS).await {
                return Err(Outcome::ClientGone);
            }
        }
    }

    /// Waits; false if the client left.
    async fn pause(&mut self, ns: u64) -> bool {
        if ns == 0 {
            return true;
        }
        let until = self.by.router.shard.now().saturating_add(ns);
        self.timer.set(until.min(self.due));
        poll_fn(|_| {
            if self.timer.is_expired() {
                return Poll::Ready(true);
            }
            self.poll_client_gone().map(|()| false)
        })
        .await
    }

    /// Finds out the request's name, and the route of that name.
    fn name(&mut self) -> Result<(Rc<Route>, Edits<'w>), Outcome> {
        let By {
            router, settings, ..
        } = self.by;
        let config = &settings.config;
        // Empty, and no allocation, for a request without a dtab of its own.
        let mut dtab = Vec::new();
        let arrival = receive(&self.by, self.request, self.head, &mut dtab);
        let arrival = arrival.map_err(Outcome::Refused)?;
        self.due = arrival.due;
        if router.shard.now() >= self.due {
            return Err(Outcome::Refused(deadline::exceeded()));
        }
        let mut name = router.shard.vector();
        let identified = settings
            .identifiers
            .identify(&config.dst_prefix, self.head, &mut name);
        let edits = |route: Option<&'w TableRoute>| {
            let rules = route.map(|route| &route.rules);
            Edits::new(&config.rules, rules, arrival, self.request)
        };
        let route = match identified {
            Ok(Identified::Named(route)) => Ok((router.binder.bind(&name, &dtab), edits(route))),
            Ok(Identified::Answer(route)) => {
                let edits = edits(Some(route));
                let (response, draining) = (&mut *self.response, self.by.draining.get());
                answer(
                    &router.shard,
                    &route.action,
                    &edits,
                    self.head,
                    response,
                    self.request,
                    draining,
                );
                Err(Outcome::Answered)
            }
            Err(refusal) => Err(Outcome::Refused(refusal)),
        };
        router.shard.recycle(name);
        let (route, edits) = route?;
        context::pass_on(&mut self.head.fields, &dtab);
        edits.request(&router.shard, self.head);
        Ok((route, edits))
    }

    /// The client that this attempt goes to, if it and its replicas are known by now.
    fn known_leaf(&self, route: &Rc<Route>) -> Option<Rc<Leaf>> {
        let router = self.by.router;
        let found = route.poll_leaf(&router.shard, &mut || router.random());
        let Poll::Ready(Ok(leaf)) = found else {
            return None;
        };
        let known = leaf.client.poll_replicas(&router.shard);
        matches!(known, Poll::Ready(Ok(()))).then_some(leaf)
    }

    /// The client that this attempt goes to, its replicas known.
    pub(super) async fn leaf(&mut self, route: &Rc<Route>) -> Result<Rc<Leaf>, Outcome> {
        let router = self.by.router;
        let limit = self.by.settings.config.binding_timeout;
        let until = after(router.shard.now(), limit).min(self.due);
        let random = &mut || router.random();
        let known = match route.poll_leaf(&router.shard, random) {
            Poll::Ready(known) => known,
            Poll::Pending => {
                self.timer.set(until);
                let bound = || route.poll_leaf(&router.shard, random);
                let late = || format!("{} was not bound in time", route.asked.name);
                self.in_time(bound, late).await?
            }
        };
        let leaf = known.map_err(Outcome::Refused)?;
        let client = &leaf.client;
        let known = match client.poll_replicas(&router.shard) {
            Poll::Ready(known) => known,
            Poll::Pending => {
                self.timer.set(until);
                let found = || client.poll_replicas(&router.shard);
                let late = || format!("{} was not resolved in time", client.target.id);
                self.in_time(found, late).await?
            }
        };
        known.map_err(|why| {
            let text = format!("{} cannot be resolved: {why}", client.target.id);
            Outcome::Refused(Refusal::proxy(502, "no-hosts-available", text))
        })?;
        Ok(leaf)
    }

    /// Waits for the slow path, as long as the timer and the client allow.
    async fn in_time<T>(
        &mut self,
        mut poll: impl FnMut() -> Poll<T>,
        late: impl Fn() -> String,
    ) -> Result<T, Outcome> {
        poll_fn(|_| {
            if let Poll::Ready(found) = poll() {
                return Poll::Ready(Ok(found));
            }
            if self.timer.is_expired() {
                let refusal = match self.by.router.shard.now() >= self.due {
                    true => deadline::exceeded(),
                    false => Refusal::proxy(503, "binding-timeout", late()),
                };
                return Poll::Ready(Err(Outcome::Refused(refusal)));
            }
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
    }

    /// While the request's body is not being read, the client's leaving shows here. One that left
    /// after a part of its body is gone too: the rest will never come.
    pub(super) fn poll_client_gone(&mut self) -> Poll<()> {
        if self.request.is_received() {
            self.request.poll_gone()
        } else {
            self.request.poll_ended()
        }
    }

    /// The time that the replica is told: what was brought, and what somebody has configured.
    pub(super) fn told_due(&self, attempt: Option<Duration>) -> u64 {
        let configured = self.by.server.timeout.is_some() || self.total != Some(DEFAULT_TOTAL);
        let due = match configured {
            true => self.due(),
            false => self.due,
        };
        tighten(due, self.by.router.shard.now(), attempt.map(nanos))
    }
}

/// Time between two looks for room at a replica.
const ROOM_NS: u64 = 1_000_000;

fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::from(time.subsec_nanos()))
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// `duration` after `now`, on the shard's clock.
#[must_use]
pub fn after(now: u64, duration: Duration) -> u64 {
    now.saturating_add(nanos(duration))
}
