//! Admission: how many requests may be served at once, and how many may wait for that.
//!
//! One count for all shards. A limit per shard of a part of the whole was rejected: connections are
//! spread unevenly, and the full shard would refuse while the others idle. The limits are arguments
//! of each call and not part of the state, so that a reload or [`super::limit`] changes them under
//! the requests that are in.
//!
//! **Bound.** Never more are let in than the limit of the call that let them in. Places are taken
//! by one addition, and given back if that was too much: for that moment another shard may see the
//! place as taken and refuse wrongly. It does so only while all others are taken. At the limit a
//! refusal only reads, so that a flood of refusals does not slow down those that are in.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// Places for what happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// `maxConcurrentRequests`: requests served at once.
    pub max_concurrent: u32,
    /// Requests that wait for a place; beyond that they are refused at once.
    pub max_pending: u32,
}

impl Default for AdmissionConfig {
    /// No limit, and nobody waits: linkerd's.
    fn default() -> Self {
        AdmissionConfig {
            max_concurrent: u32::MAX,
            max_pending: 0,
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admitted {
    /// It has a place, until [`Admission::leave`].
    In,
    /// It may wait: until [`Admission::promote`] says yes, or [`Admission::give_up`].
    Waits,
    /// There is no room.
    Refused,
}

/// A count of places, shared by all shards.
#[derive(Debug, Default)]
pub struct Places(AtomicU32);

impl Places {
    /// Takes a place, if less than `limit` are taken.
    #[must_use]
    pub fn take(&self, limit: u32) -> bool {
        self.0.load(Relaxed) < limit && self.claim(limit)
    }

    /// Takes a place if one is free, whatever happened since somebody looked.
    fn claim(&self, limit: u32) -> bool {
        let is_free = self.0.fetch_add(1, Relaxed) < limit;
        if !is_free {
            self.0.fetch_sub(1, Relaxed);
        }
        is_free
    }

    /// Gives back a place. Once for every one that was taken.
    pub fn give_back(&self) {
        let before = self.0.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a place was given back that nobody took");
    }

    /// Places taken at present.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Admission {
    active: CachePadded<Places>,
    pending: Places,
}

impl Admission {
    /// A request comes.
    pub fn enter(&self, limits: &AdmissionConfig) -> Admitted {
        // Who waits comes first.
        let is_free = self.pending.taken() == 0 && self.active.take(limits.max_concurrent);
        if is_free {
            Admitted::In
        } else if self.pending.take(limits.max_pending) {
            Admitted::Waits
        } else if limits.max_pending == 0 && self.active.take(limits.max_concurrent) {
            // Waiting was switched off while some still wait.
            Admitted::In
        } else {
            Admitted::Refused
        }
    }

    /// Gives a waiting request a place, if there is one.
    #[must_use]
    pub fn promote(&self, limits: &AdmissionConfig) -> bool {
        let is_free = self.active.take(limits.max_concurrent);
        if is_free {
            self.pending.give_back();
        }
        is_free
    }

    /// A waiting request waits no longer.
    pub fn give_up(&self) {
        self.pending.give_back();
    }

    /// A request with a place is over.
    pub fn leave(&self) {
        self.active.give_back();
    }

    /// Requests that have a place.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.taken()
    }

    /// Requests that wait for one.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending.taken()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::race;
    use super::*;

    fn limits(max_concurrent: u32, max_pending: u32) -> AdmissionConfig {
        AdmissionConfig {
            max_concurrent,
            max_pending,
        }
    }

    #[test]
    fn in_then_waiting_then_refused() {
        let (admission, limits) = (Admission::default(), limits(2, 1));
        let entered = [(); 4].map(|()| admission.enter(&limits));
        use Admitted::{In, Refused, Waits};
        assert_eq!(entered, [In, In, Waits, Refused]);
        assert_eq!((admission.active(), admission.pending()), (2, 1));
        assert!(!admission.promote(&limits));
        admission.leave();
        // One waits already, so it is not overtaken.
        assert_eq!(admission.enter(&limits), Refused);
        assert!(admission.promote(&limits));
        assert_eq!((admission.active(), admission.pending()), (2, 0));
        assert_eq!(admission.enter(&limits), Waits);
        admission.give_up();
        admission.leave();
        admission.leave();
        assert_eq!((admission.active(), admission.pending()), (0, 0));
    }

    #[test]
    fn without_a_limit_all_are_in() {
        let (admission, limits) = (Admission::default(), AdmissionConfig::default());
        for _ in 0..1_000 {
            assert_eq!(admission.enter(&limits), Admitted::In);
        }
    }

    #[test]
    fn limits_change_under_the_requests() {
        let admission = Admission::default();
        for _ in 0..4 {
            assert_eq!(admission.enter(&limits(4, 0)), Admitted::In);
        }
        assert_eq!(admission.enter(&limits(2, 1)), Admitted::Waits);
        admission.leave();
        admission.leave();
        assert!(!admission.promote(&limits(2, 1)));
        // With no more waiting, newcomers are served although somebody is left waiting.
        assert_eq!(admission.enter(&limits(4, 0)), Admitted::In);
        assert!(admission.promote(&limits(5, 0)));
    }

    #[test]
    fn who_looked_too_early_is_refused() {
        let places = Places::default();
        assert!(places.take(2) && places.take(2));
        assert!(!places.claim(2) && !places.claim(1));
        assert_eq!(places.taken(), 2, "nothing was lost by it");
        places.give_back();
        assert!(places.claim(2));
    }

    #[test]
    fn never_more_than_the_limit_between_threads() {
        let places = Places::default();
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        race(5_000, |_, _| {
            if places.take(1) {
                most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                inside.fetch_sub(1, Relaxed);
                places.give_back();
            }
        });
        assert_eq!(most.into_inner(), 1);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn of_all_shards_one_gets_the_last_place() {
        const ROUNDS: usize = 2_000;
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| (Places::default(), AtomicU32::new(0)))
            .collect();
        race(ROUNDS, |_, round| {
            let (places, took) = &rounds[round];
            took.fetch_add(u32::from(places.take(1)), Relaxed);
        });
        for (places, took) in &rounds {
            assert_eq!((took.load(Relaxed), places.taken()), (1, 1));
        }
    }
}
