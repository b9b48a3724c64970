//! Least loaded: the member with the fewest requests under way for its weight.
//!
//! The exact minimum needs an order of all members, kept in a [`Queue`]. But the counts in it change
//! behind its back, since other shards send requests too, so the order is lazy: it is corrected
//! where this shard comes by. A member is filed anew when this shard begins or ends a request
//! there, and a few more in turn with every pick; and the top is checked before it is taken, and
//! filed anew as long as it has grown, a bounded number of times. What this promises: if all
//! requests pass through this shard, the pick is the exact minimum. With other shards, nobody is
//! picked on an outdated count, and one that the others have left idle is noticed within a quarter
//! as many picks as there are members.
//!
//! Members with equal loads, usually the idle ones, come by turns; the pause until the next turn is
//! random, one average share long, so that shards do not walk in step (linkerd puts an idle one
//! back at a random place for that). One that is not open is not in the queue at all.

use super::queue::Queue;
use super::rng::fraction;
use super::roster::Roster;

/// How often the top may be filed anew in one pick.
const REFRESHES: u32 = 8;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Heap {
    pub queue: Queue,
}

impl Heap {
    /// Who is least loaded, if anybody is in the queue.
    pub fn next(&mut self, roster: &Roster) -> Option<usize> {
        for _ in 0..REFRESHES {
            let top = self.queue.top()?;
            let (was, is) = (self.queue.load(top), load(roster, top));
            self.queue.file(top, is);
            if is <= was {
                return Some(top);
            }
        }
        self.queue.top()
    }

    /// Files a member as it is now.
    pub fn file(&mut self, index: usize, roster: &Roster) {
        if roster.shares().get(index) > 0 {
            self.queue.file(index, load(roster, index));
        } else {
            self.queue.leave(index);
        }
    }

    /// A member was picked.
    pub fn picked(&mut self, index: usize, roster: &Roster, random: u64) {
        let pause = 2.0 * fraction(random) / roster.capacity(index);
        self.queue.take_turn(index, pause);
    }
}

fn load(roster: &Roster, index: usize) -> f64 {
    f64::from(roster.member(index).endpoint.outstanding()) / roster.capacity(index)
}
