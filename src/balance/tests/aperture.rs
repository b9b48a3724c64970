//! Apertures of several shards over one set.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn shards(count: usize, set: &Arc<ReplicaSet>, kind: &Kind, process_seed: u64) -> Vec<Client> {
    let client = |shard| {
        let place = Place {
            shard,
            shards: count,
            process_seed,
        };
        Client::at(&of(kind.clone()), set, place)
    };
    (0..count).map(client).collect()
}

/// What a run has used.
struct Used {
    /// Pairs of shard and endpoint.
    pairs: BTreeSet<(usize, usize)>,
    /// Requests by endpoint.
    seen: Vec<usize>,
}

/// Runs so many requests, `under_way` of them at a time over all shards, each taking as long as
/// chance has it.
fn run(shards: &mut [Client], requests: usize, under_way: usize, settle: usize) -> Used {
    let endpoints = shards[0].balancer.set().len();
    let mut used = Used {
        pairs: BTreeSet::new(),
        seen: vec![0; endpoints],
    };
    let mut rng = Rng::new(77);
    // By the time of their end.
    let mut running: BTreeMap<(u64, usize), (usize, Arc<Endpoint>)> = BTreeMap::new();
    let mut now = SECOND;
    for n in 0..requests {
        if running.len() >= under_way {
            let ((end, _), (shard, endpoint)) = running.pop_first().unwrap();
            now = end;
            shards[shard].now = now;
            shards[shard].finish(&endpoint, 1);
        }
        let shard = n % shards.len();
        shards[shard].now = now;
        let endpoint = shards[shard].send();
        if n >= settle {
            used.pairs.insert((shard, number(&endpoint)));
            used.seen[number(&endpoint)] += 1;
        }
        running.insert((now + SECOND / 2 + rng.below(SECOND), n), (shard, endpoint));
    }
    used
}

/// At a moderate load a process of eight shards touches little more than one shard would.
#[test]
fn shards_share_out_the_set() {
    let kind = Kind::Aperture(Aperture::default());
    for under_way in [100, 400, 1_200] {
        let all = set(1_000);
        let one = run(&mut shards(1, &all, &kind, 9), 60_000, under_way, 30_000);
        let all = set(1_000);
        let eight = run(&mut shards(8, &all, &kind, 9), 60_000, under_way, 30_000);
        let (one, eight) = (one.pairs.len(), eight.pairs.len());
        assert!(
            eight <= 4 * one && one >= 40,
            "{under_way}: {eight} to {one}"
        );
    }
}

#[test]
fn windows_that_cover_the_set_load_it_evenly() {
    let kind = Kind::Aperture(Aperture::default());
    let all = set(200);
    let mut eight = shards(8, &all, &kind, 1 << 60);
    let used = run(&mut eight, 250_000, 600, 50_000);
    let pairs = used.pairs.len();
    // Each endpoint is in several windows, and none is in all: what follows is no mere p2c.
    assert!(pairs > 200 && pairs < 8 * 200, "{pairs}");
    assert_shares(&used.seen, &[1.0; 200], 0.05, &pairs);
}

#[test]
fn weights_hold_within_windows() {
    let kind = Kind::Aperture(Aperture::default());
    let weights: Vec<f64> = (0..100)
        .map(|n| if n % 4 == 0 { 3.0 } else { 1.0 })
        .collect();
    let all = weighted(&weights);
    let mut four = shards(4, &all, &kind, 3 << 59);
    let used = run(&mut four, 200_000, 200, 50_000);
    assert_shares(&used.seen, &weights, 0.1, &used.pairs.len());
}

/// A fleet, each process at its own place, does not crowd.
#[test]
fn processes_stand_apart() {
    let kind = Kind::Aperture(Aperture::default());
    let all = set(100);
    let mut seen = vec![0; 100];
    for process in 0..50u64 {
        let seed = process.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for mut shard in shards(2, &all, &kind, seed) {
            seen[number(&shard.pick_but(&[]))] += 1;
        }
    }
    // A hundred windows of one: nobody has more than two, and few have none.
    let most = seen.iter().max().unwrap();
    let none = seen.iter().filter(|count| **count == 0).count();
    assert!(*most <= 2 && none <= 30, "{none} {seen:?}");
}

#[test]
fn widens_under_load_and_narrows_again() {
    let kind = Kind::Aperture(Aperture::default());
    let all = set(100);
    let mut client = Client::new(&of(kind), &all);
    assert_eq!(client.balancer.aperture(), 1);
    assert_eq!(
        client.picks(500).iter().filter(|count| **count > 0).count(),
        1
    );
    let mut busy = Vec::new();
    for _ in 0..100 {
        client.now += SECOND;
        busy.push(client.send());
    }
    let wide = client.balancer.aperture();
    assert!((40..=60).contains(&wide), "{wide}");
    // An update forgets nothing of that.
    let next = ReplicaSet::from_addrs((0..101).map(addr), Some(&all));
    client.balancer.update(Arc::new(next), client.now);
    assert_eq!(client.balancer.aperture(), wide);
    for endpoint in &busy {
        client.now += SECOND;
        client.finish(endpoint, SECOND);
    }
    for _ in 0..100 {
        client.now += SECOND;
        let endpoint = client.send();
        client.now += SECOND / 10;
        client.finish(&endpoint, 1);
    }
    assert_eq!(client.balancer.aperture(), 1);
}

#[test]
fn a_dead_window_moves_on() {
    let kind = Kind::Aperture(Aperture::default());
    let all = set(50);
    let mut client = Client::new(&of(kind), &all);
    let mut order = Vec::new();
    for _ in 0..10 {
        let endpoint = client.pick_but(&[]);
        assert!(!order.contains(&endpoint.addr));
        order.push(endpoint.addr);
        endpoint.busy_until(9 * SECOND);
    }
    assert_eq!(client.balancer.tally(), Tally::default());
    client.now = 9 * SECOND;
    client.picks(50);
    assert_eq!(client.pick_but(&[]).addr, order[0], "back where it was");
}

/// Requests that were under way when their endpoints left are not counted for ever.
#[test]
fn those_that_left_take_their_requests_along() {
    for home in [None, Some(Arc::from("a"))] {
        let replica = |n| Replica {
            addr: addr(n),
            weight: 1.0,
            zone: Some(Arc::from(if n < 50 { "a" } else { "b" })),
        };
        let config = BalancerConfig {
            prefer_zone: home,
            ..of(Kind::Aperture(Aperture::default()))
        };
        let first = Arc::new(ReplicaSet::from_replicas((0..100).map(replica), None));
        let mut client = Client::new(&config, &first);
        let mut busy = Vec::new();
        for _ in 0..60 {
            client.now += SECOND;
            busy.push(client.send());
        }
        let left = |n: &usize| busy.iter().all(|endpoint| endpoint.addr != addr(*n));
        let next: Vec<_> = (0..100).filter(left).map(replica).collect();
        let next = ReplicaSet::from_replicas(next, Some(&first));
        client.balancer.update(Arc::new(next), client.now);
        assert!(client.balancer.aperture() > 20);
        for endpoint in &busy {
            client.finish(endpoint, SECOND);
        }
        for _ in 0..100 {
            client.now += SECOND;
            let endpoint = client.send();
            client.now += SECOND / 10;
            client.finish(&endpoint, 1);
        }
        let narrow = client.balancer.aperture();
        // The least of one zone, or of both.
        assert!(narrow <= client.balancer.groups().len(), "{narrow}");
    }
}
