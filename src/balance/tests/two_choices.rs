//! Power of two choices.

use super::super::rng::scale;
use super::*;

fn client(set: &Arc<ReplicaSet>) -> Client {
    Client::new(&of(Kind::P2c), set)
}

fn load(set: &ReplicaSet, outstanding: &[u32]) {
    for (endpoint, &n) in set.endpoints.iter().zip(outstanding) {
        (0..n).for_each(|_| endpoint.begin());
    }
}

#[test]
fn the_two_are_distinct() {
    // Always the same random bits: without care both would be the same replica, and the idle one
    // would lose.
    for n in 2..9 {
        let set = set(n);
        for random in [0, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let first = scale(random, n);
            set.endpoints[first].begin();
            let picked = client(&set).balancer.pick(Pick {
                now_ns: SECOND,
                random: &mut || random,
                excluded: &[],
                hash: None,
            });
            assert_ne!(number(&picked.unwrap()), first);
            set.endpoints[first].end();
        }
    }
}

#[test]
fn every_ordered_pair_is_as_likely() {
    let set = set(4);
    let mut client = client(&set);
    let mut rng = Rng::new(1);
    let mut seen = [[0u32; 4]; 4];
    for _ in 0..12_000 {
        let mut drawn = Vec::new();
        let mut random = || {
            drawn.push(rng.next_u64());
            drawn[drawn.len() - 1]
        };
        client.balancer.pick(Pick {
            now_ns: SECOND,
            random: &mut random,
            excluded: &[],
            hash: None,
        });
        assert_eq!(drawn.len(), 2);
        let (first, second) = (scale(drawn[0], 4), scale(drawn[1], 3));
        seen[first][second + usize::from(second >= first)] += 1;
    }
    for (i, row) in seen.iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            let expected = if i == j { 0..1 } else { 850..1_150 };
            assert!(expected.contains(&count), "{seen:?}");
        }
    }
}

#[test]
fn the_most_loaded_is_never_picked() {
    let set = set(5);
    load(&set, &[1, 1, 9, 1, 0]);
    let seen = client(&set).picks(10_000);
    assert_eq!(seen[2], 0);
    // The idle one wins every pair that it is in: 2 of 5.
    assert!((3_800..4_200).contains(&seen[4]), "{seen:?}");
}

#[test]
fn load_counts_for_its_weight() {
    let set = weighted(&[1.0, 10.0]);
    // Five for a weight of ten are less than one for a weight of one.
    load(&set, &[1, 5]);
    assert_eq!(client(&set).picks(1_000)[0], 0);
}

#[test]
fn the_healthier_goes_before_the_idle() {
    let set = set(2);
    load(&set, &[7, 0]);
    let mut client = client(&set);
    set.endpoints[1].mark_unreachable(client.now);
    assert_eq!(client.picks(100), [100, 0]);
    client.now += UNREACHABLE_FOR_NS;
    assert_eq!(client.picks(100), [0, 100]);
}

#[test]
fn needs_no_more_than_two_draws_when_all_are_well() {
    for kind in [Kind::P2c, kinds()[1].clone(), kinds()[2].clone()] {
        let set = weighted(&[1.0, 2.0, 3.0]);
        let mut client = Client::new(&of(kind), &set);
        let mut draws = 0;
        for _ in 0..100 {
            client.balancer.pick(Pick {
                now_ns: SECOND,
                random: &mut || {
                    draws += 1;
                    client.rng.next_u64()
                },
                excluded: &[],
                hash: None,
            });
        }
        assert_eq!(draws, 200);
    }
}
