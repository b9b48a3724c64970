//! Dark traffic: a part of a service's requests is sent to another name as well, once the client's answer
//! is there. Nobody waits for the copy, and what becomes of it is counted and compared with the
//! client's answer, and nothing else.
//!
//! So that it can never slow or fail the request itself, a copy begins when the request has ended, holds
//! only what was kept of the body anyway (buffers of the shard, and those only while there are plenty),
//! has one attempt, one time limit and a bound on what it reads, and is one of so many at once; past
//! that a request is not mirrored. Copies are marked, and a marked request is never mirrored: two names
//! that mirror to each other do not go on for ever.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::Router;
use super::bind::{Leaf, Route};
use super::deadline;
use super::exchange::{Walk, after};
use super::h1::outbound::{Connecting, Exchange, HeadEvent};
use super::h1::wire::BodyEvent;
use super::in_flight::InFlight;
use super::pump::Pump;
use super::room::Room;
use super::server::Server;
use crate::config::resolved::{Mirror, ServicePolicy};
use crate::engine::{Buf, NEVER, Timer};
use crate::http::{BodyLength, RequestHead, ResponseHead};
use crate::telemetry::mirror::Answer;

/// Marks a copy.
const MARK: &[u8] = b"l5d-mirrored";
const MARK_LINE: &[u8] = b"l5d-mirrored: 1\r\n";

/// A request that is mirrored.
pub struct Mirrored {
    /// Whose policy says so.
    policy: Rc<ServicePolicy>,
    /// The dtab that the request brought.
    dtab: Box<[u8]>,
    place: Place,
    copy: Option<Copy>,
}

/// What is sent.
struct Copy {
    head: RequestHead,
    /// Lines of the head that tell of the trace.
    lines: Vec<u8>,
    body: Vec<Buf>,
    /// The client's answer.
    answer: Answer,
}

/// One of the places for copies, on this shard.
struct Place(Rc<Router>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.mirrors.leave();
    }
}

impl Walk<'_, '_> {
    /// Draws whether the request is mirrored, and if so takes a place for that.
    pub(super) fn draw_mirror(&mut self, route: &Route, service: &Rc<ServicePolicy>) {
        let router = self.by.router;
        let Some(mirror) = &service.mirror else {
            return;
        };
        let head = &*self.head;
        let is_plain = head.upgrade().is_none() && !head.expect_continue;
        if head.fields.get_named(MARK).is_some() || !mirror.draws(router.random()) {
            return;
        }
        let stats = &router.mirrors;
        if !is_plain {
            return stats.skip("upgrade");
        }
        if stats.read().active >= u64::from(mirror.max_concurrent) {
            return stats.skip("too-many");
        }
        if matches!(head.body, BodyLength::Exact(length) if length > mirror.body_bytes as u64) {
            return stats.skip("body");
        }
        self.request
            .keep_up_to(service.replay_bytes.max(mirror.body_bytes));
        stats.enter();
        self.mirrored = Some(Box::new(Mirrored {
            policy: Rc::clone(service),
            dtab: route.asked.local.clone(),
            place: Place(self.by.at.router()),
            copy: None,
        }));
    }
}

impl Pump<'_, '_, '_> {
    /// The head of the client's answer is there: makes the copy, before what it needs is let go.
    pub(super) fn copy_for_mirror(&mut self) {
        let walk = &mut *self.walk;
        let router = walk.by.router;
        let Some(mirrored) = &mut walk.mirrored else {
            return;
        };
        let limit = mirrored
            .policy
            .mirror
            .as_ref()
            .map(|mirror| mirror.body_bytes);
        let bytes = |body: &Vec<Buf>| body.iter().map(Buf::len).sum::<usize>();
        let body = walk.request.copy_body();
        let Some(body) = body.filter(|body| Some(bytes(body)) <= limit) else {
            router.mirrors.skip("body");
            walk.mirrored = None;
            return;
        };
        let mut lines = Vec::new();
        let propagator = walk.by.settings.config.propagator;
        self.edits
            .put_lines(propagator, router.random(), &mut lines);
        lines.extend_from_slice(MARK_LINE);
        mirrored.copy = Some(Copy {
            head: walk.head.clone(),
            lines,
            body,
            answer: Answer {
                status: walk.response.status,
                latency: router.shard.now().saturating_sub(walk.started),
            },
        });
    }
}

impl Mirrored {
    /// Sends the copy, if one was made; the request has ended.
    pub fn go(self, at: &Server) {
        if self.copy.is_none() {
            return;
        }
        let shard = at.router().shard.clone();
        shard.spawn(async move {
            let Mirrored {
                policy,
                dtab,
                place,
                copy,
            } = self;
            let router = &place.0;
            if let (Some(copy), Some(mirror)) = (copy, &policy.mirror) {
                router.mirrors.send();
                let mut sending = Sending {
                    router,
                    mirror,
                    timer: Timer::new(&router.shard),
                    until: after(router.shard.now(), mirror.timeout),
                };
                if let Err(reason) = sending.run(&dtab, copy).await {
                    router.mirrors.fail(reason);
                }
            }
        });
    }
}

/// A copy on its way.
struct Sending<'m> {
    router: &'m Rc<Router>,
    mirror: &'m Mirror,
    timer: Timer,
    until: u64,
}

impl Sending<'_> {
    /// Sends the copy, and takes its answer in. Why there was none.
    async fn run(&mut self, dtab: &[u8], copy: Copy) -> Result<(), &'static str> {
        let (router, began) = (self.router, self.router.shard.now());
        let leaf = self.leaf(dtab).await?;
        let client = &leaf.client;
        let random = &mut || router.random();
        let picked = client.pick(random, router.shard.now(), &[], None);
        let endpoint = picked.ok_or("no-replicas")?;
        if !matches!(client.room(&endpoint), Room::Free) {
            return Err("no-room");
        }
        let addr = endpoint.addr;
        let mut in_flight = InFlight::begin(client, &router.shard, endpoint);
        let rules = client.rules();
        let pooled = client.pool.take(addr, router.shard.now(), &rules.policy);
        let reused = pooled.is_some();
        let connection = match pooled {
            Some(connection) => connection,
            None => {
                let connecting = Connecting::start(&router.shard, addr, rules.policy.no_delay);
                let connecting = connecting.map_err(|refusal| refusal.reason)?;
                let connected = self.in_time(|| connecting.poll()).await?;
                if connected.is_err() {
                    in_flight.endpoint.mark_unreachable(router.shard.now());
                    in_flight.fail(router.random());
                    return Err("connect");
                }
                in_flight.endpoint.mark_reachable();
                connecting.into_connection(router.shard.now())
            }
        };
        let mut exchange = Exchange::new(connection, reused);
        self.send(&mut exchange, &leaf, copy.head, &copy.lines, copy.body);
        let mut response = ResponseHead::new();
        let answered = self.head(&mut exchange, &mut response).await;
        if answered != Err("timeout") {
            match answered.is_ok() && response.status < 500 {
                true => in_flight.succeed(),
                false => in_flight.fail(router.random()),
            }
        }
        answered?;
        let latency = router.shard.now().saturating_sub(began);
        let status = response.status;
        router
            .mirrors
            .compare(copy.answer, Answer { status, latency });
        self.discard(&mut exchange).await?;
        if let Some(connection) = exchange.into_idle() {
            let (now, reaper) = (router.shard.now(), router.reaper.get());
            client
                .pool
                .put(addr, connection, now, reaper, &rules.policy);
        }
        Ok(())
    }

    /// Who gets the copy, its replicas known.
    async fn leaf(&mut self, dtab: &[u8]) -> Result<Rc<Leaf>, &'static str> {
        let router = self.router;
        let route = router.binder.bind(self.mirror.to.as_encoded(), dtab);
        let random = &mut || router.random();
        let bound = self
            .in_time(|| route.poll_leaf(&router.shard, random))
            .await?;
        let leaf = bound.map_err(|_| "unbound")?;
        let known = self
            .in_time(|| leaf.client.poll_replicas(&router.shard))
            .await?;
        known.map_err(|_| "no-replicas")?;
        Ok(leaf)
    }

    fn send(
        &self,
        exchange: &mut Exchange,
        leaf: &Leaf,
        mut head: RequestHead,
        lines: &[u8],
        body: Vec<Buf>,
    ) {
        let shard = &self.router.shard;
        let mut due = shard.vector();
        deadline::put_line(self.until, shard, &mut due);
        // The body is here: it has a length, in whatever pieces it came.
        if !head.body.is_empty() {
            let length = body.iter().map(|piece| piece.len() as u64).sum();
            head.body = BodyLength::Exact(length);
        }
        exchange.send_head(shard, &head, &[&leaf.destination, lines, &due]);
        shard.recycle(due);
        if !head.body.is_empty() {
            for piece in body {
                exchange.send_data(shard, piece);
            }
            exchange.send_end(shard, None);
        }
    }

    async fn head(
        &mut self,
        exchange: &mut Exchange,
        response: &mut ResponseHead,
    ) -> Result<(), &'static str> {
        let settings = self.router.settings();
        loop {
            let read = self
                .in_time(|| exchange.poll_head(&settings.limits, response))
                .await?;
            match read {
                Ok(HeadEvent::Final) => return Ok(()),
                Ok(HeadEvent::Interim) => response.clear(),
                Err(_) => return Err("broken"),
            }
        }
    }

    /// Takes the body in, and lets it go.
    async fn discard(&mut self, exchange: &mut Exchange) -> Result<(), &'static str> {
        let mut bytes = 0;
        while !exchange.is_received() {
            match self.in_time(|| exchange.poll_body()).await? {
                Ok(BodyEvent::Data(data)) => bytes += data.len(),
                Ok(BodyEvent::End) => return Ok(()),
                Err(_) => return Err("broken"),
            }
            if bytes > self.mirror.body_bytes {
                return Err("too-long");
            }
        }
        Ok(())
    }

    async fn in_time<T>(&mut self, mut poll: impl FnMut() -> Poll<T>) -> Result<T, &'static str> {
        self.timer.set(self.until);
        let timer = &self.timer;
        let found = poll_fn(|_| {
            if timer.is_expired() {
                return Poll::Ready(Err("timeout"));
            }
            poll().map(Ok)
        })
        .await;
        self.timer.set(NEVER);
        found
    }
}
