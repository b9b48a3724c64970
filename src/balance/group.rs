//! The endpoints of one zone, and the way to pick among them.

use std::sync::Arc;

use super::aperture::{Aperture, Band};
use super::config::{self, Kind, Pick, Place, nanos};
use super::endpoint::Status;
use super::hash;
use super::heap::Heap;
use super::p2c::{self, Load};
use super::queue::Queue;
use super::ring_hash::Ring;
use super::rng::{fraction, mix};
use super::roster::{Drawn, Roster, Sight};
use super::round_robin::RoundRobin;

/// Of those that were ill, how many a pick looks at.
const ILL: usize = 2;
/// The same in a panic: that health is ignored must take hold soon.
const ILL_IN_PANIC: usize = 16;
/// Of those that warm up.
const YOUNG: usize = 2;

#[derive(Debug)]
enum Method {
    TwoChoices(Load),
    Aperture(Aperture),
    Heap(Heap),
    RoundRobin(RoundRobin),
    Ring(Ring),
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Group {
    /// The zone; `None` also for all that have none, or if zones do not matter.
    pub zone: Option<Arc<str>>,
    pub roster: Roster,
    method: Method,
}

impl Group {
    /// The group of these members (endpoint and weight in units of shares).
    ///
    /// * `before`: what this group was until now, if it was.
    /// * `wait`: how long it was until a member's turn, if it was waiting for one.
    pub fn new(
        zone: Option<Arc<str>>,
        mut members: Vec<(Arc<super::Endpoint>, u64)>,
        kind: &Kind,
        place: Place,
        before: Option<&Group>,
        wait: impl Fn(&super::Endpoint) -> Option<f64>,
    ) -> Group {
        if let Kind::Aperture(_) = kind {
            members.sort_by_key(|(endpoint, _)| (hash::address(endpoint.addr), endpoint.addr));
        }
        let roster = Roster::new(members);
        let len = roster.len();
        let queue = |turn: &dyn Fn(usize) -> f64| {
            let first = |index| turn(index) / roster.capacity(index);
            let wait = |index| wait(&roster.member(index).endpoint);
            Queue::new((0..len).map(|index| wait(index).unwrap_or_else(|| first(index))))
        };
        let method = match kind {
            Kind::P2c => Method::TwoChoices(Load::Outstanding),
            Kind::Ewma { decay } => Method::TwoChoices(Load::PeakEwma {
                decay_ns: nanos(*decay),
            }),
            Kind::Aperture(config) => {
                let band = aperture_band(config, len, before);
                Method::Aperture(Aperture::new(band, place, roster.shares()))
            }
            Kind::Heap => {
                let turn = |index| fraction(mix(place.coordinate() ^ mix(index as u64)));
                Method::Heap(Heap {
                    queue: queue(&turn),
                })
            }
            Kind::RoundRobin => {
                let start = super::rng::scale(place.coordinate(), len);
                let turn = |index| ((index + len - start) % len) as f64 / len as f64;
                Method::RoundRobin(RoundRobin {
                    queue: queue(&turn),
                })
            }
            Kind::RingHash(config) => Method::Ring(Ring::new(config, &roster)),
        };
        Group {
            zone,
            roster,
            method,
        }
    }

    /// Looks at everybody.
    pub fn survey(&mut self, sight: Sight) {
        self.roster.survey(sight);
        for index in 0..self.roster.len() {
            self.file(index);
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
        // Where counts are kept here too, they must not grow old either.
        let others = match self.method {
            Method::Heap(_) | Method::Ring(_) => 4,
            _ => 1,
        };
        for _ in 0..others {
            if let Some(index) = self.roster.next() {
                self.look(index, sight);
            }
        }
    }

    /// Draws somebody for a request: not yet somebody who is open. `None` if nobody has a share.
    pub fn draw<R: FnMut() -> u64>(
        &mut self,
        pick: &mut Pick<'_, R>,
        sight: Sight,
    ) -> Option<Drawn> {
        let roster = &mut self.roster;
        match &mut self.method {
            Method::TwoChoices(load) => {
                let span = roster.shares().span();
                p2c::draw(roster, span, *load, sight, pick.random)
            }
            Method::Aperture(aperture) => {
                let span = aperture.span(roster);
                p2c::draw(roster, span, Load::Outstanding, sight, pick.random)
            }
            Method::Heap(heap) => {
                let index = heap.next(roster)?;
                Some(self.look(index, sight))
            }
            Method::RoundRobin(turns) => {
                let index = turns.next()?;
                Some(self.look(index, sight))
            }
            Method::Ring(ring) => {
                let found = pick.hash.and_then(|hash| ring.walk(hash, roster, sight));
                found.or_else(|| {
                    // After the walk, which has looked at some and changed their shares.
                    let span = roster.shares().span();
                    p2c::draw(roster, span, Load::Outstanding, sight, pick.random)
                })
            }
        }
    }

    /// Somebody who was drawn is picked.
    pub fn picked<R: FnMut() -> u64>(&mut self, index: usize, pick: &mut Pick<'_, R>) {
        match &mut self.method {
            Method::Heap(heap) => heap.picked(index, &self.roster, (pick.random)()),
            Method::RoundRobin(turns) => turns.picked(index, &self.roster),
            Method::TwoChoices(_) | Method::Aperture(_) | Method::Ring(_) => {}
        }
    }

    /// A request began here; `index` of its endpoint, if that still is a member.
    pub fn begin(&mut self, index: Option<usize>, now_ns: u64) {
        if let Method::Aperture(aperture) = &mut self.method {
            aperture.band.begin(now_ns);
        }
        self.count(index);
    }

    /// A request ended here.
    pub fn end(&mut self, index: Option<usize>, now_ns: u64) {
        if let Method::Aperture(aperture) = &mut self.method {
            aperture.band.end(now_ns);
        }
        self.count(index);
    }

    /// Gives a member's share back, or takes it for a while.
    pub fn suspend(&mut self, index: usize, suspended: bool, sight: Sight) {
        self.roster.suspend(index, suspended, sight);
        self.file(index);
    }

    /// How long until a member's turn, if members have turns.
    pub fn wait(&self, index: usize) -> Option<f64> {
        match &self.method {
            Method::Heap(heap) => Some(heap.queue.wait(index)),
            Method::RoundRobin(turns) => Some(turns.queue.wait(index)),
            Method::TwoChoices(_) | Method::Aperture(_) | Method::Ring(_) => None,
        }
    }

    /// How many endpoints are in use.
    pub fn aperture(&self) -> usize {
        match &self.method {
            Method::Aperture(aperture) => aperture.band.size(),
            _ => self.roster.len(),
        }
    }

    fn look(&mut self, index: usize, sight: Sight) -> Drawn {
        let status: Status = self.roster.look(index, sight);
        self.file(index);
        Drawn { index, status }
    }

    fn count(&mut self, index: Option<usize>) {
        if let Some(index) = index {
            self.file(index);
        }
    }

    /// Tells the method how a member is now.
    fn file(&mut self, index: usize) {
        match &mut self.method {
            Method::Heap(heap) => heap.file(index, &self.roster),
            Method::RoundRobin(turns) => turns.file(index, &self.roster),
            Method::Ring(ring) => ring.file(index, &self.roster),
            Method::TwoChoices(_) | Method::Aperture(_) => {}
        }
    }
}

fn aperture_band(config: &config::Aperture, len: usize, before: Option<&Group>) -> Band {
    let band = Band::new(config, len);
    match before.map(|group| &group.method) {
        Some(Method::Aperture(before)) => band.continuing(&before.band),
        _ => band,
    }
}
