//! The endpoints of one zone, and the way to pick among them.

use std::sync::Arc;

use super::config::{Kind, Place};
use super::endpoint::Endpoint;
use super::method::{self, Ask, Method, Start};
use super::roster::{Drawn, Roster, Sight};

/// Of those that were ill, how many a pick looks at.
const ILL: usize = 2;
/// The same in a panic: that health is ignored must take hold soon.
const ILL_IN_PANIC: usize = 16;
/// Of those that warm up.
const YOUNG: usize = 2;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Group {
    /// The zone; `None` also for all that have none, or if zones do not matter.
    pub zone: Option<Arc<str>>,
    pub roster: Roster,
    pub method: Box<dyn Method>,
}

impl Group {
    /// The group of these members (endpoint and weight in units of shares).
    ///
    /// * `before`: what this group was until now, if it was.
    /// * `wait`: how long it was until an endpoint's turn, if it was waiting for one.
    pub fn new(
        zone: Option<Arc<str>>,
        mut members: Vec<(Arc<Endpoint>, u64)>,
        kind: &Kind,
        place: Place,
        before: Option<&Group>,
        wait: &dyn Fn(&Endpoint) -> Option<f64>,
    ) -> Group {
        method::arrange(kind, &mut members);
        let roster = Roster::new(members);
        let start = Start {
            roster: &roster,
            place,
            before: before.map(|group| &*group.method),
            wait,
        };
        Group {
            method: method::made(kind, &start),
            zone,
            roster,
        }
    }

    /// Looks at everybody.
    pub fn survey(&mut self, sight: Sight) {
        self.roster.survey(sight);
        for index in 0..self.roster.len() {
            self.method.file(index, &self.roster);
        }
    }

    /// Looks at some who are due.
    pub fn audit(&mut self, sight: Sight) {
        let ill = if sight.panic { ILL_IN_PANIC } else { ILL };
        let many = self.roster.len() - self.roster.open();
        for _ in 0..ill.min(many) {
            if let Some(index) = self.roster.next_ill() {
                self.look(index, sight);
            }
        }
        for _ in 0..YOUNG {
            if let Some(index) = self.roster.next_young(sight) {
                self.look(index, sight);
            }
        }
        for _ in 0..self.method.audits() {
            if let Some(index) = self.roster.next() {
                self.look(index, sight);
            }
        }
    }

    /// See [`Method::draw`].
    pub fn draw(&mut self, ask: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        self.method.draw(&mut self.roster, ask, sight)
    }

    /// See [`Method::picked`].
    pub fn picked(&mut self, index: usize, ask: &mut Ask<'_>) {
        self.method.picked(index, &self.roster, ask);
    }

    /// A request began here; `index` of its endpoint, if that still is a member.
    pub fn begin(&mut self, index: Option<usize>, now_ns: u64) {
        self.method.begin(now_ns);
        self.count(index);
    }

    /// A request ended here.
    pub fn end(&mut self, index: Option<usize>, now_ns: u64) {
        self.method.end(now_ns);
        self.count(index);
    }

    /// Takes a member's share away for a while, or gives it back.
    pub fn suspend(&mut self, index: usize, suspended: bool, sight: Sight) {
        self.roster.suspend(index, suspended, sight);
        self.method.file(index, &self.roster);
    }

    /// How many endpoints are in use.
    pub fn aperture(&self) -> usize {
        self.method
            .band()
            .map_or(self.roster.len(), |band| band.size())
    }

    fn look(&mut self, index: usize, sight: Sight) {
        self.roster.look(index, sight);
        self.method.file(index, &self.roster);
    }

    fn count(&mut self, index: Option<usize>) {
        if let Some(index) = index {
            self.method.file(index, &self.roster);
        }
    }
}
