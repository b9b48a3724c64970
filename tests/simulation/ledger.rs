//! What was asked, what arrived where, how it ended; and the rules that all of it must keep.
//! What the drawn policy permits is judged in [`rules`](crate::rules).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::policy::Bounds;

/// How a request ended, as its client saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A backend's whole response.
    Answered(u16),
    /// A response of the proxy's own.
    Refused(u16, String),
    /// The connection ended before a whole response.
    Cut,
    /// The client left before.
    Left,
    /// The proxy had said that the connection ends with an earlier response.
    Unasked,
}

/// One arrival of a request at a backend.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Its connection had carried other requests before.
    pub reused: bool,
    /// The whole body came.
    pub whole: bool,
    /// The backend ended a close-delimited response early: nobody can tell that from its end.
    pub soft_cut: bool,
    /// Bytes of a response were sent.
    pub began: bool,
    /// The head of a response was sent whole, with this status.
    pub status: Option<u16>,
    /// The response was sent well before the time that the proxy waits for it.
    pub in_time: bool,
    /// The backend said that it did not look at the request: it was nacked, or a proxy before the
    /// backend speaks of it so.
    pub unseen: Option<Unseen>,
}

/// How a backend says that a request was not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unseen {
    Nack,
    /// `l5d-retryable: true`.
    Retryable,
}

/// A request that a client sent, or began to send.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The logical name that it is for.
    pub service: String,
    pub method: &'static str,
    pub idempotent: bool,
    pub body_len: usize,
    pub response_len: usize,
    /// The status that it asks for.
    pub wanted: u16,
    /// Its head is not valid: no backend may see it.
    pub malformed: bool,
    /// Nothing that would excuse a failure happens on its way.
    pub must_succeed: bool,
    /// Nobody else asks for anything meanwhile.
    pub is_alone: bool,
    /// When its time is over, by the wall clock in ns, if it says so.
    pub deadline: Option<u64>,
    pub outcome: Option<Outcome>,
    pub arrivals: Vec<Arrival>,
}

#[derive(Default)]
pub struct Ledger {
    asked: RefCell<BTreeMap<u64, Asked>>,
    violations: RefCell<Vec<String>>,
    /// The story of a run that is looked at, oldest first.
    pub story: RefCell<Vec<String>>,
    pub verbose: Cell<bool>,
    /// The virtual time, for the story.
    pub now: Cell<u64>,
    next_id: Cell<u64>,
    /// Of all policies that were in force.
    pub bounds: Cell<Bounds>,
}

impl Ledger {
    pub fn ask(&self, asked: Asked) -> u64 {
        let id = self.next_id.get() + 1;
        self.next_id.set(id);
        self.asked.borrow_mut().insert(id, asked);
        id
    }

    pub fn get(&self, id: u64) -> Option<Asked> {
        self.asked.borrow().get(&id).cloned()
    }

    pub fn violation(&self, text: String) {
        self.tell(|| format!("VIOLATION {text}"));
        self.violations.borrow_mut().push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.borrow().clone()
    }

    pub fn tell(&self, text: impl FnOnce() -> String) {
        if self.verbose.get() {
            let line = format!("{:.6} {}", self.now.get() as f64 / 1e9, text());
            self.story.borrow_mut().push(line);
        }
    }

    /// Notes how a request ended; it must not have ended before.
    pub fn end(&self, id: u64, outcome: Outcome) {
        self.tell(|| format!("request {id} ended: {outcome:?}"));
        let mut twice = None;
        if let Some(asked) = self.asked.borrow_mut().get_mut(&id) {
            match &asked.outcome {
                None => asked.outcome = Some(outcome),
                Some(before) => twice = Some(format!("{before:?}, then {outcome:?}")),
            }
        }
        if let Some(twice) = twice {
            self.violation(format!("request {id} ended twice: {twice}"));
        }
    }

    /// Notes that a request's head came to a backend; tells the arrival's index.
    pub fn arrive(&self, id: u64, method: &str, reused: bool) -> Option<usize> {
        let mut wrong = None;
        let index = {
            let mut all = self.asked.borrow_mut();
            let Some(asked) = all.get_mut(&id) else {
                drop(all);
                self.violation(format!("request {id} arrived, which nobody sent"));
                return None;
            };
            if asked.malformed {
                wrong = Some("arrived although its head is malformed".to_owned());
            } else if asked.method != method {
                wrong = Some(format!("arrived as {method}, was sent as {}", asked.method));
            }
            asked.arrivals.push(Arrival {
                reused,
                ..Arrival::default()
            });
            asked.arrivals.len() - 1
        };
        self.tell(|| format!("request {id} arrived ({method}, reused {reused})"));
        if let Some(wrong) = wrong {
            self.violation(format!("request {id} {wrong}"));
        }
        Some(index)
    }

    pub fn arrival(&self, id: u64, index: usize, change: impl FnOnce(&mut Arrival)) {
        if let Some(asked) = self.asked.borrow_mut().get_mut(&id)
            && let Some(arrival) = asked.arrivals.get_mut(index)
        {
            change(arrival);
        }
    }

    /// Everything that was asked, by id.
    pub fn all(&self) -> Vec<(u64, Asked)> {
        let asked = self.asked.borrow();
        asked.iter().map(|(id, one)| (*id, one.clone())).collect()
    }

    /// The rules that can only be judged at the end.
    pub fn judge(&self) {
        let retried = self.bounds.get().retried;
        for (id, asked) in self.all() {
            match &asked.outcome {
                None => self.violation(format!("request {id} has no outcome")),
                Some(Outcome::Answered(_)) if asked.arrivals.is_empty() => {
                    self.violation(format!("request {id} was answered and never arrived"));
                }
                Some(Outcome::Answered(_) | Outcome::Unasked) => {}
                // What asks for a failure that is retried may have no more attempts left when one of
                // them finds no connection.
                Some(_) if asked.wanted >= 500 && retried.permits(asked.method) => {}
                Some(other) if asked.must_succeed => {
                    self.violation(format!("request {id} should have succeeded: {other:?}"));
                }
                Some(Outcome::Refused(_, reason))
                    if asked.is_alone && matches!(&**reason, "overloaded" | "too-many-waiters") =>
                {
                    self.violation(format!("request {id} was alone and refused: {reason}"));
                }
                Some(_) => {}
            }
        }
    }

    /// Counts of outcomes, for the report: answered, refused, cut, left.
    pub fn tally(&self) -> [u64; 4] {
        let mut tally = [0; 4];
        for asked in self.asked.borrow().values() {
            match asked.outcome {
                Some(Outcome::Answered(_)) => tally[0] += 1,
                Some(Outcome::Refused(..)) => tally[1] += 1,
                Some(Outcome::Cut) => tally[2] += 1,
                Some(Outcome::Left | Outcome::Unasked) => tally[3] += 1,
                None => {}
            }
        }
        tally
    }
}
