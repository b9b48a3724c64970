//! Least loaded.

use proptest::prelude::*;

use super::*;

fn least(set: &ReplicaSet, weights: &[f64]) -> f64 {
    let loads = set.endpoints.iter().zip(weights);
    let loads = loads.filter(|(e, w)| e.status(SECOND) == Status::Open && **w > 0.0);
    loads
        .map(|(e, w)| f64::from(e.outstanding()) / w)
        .fold(f64::INFINITY, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// While all requests pass through one balancer, its pick is the exact minimum, whatever
    /// begins, ends and dies.
    #[test]
    fn one_shard_picks_the_exact_minimum(
        weights in prop::collection::vec(prop_oneof![Just(1.0), Just(2.0), Just(0.5)], 2..20),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..12), 1..300),
    ) {
        let set = weighted(&weights);
        let config = BalancerConfig { panic_threshold: 0.0, max_effort: 50, ..of(Kind::Heap) };
        let mut client = Client::new(&config, &set);
        let mut running: Vec<Arc<Endpoint>> = Vec::new();
        for (index, step) in steps {
            match step {
                0..6 => {
                    let expected = least(&set, &weights);
                    let endpoint = client.send();
                    let load = f64::from(endpoint.outstanding() - 1) / weights[number(&endpoint)];
                    if expected.is_finite() {
                        prop_assert_eq!(load, expected);
                    }
                    running.push(endpoint);
                }
                6..10 if !running.is_empty() => {
                    let endpoint = running.swap_remove(index.index(running.len()));
                    client.finish(&endpoint, 1);
                }
                10 => set.endpoints[index.index(set.len())].busy_until(9 * SECOND),
                11 => {
                    // Back, and seen to be: the balancer is not told.
                    set.endpoints[index.index(set.len())].open();
                    client.picks(set.len());
                }
                _ => {}
            }
        }
    }

    /// What other shards did is known after a quarter as many picks as there are endpoints.
    #[test]
    fn others_are_caught_up_with(
        loads in prop::collection::vec(0u32..6, 2..60),
        later in prop::collection::vec(0u32..6, 60),
    ) {
        let set = set(loads.len());
        let mut client = Client::new(&of(Kind::Heap), &set);
        for (endpoint, load) in set.endpoints.iter().zip(&loads) {
            (0..*load).for_each(|_| endpoint.begin());
        }
        client.picks(loads.len().div_ceil(4));
        for ((endpoint, load), later) in set.endpoints.iter().zip(&loads).zip(&later) {
            (0..*load).for_each(|_| endpoint.end());
            (0..*later).for_each(|_| endpoint.begin());
        }
        client.picks(loads.len().div_ceil(4));
        let expected = least(&set, &vec![1.0; loads.len()]);
        let picked = client.pick_but(&[]);
        prop_assert_eq!(f64::from(picked.outstanding()), expected);
    }
}

#[test]
fn nobody_is_picked_on_an_outdated_count() {
    let set = set(200);
    let mut client = Client::new(&of(Kind::Heap), &set);
    for _ in 0..190 {
        // Another shard has sent one where this one would go next.
        let next = client.pick_but(&[]);
        next.begin();
        assert_eq!(client.pick_but(&[]).outstanding(), 0);
    }
}

/// Idle ones share the load, and two shards do not go the same way.
#[test]
fn the_idle_come_by_turns() {
    let set = set(10);
    let order = |shard| {
        let place = Place {
            shard,
            shards: 2,
            process_seed: 3,
        };
        let mut client = Client::at(&of(Kind::Heap), &set, place);
        (0..40)
            .map(|_| number(&client.pick_but(&[])))
            .collect::<Vec<_>>()
    };
    let (one, other) = (order(0), order(1));
    assert_ne!(one, other);
    let repeats = one.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(repeats < 8, "{one:?}");
}
