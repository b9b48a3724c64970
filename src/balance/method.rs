//! What a kind of balancer is to a group, and the list of kinds.
//!
//! A kind is a file with an implementation of [`Method`] and a line in [`made`]. All that kinds have
//! in common (health, weights, slow start, zones, avoiding who has failed) is the roster's and the
//! balancer's business: a method sees shares, and draws somebody who has one.

use std::fmt::Debug;
use std::sync::Arc;

use super::aperture::{self, Band};
use super::config::{Kind, Place, nanos};
use super::endpoint::Endpoint;
use super::heap::Heap;
use super::p2c::{Load, TwoChoices};
use super::ring_hash::Ring;
use super::roster::{Drawn, Roster, Sight};
use super::round_robin::RoundRobin;

/// What a request brings along.
pub(super) struct Ask<'a> {
    pub random: &'a mut dyn FnMut() -> u64,
    pub hash: Option<u64>,
}

/// A way to pick among the members of a roster.
pub(super) trait Method: Debug {
    /// Draws somebody for a request, and looks at them: they need not be open. `None` if nobody has
    /// a share.
    fn draw(&mut self, roster: &mut Roster, ask: &mut Ask<'_>, sight: Sight) -> Option<Drawn>;

    /// Somebody who was drawn is picked.
    fn picked(&mut self, _index: usize, _roster: &Roster, _ask: &mut Ask<'_>) {}

    /// A member's share or requests may have changed.
    fn file(&mut self, _index: usize, _roster: &Roster) {}

    /// Whether it must be told of requests that begin and end.
    fn counts(&self) -> bool {
        false
    }

    /// A request to one of the group began.
    fn begin(&mut self, _now_ns: u64) {}

    /// A request to one of the group ended, or to one that was.
    fn end(&mut self, _now_ns: u64) {}

    /// How many members a pick should look at in turn, for what is known of them not to grow old.
    fn audits(&self) -> usize {
        1
    }

    /// How long until a member's turn, if members have turns.
    fn wait(&self, _index: usize) -> Option<f64> {
        None
    }

    /// The controller of the members in use, if these are not all.
    fn band(&self) -> Option<&Band> {
        None
    }
}

/// What a method is made from.
pub(super) struct Start<'a> {
    /// The members, none of whose shares is reduced yet.
    pub roster: &'a Roster,
    pub place: Place,
    /// The method of this group before the set changed.
    pub before: Option<&'a dyn Method>,
    /// How long it was until an endpoint's turn then, if it was waiting for one.
    pub wait: &'a dyn Fn(&Endpoint) -> Option<f64>,
}

/// Brings the members of a group into the order that a kind wants.
pub(super) fn arrange(kind: &Kind, members: &mut [(Arc<Endpoint>, u64)]) {
    if let Kind::Aperture(_) = kind {
        aperture::arrange(members);
    }
}

/// The method of a kind.
pub(super) fn made(kind: &Kind, start: &Start<'_>) -> Box<dyn Method> {
    match kind {
        Kind::P2c => Box::new(TwoChoices(Load::Outstanding)),
        Kind::Ewma { decay } => Box::new(TwoChoices(Load::PeakEwma {
            decay_ns: nanos(*decay),
        })),
        Kind::Aperture(config) => Box::new(aperture::Aperture::new(config, start)),
        Kind::Heap => Box::new(Heap::new(start)),
        Kind::RoundRobin => Box::new(RoundRobin::new(start)),
        Kind::RingHash(config) => Box::new(Ring::new(config, start.roster)),
    }
}
