//! Endpoints that join warm up; the first ones, and those that stay, do not.

use super::*;

fn config(kind: &Kind) -> BalancerConfig {
    BalancerConfig {
        slow_start: Some(Duration::from_secs(10)),
        ..of(kind.clone())
    }
}

/// Kinds that draw by share. A ring is bound by load and not by share: see its own test.
fn by_share() -> impl Iterator<Item = Kind> {
    kinds()
        .into_iter()
        .filter(|kind| !matches!(kind, Kind::RingHash(_)))
}

#[test]
fn the_first_set_starts_at_once() {
    for kind in by_share() {
        let seen = Client::new(&config(&kind), &set(4)).picks(8_000);
        assert_shares(&seen, &[1.0; 4], 0.08, &kind);
    }
}

#[test]
fn a_joining_one_grows_with_its_age() {
    for kind in by_share() {
        let first = set(3);
        let mut client = Client::new(&config(&kind), &first);
        client.picks(100);
        let next = ReplicaSet::from_addrs((0..4).map(addr), Some(&first));
        client.balancer.update(Arc::new(next), client.now);
        let born = client.now;
        for (age, part) in [(0, 0.1), (1, 0.1), (3, 0.3), (5, 0.5), (9, 0.9), (10, 1.0)] {
            client.now = born + age * SECOND;
            // Its turn that was set by an earlier share comes late.
            client.picks(100);
            let seen = client.picks(40_000);
            assert_shares(&seen, &[1.0, 1.0, 1.0, part], 0.08, &(&kind, age));
        }
    }
}

#[test]
fn many_join_few() {
    for kind in by_share() {
        let first = set(1);
        let mut client = Client::new(&config(&kind), &first);
        let next = ReplicaSet::from_addrs((0..41).map(addr), Some(&first));
        client.balancer.update(Arc::new(next), client.now);
        client.now += 2 * SECOND;
        client.picks(500);
        let seen = client.picks(40_000);
        // One against forty fifths.
        let expected = 40_000.0 / 9.0;
        let error = (seen[0] as f64 / expected - 1.0).abs();
        assert!(error < 0.1, "{kind:?}: {} for {expected}", seen[0]);
    }
}

#[test]
fn without_slow_start_a_joining_one_is_like_the_others() {
    for kind in by_share() {
        let first = set(3);
        let mut client = Client::new(&of(kind.clone()), &first);
        let next = ReplicaSet::from_addrs((0..4).map(addr), Some(&first));
        client.balancer.update(Arc::new(next), client.now);
        client.picks(100);
        assert_shares(&client.picks(20_000), &[1.0; 4], 0.08, &kind);
    }
}

/// Under load, too, it gets less: it does not win every comparison for being idle.
#[test]
fn a_joining_one_is_spared_under_load() {
    for kind in [Kind::P2c, Kind::Heap] {
        let first = set(9);
        let mut client = Client::new(&config(&kind), &first);
        let next = ReplicaSet::from_addrs((0..10).map(addr), Some(&first));
        client.balancer.update(Arc::new(next), client.now);
        let seen = client.steady(20_000, 200);
        assert!(seen[9] < 700 && seen[9] > 100, "{kind:?}: {seen:?}");
    }
}

#[test]
fn a_joining_one_has_a_lower_bound_on_a_ring() {
    let kind = Kind::RingHash(RingHash::default());
    let first = set(9);
    let mut client = Client::new(&config(&kind), &first);
    let next = ReplicaSet::from_addrs((0..10).map(addr), Some(&first));
    client.balancer.update(Arc::new(next), client.now);
    for _ in 0..500 {
        client.send();
    }
    let loads: Vec<_> = client
        .balancer
        .set()
        .endpoints
        .iter()
        .map(|e| e.outstanding())
        .collect();
    // A tenth of a tenth, roughly, and a quarter more.
    assert!(loads[9] <= 7, "{loads:?}");
}

/// In a large set, too, those that have grown up are seen to have in time.
#[test]
fn the_young_are_looked_at_first() {
    let first = set(2_000);
    let mut client = Client::new(&config(&Kind::RoundRobin), &first);
    let next = ReplicaSet::from_addrs((0..2_020).map(addr), Some(&first));
    client.balancer.update(Arc::new(next), client.now);
    client.now += 10 * SECOND;
    client.picks(10);
    let shares = client.balancer.groups()[0].roster.shares();
    assert_eq!(shares.total(), 2_020 * shares.get(0));
}
