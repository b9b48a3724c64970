//! What was asked, what arrived where, how it ended; and the rules that all of it must keep.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

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
}

/// A request that a client sent, or began to send.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: &'static str,
    pub idempotent: bool,
    pub body_len: usize,
    pub response_len: usize,
    /// Its head is not valid: no backend may see it.
    pub malformed: bool,
    /// Nothing that would excuse a failure happens on its way.
    pub must_succeed: bool,
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
            } else if !asked.arrivals.is_empty() {
                // The first may come to light after the second: it lay unread when its connection
                // broke.
                let new = asked
                    .arrivals
                    .iter()
                    .filter(|arrival| !arrival.reused)
                    .count();
                if !asked.idempotent {
                    wrong = Some("is not idempotent and arrived twice".to_owned());
                } else if new + usize::from(!reused) > 1 {
                    wrong = Some("was repeated after it was sent on a new connection".to_owned());
                } else if asked.arrivals.len() > 1 {
                    wrong = Some("arrived more than twice".to_owned());
                }
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

    /// The rules that can only be judged at the end.
    pub fn judge(&self) {
        let all = self.asked.borrow().clone();
        for (id, asked) in all {
            match &asked.outcome {
                None => self.violation(format!("request {id} has no outcome")),
                Some(Outcome::Answered(_)) if asked.arrivals.is_empty() => {
                    self.violation(format!("request {id} was answered and never arrived"));
                }
                Some(Outcome::Answered(_) | Outcome::Unasked) => {}
                Some(other) if asked.must_succeed => {
                    self.violation(format!("request {id} should have succeeded: {other:?}"));
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
