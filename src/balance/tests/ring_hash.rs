//! Ring hash with bounded loads.

use proptest::prelude::*;

use super::*;

fn config(load_factor: f64) -> BalancerConfig {
    of(Kind::RingHash(RingHash {
        load_factor,
        ..RingHash::default()
    }))
}

/// Where each of many hashes goes when nothing is under way.
fn owners(set: &Arc<ReplicaSet>) -> Vec<usize> {
    let mut client = Client::new(&config(1.25), set);
    (0..2_000u64)
        .map(|key| {
            number(
                &client
                    .pick_by(&[], Some(super::super::rng::mix(key)))
                    .unwrap(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    /// A hash moves only to one that joins and only from one that leaves.
    #[test]
    fn changes_move_no_more_than_they_must(
        numbers in prop::collection::btree_set(0usize..500, 2..40),
        change in 500usize..600,
    ) {
        let addrs = || numbers.iter().map(|n| addr(*n));
        let before = Arc::new(ReplicaSet::from_addrs(addrs(), None));
        let joined = addrs().chain([addr(change)]);
        let after = Arc::new(ReplicaSet::from_addrs(joined, Some(&before)));
        let (before, after) = (owners(&before), owners(&after));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        let mut count = 0;
        for (_, to) in moved {
            prop_assert_eq!(*to, change);
            count += 1;
        }
        // Its part of all and, with so few points, up to twice that.
        let part = 2_000 / (numbers.len() + 1);
        prop_assert!(count <= 2 * part + 20, "{} of {}", count, part);
    }

    /// Nobody is given a request beyond its bound, however the hashes fall.
    #[test]
    fn nobody_exceeds_the_bound(
        weights in prop::collection::vec(prop_oneof![Just(1.0), Just(3.0)], 2..20),
        keys in prop::collection::vec(0u64..5, 1..300),
        ends in prop::collection::vec(any::<bool>(), 300),
    ) {
        let set = weighted(&weights);
        let mut client = Client::new(&config(1.25), &set);
        let sum: f64 = weights.iter().sum();
        let mut running = VecDeque::new();
        for (key, end) in keys.iter().zip(ends) {
            let hash = super::super::rng::mix(*key);
            let endpoint = client.pick_by(&[], Some(hash)).unwrap();
            let now = client.now;
            client.balancer.begin(&endpoint, now);
            running.push_back(Arc::clone(&endpoint));
            let part = weights[number(&endpoint)] / sum;
            // Shares are rounded to a millionth: an exact part may be just beyond.
            let bound = (1.25 * running.len() as f64 * part + 0.001).ceil();
            prop_assert!(f64::from(endpoint.outstanding()) <= bound);
            if end {
                let first = running.pop_front().unwrap();
                client.finish(&first, 1);
            }
        }
    }
}

#[test]
fn like_requests_meet() {
    let set = set(50);
    let (one, other) = (owners(&set), owners(&set));
    assert_eq!(one, other, "on every shard and in every process");
    let mut client = Client::new(&config(1.25), &set);
    for _ in 0..100 {
        let picked = client.pick_by(&[], Some(12_345)).unwrap();
        let again = client.pick_by(&[], Some(12_345)).unwrap();
        assert_eq!(picked.addr, again.addr);
    }
}

#[test]
fn a_dead_one_is_passed_over_and_keeps_its_own() {
    let set = set(20);
    let before = owners(&set);
    set.endpoints[7].busy_until(9 * SECOND);
    let during = owners(&set);
    for (before, during) in before.iter().zip(&during) {
        assert!(*during != 7 && (before == during || *before == 7));
    }
    set.endpoints[7].open();
    assert_eq!(owners(&set), before);
}

#[test]
fn one_that_failed_is_passed_over_on_the_retry() {
    let mut client = Client::new(&config(1.25), &set(20));
    for key in 0..100 {
        let hash = super::super::rng::mix(key);
        let first = client.pick_by(&[], Some(hash)).unwrap();
        let second = client.pick_by(&[first.addr], Some(hash)).unwrap();
        let again = client.pick_by(&[first.addr], Some(hash)).unwrap();
        assert_ne!(first.addr, second.addr);
        assert_eq!(second.addr, again.addr, "a retry has its own place, too");
    }
}

#[test]
fn without_a_hash_two_choices_decide() {
    let set = set(5);
    for (n, endpoint) in set.endpoints.iter().enumerate() {
        (0..n).for_each(|_| endpoint.begin());
    }
    let mut client = Client::new(&config(1.25), &set);
    let mut seen = [0; 5];
    for _ in 0..10_000 {
        seen[number(&client.pick_by(&[], None).unwrap())] += 1;
    }
    assert_eq!(seen[4], 0);
    assert!((3_800..4_200).contains(&seen[0]), "{seen:?}");
}

#[test]
fn a_popular_hash_spreads() {
    let mut client = Client::new(&config(1.25), &set(10));
    for _ in 0..200 {
        let endpoint = client.pick_by(&[], Some(77)).unwrap();
        let now = client.now;
        client.balancer.begin(&endpoint, now);
    }
    let most = client
        .balancer
        .set()
        .endpoints
        .iter()
        .map(|e| e.outstanding())
        .max();
    assert_eq!(most, Some(25));
}

#[test]
fn a_large_set_has_a_point_each() {
    let seen = owners(&set(140_000));
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 1_900, "{}", distinct.len());
}
