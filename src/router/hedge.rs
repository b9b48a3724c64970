//! Hedging: a request whose response is late is sent a second time, to another replica, and the first
//! head of a response that comes is the answer ([`resilience::hedge`](crate::resilience::hedge) says
//! what late is). The other attempt is cut off at once, whatever it was about to say.
//!
//! Only what may be repeated is hedged: an idempotent request, sent to its end, of which all is still
//! here. A second attempt takes from the service's retry budget, as a retry does. It makes do: if
//! there is no other replica, no room there, or no connection, the first attempt goes on alone; and
//! a response that tells of an error does not win. If it is the first attempt that breaks, the second
//! one takes its place.

use std::sync::Arc;
use std::task::Poll;

use super::exchange::Walk;
use super::h1::outbound::{Connecting, Exchange, HeadEvent};
use super::h1::wire::BodyEvent;
use super::in_flight::InFlight;
use super::pump::{Pump, Stop};
use super::refusal::{Refusal, Retry};
use super::retry::Judge;
use super::room::Room;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::ResponseHead;

/// The second attempt.
pub struct Backup {
    stage: Stage,
    in_flight: InFlight,
    response: ResponseHead,
    /// What became of the first attempt, if that broke: then this is the only one.
    instead: Option<Refusal>,
}

enum Stage {
    Connecting(Connecting),
    Sent(Exchange),
    /// Between the two.
    Over,
}

impl Judge<'_> {
    /// After how long a request is hedged; `None` if it is not.
    pub fn hedge_ns(&self, walk: &Walk<'_, '_>) -> Option<u64> {
        let head = &*walk.head;
        let is_safe = self.method.is_idempotent();
        #[cfg(feature = "planted-bugs")]
        let is_safe = is_safe || planted(Bug::HedgedUnsafely);
        let may = is_safe
            && head.upgrade().is_none()
            && !head.expect_continue
            && self.client.replica_count() > 1;
        let shared = self.route.shared().filter(|_| may)?;
        shared.hedge.as_ref()?.delay_ns()
    }
}

impl Pump<'_, '_, '_> {
    /// Sends the request a second time, if that can be done and is paid for.
    pub fn hedge(&mut self) {
        let router = self.walk.by.router;
        let (shard, client) = (&router.shard, &self.leaf.client);
        let now = shard.now();
        let is_late = self.walk.overdue(now).is_some();
        if is_late || !self.sent_all || !self.walk.request.is_repeatable() {
            return;
        }
        let first = self.in_flight.endpoint.addr;
        let picked = client.pick(&mut || router.random(), now, &[first], None);
        let Some(endpoint) = picked.filter(|endpoint| endpoint.addr != first) else {
            return;
        };
        if !matches!(client.room(&endpoint), Room::Free) {
            return;
        }
        let paid = self
            .judge
            .route
            .shared()
            .is_some_and(|shared| shared.retries.withdraw(now));
        #[cfg(feature = "planted-bugs")]
        let paid = paid || planted(Bug::HedgeUncharged);
        if !paid {
            return;
        }
        let rules = client.rules();
        let pooled = client.pool.take(endpoint.addr, now, &rules.policy);
        let stage = match pooled {
            Some(connection) => {
                router.stats.reuses.set(router.stats.reuses.get() + 1);
                Stage::Sent(self.send_again(Exchange::new(connection, true)))
            }
            None => match Connecting::start(shard, endpoint.addr, rules.policy.no_delay) {
                Ok(connecting) => Stage::Connecting(connecting),
                Err(_) => return,
            },
        };
        router.stats.hedges.set(router.stats.hedges.get() + 1);
        self.backup = Some(Box::new(Backup {
            stage,
            in_flight: InFlight::begin(client, shard, Arc::clone(&endpoint)),
            response: ResponseHead::default(),
            instead: None,
        }));
    }

    /// Writes all of the request to another connection.
    fn send_again(&mut self, mut exchange: Exchange) -> Exchange {
        let rules = self.leaf.client.rules();
        let walk = &mut *self.walk;
        let shard = &walk.by.router.shard;
        walk.send_head(&mut exchange, self.leaf, self.edits, &rules.policy);
        if walk.head.body.is_empty() {
            return exchange;
        }
        walk.request.rewind();
        while let Poll::Ready(Ok(event)) = walk.request.poll_body() {
            match event {
                BodyEvent::Data(data) => exchange.send_data(shard, data),
                BodyEvent::End => {
                    exchange.send_end(shard, None);
                    break;
                }
            }
        }
        exchange
    }

    /// Looks whether the second attempt has an answer.
    pub(super) fn poll_backup(&mut self) -> Poll<Stop> {
        let Some(mut backup) = self.backup.take() else {
            return Poll::Pending;
        };
        match self.poll_answer(&mut backup) {
            Poll::Pending => {
                self.backup = Some(backup);
                Poll::Pending
            }
            Poll::Ready(true) => {
                let stats = &self.walk.by.router.stats;
                stats.hedges_won.set(stats.hedges_won.get() + 1);
                self.learn_latency();
                self.swap(&mut backup);
                self.moves += 1;
                self.in_body = true;
                // The first attempt's connection is closed, whatever it was about to say.
                drop(backup);
                self.begin_response()
            }
            Poll::Ready(false) => {
                backup.in_flight.fail(self.walk.by.router.random());
                match backup.instead {
                    Some(refusal) => Poll::Ready(Stop::Refused(refusal)),
                    None => Poll::Pending,
                }
            }
        }
    }

    /// Whether the second attempt has brought an answer for the client.
    fn poll_answer(&mut self, backup: &mut Backup) -> Poll<bool> {
        if let Stage::Connecting(connecting) = &backup.stage {
            let connected = connecting.poll();
            if connected.is_pending() {
                return Poll::Pending;
            }
            let router = self.walk.by.router;
            let (stats, now) = (&router.stats, router.shard.now());
            let endpoint = &backup.in_flight.endpoint;
            if connected.map(|connected| connected.is_err()) == Poll::Ready(true) {
                stats.connect_failures.set(stats.connect_failures.get() + 1);
                endpoint.mark_unreachable(now);
                return Poll::Ready(false);
            }
            stats.connects.set(stats.connects.get() + 1);
            endpoint.mark_reachable();
            if self.walk.overdue(now).is_some() {
                // Nothing more is sent; the first attempt's clock is about to end both.
                return Poll::Pending;
            }
            let before = std::mem::replace(&mut backup.stage, Stage::Over);
            if let Stage::Connecting(connecting) = before {
                let exchange = Exchange::new(connecting.into_connection(now), false);
                backup.stage = Stage::Sent(self.send_again(exchange));
            }
        }
        let Stage::Sent(exchange) = &mut backup.stage else {
            return Poll::Ready(false);
        };
        let limits = &self.walk.by.settings.limits;
        loop {
            return match exchange.poll_head(limits, &mut backup.response) {
                Poll::Pending => Poll::Pending,
                // Of no use to the client, which did not ask twice.
                Poll::Ready(Ok(HeadEvent::Interim)) => {
                    backup.response.clear();
                    continue;
                }
                Poll::Ready(Ok(HeadEvent::Final)) => {
                    Poll::Ready(backup.response.status < 500 || backup.instead.is_some())
                }
                Poll::Ready(Err(_)) => Poll::Ready(false),
            };
        }
    }

    /// The first attempt broke: the second one is what there is.
    pub(super) fn go_on_with_backup(&mut self, refusal: Refusal) -> Poll<Stop> {
        if refusal.retry != Retry::IfReused {
            self.in_flight.fail(self.walk.by.router.random());
        }
        if let Some(backup) = &mut self.backup {
            backup.instead = Some(refusal);
        }
        self.poll_backup()
    }

    /// Whether the first attempt broke, and the second one is what there is.
    pub(super) fn has_backup_only(&self) -> bool {
        self.backup
            .as_ref()
            .is_some_and(|backup| backup.instead.is_some())
    }

    fn swap(&mut self, backup: &mut Backup) {
        if let Stage::Sent(exchange) = &mut backup.stage {
            std::mem::swap(self.upstream, exchange);
            std::mem::swap(self.in_flight, &mut backup.in_flight);
            std::mem::swap(self.walk.response, &mut backup.response);
        }
    }

    /// Tells the service how long the first attempt took, or has taken by now.
    pub(super) fn learn_latency(&self) {
        if self.judge.policy.hedge.is_none() {
            return;
        }
        let now = self.walk.by.router.shard.now();
        if let Some(shared) = self.judge.route.shared()
            && let Some(hedge) = &shared.hedge
        {
            hedge.record(now.saturating_sub(self.in_flight.began()), now);
        }
    }
}
