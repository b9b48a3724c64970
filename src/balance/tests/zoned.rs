//! Zones.

use super::*;

fn zoned(zones: &[(&str, usize)]) -> Arc<ReplicaSet> {
    let zones = zones
        .iter()
        .flat_map(|(zone, count)| std::iter::repeat_n(*zone, *count));
    let replica = |(n, zone): (usize, &str)| Replica {
        addr: addr(n),
        weight: 1.0,
        zone: (!zone.is_empty()).then(|| Arc::from(zone)),
    };
    Arc::new(ReplicaSet::from_replicas(
        zones.enumerate().map(replica),
        None,
    ))
}

fn prefer(kind: &Kind, zone: &str) -> BalancerConfig {
    BalancerConfig {
        prefer_zone: Some(Arc::from(zone)),
        ..of(kind.clone())
    }
}

/// Picks by zone, for endpoints that are numbered zone by zone.
fn by_zone(seen: &[usize], sizes: &[usize]) -> Vec<usize> {
    let mut rest = seen;
    let sum = |size: &usize| {
        let (zone, others) = rest.split_at(*size);
        rest = others;
        zone.iter().sum()
    };
    sizes.iter().map(sum).collect()
}

#[test]
fn the_own_zone_takes_all_if_it_is_large_enough() {
    for kind in kinds() {
        let set = zoned(&[("a", 4), ("b", 4)]);
        let mut client = Client::new(&prefer(&kind, "b"), &set);
        assert_eq!(
            by_zone(&client.picks(4_000), &[4, 4]),
            [0, 4_000],
            "{kind:?}"
        );
        let mut without = Client::new(&of(kind.clone()), &set);
        let seen = by_zone(&without.picks(4_000), &[4, 4]);
        assert_shares(&seen, &[1.0, 1.0], 0.25, &kind);
    }
}

#[test]
fn a_small_zone_spills_over_to_where_there_is_room() {
    for kind in kinds() {
        let set = zoned(&[("a", 2), ("b", 4), ("c", 6)]);
        let mut client = Client::new(&prefer(&kind, "a"), &set);
        let seen = by_zone(&client.picks(20_000), &[2, 4, 6]);
        assert_eq!(seen[1], 0, "{kind:?}");
        assert_shares(&[seen[0], seen[2]], &[1.0, 1.0], 0.05, &kind);
    }
}

#[test]
fn the_ill_take_their_part_along() {
    for kind in kinds() {
        let set = zoned(&[("a", 4), ("b", 4)]);
        let mut client = Client::new(&prefer(&kind, "a"), &set);
        (0..2).for_each(|n| set.endpoints[n].busy_until(9 * SECOND));
        client.picks(50);
        // Two at home, four elsewhere: home keeps two thirds.
        let seen = by_zone(&client.picks(30_000), &[4, 4]);
        assert_shares(&seen, &[2.0, 1.0], 0.05, &kind);
        (2..4).for_each(|n| set.endpoints[n].busy_until(9 * SECOND));
        client.picks(50);
        assert_eq!(
            by_zone(&client.picks(1_000), &[4, 4]),
            [0, 1_000],
            "{kind:?}"
        );
        client.now = 9 * SECOND;
        client.picks(50);
        assert_eq!(
            by_zone(&client.picks(1_000), &[4, 4]),
            [1_000, 0],
            "{kind:?}"
        );
    }
}

#[test]
fn in_a_panic_zones_count_with_all_that_they_have() {
    for kind in kinds() {
        let set = zoned(&[("a", 5), ("b", 5)]);
        let mut client = Client::new(&prefer(&kind, "a"), &set);
        (0..9).for_each(|n| set.endpoints[n].busy_until(9 * SECOND));
        client.picks(100);
        let seen = client.picks(10_000);
        assert!(
            seen[..5].iter().all(|count| *count > 1_000),
            "{kind:?}: {seen:?}"
        );
        assert_eq!(seen[5..].iter().sum::<usize>(), 0, "{kind:?}");
    }
}

#[test]
fn a_retry_leaves_a_zone_that_has_nobody_else() {
    for kind in kinds() {
        let set = zoned(&[("a", 1), ("b", 1), ("", 1)]);
        let mut client = Client::new(&prefer(&kind, "a"), &set);
        assert_eq!(client.picks(100), [100, 0, 0], "{kind:?}");
        let seen = client.picks_but(1_000, &[addr(0)]);
        assert!(
            seen[0] == 0 && seen[1] > 300 && seen[2] > 300,
            "{kind:?}: {seen:?}"
        );
        assert_eq!(
            client.picks_but(100, &[addr(0), addr(1)]),
            [0, 0, 100],
            "{kind:?}"
        );
        assert_eq!(client.picks(100), [100, 0, 0], "{kind:?}");
    }
}

/// If every zone's proxies follow the rule, every endpoint gets the same.
#[test]
fn all_zones_together_load_all_endpoints_evenly() {
    for kind in kinds() {
        let sizes = [3, 5, 8, 4];
        let set = zoned(&[("a", 3), ("b", 5), ("c", 8), ("d", 4)]);
        let mut seen = vec![0; 20];
        for zone in ["a", "b", "c", "d"] {
            let picks = Client::new(&prefer(&kind, zone), &set).picks(50_000);
            seen.iter_mut()
                .zip(picks)
                .for_each(|(seen, picks)| *seen += picks);
        }
        let expected = sizes.map(|size| size as f64);
        assert_shares(&by_zone(&seen, &sizes), &expected, 0.04, &kind);
    }
}

/// Zones without number do not make a pick walk over them all.
#[test]
fn zones_beyond_a_limit_are_one() {
    let names: Vec<String> = (0..100).map(|n| format!("zone{n}")).collect();
    let zones: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
    for home in ["zone3", "zone99", "elsewhere"] {
        let mut client = Client::new(&prefer(&Kind::P2c, home), &zoned(&zones));
        assert!(
            client.balancer.groups().len() <= 34,
            "{}",
            client.balancer.groups().len()
        );
        let seen = client.picks(20_000);
        if home == "elsewhere" {
            assert!(
                seen.iter().filter(|count| **count > 0).count() > 100,
                "{seen:?}"
            );
        } else {
            let own = names.iter().position(|name| name == home).unwrap();
            assert!(seen[2 * own] > 100 && seen[2 * own + 1] > 100, "{seen:?}");
        }
    }
}

#[test]
fn an_aperture_survives_its_zone() {
    let kind = Kind::Aperture(Aperture::default());
    let first = zoned(&[("a", 10), ("b", 10)]);
    let mut client = Client::new(&prefer(&kind, "a"), &first);
    let sent: Vec<_> = (0..60)
        .map(|_| {
            client.now += SECOND / 2;
            client.send()
        })
        .collect();
    let wide = client.balancer.aperture();
    assert!(wide > 5, "{wide}");
    // The zone shrinks, then is gone.
    let kept = ReplicaSet::from_addrs((5..20).map(addr), Some(&first));
    client.balancer.update(Arc::new(kept), client.now);
    assert!(client.balancer.aperture() >= 5);
    let kept = ReplicaSet::from_addrs((10..20).map(addr), Some(client.balancer.set()));
    client.balancer.update(Arc::new(kept), client.now);
    for endpoint in sent {
        client.finish(&endpoint, 1);
    }
    assert!(first.endpoints.iter().all(|e| e.outstanding() == 0));
    assert!(number(&client.pick_but(&[])) >= 10);
}
