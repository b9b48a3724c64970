//! One attempt: a connection, the request on it, and the response back to the client, unless the
//! response's head says that another attempt is to follow.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use crate::balance::Endpoint;
use crate::config::resolved::ClientPolicy;
use crate::engine::NEVER;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::{BodyLength, Method};

use super::bind::Leaf;
use super::client::Rules;
use super::edits::Edits;
use super::exchange::{Ended, Outcome, Walk, after};
use super::h1::outbound::{Connecting, Connection, Exchange};
use super::in_flight::InFlight;
use super::pump::{Pump, SPLICE_FROM, Stop};
use super::refusal::{Fault, Refusal, Retry};
use super::retry::{Judge, Verdict};
use super::{deadline, tunnel};

impl Walk<'_, '_> {
    /// Sends the request to a replica. `fresh`: on a new connection.
    pub(super) async fn attempt(
        &mut self,
        leaf: &Leaf,
        edits: &Edits<'_>,
        mut in_flight: InFlight,
        fresh: bool,
        judge: Judge<'_>,
    ) -> Ended {
        let (router, client) = (self.by.router, &leaf.client);
        let rules = &*client.rules();
        let policy = &rules.policy;
        let addr = in_flight.endpoint.addr;
        let pooled = match fresh {
            true => None,
            false => client.pool.take(addr, router.shard.now(), policy),
        };
        let reused = pooled.is_some();
        let connection = match pooled {
            Some(connection) => {
                router.stats.reuses.set(router.stats.reuses.get() + 1);
                connection
            }
            None => match self.connect(&in_flight.endpoint, rules).await {
                Ok(connection) => connection,
                Err(ended) => {
                    if let Ended::Failed(_) = ended {
                        in_flight.judge(false);
                    }
                    return ended;
                }
            },
        };
        let now = router.shard.now();
        if let Some(refusal) = self.overdue(now) {
            // Making the connection took all the time that there was: the next one has it.
            let reaper = router.reaper.get();
            client.pool.put(addr, connection, now, reaper, policy);
            return Ended::Outcome(Outcome::Refused(refusal));
        }
        let mut upstream = Exchange::new(connection, reused);
        self.send_head(&mut upstream, leaf, edits, policy);
        let (stop, judged) = self
            .pump(&mut upstream, edits, policy, &mut in_flight, judge)
            .await;
        let keep = |upstream: Exchange, large: bool| {
            if let Some(connection) = upstream.into_idle() {
                connection.receive_singly(large && router.shard.can_splice());
                let (now, reaper) = (router.shard.now(), router.reaper.get());
                client.pool.put(addr, connection, now, reaper, policy);
            }
        };
        match stop {
            Stop::Done => {
                // Responses of one name tend to be alike.
                let large = matches!(self.response.body,
                    BodyLength::Exact(length) if length >= SPLICE_FROM);
                keep(upstream, large);
                if let Some(shared) = client.shared() {
                    shared.requeues.deposit(router.shard.now());
                }
                Ended::Outcome(Outcome::Answered)
            }
            Stop::Upgraded => {
                router.stats.count_status(self.response.status);
                let mut upstream = upstream.into_wire();
                let own = self.request.wire();
                tunnel::run(&router.shard, own, &mut upstream, self.timer).await;
                Ended::Outcome(Outcome::Tunnelled)
            }
            // What was judged already is the client's, in whatever form it gets it.
            Stop::Refused(refusal) if judged => Ended::Outcome(Outcome::Refused(refusal)),
            Stop::Refused(refusal) => {
                let stale = refusal.retry == Retry::IfReused;
                if refusal.fault == Fault::Backend && !stale {
                    in_flight.judge(false);
                }
                Ended::Failed(refusal)
            }
            Stop::Again(verdict) => {
                upstream.skip_what_came();
                keep(upstream, false);
                match verdict {
                    Verdict::Retry { after_ns } => Ended::Retry { after_ns },
                    Verdict::Requeue | Verdict::PassOn { .. } => Ended::Requeue,
                }
            }
            #[cfg(feature = "planted-bugs")]
            Stop::ClientGone if planted(Bug::PooledEarly) => {
                keep(upstream, false);
                Ended::Outcome(Outcome::ClientGone)
            }
            Stop::ClientGone => Ended::Outcome(Outcome::ClientGone),
            Stop::Truncated => {
                in_flight.judge(false);
                Ended::Outcome(Outcome::Truncated)
            }
        }
    }

    fn send_head(
        &self,
        upstream: &mut Exchange,
        leaf: &Leaf,
        edits: &Edits<'_>,
        policy: &ClientPolicy,
    ) {
        let router = self.by.router;
        let mut lines = router.shard.vector();
        let propagator = self.by.settings.config.propagator;
        edits.put_lines(propagator, router.random(), &mut lines);
        deadline::put_line(
            self.told_due(policy.attempt_timeout),
            &router.shard,
            &mut lines,
        );
        upstream.send_head(&router.shard, self.head, &[&leaf.destination, &lines]);
        router.shard.recycle(lines);
    }

    async fn connect(&mut self, endpoint: &Endpoint, rules: &Rules) -> Result<Connection, Ended> {
        let router = self.by.router;
        let (shard, policy) = (&router.shard, &rules.policy);
        let connecting =
            Connecting::start(shard, endpoint.addr, policy.no_delay).map_err(Ended::Failed)?;
        self.timer
            .set(after(shard.now(), policy.connect_timeout).min(self.due()));
        let connected = poll_fn(|_| {
            if let Poll::Ready(connected) = connecting.poll() {
                return Poll::Ready(connected.map_err(Ended::Failed));
            }
            if self.timer.is_expired() {
                return Poll::Ready(Err(match shard.now() >= self.due {
                    true => Ended::Outcome(Outcome::Refused(deadline::exceeded())),
                    false => Ended::Failed(connect_timeout(endpoint.addr)),
                }));
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
                if policy.fail_fast {
                    rules.fail_fast.on_connected(endpoint.accrual());
                }
                Ok(connecting.into_connection(shard.now()))
            }
            Err(ended) => {
                if let Ended::Failed(_) = ended {
                    stats.connect_failures.set(stats.connect_failures.get() + 1);
                    endpoint.mark_unreachable(shard.now());
                    if policy.fail_fast {
                        let (cell, random) = (endpoint.accrual(), router.random());
                        rules
                            .fail_fast
                            .on_connect_failure(cell, shard.now(), random);
                    }
                }
                Err(ended)
            }
        }
    }

    /// Moves the bodies and watches the clocks. Tells also whether the response's head was judged.
    async fn pump(
        &mut self,
        upstream: &mut Exchange,
        edits: &Edits<'_>,
        policy: &ClientPolicy,
        in_flight: &mut InFlight,
        judge: Judge<'_>,
    ) -> (Stop, bool) {
        let (router, settings) = (self.by.router, self.by.settings);
        let shard = &router.shard;
        let body_timeout = policy.body_timeout.min(self.by.server.body_timeout);
        let (total, attempt_timeout, due) = (self.total, policy.attempt_timeout, self.due);
        let sent_all = self.head.body == BodyLength::Empty;
        self.response.clear();
        let mut pump = Pump {
            router,
            shard,
            limits: &settings.limits,
            request: self.request,
            head: self.head,
            edits,
            upstream,
            response: self.response,
            in_flight,
            judge,
            judged: false,
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
        // that, and after the head, what counts is that bytes move. A deadline is a deadline.
        let head_deadline = |sent_at: u64| {
            let total = total.map_or(NEVER, |total| after(self.started.max(sent_at), total));
            let attempt = attempt_timeout.map_or(NEVER, |limit| after(sent_at, limit));
            total.min(attempt).min(due)
        };
        let mut deadline = if sent_all {
            let from_start = total.map_or(NEVER, |total| after(self.started, total));
            let attempt = attempt_timeout.map_or(NEVER, |limit| after(shard.now(), limit));
            from_start.min(attempt).min(due)
        } else {
            after(shard.now(), body_timeout).min(due)
        };
        self.timer.set(deadline);
        let stop = poll_fn(|_| {
            let (moves, sent) = (pump.moves, pump.sent_all);
            if let Poll::Ready(stop) = pump.poll() {
                return Poll::Ready(stop);
            }
            if pump.moves != moves {
                let waits_for_head = pump.sent_all && !pump.in_body;
                if pump.in_body {
                    deadline = after(shard.now(), body_timeout);
                } else if !waits_for_head {
                    deadline = after(shard.now(), body_timeout).min(due);
                } else if !sent {
                    deadline = head_deadline(shard.now());
                }
                self.timer.set(deadline);
            } else if self.timer.is_expired() {
                return Poll::Ready(expired(&pump, shard.now() >= due));
            }
            Poll::Pending
        })
        .await;
        (stop, pump.judged)
    }
}

/// What it means that the clock ran out.
fn expired(pump: &Pump<'_, '_>, overdue: bool) -> Stop {
    if pump.in_body {
        return Stop::Truncated;
    }
    Stop::Refused(if overdue {
        deadline::exceeded()
    } else if pump.sent_all {
        let text = "the backend did not respond in time";
        Refusal::backend(504, "request-timeout", text)
    } else {
        Refusal::client(408, "body-timeout", "the request's body stopped coming")
    })
}

fn connect_timeout(addr: SocketAddr) -> Refusal {
    let text = format!("no connection to {addr} in time");
    Refusal::backend(504, "connect-timeout", text).retry(Retry::Always)
}
