//! Who is next: members ordered by load, and among equals by turn.
//!
//! A turn is a time on a clock of its own, which each pick moves on to the turn of the one picked;
//! that one's next turn is later by the reciprocal of its weight. So equals come by turns, and
//! those of different weight as often as their weights say, evenly mixed (weighted fair queueing;
//! Demers, Keshav and Shenker, 1989). Ordered by turn alone that is a weighted round robin, ordered
//! by load first it is a least-loaded pick that shares out the idle time fairly. Smooth weighted
//! round robin as nginx does it gives the same order for O(n) a pick; here it is O(log n).
//!
//! A binary heap that knows the place of each member, so that the key of any of them may change.
//! Whoever was away for long has an old turn: it is next when it comes back, but only once.

use super::method::Start;

/// The order: the least is next.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
struct Key {
    load: f64,
    turn: f64,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Queue {
    heap: Vec<u32>,
    /// Where in the heap a member is.
    places: Box<[Option<u32>]>,
    keys: Box<[Key]>,
    /// The latest turn that was taken.
    clock: f64,
}

impl Queue {
    /// A queue for members with these turns, none of whom is in it yet.
    pub fn new(turns: impl Iterator<Item = f64>) -> Queue {
        let keys: Box<[Key]> = turns.map(|turn| Key { load: 0.0, turn }).collect();
        Queue {
            heap: Vec::with_capacity(keys.len()),
            places: vec![None; keys.len()].into(),
            keys,
            clock: 0.0,
        }
    }

    /// A queue for the members of a group: who was waiting for a turn goes on waiting, the others
    /// wait for this part of the pause that their weight gives.
    pub fn starting(start: &Start<'_>, part: impl Fn(usize) -> f64) -> Queue {
        let roster = start.roster;
        Queue::new((0..roster.len()).map(|index| {
            let wait = (start.wait)(&roster.member(index).endpoint);
            wait.unwrap_or_else(|| part(index) / roster.capacity(index))
        }))
    }

    /// The member that is next.
    pub fn top(&self) -> Option<usize> {
        self.heap.first().map(|index| *index as usize)
    }

    /// The load that a member is filed under.
    pub fn load(&self, index: usize) -> f64 {
        self.keys[index].load
    }

    /// How long from now it is a member's turn; not negative.
    pub fn wait(&self, index: usize) -> f64 {
        (self.keys[index].turn - self.clock).max(0.0)
    }

    /// Files a member under this load, and lets it in if it is not.
    pub fn file(&mut self, index: usize, load: f64) {
        let key = &mut self.keys[index];
        let turn = key.turn.max(self.clock);
        if self.places[index].is_some() && key.load == load && key.turn == turn {
            return;
        }
        *key = Key { load, turn };
        let place = match self.places[index] {
            Some(place) => place as usize,
            None => {
                self.heap.push(index as u32);
                self.heap.len() - 1
            }
        };
        self.sift(place);
    }

    /// Takes a member out. It keeps its turn.
    pub fn leave(&mut self, index: usize) {
        let Some(place) = self.places[index].take() else {
            return;
        };
        self.heap.swap_remove(place as usize);
        if (place as usize) < self.heap.len() {
            self.sift(place as usize);
        }
    }

    /// A member takes its turn: the next one is `pause` later.
    pub fn take_turn(&mut self, index: usize, pause: f64) {
        let turn = self.keys[index].turn.max(self.clock);
        self.clock = turn;
        self.keys[index].turn = turn + pause;
        if let Some(place) = self.places[index] {
            self.sift(place as usize);
        }
    }

    /// Moves whoever is at this place to where it belongs.
    fn sift(&mut self, mut place: usize) {
        let index = self.heap[place];
        let key = self.keys[index as usize];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.key(parent) <= key {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        loop {
            let left = 2 * place + 1;
            if left >= self.heap.len() {
                break;
            }
            let right = (left + 1).min(self.heap.len() - 1);
            let child = if self.key(right) < self.key(left) {
                right
            } else {
                left
            };
            // The place that is being filled may still hold somebody who has moved: not a child.
            if key <= self.key(child) {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, index);
    }

    fn key(&self, place: usize) -> Key {
        self.keys[self.heap[place] as usize]
    }

    fn put(&mut self, place: usize, index: u32) {
        self.heap[place] = index;
        self.places[index as usize] = Some(place as u32);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        File(usize, u8),
        Leave(usize),
        Turn(usize, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..12, 0u8..4).prop_map(|(index, load)| Step::File(index, load)),
            (0usize..12).prop_map(Step::Leave),
            (0usize..12, 0u8..4).prop_map(|(index, pause)| Step::Turn(index, pause)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

        /// The top is the least of a plain list that is kept beside, whatever happens.
        #[test]
        fn the_least_is_on_top(steps in prop::collection::vec(step(), 0..80)) {
            let mut queue = Queue::new((0..12).map(f64::from));
            let mut list: Vec<(bool, f64, f64)> = (0..12).map(|i| (false, 0.0, f64::from(i))).collect();
            let mut clock = 0.0f64;
            for step in steps {
                match step {
                    Step::File(i, load) => {
                        queue.file(i, f64::from(load));
                        list[i] = (true, f64::from(load), list[i].2.max(clock));
                    }
                    Step::Leave(i) => {
                        queue.leave(i);
                        list[i].0 = false;
                    }
                    Step::Turn(i, pause) => {
                        queue.take_turn(i, f64::from(pause));
                        clock = list[i].2.max(clock);
                        list[i].2 = clock + f64::from(pause);
                    }
                }
                let inside = list.iter().filter(|entry| entry.0);
                let least = inside.map(|entry| (entry.1, entry.2)).min_by(|a, b| a.partial_cmp(b).unwrap());
                let top = queue.top().map(|i| (list[i].1, list[i].2));
                prop_assert_eq!(top, least);
                prop_assert!(queue.top().is_none_or(|i| list[i].0));
            }
        }
    }

    #[test]
    fn equals_come_by_turns_and_weights_by_share() {
        let weights = [1.0, 2.0, 1.0];
        let mut queue = Queue::new((0..3).map(|i| f64::from(i) / 3.0));
        (0..3).for_each(|i| queue.file(i, 0.0));
        let mut order = Vec::new();
        for _ in 0..8 {
            let next = queue.top().unwrap();
            queue.take_turn(next, 1.0 / weights[next]);
            order.push(next);
        }
        // Never the same twice in a row: a heavy one is mixed in.
        assert_eq!(order, [0, 1, 2, 1, 0, 1, 2, 1]);
    }
}
