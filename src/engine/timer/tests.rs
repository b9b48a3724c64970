//! The wheel's tests, up to a comparison with a plain list of deadlines.

use super::*;
use proptest::prelude::*;

const TICK: u64 = 1 << TICK_BITS;
const HOUR: u64 = 3_600_000_000_000;

fn fired_at(wheel: &mut TimerWheel, now: u64) -> Vec<u64> {
    let mut tokens = Vec::new();
    wheel.advance(now, |token, _| tokens.push(token));
    tokens
}

#[test]
fn fires_within_a_tick_and_once() {
    let start = 12_345_678_901;
    let mut wheel = TimerWheel::new(start);
    let key = wheel.insert(7);
    let deadline = start + 5_000_000;
    wheel.set(key, deadline);
    assert_eq!(fired_at(&mut wheel, deadline - 1), Vec::<u64>::new());
    assert_eq!(wheel.deadline(key), deadline);
    assert_eq!(fired_at(&mut wheel, deadline + TICK), [7]);
    assert_eq!(wheel.deadline(key), NEVER);
    assert_eq!(fired_at(&mut wheel, deadline + HOUR), Vec::<u64>::new());
    assert_eq!(wheel.next_expiry(), None);
}

#[test]
fn a_deadline_in_the_past_fires_on_the_next_call() {
    let mut wheel = TimerWheel::new(HOUR);
    let (past, never) = (wheel.insert(1), wheel.insert(2));
    wheel.set(past, 5);
    wheel.set(never, 5);
    wheel.set(never, NEVER);
    assert!(wheel.next_expiry().unwrap() <= HOUR);
    assert_eq!(fired_at(&mut wheel, HOUR), [1]);
    assert_eq!(wheel.next_expiry(), None);
    // The clock of a caller that is behind does no harm.
    wheel.set(past, HOUR + TICK);
    assert_eq!(fired_at(&mut wheel, 0), Vec::<u64>::new());
    assert_eq!(fired_at(&mut wheel, HOUR + 2 * TICK), [1]);
}

#[test]
fn a_jump_of_hours_fires_in_order() {
    let mut wheel = TimerWheel::new(0);
    for n in (1..200).rev() {
        let key = wheel.insert(n);
        wheel.set(key, n * HOUR / 60);
    }
    let tokens = fired_at(&mut wheel, 2 * HOUR);
    assert_eq!(tokens, (1..=120).collect::<Vec<u64>>()[..119].to_vec());
    assert_eq!(fired_at(&mut wheel, 2 * HOUR + TICK), [120]);
    assert_eq!(fired_at(&mut wheel, 4 * HOUR).len(), 79);
}

#[test]
fn moving_later_is_lazy_and_moving_earlier_is_not() {
    let mut wheel = TimerWheel::new(0);
    let key = wheel.insert(1);
    wheel.set(key, 10 * TICK);
    wheel.set(key, 500 * TICK);
    assert_eq!(wheel.next_expiry(), Some(10 * TICK), "still linked there");
    assert_eq!(fired_at(&mut wheel, 499 * TICK), Vec::<u64>::new());
    wheel.set(key, 499 * TICK + 1);
    wheel.set(key, 3 * HOUR);
    wheel.set(key, 600 * TICK);
    assert_eq!(fired_at(&mut wheel, 600 * TICK - 1), Vec::<u64>::new());
    assert_eq!(fired_at(&mut wheel, 600 * TICK), [1]);
    wheel.set(key, HOUR);
    wheel.set(key, 700 * TICK);
    assert_eq!(fired_at(&mut wheel, 700 * TICK), [1]);
}

#[test]
fn beyond_the_span_of_the_wheel() {
    let span = TICK << SPAN_BITS;
    let mut wheel = TimerWheel::new(span - 3 * TICK);
    let (near, far) = (wheel.insert(1), wheel.insert(2));
    wheel.set(near, span + TICK);
    wheel.set(far, 5 * span + 1);
    assert_eq!(wheel.next_expiry(), Some(span));
    assert_eq!(fired_at(&mut wheel, span), Vec::<u64>::new());
    assert_eq!(fired_at(&mut wheel, span + TICK), [1]);
    assert_eq!(fired_at(&mut wheel, 5 * span), Vec::<u64>::new());
    assert_eq!(fired_at(&mut wheel, 5 * span + TICK), [2]);
    wheel.set(far, NEVER - 1);
    assert!(wheel.next_expiry().is_some());
}

#[test]
fn a_removed_timer_is_gone() {
    let mut wheel = TimerWheel::new(0);
    let keys: Vec<Key> = (0..3).map(|n| wheel.insert(n)).collect();
    for key in &keys {
        wheel.set(*key, 10 * TICK);
    }
    wheel.remove(keys[1]);
    wheel.set(keys[1], TICK);
    wheel.remove(keys[1]);
    assert_eq!(wheel.deadline(keys[1]), NEVER);
    let mut tokens = fired_at(&mut wheel, HOUR);
    tokens.sort_unstable();
    assert_eq!((tokens, wheel.len()), (vec![0, 2], 2));
    wheel.remove(keys[0]);
    wheel.remove(keys[2]);
    assert!(wheel.is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Insert,
    Set { which: usize, ahead: i64 },
    Disarm { which: usize },
    Remove { which: usize },
    Advance { by: u64 },
    ToNextExpiry,
}

/// Spans of every size from a nanosecond to years.
fn span() -> impl Strategy<Value = u64> {
    (0u32..58, any::<u64>()).prop_map(|(bits, raw)| raw & ((1 << bits) - 1))
}

fn act() -> impl Strategy<Value = Act> {
    let which = 0usize..64;
    prop_oneof![
        2 => Just(Act::Insert),
        6 => (which.clone(), span()).prop_map(|(which, ahead)| Act::Set {
            which,
            ahead: ahead as i64
        }),
        1 => (which.clone(), span()).prop_map(|(which, back)| Act::Set {
            which,
            ahead: -(back as i64)
        }),
        1 => which.clone().prop_map(|which| Act::Disarm { which }),
        1 => which.prop_map(|which| Act::Remove { which }),
        3 => span().prop_map(|by| Act::Advance { by }),
        3 => Just(Act::ToNextExpiry),
    ]
}

/// The wheel, and what a list of deadlines would do.
struct Pair {
    wheel: TimerWheel,
    now: u64,
    model: Vec<(u64, Key, u64)>,
    tokens: u64,
}

impl Pair {
    fn advance(&mut self, now: u64) {
        let before = std::mem::replace(&mut self.now, now);
        let mut fired = Vec::new();
        self.wheel
            .advance(now, |token, key| fired.push((token, key)));
        let mut ticks = Vec::new();
        for (token, key) in &fired {
            let timer = self
                .model
                .iter_mut()
                .find(|timer| timer.0 == *token)
                .unwrap();
            assert_eq!(timer.1, *key);
            assert!(timer.2 <= now, "fired early (or twice)");
            ticks.push(due_tick(timer.2).max(before >> TICK_BITS));
            timer.2 = NEVER;
        }
        assert!(ticks.is_sorted(), "out of order");
        for (_, key, deadline) in &self.model {
            assert_eq!(self.wheel.deadline(*key), *deadline);
            assert!(*deadline > now - now % TICK, "not fired in time");
        }
        let next = self.wheel.next_expiry();
        assert!(next.is_none_or(|next| next > now), "spins");
    }

    fn apply(&mut self, act: &Act) {
        let count = self.model.len();
        match *act {
            Act::Insert => {
                self.tokens += 1;
                let key = self.wheel.insert(self.tokens);
                self.model.push((self.tokens, key, NEVER));
            }
            Act::Set { which, ahead } if count > 0 => {
                let timer = &mut self.model[which % count];
                timer.2 = self.now.saturating_add_signed(ahead);
                self.wheel.set(timer.1, timer.2);
            }
            Act::Disarm { which } if count > 0 => {
                let timer = &mut self.model[which % count];
                timer.2 = NEVER;
                self.wheel.set(timer.1, NEVER);
            }
            Act::Remove { which } if count > 0 => {
                let (_, key, _) = self.model.swap_remove(which % count);
                self.wheel.remove(key);
            }
            Act::Advance { by } => self.advance(self.now + by),
            Act::ToNextExpiry => {
                if let Some(next) = self.wheel.next_expiry() {
                    self.advance(next.max(self.now));
                }
            }
            _ => {}
        }
        let earliest = self.model.iter().map(|timer| timer.2).min();
        if let Some(earliest) = earliest.filter(|earliest| *earliest != NEVER) {
            let next = self.wheel.next_expiry().expect("a timer is armed");
            assert!(
                next <= tick_start(due_tick(earliest)).max(self.now),
                "would oversleep"
            );
        }
        assert_eq!(self.wheel.len(), self.model.len());
    }
}

proptest! {
    #[test]
    fn behaves_like_a_list_of_deadlines(
        now in span(),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut pair = Pair {
            wheel: TimerWheel::new(now),
            now,
            model: Vec::new(),
            tokens: 0,
        };
        for act in &acts {
            pair.apply(act);
        }
    }
}
