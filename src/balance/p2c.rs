//! Power of two choices: of two random replicas, the less loaded (Mitzenmacher, "The power of two
//! choices in randomized load balancing", 2001).
//!
//! It comes close to the exact minimum for two reads instead of one per replica, and it does so
//! without a herd: shards that act on the same slightly stale counts still choose among different
//! pairs. Reachability goes before load, since a dead host is idle and would win every comparison.
//!
//! Two dead ones may meet, so the draw is repeated a few times (linkerd's `maxEffort`); then the
//! last winner is taken as it is. That is failing open: a set in which everything looks dead still
//! gets traffic, and its first answer is how the proxy learns that it lives.

use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::replicas::ReplicaSet;
use super::rng::scale;

/// Pairs drawn at most until one has a reachable replica.
const MAX_EFFORT: u32 = 5;

/// Picks the replica for one request; `None` only if there is none at all.
///
/// * `random`: a source of random bits; two draws per pair.
/// * `now_ns`: the time, by the clock that [`Endpoint::mark_unreachable`] is told.
/// * `excluded`: an address to avoid, if there is another (where the last attempt failed).
pub fn pick<'a>(
    set: &'a ReplicaSet,
    random: &mut impl FnMut() -> u64,
    now_ns: u64,
    excluded: Option<SocketAddr>,
) -> Option<&'a Arc<Endpoint>> {
    if let Some(weights) = &set.weights {
        return weighted(set, weights, random, now_ns, excluded);
    }
    let candidates = Candidates::new(&set.endpoints, excluded);
    let mut picked = None;
    for _ in 0..MAX_EFFORT {
        let (endpoint, reachable) = draw(&candidates, random, now_ns)?;
        picked = Some(endpoint);
        if reachable {
            break;
        }
    }
    picked
}

/// As above where weights differ: replicas are drawn by weight, and the load of one is what it has
/// for its weight. Costs a binary search per draw.
fn weighted<'a>(
    set: &'a ReplicaSet,
    weights: &[(f64, f64)],
    random: &mut impl FnMut() -> u64,
    now_ns: u64,
    excluded: Option<SocketAddr>,
) -> Option<&'a Arc<Endpoint>> {
    let total = weights.last()?.1;
    let mut best: Option<(bool, f64, usize)> = None;
    let mut drawn = 0;
    for _ in 0..2 * MAX_EFFORT {
        // 53 bits: a fraction of 1.
        let point = (random() >> 11) as f64 / (1u64 << 53) as f64 * total;
        let index = weights.partition_point(|(_, sum)| *sum <= point);
        let endpoint = set.endpoints.get(index)?;
        let known = best.is_some_and(|(_, _, best)| best == index);
        if known || excluded == Some(endpoint.addr) {
            continue;
        }
        drawn += 1;
        let load = f64::from(endpoint.outstanding()) / weights[index].0;
        let dead = !endpoint.is_reachable(now_ns);
        let better =
            best.is_none_or(|(best_dead, best_load, _)| (dead, load) < (best_dead, best_load));
        if better {
            best = Some((dead, load, index));
        }
        if drawn >= 2 && best.is_some_and(|(dead, ..)| !dead) {
            break;
        }
    }
    // Only the one to avoid was ever drawn: it has nearly all the weight.
    let found = best.map(|(_, _, index)| &set.endpoints[index]);
    found
        .or_else(|| {
            set.endpoints
                .iter()
                .find(|other| excluded != Some(other.addr))
        })
        .or_else(|| set.endpoints.first())
}

/// The better of two distinct random candidates, and whether it is reachable.
fn draw<'a>(
    candidates: &Candidates<'a>,
    random: &mut impl FnMut() -> u64,
    now_ns: u64,
) -> Option<(&'a Arc<Endpoint>, bool)> {
    let count = candidates.len();
    if count < 2 {
        let only = candidates.get(0)?;
        // Nobody else to find by drawing again.
        return Some((only, true));
    }
    let first = scale(random(), count);
    // Uniform over the others: skip over the first.
    let second = scale(random(), count - 1);
    let second = second + usize::from(second >= first);
    let (a, b) = (candidates.get(first)?, candidates.get(second)?);
    let (a_reachable, b_reachable) = (a.is_reachable(now_ns), b.is_reachable(now_ns));
    let b_wins = if a_reachable == b_reachable {
        b.outstanding() < a.outstanding()
    } else {
        b_reachable
    };
    Some((if b_wins { b } else { a }, a_reachable || b_reachable))
}

/// The endpoints but one.
struct Candidates<'a> {
    endpoints: &'a [Arc<Endpoint>],
    /// Index of the endpoint left out; one past the end, if none is.
    gap: usize,
}

impl<'a> Candidates<'a> {
    fn new(endpoints: &'a [Arc<Endpoint>], excluded: Option<SocketAddr>) -> Candidates<'a> {
        let gap = excluded
            .filter(|_| endpoints.len() > 1)
            .and_then(|addr| endpoints.iter().position(|e| e.addr == addr))
            .unwrap_or(endpoints.len());
        Candidates { endpoints, gap }
    }

    fn len(&self) -> usize {
        self.endpoints.len() - usize::from(self.gap < self.endpoints.len())
    }

    fn get(&self, index: usize) -> Option<&'a Arc<Endpoint>> {
        self.endpoints.get(index + usize::from(index >= self.gap))
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::UNREACHABLE_FOR_NS;
    use super::super::rng::Rng;
    use super::*;

    #[test]
    fn weights_share_out_the_traffic() {
        let weights = [1.0, 3.0, 0.0, 6.0];
        let addrs = (0..).map(addr).zip(weights);
        let set = ReplicaSet::from_weighted(addrs, None);
        let seen = picks(&set, 100_000, 1, None);
        for (seen, expected) in seen.iter().zip([10_000, 30_000, 0, 60_000]) {
            assert!(seen.abs_diff(expected) < 1000, "{seen} of {expected}");
        }
        let without = picks(&set, 1000, 1, Some(addr(3)));
        assert_eq!((without[2], without[3]), (0, 0));
        set.endpoints[3].mark_unreachable(1);
        let dead = picks(&set, 10_000, 1, None);
        assert!(dead[3] < 500, "{dead:?}");
    }

    #[test]
    fn load_counts_for_its_weight() {
        let addrs = [(addr(0), 1.0), (addr(1), 10.0)];
        let set = ReplicaSet::from_weighted(addrs, None);
        for _ in 0..5 {
            set.endpoints[1].begin();
        }
        // Five for a weight of ten are less than one for a weight of one.
        set.endpoints[0].begin();
        assert_eq!(picks(&set, 1000, 1, None)[0], 0);
    }

    fn set(n: u16) -> ReplicaSet {
        ReplicaSet::from_addrs((0..n).map(addr), None)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// How often each replica is picked.
    fn picks(set: &ReplicaSet, n: usize, now_ns: u64, excluded: Option<SocketAddr>) -> Vec<usize> {
        let mut rng = Rng::new(5);
        let mut random = || rng.next_u64();
        let mut seen = vec![0; set.len()];
        for _ in 0..n {
            seen[usize::from(
                pick(set, &mut random, now_ns, excluded)
                    .unwrap()
                    .addr
                    .port(),
            )] += 1;
        }
        seen
    }

    fn load(set: &ReplicaSet, outstanding: &[u32]) {
        for (endpoint, &n) in set.endpoints.iter().zip(outstanding) {
            (0..n).for_each(|_| endpoint.begin());
        }
    }

    #[test]
    fn none_of_none_and_one_of_one() {
        assert!(pick(&set(0), &mut || 0, 0, None).is_none());
        assert_eq!(
            pick(&set(1), &mut || u64::MAX, 0, None).unwrap().addr,
            addr(0)
        );
    }

    #[test]
    fn the_two_are_distinct() {
        // Always the same random bits: without the skip both would be the same replica, and the
        // idle one would lose.
        for n in 2..9 {
            let set = set(n);
            for random in [0, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
                let first = scale(random, usize::from(n));
                set.endpoints[first].begin();
                assert_ne!(
                    usize::from(pick(&set, &mut || random, 0, None).unwrap().addr.port()),
                    first
                );
                set.endpoints[first].end();
            }
        }
    }

    #[test]
    fn every_ordered_pair_is_as_likely() {
        let candidates = set(4);
        let mut rng = Rng::new(1);
        let mut seen = [[0u32; 4]; 4];
        for _ in 0..12_000 {
            let mut drawn = Vec::new();
            let mut random = || {
                drawn.push(rng.next_u64());
                drawn[drawn.len() - 1]
            };
            pick(&candidates, &mut random, 0, None);
            let (first, second) = (scale(drawn[0], 4), scale(drawn[1], 3));
            assert_eq!(drawn.len(), 2);
            seen[first][second + usize::from(second >= first)] += 1;
        }
        for (i, row) in seen.iter().enumerate() {
            for (j, &count) in row.iter().enumerate() {
                assert!(
                    if i == j {
                        count == 0
                    } else {
                        (850..1_150).contains(&count)
                    },
                    "{seen:?}"
                );
            }
        }
    }

    #[test]
    fn equal_load_spreads_evenly() {
        let seen = picks(&set(8), 16_000, 0, None);
        assert!(seen.iter().all(|n| (1_800..2_200).contains(n)), "{seen:?}");
    }

    #[test]
    fn the_most_loaded_is_never_picked() {
        let set = set(5);
        load(&set, &[1, 1, 9, 1, 0]);
        let seen = picks(&set, 10_000, 0, None);
        assert_eq!(seen[2], 0);
        // The idle one wins every pair that it is in: 2 of 5.
        assert!((3_800..4_200).contains(&seen[4]), "{seen:?}");
    }

    #[test]
    fn requests_in_flight_stay_balanced() {
        // The theory's point: the largest load stays within a few of the mean.
        let set = set(50);
        let mut rng = Rng::new(11);
        for _ in 0..50 * 100 {
            pick(&set, &mut || rng.next_u64(), 0, None).unwrap().begin();
        }
        let largest = set.endpoints.iter().map(|e| e.outstanding()).max();
        assert!(largest <= Some(104), "{largest:?}");
    }

    #[test]
    fn reachable_goes_before_idle() {
        let set = set(2);
        load(&set, &[7, 0]);
        set.endpoints[1].mark_unreachable(10);
        assert_eq!(picks(&set, 100, 10, None), [100, 0]);
        assert_eq!(picks(&set, 100, 10 + UNREACHABLE_FOR_NS, None), [0, 100]);
    }

    #[test]
    fn the_living_are_found_among_the_dead() {
        let set = set(4);
        (0..3).for_each(|i| set.endpoints[i].mark_unreachable(1));
        // A pair has the fourth with probability 1/2; five pairs all miss it with 1/32.
        let seen = picks(&set, 10_000, 1, None);
        assert!(seen[3] > 9_600, "{seen:?}");
    }

    #[test]
    fn fails_open() {
        let set = set(3);
        set.endpoints.iter().for_each(|e| e.mark_unreachable(1));
        let seen = picks(&set, 3_000, 1, None);
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
    }

    #[test]
    fn excludes_when_there_is_another() {
        let three = set(3);
        for i in 0..3 {
            let seen = picks(&three, 2_000, 0, Some(addr(i)));
            assert_eq!(seen[usize::from(i)], 0);
            assert_eq!(
                seen.iter().filter(|n| (850..1_150).contains(*n)).count(),
                2,
                "{seen:?}"
            );
        }
        assert_eq!(picks(&set(2), 100, 0, Some(addr(0))), [0, 100]);
        assert_eq!(picks(&set(1), 100, 0, Some(addr(0))), [100]);
        assert_eq!(
            picks(&set(2), 100, 0, Some(addr(9))).iter().sum::<usize>(),
            100
        );
    }
}
