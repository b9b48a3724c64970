//! Least loaded: the member with the fewest requests under way for its weight.
//!
//! The exact minimum needs an order of all members, kept in a [`Queue`]. But the counts in it change
//! behind its back, since other shards send requests too, so the order is lazy: it is corrected
//! where this shard comes by. A member is filed anew when this shard begins or ends a request
//! there, and a few more in turn with every pick; and the top is checked before it is taken, and
//! filed anew as long as it has grown, a bounded number of times. What this promises: if all
//! requests pass through this shard, the pick is the exact minimum. With other shards, nobody who
//! has got more since is picked as if it had not (but for those refreshes running out), and one that
//! has got less is noticed within a quarter as many picks as there are members.
//!
//! Members with equal loads, usually the idle ones, come by turns; the pause until the next turn is
//! random, one average share long, so that shards do not walk in step (linkerd puts an idle one
//! back at a random place for that). One that is not open is not in the queue at all.

use super::method::{Ask, Method, Start};
use super::queue::Queue;
use super::rng::{fraction, mix};
use super::roster::{Drawn, Roster, Sight};

/// How often the top may be filed anew in one pick.
const REFRESHES: u32 = 8;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Heap(Queue);

impl Heap {
    /// Nobody is in it until they are filed. The first turns are random, other ones on each shard.
    pub fn new(start: &Start<'_>) -> Heap {
        let place = start.place.coordinate();
        Heap(Queue::starting(start, |index| {
            fraction(mix(place ^ mix(index as u64)))
        }))
    }

    /// Who is least loaded, if anybody is in the queue.
    fn next(&mut self, roster: &Roster) -> Option<usize> {
        for _ in 0..REFRESHES {
            let top = self.0.top()?;
            let (was, is) = (self.0.load(top), load(roster, top));
            self.0.file(top, is);
            if is <= was {
                return Some(top);
            }
        }
        self.0.top()
    }
}

impl Method for Heap {
    fn draw(&mut self, roster: &mut Roster, _: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        let index = self.next(roster)?;
        let status = roster.look(index, sight);
        self.file(index, roster);
        Some(Drawn { index, status })
    }

    fn picked(&mut self, index: usize, roster: &Roster, ask: &mut Ask<'_>) {
        let pause = 2.0 * fraction((ask.random)()) / roster.capacity(index);
        self.0.take_turn(index, pause);
    }

    fn file(&mut self, index: usize, roster: &Roster) {
        if roster.shares().get(index) > 0 {
            self.0.file(index, load(roster, index));
        } else {
            self.0.leave(index);
        }
    }

    fn counts(&self) -> bool {
        true
    }

    fn audits(&self) -> usize {
        4
    }

    fn wait(&self, index: usize) -> Option<f64> {
        Some(self.0.wait(index))
    }
}

fn load(roster: &Roster, index: usize) -> f64 {
    f64::from(roster.member(index).endpoint.outstanding()) / roster.capacity(index)
}
