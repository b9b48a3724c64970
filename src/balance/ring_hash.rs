//! Ring hash: requests with the same hash go to the same endpoint, as long as it can take them.
//!
//! Each endpoint has many points on a ring, as many as it has weight; a request belongs to the
//! endpoint of the next point (Karger et al., "Consistent hashing and random trees", 1997). One
//! that joins takes requests only for itself, one that leaves leaves only its own. A plain modulo
//! would move nearly all of them with every change.
//!
//! Popular hashes would overload whoever they fall to. So an endpoint takes no more than
//! `load_factor` times its part of the requests under way, and what it cannot take goes on to the
//! next point (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads", 2016).
//! One that is not open is passed over likewise, and keeps its points. A walk that finds nobody
//! within a number of points that grows with the logarithm of the set, and a request without a hash,
//! end with two random choices.
//!
//! The requests under way on an endpoint are exact, and so no endpoint is given one beyond its
//! bound. The sum of them all, which the bound depends on, is of what this shard has last seen: a
//! count that all shards keep would be one more line that every request takes from another core.

use super::config;
use super::hash;
use super::method::{Ask, Method};
use super::p2c::{self, Load};
use super::rng::mix;
use super::roster::{Drawn, Roster, Sight};
use super::shares::UNIT;

/// Points of a ring at most, while each member has one: sorting them must not hold up a shard when the set changes.
const MAX_POINTS: u64 = 1 << 17;
/// Bits of a point that say whose it is; the others are where it is.
const OWNER_BITS: u32 = 20;
const OWNER: u64 = (1 << OWNER_BITS) - 1;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Ring {
    /// Place and owner of each point, in order.
    points: Box<[u64]>,
    /// Points that a walk looks at.
    reach: usize,
    load_factor: f64,
    /// Requests under way on each member, as last seen.
    seen: Box<[u32]>,
    sum: u64,
}

impl Ring {
    /// The ring of these members.
    pub fn new(config: &config::RingHash, roster: &Roster) -> Ring {
        let len = roster.len() as u64;
        // Fewer points each, if there are too many: those that stay, stay where they are.
        let each = u64::from(config.virtual_nodes).min(MAX_POINTS / len.max(1));
        let mut points = Vec::new();
        for index in 0..roster.len().min(1 << OWNER_BITS) {
            let member = roster.member(index);
            let count = u128::from(each) * u128::from(member.weight);
            let count = ((count + u128::from(UNIT / 2)) / u128::from(UNIT)) as u64;
            let count = count.max(u64::from(member.weight > 0));
            let own = hash::address(member.endpoint.addr);
            let place = |nth: u64| mix(own.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            points.extend((0..count).map(|nth| place(nth) & !OWNER | index as u64));
        }
        points.sort_unstable();
        Ring {
            points: points.into(),
            reach: 64 + 16 * len.max(1).ilog2() as usize,
            load_factor: config.load_factor,
            seen: vec![0; roster.len()].into(),
            sum: 0,
        }
    }

    /// Who a hash belongs to, or whoever is next to it and can take the request; `None` if nobody
    /// is found.
    fn walk(&mut self, hash: u64, roster: &mut Roster, sight: Sight) -> Option<Drawn> {
        let start = self.points.partition_point(|point| *point < hash & !OWNER);
        let mut last = None;
        let walk = (start..self.points.len()).chain(0..start);
        for at in walk.take(self.reach) {
            let index = (self.points[at] & OWNER) as usize;
            if last.replace(index) == Some(index) {
                continue;
            }
            let status = roster.look(index, sight);
            self.file(index, roster);
            if f64::from(self.seen[index]) < self.bound(index, roster) {
                return Some(Drawn { index, status });
            }
        }
        None
    }

    /// Requests that a member may have at most, this one included: its part of all, and a little
    /// more. 0 for one without a share.
    fn bound(&self, index: usize, roster: &Roster) -> f64 {
        let shares = roster.shares();
        let part = shares.get(index) as f64 / shares.total().max(1) as f64;
        (self.load_factor * (self.sum + 1) as f64 * part).ceil()
    }
}

impl Method for Ring {
    fn draw(&mut self, roster: &mut Roster, ask: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        let found = ask.hash.and_then(|hash| self.walk(hash, roster, sight));
        found.or_else(|| {
            // After the walk, which has looked at some and changed their shares.
            let span = roster.shares().span();
            p2c::draw(roster, span, Load::Outstanding, sight, ask)
        })
    }

    fn file(&mut self, index: usize, roster: &Roster) {
        let now = roster.member(index).endpoint.outstanding();
        let was = std::mem::replace(&mut self.seen[index], now);
        self.sum = self.sum + u64::from(now) - u64::from(was);
    }

    fn counts(&self) -> bool {
        true
    }

    fn audits(&self) -> usize {
        4
    }
}
