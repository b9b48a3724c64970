//! What every kind promises.

use super::*;

#[test]
fn none_of_none_and_one_of_one() {
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &set(0));
        assert!(client.pick_by(&[], Some(1)).is_none(), "{kind:?}");
        client.balancer.update(set(1), SECOND);
        client.balancer.set().endpoints[0].close();
        assert_eq!(client.picks_but(100, &[addr(0)]), [100], "{kind:?}");
        client.balancer.update(set(0), SECOND);
        assert!(client.pick_by(&[], Some(1)).is_none(), "{kind:?}");
    }
}

#[test]
fn idle_equals_get_the_same() {
    for kind in kinds() {
        let seen = Client::new(&of(kind.clone()), &set(8)).picks(32_000);
        // Even points on a ring are not quite evenly spaced.
        let tolerance = if matches!(kind, Kind::RingHash(_)) {
            0.25
        } else {
            0.06
        };
        assert_shares(&seen, &[1.0; 8], tolerance, &kind);
    }
}

#[test]
fn weights_share_out_the_traffic_when_idle() {
    let weights = [1.0, 3.0, 0.0, 6.0];
    for kind in kinds() {
        let seen = Client::new(&of(kind.clone()), &weighted(&weights)).picks(100_000);
        let tolerance = if matches!(kind, Kind::RingHash(_)) {
            0.25
        } else {
            0.05
        };
        assert_shares(&seen, &weights, tolerance, &kind);
    }
}

#[test]
fn weights_share_out_the_traffic_under_load() {
    let weights: Vec<f64> = (0..20).map(|n| [1.0, 2.0, 5.0, 0.5][n % 4]).collect();
    for kind in kinds() {
        let seen = Client::new(&of(kind.clone()), &weighted(&weights)).steady(60_000, 400);
        assert_shares(&seen, &weights, 0.2, &kind);
    }
}

#[test]
fn load_stays_even() {
    // What the theory of two choices promises, and the others all the more: the most loaded has
    // little more than the mean. A ring keeps its bound instead.
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &set(50));
        let mut sent = Vec::new();
        for _ in 0..50 * 40 {
            sent.push(client.send());
        }
        let most = client
            .balancer
            .set()
            .endpoints
            .iter()
            .map(|e| e.outstanding())
            .max()
            .unwrap();
        let bound = if matches!(kind, Kind::RingHash(_)) {
            50
        } else {
            44
        };
        assert!(most <= bound, "{kind:?}: {most}");
    }
}

#[test]
fn excluded_ones_are_avoided_while_there_are_others() {
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &set(3));
        for n in 0..3 {
            let seen = client.picks_but(2_000, &[addr(n)]);
            assert_eq!(seen[n], 0, "{kind:?}");
            assert!(
                seen.iter().filter(|count| **count > 600).count() == 2,
                "{kind:?} {seen:?}"
            );
            let two = [addr(n), addr((n + 1) % 3), addr(n)];
            assert_eq!(client.picks_but(100, &two)[(n + 2) % 3], 100, "{kind:?}");
        }
        let all = [addr(0), addr(1), addr(2)];
        assert_eq!(
            client.picks_but(100, &all).iter().sum::<usize>(),
            100,
            "{kind:?}"
        );
        assert_eq!(
            client.picks_but(100, &[addr(9)]).iter().sum::<usize>(),
            100,
            "{kind:?}"
        );
        // And are back afterwards.
        assert!(
            client.picks(300).iter().all(|count| *count > 50),
            "{kind:?}"
        );
    }
}

#[test]
fn the_last_of_too_many_excluded_count() {
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &set(40));
        let excluded: Vec<_> = (0..30).map(addr).collect();
        let seen = client.picks_but(4_000, &excluded);
        assert_eq!(
            seen[30 - MAX_EXCLUDED..30].iter().sum::<usize>(),
            0,
            "{kind:?}"
        );
    }
}

/// One of great weight is excluded: whoever is left is found, however rarely it would be drawn.
#[test]
fn a_light_one_is_found_beside_an_excluded_heavy_one() {
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &weighted(&[1e6, 1.0, 0.0]));
        assert_eq!(client.picks_but(100, &[addr(0)]), [0, 100, 0], "{kind:?}");
        // Rather one that should get nothing than one that has just failed.
        let seen = client.picks_but(100, &[addr(0), addr(1)]);
        assert_eq!(seen, [0, 0, 100], "{kind:?}");
    }
}

#[test]
fn an_update_is_followed_at_once() {
    for kind in kinds() {
        let config = of(kind.clone());
        let first = set(10);
        let mut client = Client::new(&config, &first);
        let running: Vec<_> = (0..100).map(|_| client.send()).collect();
        let addrs = (0..20).filter(|n| n % 2 == 0).map(addr);
        let second = Arc::new(ReplicaSet::from_addrs(addrs, Some(&first)));
        client.balancer.update(Arc::clone(&second), client.now);
        assert!(client.balancer.has(addr(18)) && !client.balancer.has(addr(1)));
        // Requests that began before end as they should, at those that left too.
        for endpoint in &running {
            client.finish(endpoint, 1_000_000);
        }
        assert!(
            first.endpoints.iter().all(|e| e.outstanding() == 0),
            "{kind:?}"
        );
        let mut seen = [0; 20];
        for _ in 0..2_000 {
            seen[number(&client.pick_but(&[]))] += 1;
        }
        for (n, count) in seen.iter().enumerate() {
            assert_eq!(*count > 0, n % 2 == 0, "{kind:?}: {n} {seen:?}");
        }
    }
}

#[test]
fn ends_are_counted_by_outcome() {
    for kind in kinds() {
        let mut client = Client::new(&of(kind.clone()), &set(1));
        for outcome in [
            Outcome::Success,
            Outcome::Failure,
            Outcome::Failure,
            Outcome::Abandoned,
        ] {
            let endpoint = client.send();
            client.balancer.end(&endpoint, outcome, 5, client.now);
        }
        let endpoint = &client.balancer.set().endpoints[0];
        assert_eq!(
            (endpoint.successes(), endpoint.failures()),
            (1, 2),
            "{kind:?}"
        );
        assert_eq!(
            (endpoint.total(), endpoint.outstanding()),
            (4, 0),
            "{kind:?}"
        );
    }
}

/// Shards of one process, each with its own balancer, share what they know of load.
#[test]
fn shards_balance_as_one() {
    for kind in kinds() {
        let set = set(20);
        let config = of(kind.clone());
        let shard = |shard| {
            let place = Place {
                shard,
                shards: 4,
                process_seed: 99,
            };
            Client::at(&config, &set, place)
        };
        let mut shards: Vec<Client> = (0..4).map(shard).collect();
        for round in 0..800 {
            shards[round % 4].send();
        }
        let most = set.endpoints.iter().map(|e| e.outstanding()).max().unwrap();
        let bound = match kind {
            Kind::RingHash(_) => 52,
            // Each goes its round without a look at the load.
            Kind::RoundRobin => 40,
            _ => 44,
        };
        assert!(most <= bound, "{kind:?}: {most}");
    }
}

/// Shards on threads of their own, while health changes under them: every request is counted once,
/// and its end takes it back.
#[test]
fn threads_share_endpoints() {
    for kind in kinds() {
        let set = set(30);
        let config = of(kind);
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let (set, config) = (&set, &config);
                scope.spawn(move || {
                    let place = Place {
                        shard,
                        shards: 4,
                        process_seed: 1,
                    };
                    let mut client = Client::at(config, set, place);
                    for round in 0..40 {
                        client.steady(50, 20);
                        let endpoint = &set.endpoints[(7 * round + shard) % 30];
                        if round % 3 == 0 {
                            endpoint.open();
                        } else {
                            endpoint.busy_until(client.now + 100_000);
                        }
                    }
                });
            }
        });
        let total: u64 = set.endpoints.iter().map(|e| e.total()).sum();
        assert_eq!(total, 4 * 40 * 50, "{:?}", config.kind);
        assert!(set.endpoints.iter().all(|e| e.outstanding() == 0));
        let judged: u64 = set.endpoints.iter().map(|e| e.successes()).sum();
        assert_eq!(judged, total);
    }
}
