//! Picks the endpoint of each request, for one client on one shard.
//!
//! A balancer belongs to its shard and is asked without a lock; what it knows of endpoints it reads
//! from the atomics that all shards share. A pick goes so: a few endpoints are looked at, to know
//! who is open ([`roster`](super::roster)). Then somebody is drawn, first the zone
//! ([`zones`](super::zones)), then by the kind's own way within it. If that one is not open,
//! somebody else is drawn, up to `max_effort` times; then the last one is taken as it is. That is
//! failing open: a set in which everything looks dead still gets traffic, and its first answer is
//! how the proxy learns that it lives. No step walks over the set or allocates: what grows with the
//! set is the depth of a tree.
//!
//! Failing open per request is not enough when most of a set is dead. The few that live would get
//! all of the traffic, and die of it. Below a share of open endpoints the balancer panics: it
//! ignores health until that share is reached again, and counts the picks it made so. What it does
//! not ignore is that a connect failed in the last second: of that no judge can be mistaken, and a
//! request sent there would come back to those that live, as long as somebody pays for that.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::config::{BalancerConfig, Kind, MAX_EXCLUDED, Outcome, Pick, Place, nanos};
use super::endpoint::{Endpoint, Status};
use super::group::Group;
use super::method::Ask;
use super::p2c::Load;
use super::replicas::ReplicaSet;
use super::rng::{mix, scale};
use super::roster::Sight;
use super::shares::UNIT;
use super::zones;

/// Zones that are told apart; the endpoints of all others are together in one more. A pick walks
/// over them.
const MAX_ZONES: usize = 32;
/// An odd number without pattern (2^64 divided by the golden ratio).
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a balancer has had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Picks that ignored health because too few endpoints were open.
    pub panicked: u64,
    /// Picks that found nobody open in `max_effort` tries.
    pub exhausted: u64,
}

/// Group and index in it.
type Seat = (u32, u32);
/// Seats by address. Addresses come from discovery: nobody chooses them to collide.
type Seats = HashMap<SocketAddr, Seat, foldhash::fast::FixedState>;

/// See the module's head.
#[derive(Debug)]
pub struct Balancer {
    config: BalancerConfig,
    place: Place,
    set: Arc<ReplicaSet>,
    groups: Vec<Group>,
    /// The group of this process's own zone.
    local: Option<usize>,
    seats: Seats,
    /// The group to be audited next.
    next: usize,
    tally: Tally,
}

impl Balancer {
    /// A balancer that knows no endpoints yet.
    #[must_use]
    pub fn new(config: &BalancerConfig, place: Place) -> Balancer {
        Balancer {
            config: config.clone(),
            place,
            set: Arc::default(),
            groups: Vec::new(),
            local: None,
            seats: Seats::default(),
            next: 0,
            tally: Tally::default(),
        }
    }

    /// Balances over this set from now on. Takes O(n log n).
    pub fn update(&mut self, set: Arc<ReplicaSet>, now_ns: u64) {
        if Arc::ptr_eq(&set, &self.set) {
            return;
        }
        let (groups, seats) = self.grouped(&set, now_ns);
        let home = &self.config.prefer_zone;
        self.local = groups
            .iter()
            .position(|group| home.is_some() && group.zone == *home);
        (self.groups, self.seats, self.set, self.next) = (groups, seats, set, 0);
        let sight = self.sight(now_ns);
        if sight.panic {
            self.groups.iter_mut().for_each(|group| group.survey(sight));
        }
    }

    /// The set that it balances over.
    #[must_use]
    pub fn set(&self) -> &Arc<ReplicaSet> {
        &self.set
    }

    /// Whether an address is in the set.
    #[must_use]
    pub fn has(&self, addr: SocketAddr) -> bool {
        self.seats.contains_key(&addr)
    }

    /// What it has had to do.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Endpoints in use at present: fewer than there are for an aperture.
    #[must_use]
    pub fn aperture(&self) -> usize {
        self.groups.iter().map(Group::aperture).sum()
    }

    /// Endpoints that were open when last looked at.
    #[must_use]
    pub fn open(&self) -> usize {
        self.groups.iter().map(|group| group.roster.open()).sum()
    }

    /// Picks the endpoint for one request; `None` only if there is none at all. O(log n).
    pub fn pick<R: FnMut() -> u64>(&mut self, pick: Pick<'_, R>) -> Option<Arc<Endpoint>> {
        if self.set.len() < 2 {
            return self.set.endpoints.first().map(Arc::clone);
        }
        self.next = if self.next + 1 < self.groups.len() {
            self.next + 1
        } else {
            0
        };
        let sight = self.sight(pick.now_ns);
        self.groups[self.next].audit(sight);
        self.tally.panicked += u64::from(sight.panic);
        let mut excluded = [(0, 0); MAX_EXCLUDED];
        let excluded = self.exclude(pick.excluded, &mut excluded, sight);
        let mut ask = Ask {
            random: pick.random,
            hash: pick.hash,
        };
        let (group, index) = self.search(&mut ask, sight, excluded.len());
        for &(group, index) in excluded {
            self.groups[group as usize].suspend(index as usize, false, sight);
        }
        let picked = self.groups[group].roster.member(index);
        Some(Arc::clone(&picked.endpoint))
    }

    /// Counts a request that is sent to an endpoint.
    pub fn begin(&mut self, endpoint: &Endpoint, now_ns: u64) {
        endpoint.begin();
        if let Some((group, index)) = self.counting(endpoint) {
            group.begin(index, now_ns);
        }
    }

    /// Counts a request that is over, after so many ns. Once for every [`Balancer::begin`], even if
    /// the set has changed in between.
    pub fn end(&mut self, endpoint: &Endpoint, outcome: Outcome, rtt_ns: u64, now_ns: u64) {
        endpoint.end();
        if outcome != Outcome::Abandoned {
            endpoint.judge(outcome == Outcome::Success);
        }
        if let Kind::Ewma { decay } = self.config.kind {
            let decay_ns = nanos(decay);
            // One that nobody waited for would have taken longer still: it counts as a peak, if
            // it is one, and never as a quick answer.
            let counts = outcome != Outcome::Abandoned
                || rtt_ns as f64 > endpoint.ewma_cost(now_ns, decay_ns);
            if counts {
                endpoint.observe(rtt_ns, now_ns, decay_ns);
            }
        }
        if let Some((group, index)) = self.counting(endpoint) {
            group.end(index, now_ns);
        }
    }

    #[cfg(test)]
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn sight(&self, now_ns: u64) -> Sight {
        let count = self.set.len();
        let few = (self.open() as f64) < self.config.panic_threshold * count as f64;
        Sight {
            now_ns,
            panic: few && count > 1,
            slow_start_ns: self.config.slow_start.map_or(0, nanos),
        }
    }

    /// Draws until somebody is open.
    fn search(&mut self, ask: &mut Ask<'_>, sight: Sight, excluded: usize) -> (usize, usize) {
        let mut last = None;
        for effort in 0..self.config.max_effort.max(1) {
            let Some(at) = self.zone(ask, effort) else {
                break;
            };
            let group = &mut self.groups[at];
            let Some(drawn) = group.draw(ask, sight) else {
                continue;
            };
            last = Some((at, drawn.index));
            if drawn.status == Status::Open {
                group.picked(drawn.index, ask);
                return (at, drawn.index);
            }
        }
        self.tally.exhausted += 1;
        last.unwrap_or_else(|| self.anybody(ask, sight, excluded))
    }

    /// The group that is to take a request; `None` if nobody has a share.
    fn zone(&self, ask: &mut Ask<'_>, effort: u32) -> Option<usize> {
        let capacity = |group: &Group| group.roster.shares().total();
        if let [single] = &self.groups[..] {
            return (capacity(single) > 0).then_some(0);
        }
        let hashing = matches!(self.config.kind, Kind::RingHash(_));
        let random = match ask.hash.filter(|_| hashing) {
            // Like requests shall meet in one zone, too; a second try may go elsewhere.
            Some(hash) => mix(hash.wrapping_add(STRIDE.wrapping_mul(u64::from(effort) + 1))),
            None => (ask.random)(),
        };
        zones::choose(self.groups.iter().map(capacity), self.local, random)
    }

    /// The better of two random endpoints, whatever is known of them.
    fn anybody(&self, ask: &mut Ask<'_>, sight: Sight, excluded: usize) -> (usize, usize) {
        let mut somebody = || {
            let start = scale((ask.random)(), self.set.len());
            // Among so many there is one that is not suspended.
            let near = (start..=start + excluded).map(|at| self.seat(at % self.set.len()));
            let mut near = near.filter(|&(group, index)| {
                let member = self.groups[group].roster.member(index);
                !member.suspended
            });
            near.next().unwrap_or((0, 0))
        };
        let (first, second) = (somebody(), somebody());
        let rank = |(group, index): (usize, usize)| {
            let roster = &self.groups[group].roster;
            let member = roster.member(index);
            let load = Load::Outstanding;
            let load = load.of(&member.endpoint, roster.capacity(index), sight.now_ns);
            (
                member.weight == 0,
                member.endpoint.status(sight.now_ns),
                load,
            )
        };
        if rank(second) < rank(first) {
            second
        } else {
            first
        }
    }

    /// The seat of the endpoint of this number, groups counted one after the other.
    fn seat(&self, mut number: usize) -> (usize, usize) {
        for (at, group) in self.groups.iter().enumerate() {
            if number < group.roster.len() {
                return (at, number);
            }
            number -= group.roster.len();
        }
        (0, 0)
    }

    /// Suspends those that the pick must avoid, unless that are all.
    fn exclude<'s>(
        &mut self,
        addrs: &[SocketAddr],
        seats: &'s mut [Seat; MAX_EXCLUDED],
        sight: Sight,
    ) -> &'s [Seat] {
        let mut count = 0;
        for addr in &addrs[addrs.len().saturating_sub(MAX_EXCLUDED)..] {
            let Some(&(group, index)) = self.seats.get(addr) else {
                continue;
            };
            let at = &mut self.groups[group as usize];
            if !at.roster.member(index as usize).suspended {
                at.suspend(index as usize, true, sight);
                seats[count] = (group, index);
                count += 1;
            }
        }
        if count == self.set.len() {
            for &(group, index) in &seats[..count] {
                self.groups[group as usize].suspend(index as usize, false, sight);
            }
            count = 0;
        }
        &seats[..count]
    }

    /// The group that counts the requests of an endpoint, if its kind has to.
    fn counting(&mut self, endpoint: &Endpoint) -> Option<(&mut Group, Option<usize>)> {
        // All groups are of one kind.
        if !self.groups.first()?.method.counts() {
            return None;
        }
        if let Some(&(group, index)) = self.seats.get(&endpoint.addr) {
            return Some((&mut self.groups[group as usize], Some(index as usize)));
        }
        // It has left the set; its zone may still be there.
        let single = self.groups.len() == 1;
        let its = |group: &&mut Group| single || group.zone == endpoint.zone;
        Some((self.groups.iter_mut().find(its)?, None))
    }

    /// The groups of a set, each going on from where the one of its zone is, and everybody's seat.
    fn grouped(&self, set: &ReplicaSet, now_ns: u64) -> (Vec<Group>, Seats) {
        type Members = Vec<(Arc<Endpoint>, u64)>;
        let mut zones: Vec<(Option<Arc<str>>, Members)> = Vec::new();
        for (endpoint, weight) in set.endpoints.iter().zip(units(set)) {
            let home = &self.config.prefer_zone;
            let mut zone = home.as_ref().and(endpoint.zone.clone());
            let known = |zone: &Option<Arc<str>>| zones.iter().position(|(other, _)| other == zone);
            if zones.len() >= MAX_ZONES && known(&zone).is_none() && zone != *home {
                zone = None;
            }
            let at = known(&zone).unwrap_or_else(|| {
                zones.push((zone, Vec::new()));
                zones.len() - 1
            });
            zones[at].1.push((Arc::clone(endpoint), weight));
        }
        let sight = Sight {
            now_ns,
            panic: false,
            slow_start_ns: self.config.slow_start.map_or(0, nanos),
        };
        let wait = |endpoint: &Endpoint| {
            let &(group, index) = self.seats.get(&endpoint.addr)?;
            self.groups[group as usize].method.wait(index as usize)
        };
        let group = |(zone, members)| {
            let before = self.groups.iter().find(|group| group.zone == zone);
            let mut group = Group::new(zone, members, &self.config.kind, self.place, before, &wait);
            group.survey(sight);
            group
        };
        let groups: Vec<Group> = zones.into_iter().map(group).collect();
        let mut seats = Seats::default();
        seats.reserve(set.len());
        for (at, group) in groups.iter().enumerate() {
            for index in 0..group.roster.len() {
                let addr = group.roster.member(index).endpoint.addr;
                seats.insert(addr, (at as u32, index as u32));
            }
        }
        (groups, seats)
    }
}

/// The weights of a set in units of shares, the average being [`UNIT`]. If nobody has a weight, all
/// have the same.
fn units(set: &ReplicaSet) -> impl Iterator<Item = u64> {
    let count = set.len();
    let sane = |index| {
        let weight: f64 = set.weight(index);
        if weight > 0.0 {
            weight.min(f64::MAX)
        } else {
            0.0
        }
    };
    let largest = (0..count).map(sane).fold(0.0, f64::max);
    // Relative to the largest first: no sum overflows.
    let sum: f64 = (0..count).map(|index| sane(index) / largest).sum();
    (0..count).map(move |index| {
        let part = sane(index) / largest;
        if largest == 0.0 {
            UNIT
        } else if part > 0.0 {
            ((part / sum * count as f64 * UNIT as f64).round() as u64).max(1)
        } else {
            0
        }
    })
}
