//! The time limits on an attempt, of which one is set at a time: those on the time to the response's
//! head run once the request was sent; before that, and after the head, what counts is that bytes
//! move. A deadline is a deadline. While the head is awaited, the time of a hedge may come before.

use std::task::Poll;
use std::time::Duration;

use super::deadline;
use super::exchange::{Walk, after};
use super::pump::{Pump, Stop};
use super::refusal::Refusal;
use crate::config::resolved::ClientPolicy;
use crate::engine::{NEVER, Shard, Timer};
use crate::http::BodyLength;

/// See the module's head.
pub(super) struct Clock<'w> {
    shard: &'w Shard,
    timer: &'w Timer,
    body_timeout: Duration,
    /// The limit on an attempt from when it was sent, and its service's on the whole.
    attempt: Option<Duration>,
    total: Option<Duration>,
    started: u64,
    due: u64,
    deadline: u64,
    /// How long after it was sent a copy follows, and when that is, once it was sent.
    hedge_ns: Option<u64>,
    hedge_at: u64,
}

impl<'w> Clock<'w> {
    /// Starts it with the sending of the request, of which a copy is sent `hedge_ns` after its end, if
    /// that is told.
    pub fn start(walk: &Walk<'w, '_>, policy: &ClientPolicy, hedge_ns: Option<u64>) -> Clock<'w> {
        let mut clock = Clock {
            shard: &walk.by.router.shard,
            timer: walk.timer,
            body_timeout: policy.body_timeout.min(walk.by.server.body_timeout),
            attempt: policy.attempt_timeout,
            total: walk.total,
            started: walk.started,
            due: walk.due,
            deadline: NEVER,
            hedge_ns,
            hedge_at: NEVER,
        };
        if walk.head.body == BodyLength::Empty {
            clock.was_sent();
        }
        clock.set(match walk.head.body {
            BodyLength::Empty => clock.until_head(clock.started),
            _ => after(clock.shard.now(), clock.body_timeout).min(clock.due),
        });
        clock
    }

    fn set(&mut self, deadline: u64) {
        self.deadline = deadline;
        self.timer.set(deadline.min(self.hedge_at));
    }

    fn was_sent(&mut self) {
        let now = self.shard.now();
        self.hedge_at = self
            .hedge_ns
            .map_or(NEVER, |delay| now.saturating_add(delay));
    }

    /// When the response's head is due, of which the service's limit runs from `from`.
    fn until_head(&self, from: u64) -> u64 {
        let total = self.total.map_or(NEVER, |total| after(from, total));
        let now = self.shard.now();
        let attempt = self.attempt.map_or(NEVER, |limit| after(now, limit));
        total.min(attempt).min(self.due)
    }

    /// Moves what can be moved, and ends when it is time.
    pub fn poll(&mut self, pump: &mut Pump<'_, '_, '_>) -> Poll<Stop> {
        let (moves, sent) = (pump.moves, pump.sent_all);
        if let Poll::Ready(stop) = pump.poll() {
            return Poll::Ready(stop);
        }
        let now = self.shard.now();
        if now >= self.hedge_at {
            self.hedge_at = NEVER;
            self.timer.set(self.deadline);
            if !pump.in_body {
                pump.hedge();
                return self.poll(pump);
            }
        }
        if pump.moves != moves {
            if pump.sent_all && !sent {
                self.was_sent();
            }
            if pump.in_body {
                self.hedge_at = NEVER;
                self.set(after(now, self.body_timeout));
            } else if !pump.sent_all {
                self.set(after(now, self.body_timeout).min(self.due));
            } else if !sent {
                self.set(self.until_head(now));
            } else {
                self.set(self.deadline);
            }
        } else if self.timer.is_expired() {
            return Poll::Ready(expired(pump, now >= self.due));
        }
        Poll::Pending
    }
}

/// What it means that the clock ran out.
fn expired(pump: &Pump<'_, '_, '_>, overdue: bool) -> Stop {
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
