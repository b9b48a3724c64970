//! Whether a request is sent once more, and what pays for it.
//!
//! There are two ways, as in linkerd. A *requeue* is for what was never delivered: no connection, or
//! a replica that says it did not look (a nack). It goes to another replica of the same client at
//! once, whatever the method. A *retry* is for what failed by the service's classifier: it waits for
//! the backoff, and may go to another client. Each has a budget that all shards share, so that a
//! service in trouble gets a bounded share of load on top. Neither happens once the body of the
//! request is gone, nor after its time.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::Endpoint;
use crate::config::resolved::ServicePolicy;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::{Method, Name, ResponseHead};
use crate::resilience::backoff::Place;
use crate::resilience::classify::{Class, Exchange, Failure, MethodClass, Reply, grpc_status};
use crate::resilience::nack::{NACK, NON_RETRYABLE_NACK, Nack, Signs};

use super::bind::Route;
use super::client::Client;
use super::refusal::{Fault, Lines, Refusal, Retry};

/// Attempts for one request at most, whatever the budgets say: a bound on what one client can cause.
pub const MOST_ATTEMPTS: u32 = 25;
/// Replicas that a request remembers to avoid.
const REMEMBERED: usize = 4;

/// What a request has been through.
#[derive(Default)]
pub struct Course {
    /// Replicas where it failed, the latest last.
    tried: [Option<Arc<Endpoint>>; REMEMBERED],
    pub attempts: u32,
    pub requeues: u64,
    /// It would have been sent again, had that been paid for.
    pub is_spent: bool,
    backoff: Place,
}

/// Tells a proxy before this one that trying again is not to be paid for twice.
const SPENT: &str = "l5d-retryable: false\r\n";

impl Course {
    /// Says on a refusal whether it would have been sent again, had that been paid for.
    #[must_use]
    pub fn mark(&self, mut refusal: Refusal) -> Refusal {
        if self.is_spent {
            refusal.lines = Lines::Proxies(SPENT);
        }
        refusal
    }

    /// Remembers a replica that failed.
    pub fn avoid(&mut self, endpoint: Arc<Endpoint>) {
        self.tried.rotate_left(1);
        self.tried[REMEMBERED - 1] = Some(endpoint);
    }

    /// Gives the replicas to avoid, the latest last. Nearly always there are none.
    pub fn with_tried<T>(&self, f: impl FnOnce(&[SocketAddr]) -> T) -> T {
        if self.tried[REMEMBERED - 1].is_none() {
            return f(&[]);
        }
        let mut place = [SocketAddr::from(([0, 0, 0, 0], 0)); REMEMBERED];
        let tried = self.tried.iter().flatten();
        let count = place
            .iter_mut()
            .zip(tried)
            .map(|(place, endpoint)| *place = endpoint.addr)
            .count();
        f(&place[..count])
    }
}

/// What is made of a response's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client gets it.
    PassOn { success: bool },
    /// The replica did not look at the request: another one gets it at once.
    Requeue,
    /// It failed: the request is sent again after so many ns.
    Retry { after_ns: u64 },
}

/// Judges the attempts of one request.
pub struct Judge<'j> {
    pub policy: &'j ServicePolicy,
    pub method: Method,
    pub course: &'j mut Course,
    pub route: &'j Route,
    pub client: &'j Client,
    /// When the request's time is over.
    pub due: u64,
}

impl Judge<'_> {
    /// Judges a response, of which only the head has come. What it grants is paid for.
    pub fn response(
        &mut self,
        head: &ResponseHead,
        repeatable: bool,
        now: u64,
        random: impl FnOnce() -> u64,
    ) -> Verdict {
        let says = head.fields.get(Name::L5dRetryable);
        // A proxy behind this one has spent its budget: ours is not to be multiplied with that.
        let is_spent = says.is_some_and(|says| says.eq_ignore_ascii_case(b"false"));
        if head.status == 503
            && !is_spent
            && let Some(nack) = nack(head, !repeatable)
        {
            if nack == Nack::Retryable && self.requeue(now) {
                return Verdict::Requeue;
            }
            return Verdict::PassOn { success: false };
        }
        let grpc = head.fields.get(Name::GrpcStatus).map(grpc_status);
        let reply = Reply::Response {
            status: head.status,
            grpc_status: grpc,
        };
        let retryable = head.status >= 500 && is_true(says);
        match self.classify(reply, repeatable, retryable) {
            Class::Success => Verdict::PassOn { success: true },
            Class::RetryableFailure if !is_spent => match self.retry(now, random()) {
                Some(after_ns) => Verdict::Retry { after_ns },
                None => Verdict::PassOn { success: false },
            },
            _ => Verdict::PassOn { success: false },
        }
    }

    /// Whether an attempt that brought no response is repeated by the service, and after what time.
    pub fn failure(
        &mut self,
        refusal: &Refusal,
        repeatable: bool,
        now: u64,
        random: u64,
    ) -> Option<u64> {
        if refusal.fault != Fault::Backend {
            return None;
        }
        let reply = Reply::Failed(failure(refusal));
        // What was never delivered had its requeues.
        let own = refusal.retry == Retry::Always;
        match self.classify(reply, repeatable, false) {
            Class::RetryableFailure if !own || self.policy_retries() => self.retry(now, random),
            _ => None,
        }
    }

    /// Whether the service retries anything of this method by its own will.
    fn policy_retries(&self) -> bool {
        let reply = Reply::Failed(Failure::Closed);
        self.classify(reply, true, false) == Class::RetryableFailure
    }

    fn classify(&self, reply: Reply, is_repeatable: bool, l5d_retryable: bool) -> Class {
        self.policy.classifier.classify(&Exchange {
            method: class_of(self.method),
            is_repeatable,
            reply,
            l5d_retryable,
        })
    }

    /// Pays for a requeue, if there is another replica.
    pub fn requeue(&mut self, now: u64) -> bool {
        let Some(shared) = self.client.shared() else {
            return false;
        };
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::RequeueUncharged) {
            return self.course.attempts < MOST_ATTEMPTS && now < self.due;
        }
        let may = self.client.replica_count() > 1
            && self.course.attempts < MOST_ATTEMPTS
            && now < self.due;
        if !may {
            return false;
        }
        let granted = self.course.requeues < shared.requeues.requeues_per_request(now)
            && shared.requeues.withdraw(now);
        match granted {
            true => self.course.requeues += 1,
            false => self.course.is_spent = true,
        }
        granted
    }

    /// Pays for a retry; the time to wait before it.
    fn retry(&mut self, now: u64, random: u64) -> Option<u64> {
        let shared = self.route.shared()?;
        let mut place = self.course.backoff;
        let after = self.policy.backoff.next(&mut place, random);
        let in_time = now.saturating_add(after) < self.due;
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::RetryUncharged) {
            return (in_time && self.course.attempts < MOST_ATTEMPTS).then_some(after);
        }
        if !in_time || self.course.attempts >= MOST_ATTEMPTS {
            return None;
        }
        if !shared.retries.withdraw(now) {
            self.course.is_spent = true;
            return None;
        }
        self.course.backoff = place;
        Some(after)
    }
}

fn nack(head: &ResponseHead, was_streamed: bool) -> Option<Nack> {
    let signs = Signs {
        status: head.status,
        nack: head.fields.get_named(NACK.as_bytes()).is_some(),
        non_retryable_nack: head
            .fields
            .get_named(NON_RETRYABLE_NACK.as_bytes())
            .is_some(),
        retry_after: head.fields.get(Name::RetryAfter),
    };
    Nack::of_response(signs, was_streamed)
}

fn is_true(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
}

fn class_of(method: Method) -> MethodClass {
    match method {
        Method::Get | Method::Head | Method::Options | Method::Trace => MethodClass::Read,
        Method::Put | Method::Delete => MethodClass::Idempotent,
        Method::Post | Method::Patch => MethodClass::Write,
        Method::Connect | Method::Other => MethodClass::Other,
    }
}

fn failure(refusal: &Refusal) -> Failure {
    match (refusal.retry, refusal.status) {
        (Retry::Always, _) => Failure::NotSent,
        (_, 504) => Failure::Timeout,
        (Retry::IfReused, _) => Failure::Closed,
        (Retry::Never, _) => match refusal.reason {
            "backend-reset" | "truncated-response" => Failure::Closed,
            _ => Failure::Framing,
        },
    }
}
