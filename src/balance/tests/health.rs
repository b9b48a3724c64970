//! The dead are avoided, the revived come back, and nothing is ever out of reach.

use super::*;

fn careless(kind: &Kind, panic_threshold: f64) -> BalancerConfig {
    BalancerConfig {
        panic_threshold,
        ..of(kind.clone())
    }
}

#[test]
fn the_dead_get_nothing_once_seen() {
    for kind in kinds() {
        let set = set(20);
        let mut client = Client::new(&of(kind.clone()), &set);
        for n in 0..10 {
            set.endpoints[n].busy_until(9 * SECOND);
        }
        // Each is looked at before it is taken; but with half of them dead at once, five tries
        // may not be enough.
        client.picks(4);
        let before = client.balancer.tally();
        let seen = client.picks(4_000);
        assert_eq!(seen[..10].iter().sum::<usize>(), 0, "{kind:?}: {seen:?}");
        assert_eq!(client.balancer.open(), 10, "{kind:?}");
        assert_eq!(client.balancer.tally(), before, "{kind:?}");
        assert!(before.exhausted <= 4 && before.panicked == 0, "{kind:?}");
    }
}

#[test]
fn the_revived_are_back_soon() {
    for kind in kinds() {
        let set = set(20);
        let mut client = Client::new(&of(kind.clone()), &set);
        for n in 0..10 {
            set.endpoints[n].busy_until(9 * SECOND);
        }
        client.picks(100);
        client.now = 9 * SECOND;
        // Two of ten with each pick.
        client.picks(5);
        assert_eq!(client.balancer.open(), 20, "{kind:?}");
        let seen = client.picks(4_000);
        assert!(seen.iter().all(|count| *count > 100), "{kind:?}: {seen:?}");
    }
}

/// One living among a hundred: nobody panics, and it is found, not just hoped for.
#[test]
fn the_last_living_is_found() {
    for kind in kinds() {
        let set = set(100);
        let mut client = Client::new(&careless(&kind, 0.0), &set);
        for n in 1..100 {
            set.endpoints[n].busy_until(9 * SECOND);
        }
        client.picks(200);
        let seen = client.picks(1_000);
        assert_eq!(seen[0], 1_000, "{kind:?}: {seen:?}");
    }
}

#[test]
fn busy_goes_before_closed() {
    for kind in kinds() {
        let set = set(2);
        let mut client = Client::new(&careless(&kind, 0.0), &set);
        set.endpoints[0].close();
        set.endpoints[1].busy_until(9 * SECOND);
        client.picks(10);
        let seen = client.picks(1_000);
        // Two random ones may be the same one.
        assert!(seen[1] > 700, "{kind:?}: {seen:?}");
    }
}

#[test]
fn with_all_dead_everybody_is_tried() {
    for kind in kinds() {
        let set = set(10);
        let mut client = Client::new(&careless(&kind, 0.0), &set);
        set.endpoints.iter().for_each(|e| e.busy_until(9 * SECOND));
        client.picks(10);
        let seen = client.picks(10_000);
        assert!(seen.iter().all(|count| *count > 500), "{kind:?}: {seen:?}");
        let tally = client.balancer.tally();
        assert_eq!(tally.panicked, 0, "{kind:?}");
        assert!(tally.exhausted >= 10_000, "{kind:?}: {tally:?}");
        // Avoiding one that failed is worth something even now.
        assert_eq!(client.picks_but(500, &[addr(3)])[3], 0, "{kind:?}");
    }
}

#[test]
fn too_few_living_and_health_is_ignored() {
    for kind in kinds() {
        let set = set(20);
        let mut client = Client::new(&of(kind.clone()), &set);
        for n in 0..16 {
            set.endpoints[n].busy_until(9 * SECOND);
        }
        client.picks(100);
        let before = client.balancer.tally();
        let seen = client.picks(10_000);
        // Four of twenty: all get their part, the four no more than theirs.
        let tolerance = if matches!(kind, Kind::RingHash(_)) {
            0.35
        } else {
            0.15
        };
        assert_shares(&seen, &[1.0; 20], tolerance, &kind);
        let tally = client.balancer.tally();
        assert_eq!(tally.panicked - before.panicked, 10_000, "{kind:?}");
        assert_eq!(tally.exhausted, before.exhausted, "{kind:?}");
        // One more, and there are enough.
        set.endpoints[0].open();
        client.picks(100);
        let seen = client.picks(1_000);
        assert_eq!(seen[1..16].iter().sum::<usize>(), 0, "{kind:?}: {seen:?}");
        assert_eq!(seen.iter().sum::<usize>(), 1_000);
        let calm = client.balancer.tally();
        client.picks(1_000);
        assert_eq!(client.balancer.tally(), calm, "{kind:?}");
    }
}

/// However few are left: sent to hosts that refuse connects, requests would only come back.
#[test]
fn a_panic_does_not_send_to_those_that_refuse_connects() {
    for kind in kinds() {
        let set = set(20);
        let mut client = Client::new(&of(kind.clone()), &set);
        for n in 0..16 {
            set.endpoints[n].mark_unreachable(client.now);
        }
        // One is ill in another way, and gets its part in the panic.
        set.endpoints[19].busy_until(9 * SECOND);
        client.picks(100);
        let seen = client.picks(1_000);
        assert_eq!(seen[..16].iter().sum::<usize>(), 0, "{kind:?}: {seen:?}");
        assert!(
            seen[16..].iter().all(|count| *count > 0),
            "{kind:?}: {seen:?}"
        );
        let panicked = client.balancer.tally().panicked;
        assert!(panicked >= 1_000, "{kind:?}: {panicked}");
        // All refuse: somebody is asked all the same.
        for n in 16..20 {
            set.endpoints[n].mark_unreachable(client.now);
        }
        assert_eq!(client.picks(100).iter().sum::<usize>(), 100, "{kind:?}");
    }
}

#[test]
fn one_of_two_to_four_is_trusted_by_default() {
    for count in 2..=4 {
        let set = set(count);
        let mut client = Client::new(&of(Kind::P2c), &set);
        (1..count).for_each(|n| set.endpoints[n].busy_until(9 * SECOND));
        client.picks(10);
        assert_eq!(client.picks(100)[0], 100);
    }
}

#[test]
fn a_new_set_is_known_before_its_first_pick() {
    for kind in kinds() {
        for (threshold, panicked) in [(0.0, 0), (0.5, 100)] {
            let set = set(10);
            (0..9).for_each(|n| set.endpoints[n].busy_until(9 * SECOND));
            let mut client = Client::new(&careless(&kind, threshold), &set);
            let seen = client.picks(100);
            assert_eq!(seen[9] == 100, panicked == 0, "{kind:?}: {seen:?}");
            assert_eq!(client.balancer.tally().panicked, panicked, "{kind:?}");
        }
    }
}
