//! One request's walk: identify, bind, pick, send, answer; and once more where that is safe.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::balance::Endpoint;
use crate::config::resolved::{ClientPolicy, Route};
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{NEVER, Timer};
use crate::http::{BodyLength, Method, RequestHead, ResponseHead};

use super::bind::Leaf;
use super::connection::By;
use super::context;
use super::edits::Edits;
use super::h1::inbound::Request;
use super::h1::outbound::{Connecting, Connection, Exchange};
use super::identify::Identified;
use super::identify::answer::answer;
use super::pump::{Pump, SPLICE_FROM, Stop};
use super::receive::receive;
use super::refusal::{Refusal, Retry};
use super::tunnel;

/// Attempts for one request, the first included.
const ATTEMPTS: usize = 3;

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
    /// The service's, once its name is known.
    pub total_timeout: Option<Duration>,
}

/// Counts a request on its endpoint for as long as it lives.
struct InFlight(Arc<Endpoint>);

impl InFlight {
    fn begin(endpoint: Arc<Endpoint>) -> InFlight {
        endpoint.begin();
        InFlight(endpoint)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::CountLeaked) {
            return;
        }
        self.0.end();
    }
}

enum Ended {
    Outcome(Outcome),
    /// The attempt failed before anything was answered.
    Failed(Refusal),
}

impl<'w> Walk<'w, '_> {
    /// Takes the request to its end.
    pub async fn run(&mut self) -> Outcome {
        let (leaf, edits) = match self.bind().await {
            Ok(bound) => bound,
            Err(outcome) => return outcome,
        };
        let client = &leaf.client;
        let mut excluded = None;
        let mut fresh = false;
        for attempt in 1.. {
            let now = self.by.router.shard.now();
            let picked = client.pick(&mut || self.by.router.random(), now, excluded);
            let Some(endpoint) = picked else {
                let text = format!("{} has no replicas", client.target.id);
                return Outcome::Refused(Refusal::proxy(502, "no-hosts-available", text));
            };
            let addr = endpoint.addr;
            let refusal = match self.attempt(&leaf, &edits, endpoint, fresh).await {
                Ended::Outcome(outcome) => return outcome,
                Ended::Failed(refusal) => refusal,
            };
            if attempt == ATTEMPTS || !self.may_repeat(&refusal, client.replica_count()) {
                return Outcome::Refused(refusal);
            }
            self.by
                .router
                .stats
                .retries
                .set(self.by.router.stats.retries.get() + 1);
            match refusal.retry {
                Retry::IfReused => fresh = true,
                Retry::Always | Retry::Never => excluded = Some(addr),
            }
        }
        unreachable!("the loop over attempts returns")
    }

    fn may_repeat(&self, refusal: &Refusal, replicas: usize) -> bool {
        if self.request.consumed {
            return false;
        }
        match refusal.retry {
            Retry::Never => false,
            // The same replica would refuse again.
            Retry::Always => replicas > 1,
            #[cfg(feature = "planted-bugs")]
            Retry::IfReused if planted(Bug::RepeatedUnsafely) => true,
            Retry::IfReused => self.head.method.is_idempotent(),
        }
    }

    async fn bind(&mut self) -> Result<(Rc<Leaf>, Edits<'w>), Outcome> {
        let By {
            router, settings, ..
        } = self.by;
        let config = &settings.config;
        // Empty, and no allocation, for a request without a dtab of its own.
        let mut dtab = Vec::new();
        let arrival = receive(&self.by, self.request, self.head, &mut dtab);
        let arrival = arrival.map_err(Outcome::Refused)?;
        let mut name = router.shard.vector();
        let identified = settings
            .identifiers
            .identify(&config.dst_prefix, self.head, &mut name);
        let edits = |route: Option<&'w Route>| {
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
        self.total_timeout = route.policy().total_timeout;
        context::pass_on(&mut self.head.fields, &dtab);
        edits.request(&router.shard, self.head);
        let random = &mut || router.random();
        let known = match route.poll_leaf(&router.shard, random) {
            Poll::Ready(known) => known,
            Poll::Pending => {
                self.timer
                    .set(after(router.shard.now(), config.binding_timeout));
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
                if self.timer.is_unset() {
                    self.timer
                        .set(after(router.shard.now(), config.binding_timeout));
                }
                let found = || client.poll_replicas(&router.shard);
                let late = || format!("{} was not resolved in time", client.target.id);
                self.in_time(found, late).await?
            }
        };
        known.map_err(|why| {
            let text = format!("{} cannot be resolved: {why}", client.target.id);
            Outcome::Refused(Refusal::proxy(502, "no-hosts-available", text))
        })?;
        Ok((leaf, edits))
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
                let refusal = Refusal::proxy(503, "binding-timeout", late());
                return Poll::Ready(Err(Outcome::Refused(refusal)));
            }
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
    }

    /// While the request's body is not being read, the client's leaving shows here. One that left
    /// after a part of its body is gone too: the rest will never come.
    fn poll_client_gone(&mut self) -> Poll<()> {
        if self.request.is_received() {
            self.request.poll_gone()
        } else {
            self.request.poll_ended()
        }
    }

    async fn attempt(
        &mut self,
        leaf: &Leaf,
        edits: &Edits<'_>,
        endpoint: Arc<Endpoint>,
        fresh: bool,
    ) -> Ended {
        let (router, client) = (self.by.router, &leaf.client);
        let config = &self.by.settings.config;
        let policy = &*client.policy();
        let in_flight = InFlight::begin(endpoint);
        let endpoint = &in_flight.0;
        let now = router.shard.now();
        let pooled = if fresh {
            None
        } else {
            client.pool.take(endpoint.addr, now, policy)
        };
        let reused = pooled.is_some();
        let connection = match pooled {
            Some(connection) => {
                router.stats.reuses.set(router.stats.reuses.get() + 1);
                connection
            }
            None => match self.connect(endpoint, policy).await {
                Ok(connection) => connection,
                Err(ended) => return ended,
            },
        };
        let mut upstream = Exchange::new(connection, reused);
        let mut lines = router.shard.vector();
        edits.put_lines(config.propagator, router.random(), &mut lines);
        upstream.send_head(&router.shard, self.head, &[&leaf.destination, &lines]);
        router.shard.recycle(lines);
        let stop = self.pump(&mut upstream, edits, policy).await;
        match stop {
            Stop::Done => {
                if let Some(connection) = upstream.into_idle() {
                    // Responses of one name tend to be alike.
                    let large = matches!(self.response.body,
                        BodyLength::Exact(length) if length >= SPLICE_FROM);
                    connection.receive_singly(large && router.shard.can_splice());
                    let reaper = router.reaper.get();
                    let now = router.shard.now();
                    client
                        .pool
                        .put(endpoint.addr, connection, now, reaper, policy);
                }
                Ended::Outcome(Outcome::Answered)
            }
            Stop::Upgraded => {
                router.stats.count_status(self.response.status);
                let mut upstream = upstream.into_wire();
                tunnel::run(
                    &router.shard,
                    self.request.wire(),
                    &mut upstream,
                    self.timer,
                )
                .await;
                Ended::Outcome(Outcome::Tunnelled)
            }
            Stop::Refused(refusal) => Ended::Failed(refusal),
            #[cfg(feature = "planted-bugs")]
            Stop::ClientGone if planted(Bug::PooledEarly) => {
                if let Some(connection) = upstream.into_idle() {
                    let reaper = router.reaper.get();
                    client
                        .pool
                        .put(endpoint.addr, connection, now, reaper, policy);
                }
                Ended::Outcome(Outcome::ClientGone)
            }
            Stop::ClientGone => Ended::Outcome(Outcome::ClientGone),
            Stop::Truncated => Ended::Outcome(Outcome::Truncated),
        }
    }

    async fn connect(
        &mut self,
        endpoint: &Endpoint,
        policy: &ClientPolicy,
    ) -> Result<Connection, Ended> {
        let router = self.by.router;
        let shard = &router.shard;
        let connecting =
            Connecting::start(shard, endpoint.addr, policy.no_delay).map_err(Ended::Failed)?;
        self.timer.set(after(shard.now(), policy.connect_timeout));
        let connected = poll_fn(|_| {
            if let Poll::Ready(connected) = connecting.poll() {
                return Poll::Ready(connected.map_err(Ended::Failed));
            }
            if self.timer.is_expired() {
                return Poll::Ready(Err(Ended::Failed(connect_timeout(endpoint.addr))));
            }
            self.poll_client_gone()
                .map(|()| Err(Ended::Outcome(Outcome::ClientGone)))
        })
        .await;
        let stats = &router.stats;
        match connected {
            Ok(()) => {
                stats.connects.set(stats.connects.get() + 1);
                endpoint.mark_reachable();
                Ok(connecting.into_connection(shard.now()))
            }
            Err(ended) => {
                if let Ended::Failed(_) = ended {
                    stats.connect_failures.set(stats.connect_failures.get() + 1);
                    endpoint.mark_unreachable(shard.now());
                }
                Err(ended)
            }
        }
    }

    /// Moves the bodies and watches the clocks.
    async fn pump(
        &mut self,
        upstream: &mut Exchange,
        edits: &Edits<'_>,
        policy: &ClientPolicy,
    ) -> Stop {
        let (shard, settings) = (&self.by.router.shard, self.by.settings);
        let (body_timeout, attempt_timeout) = {
            (
                policy.body_timeout.min(self.by.server.body_timeout),
                policy.attempt_timeout,
            )
        };
        let total = earliest(self.total_timeout, self.by.server.timeout);
        let sent_all = self.head.body == BodyLength::Empty;
        self.response.clear();
        let mut pump = Pump {
            shard,
            limits: &settings.limits,
            request: self.request,
            head: self.head,
            edits,
            upstream,
            response: self.response,
            may_upgrade: self.head.upgrade().is_some(),
            is_connect: self.head.method == Method::Connect,
            draining: self.by.draining,
            clear_context: self.by.server.clear_context,
            sent_all,
            in_body: false,
            sent: 0,
            sent_singly: false,
            received: 0,
            splice: None,
            holding: false,
            moves: 0,
        };
        // The limits on the time to the response's head run once the request was sent; before
        // that, and after the head, what counts is that bytes move.
        let head_deadline = |sent_at: u64| {
            let total = total.map_or(NEVER, |total| after(self.started.max(sent_at), total));
            total.min(attempt_timeout.map_or(NEVER, |limit| after(sent_at, limit)))
        };
        let mut deadline = if sent_all {
            let from_start = total.map_or(NEVER, |total| after(self.started, total));
            from_start.min(attempt_timeout.map_or(NEVER, |limit| after(shard.now(), limit)))
        } else {
            after(shard.now(), body_timeout)
        };
        self.timer.set(deadline);
        poll_fn(|_| {
            let (moves, sent) = (pump.moves, pump.sent_all);
            if let Poll::Ready(stop) = pump.poll() {
                return Poll::Ready(stop);
            }
            if pump.moves != moves {
                let waits_for_head = pump.sent_all && !pump.in_body;
                if !waits_for_head {
                    deadline = after(shard.now(), body_timeout);
                } else if !sent {
                    deadline = head_deadline(shard.now());
                }
                self.timer.set(deadline);
            } else if self.timer.is_expired() {
                return Poll::Ready(expired(&pump));
            }
            Poll::Pending
        })
        .await
    }
}

/// What it means that the clock ran out.
fn expired(pump: &Pump<'_, '_>) -> Stop {
    if pump.in_body {
        return Stop::Truncated;
    }
    Stop::Refused(if pump.sent_all {
        Refusal::backend(
            504,
            "request-timeout",
            "the backend did not respond in time",
        )
    } else {
        Refusal::client(408, "body-timeout", "the request's body stopped coming")
    })
}

fn connect_timeout(addr: SocketAddr) -> Refusal {
    let text = format!("no connection to {addr} in time");
    Refusal::backend(504, "connect-timeout", text).retry(Retry::Always)
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
    now.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
