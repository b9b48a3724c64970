//! Round robin: one after the other, whatever the load.
//!
//! The members that are open wait in a [`Queue`] that is ordered by turns alone: in a fixed circle
//! if all weigh the same, mixed by weight otherwise. Each shard starts elsewhere on the circle, at
//! equal distances, or all shards would send their first requests to the same few endpoints. One
//! that is not open leaves the circle until it is found to be well again.

use super::method::{Ask, Method, Start};
use super::queue::Queue;
use super::rng::scale;
use super::roster::{Drawn, Roster, Sight};

/// See the module's head.
#[derive(Debug)]
pub(super) struct RoundRobin(Queue);

impl RoundRobin {
    /// Nobody is in it until they are filed.
    pub fn new(start: &Start<'_>) -> RoundRobin {
        let len = start.roster.len();
        let first = scale(start.place.coordinate(), len);
        RoundRobin(Queue::starting(start, |index| {
            ((index + len - first) % len) as f64 / len as f64
        }))
    }
}

impl Method for RoundRobin {
    fn draw(&mut self, roster: &mut Roster, _: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        let index = self.0.top()?;
        let status = roster.look(index, sight);
        self.file(index, roster);
        Some(Drawn { index, status })
    }

    fn picked(&mut self, index: usize, roster: &Roster, _: &mut Ask<'_>) {
        self.0.take_turn(index, 1.0 / roster.capacity(index));
    }

    fn file(&mut self, index: usize, roster: &Roster) {
        if roster.shares().get(index) > 0 {
            self.0.file(index, 0.0);
        } else {
            self.0.leave(index);
        }
    }

    fn wait(&self, index: usize) -> Option<f64> {
        Some(self.0.wait(index))
    }
}
