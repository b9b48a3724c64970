//! The gate before an endpoint: open, shut for a while, and opened again by one probe.
//!
//! ```text
//!          eject                  time                begin_probe
//!  Alive ─────────► Dead(until) ─────────► ProbeOpen ─────────────► ProbeClosed(until)
//!    ▲               ▲                      ▲     ▲                   │    │    │
//!    │               └──────────────────────┼─────┼─── eject ─────────┘    │    │
//!    │                                      │     └─── time, release ──────┘    │
//!    └──────────────────────────────────────┴───────── revive ──────────────────┘
//! ```
//!
//! (Finagle's `FailureAccrualFactory`, drawn by which state a shard sees.) The state is one word with
//! its time in it, and time does two of the steps by itself: nobody has to be there when a backoff
//! is over. All else is one compare-and-swap from the state that was seen, so that of eight shards
//! that find the backoff over, one probes.
//!
//! A probe holds the gate shut until it is told of, but for [`PROBE_FOR_NS`] at most. Its request may
//! be cancelled, its shard may forget it, its response may be a stream of hours; whichever it is,
//! after that time the next request probes. One probe in ten seconds harms no backend.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::backoff::{Backoff, Place};

/// How long one probe keeps others away.
pub const PROBE_FOR_NS: u64 = 10_000_000_000;

const ALIVE: u64 = 0;
const DEAD: u64 = 1;
const PROBING: u64 = 2;
const KIND_BITS: u32 = 2;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
/// 146 years.
const LAST_TIME: u64 = u64::MAX >> KIND_BITS;

/// What a balancer should think of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Takes requests.
    Open,
    /// To be avoided if there is another.
    Busy,
}

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known against it.
    Alive,
    /// Ejected, and its backoff is not over.
    Dead,
    /// The backoff is over; the next request probes.
    ProbeOpen,
    /// A request is probing.
    ProbeClosed,
}

/// An endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// Until it may be probed.
    pub for_ns: u64,
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug, Default)]
pub struct Gate {
    /// Kind of state, under the time at which it is over.
    state: AtomicU64,
    /// How far the backoff has come.
    place: AtomicU64,
}

fn word(kind: u64, until_ns: u64) -> u64 {
    (until_ns.min(LAST_TIME) << KIND_BITS) | kind
}

impl Gate {
    /// The state at this time.
    pub fn state(&self, now_ns: u64) -> State {
        state_of(self.state.load(Relaxed), now_ns)
    }

    /// Whether requests should go there at this time.
    pub fn status(&self, now_ns: u64) -> Status {
        match self.state(now_ns) {
            State::Alive | State::ProbeOpen => Status::Open,
            State::Dead | State::ProbeClosed => Status::Busy,
        }
    }

    /// Takes the one probe that there is, if the backoff is over. A request that gets it must say how
    /// it ended.
    pub fn begin_probe(&self, now_ns: u64) -> bool {
        let seen = self.state.load(Relaxed);
        if state_of(seen, now_ns) != State::ProbeOpen {
            return false;
        }
        self.swap(seen, word(PROBING, now_ns.saturating_add(PROBE_FOR_NS)))
    }

    /// Shuts the gate for the backoff's next delay, if it is now in this state. `None` if it is not,
    /// or if another shard was first.
    pub fn eject(
        &self,
        from: State,
        now_ns: u64,
        backoff: &Backoff,
        random: u64,
    ) -> Option<Ejected> {
        let seen = self.state.load(Relaxed);
        if !is_kind_of(seen, from) {
            return None;
        }
        let mut place = Place::from_bits(self.place.load(Relaxed));
        let for_ns = backoff.next(&mut place, random);
        if !self.swap(seen, word(DEAD, now_ns.saturating_add(for_ns))) {
            return None;
        }
        // Nobody needs it before the delay is over. Who still came first would repeat a delay.
        self.place.store(place.bits(), Relaxed);
        Some(Ejected { for_ns })
    }

    /// Opens the gate if a probe is out; the backoff starts anew. `before` is done first, so that
    /// whoever sees the gate open sees its effect. False if no probe is out.
    pub fn revive(&self, before: impl FnOnce()) -> bool {
        let seen = self.state.load(Relaxed);
        seen & KIND_MASK == PROBING && self.open(seen, before)
    }

    /// Opens the gate whatever its state. False if it was open.
    pub fn open_at_once(&self) -> bool {
        self.open_after(|| ())
    }

    /// The same; `before` is done first, as by [`Gate::revive`].
    pub fn open_after(&self, before: impl FnOnce()) -> bool {
        let seen = self.state.load(Relaxed);
        seen != ALIVE && self.open(seen, before)
    }

    /// Gives back a probe that ended without telling anything.
    pub fn release(&self) {
        let seen = self.state.load(Relaxed);
        if seen & KIND_MASK == PROBING {
            // Whoever changed it meanwhile knows more.
            self.swap(seen, word(DEAD, 0));
        }
    }

    fn open(&self, seen: u64, before: impl FnOnce()) -> bool {
        before();
        self.place.store(0, Relaxed);
        self.swap(seen, ALIVE)
    }

    /// Goes on from the state that was seen, if it still is.
    fn swap(&self, seen: u64, next: u64) -> bool {
        let swap = self.state.compare_exchange(seen, next, Relaxed, Relaxed);
        swap.is_ok()
    }
}

fn state_of(word: u64, now_ns: u64) -> State {
    let is_over = word >> KIND_BITS <= now_ns;
    match word & KIND_MASK {
        ALIVE => State::Alive,
        _ if is_over => State::ProbeOpen,
        PROBING => State::ProbeClosed,
        _ => State::Dead,
    }
}

/// A probe that took too long is still a probe when it ends.
fn is_kind_of(word: u64, state: State) -> bool {
    let kind = word & KIND_MASK;
    match state {
        State::Alive => kind == ALIVE,
        State::Dead | State::ProbeOpen => kind == DEAD,
        State::ProbeClosed => kind == PROBING,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::super::tests::race;
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const FIVE: Backoff = Backoff::Constant { ms: 5_000 };
    const GROWING: Backoff = Backoff::EqualJittered {
        start_ms: 1_000,
        max_ms: 64_000,
    };

    #[test]
    fn walks_through_its_states() {
        let gate = Gate::default();
        assert_eq!(
            (gate.state(0), gate.status(0)),
            (State::Alive, Status::Open)
        );
        assert!(!gate.begin_probe(0));
        let ejected = gate.eject(State::Alive, SECOND, &FIVE, 0);
        assert_eq!(ejected, Some(Ejected { for_ns: 5 * SECOND }));
        let almost = 6 * SECOND - 1;
        assert_eq!(gate.state(almost), State::Dead);
        assert_eq!(gate.status(almost), Status::Busy);
        assert!(!gate.begin_probe(almost) && !gate.revive(|| ()));
        let over = 6 * SECOND;
        assert_eq!(
            (gate.state(over), gate.status(over)),
            (State::ProbeOpen, Status::Open)
        );
        assert!(gate.begin_probe(over) && !gate.begin_probe(over));
        assert_eq!(gate.state(over), State::ProbeClosed);
        assert_eq!(gate.status(over), Status::Busy);
        assert!(gate.revive(|| ()));
        assert_eq!(gate.state(over), State::Alive);
    }

    #[test]
    fn ejects_only_from_the_state_that_is() {
        let gate = Gate::default();
        assert_eq!(gate.eject(State::ProbeClosed, 0, &FIVE, 0), None);
        assert!(gate.eject(State::Alive, 0, &FIVE, 0).is_some());
        assert_eq!(gate.eject(State::Alive, 0, &FIVE, 0), None);
        assert_eq!(gate.eject(State::ProbeClosed, 9 * SECOND, &FIVE, 0), None);
        assert!(gate.begin_probe(9 * SECOND));
        assert!(
            gate.eject(State::ProbeClosed, 9 * SECOND, &FIVE, 0)
                .is_some()
        );
        assert_eq!(gate.state(14 * SECOND - 1), State::Dead);
    }

    #[test]
    fn the_backoff_grows_until_it_is_revived() {
        let gate = Gate::default();
        let (mut now, mut from) = (0, State::Alive);
        for expected in [1, 1, 2, 4, 8, 16, 32, 64, 64] {
            let ejected = gate.eject(from, now, &GROWING, 0).unwrap();
            assert_eq!(ejected.for_ns, expected * SECOND);
            now += ejected.for_ns;
            assert!(gate.begin_probe(now));
            from = State::ProbeClosed;
        }
        assert!(gate.revive(|| ()));
        let ejected = gate.eject(State::Alive, now, &GROWING, 0).unwrap();
        assert_eq!(ejected.for_ns, SECOND);
    }

    #[test]
    fn a_lost_probe_makes_room_for_the_next() {
        let gate = Gate::default();
        gate.eject(State::Alive, 0, &Backoff::default(), 0).unwrap();
        assert!(gate.begin_probe(0));
        assert_eq!(gate.status(PROBE_FOR_NS - 1), Status::Busy);
        assert!(!gate.begin_probe(PROBE_FOR_NS - 1));
        assert_eq!(gate.status(PROBE_FOR_NS), Status::Open);
        assert!(gate.begin_probe(PROBE_FOR_NS));
        // The first one comes back after all, and is believed.
        assert!(gate.revive(|| ()));
        assert_eq!(gate.state(PROBE_FOR_NS), State::Alive);
    }

    #[test]
    fn a_released_probe_is_there_at_once() {
        let gate = Gate::default();
        gate.release();
        assert_eq!(gate.state(0), State::Alive);
        gate.eject(State::Alive, 0, &FIVE, 0).unwrap();
        gate.release();
        assert_eq!(gate.state(0), State::Dead, "no probe was out");
        assert!(gate.begin_probe(5 * SECOND));
        gate.release();
        assert_eq!(gate.state(5 * SECOND), State::ProbeOpen);
        assert!(gate.begin_probe(5 * SECOND));
    }

    #[test]
    fn opens_at_once() {
        let gate = Gate::default();
        assert!(!gate.open_at_once());
        gate.eject(State::Alive, 0, &FIVE, 0).unwrap();
        assert!(gate.open_at_once());
        assert_eq!(gate.state(0), State::Alive);
    }

    #[test]
    fn times_at_the_end_of_the_clock() {
        let gate = Gate::default();
        let forever = Backoff::Constant { ms: u64::MAX };
        gate.eject(State::Alive, u64::MAX, &forever, 0).unwrap();
        assert_eq!(gate.state(LAST_TIME - 1), State::Dead);
        assert_eq!(gate.state(LAST_TIME), State::ProbeOpen);
    }

    #[test]
    fn who_looked_too_early_changes_nothing() {
        let gate = Gate::default();
        assert!(gate.swap(ALIVE, word(DEAD, 5)));
        assert!(!gate.swap(ALIVE, word(DEAD, 9)), "ejected by another");
        assert!(gate.swap(word(DEAD, 5), word(PROBING, 15)));
        assert!(
            !gate.swap(word(DEAD, 5), word(PROBING, 16)),
            "another probes"
        );
        assert_eq!(gate.state.load(Relaxed), word(PROBING, 15));
    }

    #[test]
    fn of_all_shards_one_ejects_and_one_probes() {
        const ROUNDS: usize = 2_000;
        #[derive(Default)]
        struct Round {
            gate: Gate,
            ejected: AtomicUsize,
            probes: AtomicUsize,
        }
        let rounds: Vec<Round> = (0..ROUNDS).map(|_| Round::default()).collect();
        race(ROUNDS, |_, round| {
            let round = &rounds[round];
            let won = round.gate.eject(State::Alive, 0, &FIVE, 0).is_some();
            round.ejected.fetch_add(usize::from(won), Relaxed);
        });
        race(ROUNDS, |_, round| {
            let round = &rounds[round];
            let won = round.gate.begin_probe(5 * SECOND);
            round.probes.fetch_add(usize::from(won), Relaxed);
        });
        for round in rounds {
            let (ejected, probes) = (round.ejected.into_inner(), round.probes.into_inner());
            assert_eq!((ejected, probes), (1, 1));
        }
    }
}
