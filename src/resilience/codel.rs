//! CoDel for requests: who waits for a place, how long, and who is served first.
//!
//! A queue that empties now and then smooths bursts; one that never does only adds its length to
//! every response. CoDel tells them apart by the *shortest* wait in an interval: if even that was
//! longer than the target, the queue is standing (Nichols and Jacobson, "Controlling queue delay",
//! 2012; RFC 8289). What to do then is different for requests than for packets. CoDel drops one packet
//! and waits for its sender to slow down, then drops more and more often; clients of a service do not
//! slow down one by one, and some retry. So while the queue stands everything that has waited twice
//! the target is dropped at once, and the newest is served first: it is the one whose client is
//! still there (Maurer, "Fail at scale", 2015, and folly's `Codel`, whose numbers these are).
//!
//! How long the queue is shows in the wait of its *oldest* request, whoever is served. folly measures
//! the one that is served; then serving the newest hides the queue, and the order flaps.
//!
//! At other times a request may wait for one interval. Whoever keeps the queue drops by itself what
//! has waited for longer than [`Codel::patience_ns`], so that nobody waits for ever if no place comes
//! free.
//!
//! A queue belongs to a shard, and so does this state: no atomics.

const NS_PER_MS: u64 = 1_000_000;

/// What is waiting too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodelConfig {
    /// A wait that a queue may always have, in milliseconds.
    pub target_ms: u64,
    /// The time in which a queue must have been that short once; at least two targets.
    pub interval_ms: u64,
}

impl Default for CodelConfig {
    fn default() -> Self {
        CodelConfig {
            target_ms: 5,
            interval_ms: 100,
        }
    }
}

/// Who is served next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Clone, Debug)]
pub struct Codel {
    target_ns: u64,
    interval_ns: u64,
    /// The shortest wait of an oldest in this interval; `None` if nobody was served in it.
    shortest: Option<u64>,
    interval_ends: u64,
    is_standing: bool,
}

impl Codel {
    #[must_use]
    pub fn new(config: &CodelConfig) -> Codel {
        let target_ns = config.target_ms.saturating_mul(NS_PER_MS);
        let interval_ns = config.interval_ms.saturating_mul(NS_PER_MS);
        Codel {
            target_ns,
            interval_ns: interval_ns.max(target_ns.saturating_mul(2)),
            shortest: None,
            interval_ends: 0,
            is_standing: false,
        }
    }

    /// A place is free for a request that waits since `enqueued_ns`: whether it is served. If not, it
    /// is dropped.
    ///
    /// * `oldest_ns`: since when the oldest waits, which may be the same one. A request that need not
    ///   wait is served too, with the present for both.
    #[must_use]
    pub fn serves(&mut self, enqueued_ns: u64, oldest_ns: u64, now_ns: u64) -> bool {
        let longest = now_ns.saturating_sub(oldest_ns);
        self.turn(now_ns);
        self.shortest = Some(self.shortest.map_or(longest, |least| least.min(longest)));
        now_ns.saturating_sub(enqueued_ns) <= self.patience_ns()
    }

    /// How long a request may wait, as things stand.
    #[must_use]
    pub fn patience_ns(&self) -> u64 {
        if self.is_standing {
            self.target_ns.saturating_mul(2)
        } else {
            self.interval_ns
        }
    }

    /// Who is served next, as things stand.
    #[must_use]
    pub fn order(&self) -> Order {
        if self.is_standing {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        }
    }

    /// Ends the interval if it is over.
    fn turn(&mut self, now_ns: u64) {
        if now_ns < self.interval_ends {
            return;
        }
        // What was standing an interval ago and has not been heard of since is not standing now.
        let is_recent = now_ns - self.interval_ends < self.interval_ns;
        let was_long = self.shortest.is_some_and(|least| least > self.target_ns);
        self.is_standing = is_recent && was_long;
        self.shortest = None;
        self.interval_ends = now_ns.saturating_add(self.interval_ns);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MS: u64 = NS_PER_MS;

    fn codel() -> Codel {
        Codel::new(&CodelConfig::default())
    }

    /// Serves one that waits in order.
    fn serves(codel: &mut Codel, enqueued_ns: u64, now_ns: u64) -> bool {
        codel.serves(enqueued_ns, enqueued_ns, now_ns)
    }

    #[test]
    fn a_queue_that_empties_once_an_interval_is_left_alone() {
        let mut codel = codel();
        for n in 0..1_000u64 {
            let now = n * MS;
            // 90 ms of waiting, but every 80th request finds nobody before it.
            let waited = if n % 80 == 0 { 0 } else { 90 };
            assert!(
                serves(&mut codel, now.saturating_sub(waited * MS), now),
                "{n}"
            );
            assert_eq!(codel.order(), Order::OldestFirst);
        }
    }

    #[test]
    fn a_standing_queue_is_cut_to_twice_the_target() {
        let mut codel = codel();
        // The first interval is that of the first request.
        for n in 0..100 {
            let now = (1_000 + n) * MS;
            assert!(serves(&mut codel, now - 20 * MS, now));
        }
        assert!(
            !serves(&mut codel, 1_080 * MS, 1_100 * MS),
            "20 ms is too long now"
        );
        assert_eq!(
            (codel.order(), codel.patience_ns()),
            (Order::NewestFirst, 10 * MS)
        );
        assert!(serves(&mut codel, 1_096 * MS, 1_105 * MS));
        assert!(!serves(&mut codel, 1_188 * MS, 1_199 * MS));
        // That interval's shortest was 9 ms: still standing.
        assert!(!serves(&mut codel, 1_180 * MS, 1_200 * MS));
        // One short wait, and the next interval is a good one again.
        assert!(serves(&mut codel, 1_207 * MS, 1_210 * MS));
        assert!(serves(&mut codel, 1_280 * MS, 1_300 * MS));
        assert_eq!(codel.order(), Order::OldestFirst);
    }

    #[test]
    fn the_newest_served_first_does_not_hide_the_queue() {
        let mut codel = codel();
        for n in 0..400 {
            let now = (1_000 + n) * MS;
            // The newest waits for 1 ms, the oldest for 9.
            assert!(codel.serves(now - MS, now - 9 * MS, now));
            assert_eq!(codel.order() == Order::NewestFirst, n >= 100, "{n}");
        }
    }

    #[test]
    fn silence_is_no_standing_queue() {
        let mut codel = codel();
        for n in 0..100 {
            assert!(serves(&mut codel, n * MS, (n + 50) * MS));
        }
        // Its shortest wait was 50 ms, but that was long ago.
        assert!(serves(&mut codel, 900 * MS, 920 * MS));
    }

    #[test]
    fn nobody_waits_for_longer_than_an_interval() {
        let mut codel = codel();
        assert!(serves(&mut codel, 0, 100 * MS));
        assert!(!serves(&mut codel, 99 * MS, 199 * MS + 1));
        assert_eq!(codel.patience_ns(), 100 * MS);
    }

    #[test]
    fn an_interval_has_room_for_two_targets() {
        let config = CodelConfig {
            target_ms: 80,
            interval_ms: 100,
        };
        assert_eq!(Codel::new(&config).patience_ns(), 160 * MS);
    }

    /// A server that takes a request per millisecond and gets 1.3 of them: without dropping, the wait
    /// grows to half a second in two.
    #[test]
    fn under_overload_those_who_are_served_waited_little() {
        let (mut codel, mut queue) = (codel(), VecDeque::new());
        let (mut served, mut longest) = (0, 0);
        for tick in 0..20_000u64 {
            let now = tick * MS / 10;
            if tick * 13 / 100 != (tick + 1) * 13 / 100 {
                queue.push_back(now);
            }
            while queue
                .front()
                .is_some_and(|oldest| now - oldest > codel.patience_ns())
            {
                queue.pop_front();
            }
            let Some(&oldest) = queue.front().filter(|_| tick % 10 == 0) else {
                continue;
            };
            let next = match codel.order() {
                Order::OldestFirst => queue.pop_front(),
                Order::NewestFirst => queue.pop_back(),
            };
            if codel.serves(next.unwrap(), oldest, now) {
                served += 1;
                // The first intervals have yet to find out.
                let is_settled = now > 400 * MS;
                longest = longest.max(if is_settled { now - next.unwrap() } else { 0 });
            }
        }
        assert!(longest <= 10 * MS, "{} ms", longest / MS);
        assert!(served > 1_950, "the server was kept busy: {served}");
    }

    proptest! {
        #[test]
        fn what_is_served_was_patient(
            steps in prop::collection::vec((0..50u64, 0..300u64, 0..100u64), 1..300),
        ) {
            let (mut codel, mut now) = (codel(), 0);
            for (step, waited, longer) in steps {
                now += step * MS;
                let enqueued = now.saturating_sub(waited * MS);
                let served = codel.serves(enqueued, enqueued.saturating_sub(longer), now);
                prop_assert_eq!(served, now - enqueued <= codel.patience_ns());
                prop_assert!(now - enqueued > 10 * MS || served);
            }
        }
    }
}
