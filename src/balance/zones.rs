//! Which zone gets a request.
//!
//! A request that stays in its zone is faster and costs nothing. But if every proxy sent all to its
//! own zone, the endpoints of a small zone would drown while those of a large one idled. How much
//! the proxies of other zones send nobody tells this one, so it assumes what holds of a service
//! that is spread over zones for its own safety: every zone sends equally much. Let there be `Z`
//! zones, `L` the capacity (the sum of shares of open endpoints) of the local one and `W` that of
//! all. A zone sends `1/Z` of all requests, and its endpoints should get `L/W` of them: so the local
//! zone keeps `min(1, Z·L/W)` of what arises in it. The rest goes where there is room: to the zones
//! that have more than their own will need, in proportion to that surplus, `Z·T − W` for a zone of
//! capacity `T`. If all zones do so, every endpoint everywhere gets exactly as much for its weight
//! as without zones; and no more requests cross a border than that takes. (Envoy's zone-aware
//! routing rests on the same sum, with the proxies' distribution told to it.)
//!
//! Endpoints that fall ill take their capacity with them: spilling over is the same rule.

use super::rng::scale;

/// The index of the zone for a request that arises in zone `local`, by 64 random bits; `None` if no
/// zone has any capacity.
///
/// * `capacities`: of each zone that has endpoints, in the unit of shares.
/// * `local`: the index of the request's own zone among them; `None` if it has no endpoints.
pub(super) fn choose(
    capacities: impl Iterator<Item = u64> + Clone,
    local: Option<usize>,
    random: u64,
) -> Option<usize> {
    let all: u128 = capacities.clone().map(u128::from).sum();
    let zones = capacities.clone().count() as u128 + u128::from(local.is_none());
    let need = |capacity: u64| zones * u128::from(capacity);
    let at_home = local
        .and_then(|local| capacities.clone().nth(local))
        .map_or(0, need);
    if all == 0 {
        return None;
    }
    // Of `all` points, the first `at_home` are the local zone's.
    let point = scale(random, all as usize) as u128;
    if point < at_home {
        return local;
    }
    let others = |index: &usize| Some(*index) != local;
    let surplus = |capacity| need(capacity).saturating_sub(all);
    let surpluses = capacities.enumerate().filter(|(i, _)| others(i));
    let sum: u128 = surpluses.clone().map(|(_, t)| surplus(t)).sum();
    // The remaining points, spread over the surpluses. Both are below 2^84 or so in any set that
    // fits into memory, yet their product may not fit: the fraction is exact enough.
    let fraction = (point - at_home) as f64 / (all - at_home) as f64;
    let mut left = (fraction * sum as f64) as u128;
    let mut last = None;
    for (index, capacity) in surpluses.filter(|(_, t)| surplus(*t) > 0) {
        last = Some(index);
        if left < surplus(capacity) {
            break;
        }
        left -= surplus(capacity);
    }
    last.or(local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How the requests of a zone are shared out, by many evenly spaced random numbers.
    fn shares(capacities: &[u64], local: Option<usize>) -> Vec<f64> {
        const N: u64 = 20_000;
        let mut seen = vec![0.0; capacities.len()];
        for k in 0..N {
            let random = u64::MAX / N * k + u64::MAX / N / 2;
            let capacities = capacities.iter().copied();
            seen[choose(capacities, local, random).unwrap()] += 1.0 / N as f64;
        }
        seen
    }

    #[test]
    fn follows_the_rule() {
        type Case<'a> = (&'a [u64], Option<usize>, &'a [f64]);
        let cases: [Case; 9] = [
            (&[10], Some(0), &[1.0]),
            (&[10, 10], Some(0), &[1.0, 0.0]),
            (&[30, 10], Some(0), &[1.0, 0.0]),
            // A quarter of the capacity, where half of the requests arise.
            (&[30, 10], Some(1), &[0.5, 0.5]),
            // All ill at home.
            (&[30, 0], Some(1), &[1.0, 0.0]),
            // All ill elsewhere.
            (&[0, 1], Some(1), &[0.0, 1.0]),
            // No room in the middle one, which needs all that it has.
            (&[2, 4, 6], Some(0), &[0.5, 0.0, 0.5]),
            // Nothing at home ever: the others' surplus over a third of all each.
            (&[10, 30], None, &[0.0, 1.0]),
            (&[20, 20], None, &[0.5, 0.5]),
        ];
        for (capacities, local, expected) in cases {
            let found = shares(capacities, local);
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs();
                assert!(error < 0.001, "{capacities:?} from {local:?}: {found}");
            }
        }
        assert_eq!(choose([0, 0].into_iter(), Some(0), 7), None);
        assert_eq!(choose([].into_iter(), None, 7), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

        /// What the rule is for: if all zones follow it, all endpoints get the same.
        #[test]
        fn evens_out_over_all_zones(capacities in prop::collection::vec(0u64..1000, 1..6)) {
            prop_assume!(capacities.iter().any(|t| *t > 0));
            let zones = capacities.len();
            let mut got = vec![0.0; zones];
            for local in 0..zones {
                for (got, share) in got.iter_mut().zip(shares(&capacities, Some(local))) {
                    *got += share;
                }
            }
            let all: u64 = capacities.iter().sum();
            for (got, capacity) in got.iter().zip(&capacities) {
                let even = zones as f64 * *capacity as f64 / all as f64;
                prop_assert!((got - even).abs() < 0.01, "{got} for {even} of {capacities:?}");
            }
        }
    }
}
