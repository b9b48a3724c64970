//! One attempt: a connection, the request on it, and the response back to the client, unless the
//! response's head says that another attempt is to follow.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use crate::balance::Endpoint;
use crate::config::resolved::ClientPolicy;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::BodyLength;

use super::bind::Leaf;
use super::client::Rules;
use super::clock::Clock;
use super::edits::Edits;
use super::exchange::{Ended, Outcome, Walk, after};
use super::h1::outbound::{Connecting, Connection, Exchange};
use super::in_flight::InFlight;
use super::pump::{Pump, SPLICE_FROM, Stop};
use super::refusal::{Fault, Refusal, Retry};
use super::retry::{Judge, Verdict};
use super::{deadline, tunnel};

impl<'w> Walk<'w, '_> {
    /// Sends the request to a replica. `fresh`: on a new connection.
    pub(super) async fn attempt(
        &mut self,
        leaf: &Leaf,
        edits: &Edits<'w>,
        endpoint: &Arc<Endpoint>,
        fresh: bool,
        judge: Judge<'_>,
    ) -> Ended {
        let (router, client) = (self.by.router, &leaf.client);
        let rules = &*client.rules();
        let policy = &rules.policy;
        let addr = endpoint.addr;
        let mut in_flight = InFlight::begin(client, &router.shard, Arc::clone(endpoint));
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
            None => match self.connect(endpoint, rules).await {
                Ok(connection) => connection,
                Err(ended) => {
                    if let Ended::Failed(_) = ended {
                        in_flight.fail(router.random());
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
        let hedge_ns = match judge.policy.hedge {
            None => None,
            Some(_) => judge.hedge_ns(self),
        };
        let mut clock = Clock::start(self, policy, hedge_ns);
        let mut pump = Pump::new(self, leaf, edits, &mut upstream, &mut in_flight, judge);
        let stop = poll_fn(|_| clock.poll(&mut pump)).await;
        let judged = pump.judged;
        drop(pump);
        // Another one's, if a hedge won.
        let addr = in_flight.endpoint.addr;
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
                    in_flight.fail(router.random());
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
                in_flight.fail(router.random());
                Ended::Outcome(Outcome::Truncated)
            }
        }
    }

    pub(super) fn send_head(
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
}

fn connect_timeout(addr: SocketAddr) -> Refusal {
    let text = format!("no connection to {addr} in time");
    Refusal::backend(504, "connect-timeout", text).retry(Retry::Always)
}
