//! The pump: moves one request to a backend and its response back, both at once.
//!
//! Each direction moves only while the receiving side has taken most of what it was given: a slow
//! reader stops the receive on the other side, whose engine credit then stops the peer. So a body
//! of any size costs bounded memory, in both directions. A response may begin, and end, before the
//! request's body does.

use std::task::Poll;

#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{Shard, Splice, SpliceError};
use crate::http::{BodyLength, Method, Name};

use super::bind::Leaf;
use super::context;
use super::edits::Edits;
use super::exchange::Walk;
use super::h1::outbound::{Exchange, HeadEvent};
use super::h1::wire::{BodyEvent, BodyFault};
use super::hedge::Backup;
use super::in_flight::InFlight;
use super::refusal::Refusal;
use super::retry::{Judge, Verdict};

/// Bytes that may wait on one side before the other is read no further.
pub const HIGH_WATER: usize = 256 * 1024;

/// Bodies of which so many bytes are still to come are moved inside the kernel.
pub const SPLICE_FROM: u64 = 64 * 1024;

/// How a pump came to rest.
pub enum Stop {
    /// The response was written to its end.
    Done,
    /// The backend agreed to switch protocols; the 101 was written.
    Upgraded,
    /// No response can be had. None of its bytes was written to the client.
    Refused(Refusal),
    /// The response, of which only the head was read, is not the client's: another attempt follows.
    Again(Verdict),
    /// The client left.
    ClientGone,
    /// The backend broke off within the response's body.
    Truncated,
}

/// One exchange in motion.
pub struct Pump<'p, 'w, 'c> {
    pub(super) walk: &'p mut Walk<'w, 'c>,
    pub(super) leaf: &'p Leaf,
    pub(super) edits: &'p Edits<'w>,
    pub(super) upstream: &'p mut Exchange,
    pub(super) in_flight: &'p mut InFlight,
    pub(super) judge: Judge<'p>,
    /// A second attempt, while the first one's response is awaited.
    pub(super) backup: Option<Box<Backup>>,
    /// The response's head was judged.
    pub judged: bool,
    pub sent_all: bool,
    pub in_body: bool,
    /// The request's body is received buffer by buffer, since it is large: a multishot receive
    /// would take in whatever the client can send, far ahead of the backend.
    sent_singly: bool,
    /// Receiving is held back, to begin with that.
    holding: bool,
    /// Bytes of the request's body that passed through here.
    sent: u64,
    /// Bytes of the response's body that passed through here.
    received: u64,
    /// The rest of the response's body is moved inside the kernel.
    splice: Option<Splice>,
    /// Grows whenever something moved: what idle timeouts look at.
    pub moves: u64,
}

impl<'p, 'w, 'c> Pump<'p, 'w, 'c> {
    /// Of a request whose head was written.
    pub fn new(
        walk: &'p mut Walk<'w, 'c>,
        leaf: &'p Leaf,
        edits: &'p Edits<'w>,
        upstream: &'p mut Exchange,
        in_flight: &'p mut InFlight,
        judge: Judge<'p>,
    ) -> Pump<'p, 'w, 'c> {
        walk.response.clear();
        Pump {
            sent_all: walk.head.body == BodyLength::Empty,
            walk,
            leaf,
            edits,
            upstream,
            in_flight,
            judge,
            backup: None,
            judged: false,
            in_body: false,
            sent_singly: false,
            holding: false,
            sent: 0,
            received: 0,
            splice: None,
            moves: 0,
        }
    }

    fn shard(&self) -> &'w Shard {
        &self.walk.by.router.shard
    }
}

impl Pump<'_, '_, '_> {
    /// Moves what can be moved.
    pub fn poll(&mut self) -> Poll<Stop> {
        loop {
            if self.splice.is_some() {
                return self.poll_splice();
            }
            let before = self.moves;
            if let Poll::Ready(stop) = self.poll_request() {
                return Poll::Ready(stop);
            }
            let response = if self.in_body {
                self.poll_response_body()
            } else {
                self.poll_response_head()
            };
            if response.is_ready() || self.moves == before {
                return response;
            }
        }
    }

    fn poll_request(&mut self) -> Poll<Stop> {
        if self.sent_all {
            return self.walk.request.poll_gone().map(|()| Stop::ClientGone);
        }
        while self.upstream.poll_unsent(HIGH_WATER).is_ready() {
            match self.walk.request.poll_body() {
                Poll::Pending => break,
                Poll::Ready(Ok(BodyEvent::Data(data))) => {
                    self.sent += data.len() as u64;
                    if self.sent >= SPLICE_FROM && !self.sent_singly {
                        self.sent_singly = true;
                        self.walk.request.receive_singly(true);
                    }
                    self.upstream.send_data(self.shard(), data);
                }
                Poll::Ready(Ok(BodyEvent::End)) => {
                    // Trailers of requests are not passed on: few backends expect them, and what
                    // is not expected gets merged into the head.
                    self.upstream.send_end(self.shard(), None);
                    self.sent_all = true;
                    if self.sent_singly {
                        self.walk.request.receive_singly(false);
                    }
                    self.moves += 1;
                    break;
                }
                Poll::Ready(Err(BodyFault::Lost(_))) => return Poll::Ready(Stop::ClientGone),
                Poll::Ready(Err(BodyFault::Framing(error))) => {
                    return Poll::Ready(if self.walk.request.responded {
                        Stop::ClientGone
                    } else {
                        let text = error.to_string();
                        Stop::Refused(Refusal::client(400, error.reason(), text))
                    });
                }
            }
            self.moves += 1;
        }
        Poll::Pending
    }

    fn poll_response_head(&mut self) -> Poll<Stop> {
        if self.has_backup_only() {
            return self.poll_backup();
        }
        match self
            .upstream
            .poll_head(&self.walk.by.settings.limits, self.walk.response)
        {
            Poll::Pending => self.poll_backup(),
            Poll::Ready(Err(refusal)) if self.backup.is_some() => self.go_on_with_backup(refusal),
            Poll::Ready(Err(refusal)) => Poll::Ready(Stop::Refused(refusal)),
            Poll::Ready(Ok(HeadEvent::Interim)) => {
                self.moves += 1;
                if self.walk.by.server.clear_context {
                    context::clear(&mut self.walk.response.fields);
                }
                self.walk
                    .request
                    .send_interim(self.shard(), self.walk.response);
                self.walk.response.clear();
                Poll::Pending
            }
            Poll::Ready(Ok(HeadEvent::Final)) => {
                // Whoever is second has lost.
                let lost = self.backup.take();
                #[cfg(feature = "planted-bugs")]
                if planted(Bug::HedgeAnswersToo) && lost.is_some() {
                    self.walk
                        .request
                        .send_interim(self.shard(), self.walk.response);
                }
                drop(lost);
                self.learn_latency();
                self.moves += 1;
                self.in_body = true;
                self.begin_response()
            }
        }
    }

    pub(super) fn begin_response(&mut self) -> Poll<Stop> {
        let switches = self.walk.response.status == 101;
        if switches && self.walk.head.upgrade().is_none() {
            let text = "the backend switched protocols without being asked";
            return Poll::Ready(Stop::Refused(Refusal::backend(
                502,
                "unasked-upgrade",
                text,
            )));
        }
        if let Some(verdict) = self.verdict() {
            return Poll::Ready(Stop::Again(verdict));
        }
        let tunnels = switches
            || (self.walk.head.method == Method::Connect
                && (200..300).contains(&self.walk.response.status));
        if self.walk.by.server.clear_context {
            let fields = &mut self.walk.response.fields;
            if fields.get(Name::L5dErr).is_some() && !tunnels {
                let (status, text) = (self.walk.response.status, "a proxy behind this one refused");
                let refusal = Refusal::backend(status, "upstream-refused", text);
                return Poll::Ready(Stop::Refused(refusal));
            }
            context::clear(fields);
        }
        self.edits
            .response(self.shard(), self.walk.head, self.walk.response);
        if tunnels {
            self.walk
                .request
                .send_head(self.shard(), self.walk.response, false, None);
            return Poll::Ready(Stop::Upgraded);
        }
        // The first bytes of the body mostly came with the head: they leave with it too.
        let first = match self.walk.response.body {
            BodyLength::Empty => Poll::Ready(Ok(BodyEvent::End)),
            _ => self.upstream.poll_body(),
        };
        let (data, ended, broken) = match first {
            Poll::Ready(Ok(BodyEvent::Data(data))) => (Some(data), false, false),
            Poll::Ready(Ok(BodyEvent::End)) => (None, true, false),
            Poll::Ready(Err(_)) => (None, false, true),
            Poll::Pending => (None, false, false),
        };
        self.received += data.as_ref().map_or(0, |data| data.len() as u64);
        let draining = self.walk.by.draining.get();
        self.walk
            .request
            .send_head(self.shard(), self.walk.response, draining, data);
        if ended || self.upstream.is_received() {
            return Poll::Ready(self.end_response());
        }
        if broken {
            return Poll::Ready(Stop::Truncated);
        }
        if self.sent_all && self.left() >= SPLICE_FROM && self.shard().can_splice() {
            self.holding = true;
            self.upstream.raw().hold_recv(true);
        }
        Poll::Pending
    }

    /// Judges the response; `Some` if another attempt is to follow.
    fn verdict(&mut self) -> Option<Verdict> {
        let (now, router) = (self.shard().now(), self.walk.by.router);
        let random = || router.random();
        let repeatable = self.walk.request.is_repeatable();
        let response = &mut *self.walk.response;
        let verdict = self.judge.response(response, repeatable, now, random);
        let Verdict::PassOn { success } = verdict else {
            self.in_flight.fail(router.random());
            return Some(verdict);
        };
        self.judged = true;
        match success {
            true => self.in_flight.succeed(),
            false => self.in_flight.fail(router.random()),
        }
        if self.walk.mirrored.is_some() {
            self.copy_for_mirror();
        }
        self.walk.request.forget();
        let response = &mut *self.walk.response;
        if self.judge.course.is_spent {
            let name = Name::L5dRetryable.as_str().as_bytes();
            response.fields.set(name, b"false");
        }
        // Who is next needs to be told only what the status does not say.
        let said = response.fields.get(Name::L5dSuccessClass).is_some();
        if said || success != (response.status < 500) {
            let class: &[u8] = if success { b"1.0" } else { b"0.0" };
            response
                .fields
                .set(Name::L5dSuccessClass.as_str().as_bytes(), class);
        }
        None
    }

    /// Bytes of the response's body that are still to come, if its length was declared.
    fn left(&self) -> u64 {
        match self.walk.response.body {
            BodyLength::Exact(length) => length.saturating_sub(self.received),
            BodyLength::Empty | BodyLength::Streamed | BodyLength::UntilClose => 0,
        }
    }

    /// Receiving has come to rest: moves the remaining bytes inside the kernel, if that can be
    /// begun, and else goes on as before.
    fn begin_splice(&mut self) -> Poll<Stop> {
        if self.walk.request.poll_unsent(0).is_pending() || !self.upstream.rests() {
            return Poll::Pending;
        }
        let left = self.left();
        self.holding = false;
        self.splice = self
            .walk
            .request
            .raw()
            .filter(|_| left > 0)
            .and_then(|to| Splice::begin(self.shard(), self.upstream.raw(), to, left));
        if self.splice.is_none() {
            self.upstream.raw().hold_recv(false);
            self.moves += 1;
            return Poll::Pending;
        }
        self.poll_splice()
    }

    fn poll_splice(&mut self) -> Poll<Stop> {
        let Some(splice) = self.splice.as_mut() else {
            return Poll::Pending;
        };
        let moved = match splice.poll(&mut self.moves) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(moved) => moved,
        };
        self.splice = None;
        self.upstream.raw().hold_recv(false);
        Poll::Ready(match moved {
            Ok(()) => {
                self.upstream.skip_body();
                self.end_response()
            }
            Err(SpliceError::From(_)) => Stop::Truncated,
            Err(SpliceError::To(_)) => Stop::ClientGone,
        })
    }

    fn poll_response_body(&mut self) -> Poll<Stop> {
        loop {
            match self.walk.request.poll_unsent(HIGH_WATER) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(Stop::ClientGone),
                Poll::Pending => return Poll::Pending,
            }
            match self.upstream.poll_body() {
                Poll::Pending if self.holding => return self.begin_splice(),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(BodyEvent::Data(data))) => {
                    let before = self.received;
                    self.received += data.len() as u64;
                    if before < SPLICE_FROM && self.received >= SPLICE_FROM {
                        self.upstream.raw().switch_receiving(true);
                    }
                    self.walk.request.send_data(self.shard(), data);
                    self.moves += 1;
                    if self.upstream.is_received() {
                        return Poll::Ready(self.end_response());
                    }
                }
                Poll::Ready(Ok(BodyEvent::End)) => return Poll::Ready(self.end_response()),
                #[cfg(feature = "planted-bugs")]
                Poll::Ready(Err(_)) if planted(Bug::CutLooksWhole) => {
                    return Poll::Ready(self.end_response());
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Stop::Truncated),
            }
        }
    }

    fn end_response(&mut self) -> Stop {
        if std::mem::take(&mut self.holding) {
            // All of it had come already.
            self.upstream.raw().hold_recv(false);
        }
        let shard = self.shard();
        let trailers = self.upstream.trailers();
        self.walk.request.send_end(shard, trailers.as_deref());
        Stop::Done
    }
}
