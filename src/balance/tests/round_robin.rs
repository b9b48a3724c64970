//! Round robin.

use super::*;

#[test]
fn equals_come_in_a_circle() {
    let mut client = Client::new(&of(Kind::RoundRobin), &set(7));
    let order: Vec<_> = (0..70).map(|_| number(&client.pick_but(&[]))).collect();
    for (at, number) in order.iter().enumerate() {
        assert_eq!(*number, (order[0] + at) % 7);
    }
}

#[test]
fn shards_start_at_different_places() {
    let set = set(8);
    let first = |shard| {
        let place = Place {
            shard,
            shards: 4,
            process_seed: 1,
        };
        number(&Client::at(&of(Kind::RoundRobin), &set, place).pick_but(&[]))
    };
    let mut firsts: Vec<_> = (0..4).map(first).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 2, 4, 6]);
}

#[test]
fn weights_are_exact_and_mixed() {
    let weights = [5.0, 1.0, 1.0];
    let mut client = Client::new(&of(Kind::RoundRobin), &weighted(&weights));
    let order: Vec<_> = (0..70).map(|_| number(&client.pick_but(&[]))).collect();
    for round in order.chunks(7) {
        let count = |n| round.iter().filter(|other| **other == n).count();
        // Rounding may move one across the end of a round.
        for (n, expected) in [5usize, 1, 1].into_iter().enumerate() {
            assert!(count(n).abs_diff(expected) <= 1, "{order:?}");
        }
    }
    let longest = order.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    assert!(longest <= Some(3), "{order:?}");
}

#[test]
fn one_that_is_dead_loses_its_turns_only() {
    let set = set(4);
    let mut client = Client::new(&of(Kind::RoundRobin), &set);
    client.picks(6);
    set.endpoints[2].busy_until(9 * SECOND);
    assert_eq!(client.picks(300), [100, 100, 0, 100]);
    client.now = 9 * SECOND;
    let seen = client.picks(400);
    assert!(
        seen.iter().all(|count| (98..=102).contains(count)),
        "no turns in arrears: {seen:?}"
    );
}

/// Sets that change often must not send every first request to the same few.
#[test]
fn an_update_goes_on_where_it_was() {
    let mut client = Client::new(&of(Kind::RoundRobin), &set(20));
    let mut seen = [0usize; 21];
    for round in 0..200 {
        let extra = (round % 2 == 0).then(|| addr(20));
        let addrs = (0..20).map(addr).chain(extra);
        let next = ReplicaSet::from_addrs(addrs, Some(client.balancer.set()));
        client.balancer.update(Arc::new(next), client.now);
        for _ in 0..3 {
            seen[number(&client.pick_but(&[]))] += 1;
        }
    }
    let even = seen[..20].iter().all(|count| (24..=31).contains(count));
    assert!(even, "{seen:?}");
}
