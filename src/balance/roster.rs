//! The members of a group with what this shard has last seen of each, and what share of the traffic
//! follows from it.
//!
//! A member's share is its weight, 0 if it is not open, and less than the weight while it warms up.
//! Health changes behind the balancer's back, by other shards and by the mere passing of time, and
//! nobody tells. So each pick looks: at whom it draws, always; and besides at a few others in turn,
//! of those that were ill rather more, which are thus found to be well again within half as many
//! picks as there are of them. What a look finds, the shares follow. The cost of a pick stays the
//! same however large the set is, and a group in which most are dead does not waste its tries on
//! them, as drawing blindly would.
//!
//! Slow start: the share of one that joined others grows evenly with its age, from a tenth of its
//! weight: with nothing at all it would learn nothing, and never fill its caches.

use std::sync::Arc;

use super::endpoint::{Endpoint, Status};
use super::shares::{Shares, UNIT};

/// The share of a newborn is its weight divided by this.
const NEWBORN: u64 = 10;

/// What every look depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub now_ns: u64,
    /// Health is ignored, but for members that cannot be connected to.
    pub panic: bool,
    /// Age at which a member has its full share, ns.
    pub slow_start_ns: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub endpoint: Arc<Endpoint>,
    /// Its share when nothing speaks against it.
    pub weight: u64,
    /// Whether the pick at hand must avoid it.
    pub suspended: bool,
    /// Its place in the list of the ill, if it is one of them.
    ill_at: Option<u32>,
}

/// Somebody who may get the request, and how it was when drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub index: usize,
    pub status: Status,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Roster {
    members: Box<[Member]>,
    shares: Shares,
    /// Members that were not open when last looked at.
    ill: Vec<u32>,
    /// Members that may still be warming up.
    young: Vec<u32>,
    next: usize,
    next_ill: usize,
    next_young: usize,
}

impl Roster {
    /// All of these, with their weights, as if they were well and grown up.
    pub fn new(members: Vec<(Arc<Endpoint>, u64)>) -> Roster {
        let weights: Box<[u64]> = members.iter().map(|(_, weight)| *weight).collect();
        let member = |(endpoint, weight)| Member {
            endpoint,
            weight,
            suspended: false,
            ill_at: None,
        };
        Roster {
            // Room for all: a pick must not allocate.
            ill: Vec::with_capacity(members.len()),
            young: Vec::new(),
            members: members.into_iter().map(member).collect(),
            shares: Shares::new(weights),
            next: 0,
            next_ill: 0,
            next_young: 0,
        }
    }

    /// Looks at everybody for the first time.
    pub fn survey(&mut self, sight: Sight) {
        let warming = |(i, member): (usize, &Member)| {
            let age = member.endpoint.age(sight.now_ns)?;
            (age < sight.slow_start_ns).then_some(i as u32)
        };
        self.young = self
            .members
            .iter()
            .enumerate()
            .filter_map(warming)
            .collect();
        for index in 0..self.len() {
            self.look(index, sight);
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn member(&self, index: usize) -> &Member {
        &self.members[index]
    }

    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// A member's share relative to the average weight, as long as it has one; otherwise its
    /// weight. Not 0.
    pub fn capacity(&self, index: usize) -> f64 {
        let share = match self.shares.get(index) {
            0 => self.members[index].weight.max(1),
            share => share,
        };
        share as f64 / UNIT as f64
    }

    /// Members that were open when last looked at.
    pub fn open(&self) -> usize {
        self.members.len() - self.ill.len()
    }

    /// Sees how a member is and sets its share accordingly. In a panic, whoever can be connected to
    /// counts as open.
    pub fn look(&mut self, index: usize, sight: Sight) -> Status {
        let member = &mut self.members[index];
        let status = member.endpoint.status(sight.now_ns);
        match (status == Status::Open, member.ill_at) {
            (false, None) => {
                member.ill_at = Some(self.ill.len() as u32);
                self.ill.push(index as u32);
            }
            (true, Some(at)) => {
                member.ill_at = None;
                self.ill.swap_remove(at as usize);
                if let Some(&moved) = self.ill.get(at as usize) {
                    self.members[moved as usize].ill_at = Some(at);
                }
            }
            _ => {}
        }
        let member = &self.members[index];
        let share = share(member, sight);
        self.shares.set(index, share);
        match is_excused(member, sight) {
            true => Status::Open,
            false => status,
        }
    }

    /// Takes a member's share away, or gives it back.
    pub fn suspend(&mut self, index: usize, suspended: bool, sight: Sight) {
        self.members[index].suspended = suspended;
        let share = share(&self.members[index], sight);
        self.shares.set(index, share);
    }

    /// Who is next to be looked at; `None` if there is nobody.
    pub fn next(&mut self) -> Option<usize> {
        self.next = following(self.next, self.len());
        (!self.members.is_empty()).then_some(self.next)
    }

    /// Who of the ill is next.
    pub fn next_ill(&mut self) -> Option<usize> {
        self.next_ill = following(self.next_ill, self.ill.len());
        self.ill.get(self.next_ill).map(|index| *index as usize)
    }

    /// Who of those that warm up is next. One that has grown up comes for the last time.
    pub fn next_young(&mut self, sight: Sight) -> Option<usize> {
        self.next_young = following(self.next_young, self.young.len());
        let index = *self.young.get(self.next_young)? as usize;
        let age = self.members[index].endpoint.age(sight.now_ns);
        if age.is_none_or(|age| age >= sight.slow_start_ns) {
            self.young.swap_remove(self.next_young);
        }
        Some(index)
    }
}

/// The next of `count` places; the first after the last.
fn following(place: usize, count: usize) -> usize {
    if place + 1 < count { place + 1 } else { 0 }
}

/// Whether a panic gives a member requests in spite of its health. A request to one that cannot be
/// connected to takes no load off the others: it comes back to them, or fails for want of a budget.
fn is_excused(member: &Member, sight: Sight) -> bool {
    sight.panic && member.endpoint.is_reachable(sight.now_ns)
}

fn share(member: &Member, sight: Sight) -> u64 {
    if member.suspended || member.ill_at.is_some() && !is_excused(member, sight) {
        return 0;
    }
    let young = |age: &u64| *age < sight.slow_start_ns;
    let age = (sight.slow_start_ns > 0)
        .then(|| member.endpoint.age(sight.now_ns))
        .flatten();
    match age.filter(young) {
        None => member.weight,
        Some(age) => {
            let grown = u128::from(member.weight) * u128::from(age);
            let grown = (grown / u128::from(sight.slow_start_ns)) as u64;
            // Whoever has a weight has a share.
            let least = (member.weight / NEWBORN).max(1).min(member.weight);
            grown.max(least)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGHT: Sight = Sight {
        now_ns: 100,
        panic: false,
        slow_start_ns: 0,
    };

    fn roster(n: u16) -> Roster {
        let endpoint = |port| Arc::new(Endpoint::new(([10, 0, 0, 1], port).into()));
        Roster::new((0..n).map(|port| (endpoint(port), UNIT)).collect())
    }

    #[test]
    fn shares_follow_health_when_it_is_looked_at() {
        let mut roster = roster(4);
        roster.survey(SIGHT);
        assert_eq!((roster.open(), roster.shares().total()), (4, 4 * UNIT));
        for i in [1, 3] {
            roster.member(i).endpoint.busy_until(200);
        }
        assert_eq!(roster.open(), 4, "nobody has looked");
        assert_eq!(roster.look(1, SIGHT), Status::Busy);
        assert_eq!(roster.look(3, SIGHT), Status::Busy);
        assert_eq!((roster.open(), roster.shares().total()), (2, 2 * UNIT));
        let panic = Sight {
            panic: true,
            ..SIGHT
        };
        assert_eq!(roster.look(1, panic), Status::Open, "it counts as that");
        assert_eq!((roster.open(), roster.shares().total()), (2, 3 * UNIT));
        roster.member(1).endpoint.mark_unreachable(100);
        assert_eq!(roster.look(1, panic), Status::Busy);
        assert_eq!((roster.open(), roster.shares().total()), (2, 2 * UNIT));
        roster.member(1).endpoint.mark_reachable();
        let later = Sight {
            now_ns: 200,
            ..SIGHT
        };
        for left in [2, 1, 0] {
            assert_eq!(roster.ill.len(), left);
            if let Some(ill) = roster.next_ill() {
                assert_eq!(roster.look(ill, later), Status::Open);
            }
        }
        assert_eq!((roster.open(), roster.shares().total()), (4, 4 * UNIT));
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut roster = roster(5);
        let mut seen: Vec<_> = (0..5).filter_map(|_| roster.next()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert_eq!(Roster::new(Vec::new()).next(), None);
        assert_eq!(roster.next_ill(), None);
        assert_eq!(roster.next_young(SIGHT), None);
    }

    #[test]
    fn the_suspended_have_no_share_whatever_is_seen() {
        let mut roster = roster(2);
        roster.suspend(0, true, SIGHT);
        roster.look(0, SIGHT);
        assert_eq!(roster.shares().get(0), 0);
        roster.suspend(0, false, SIGHT);
        assert_eq!(roster.shares().get(0), UNIT);
    }

    #[test]
    fn the_young_grow_from_a_tenth() {
        let endpoint = Endpoint::new(([10, 0, 0, 1], 80).into()).newborn();
        let mut roster = Roster::new(vec![(Arc::new(endpoint), UNIT)]);
        let at = |now_ns| Sight {
            now_ns,
            panic: false,
            slow_start_ns: 1000,
        };
        roster.survey(at(500));
        let grown = [(500, 100), (550, 100), (750, 250), (1000, 500), (1499, 999)];
        for (now, per_mille) in grown {
            assert_eq!(roster.next_young(at(now)), Some(0));
            roster.look(0, at(now));
            assert_eq!(roster.shares().get(0), UNIT * per_mille / 1000, "{now}");
        }
        assert_eq!(roster.next_young(at(1500)), Some(0), "for the last time");
        roster.look(0, at(1500));
        assert_eq!(roster.shares().get(0), UNIT);
        assert_eq!(roster.next_young(at(1501)), None);
    }
}
