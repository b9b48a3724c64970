//! The replicas of one bound name at one time.
//!
//! A set never changes. Discovery builds the next one from the last and publishes it to the shards;
//! whoever holds the last finishes with it in peace. An address that stays keeps its [`Endpoint`],
//! so that an update neither forgets the requests on their way nor forgives a dead host. One that
//! leaves and returns starts anew, and so does one that turns up in another zone: it is another
//! machine. (One whose zone is merely not said this time is the same.)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;

/// One replica as discovery knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its share of the traffic relative to the others': finite, not negative.
    pub weight: f64,
    /// Where it stands, if that is known.
    pub zone: Option<Arc<str>>,
}

/// A snapshot of the replicas of a name, each address once.
#[derive(Debug, Clone, Default)]
pub struct ReplicaSet {
    /// In the order in which their addresses were first given.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// The weight of each endpoint; `None` if all are equal.
    weights: Option<Box<[f64]>>,
}

impl ReplicaSet {
    /// The set of these addresses, with the endpoints of `previous` for those that were in it.
    pub fn from_addrs(
        addrs: impl IntoIterator<Item = SocketAddr>,
        previous: Option<&ReplicaSet>,
    ) -> ReplicaSet {
        ReplicaSet::from_weighted(addrs.into_iter().map(|addr| (addr, 1.0)), previous)
    }

    /// As [`ReplicaSet::from_addrs`], with weights (finite, not negative) that are relative to each
    /// other. An address that is given twice has the weight that it was given first.
    pub fn from_weighted(
        addrs: impl IntoIterator<Item = (SocketAddr, f64)>,
        previous: Option<&ReplicaSet>,
    ) -> ReplicaSet {
        let replica = |(addr, weight)| Replica {
            addr,
            weight,
            zone: None,
        };
        ReplicaSet::from_replicas(addrs.into_iter().map(replica), previous)
    }

    /// As [`ReplicaSet::from_weighted`], with zones.
    pub fn from_replicas(
        replicas: impl IntoIterator<Item = Replica>,
        previous: Option<&ReplicaSet>,
    ) -> ReplicaSet {
        let known = previous.map_or(&[][..], |previous| &previous.endpoints);
        let joining = !known.is_empty();
        // The value is taken by the first mention of its address: the second finds `None`.
        let mut known: BTreeMap<SocketAddr, Option<Arc<Endpoint>>> = known
            .iter()
            .map(|e| (e.addr, Some(Arc::clone(e))))
            .collect();
        let mut endpoints = Vec::new();
        let mut weights = Vec::new();
        for replica in replicas {
            let kept = match known.insert(replica.addr, None) {
                Some(None) => continue,
                Some(kept) => kept.filter(|kept| is_same(kept, &replica)),
                None => None,
            };
            weights.push(replica.weight);
            endpoints.push(kept.unwrap_or_else(|| Arc::new(made(replica, joining))));
        }
        ReplicaSet {
            endpoints: endpoints.into(),
            weights: differing(weights),
        }
    }

    /// The number of replicas.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The weight of the endpoint of this index, relative to the others'.
    #[must_use]
    pub fn weight(&self, index: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[index])
    }

    /// Whether both have the same addresses in the same order, with the same weights and zones.
    #[must_use]
    pub fn is_like(&self, other: &ReplicaSet) -> bool {
        let mut pairs = self.endpoints.iter().zip(&other.endpoints);
        self.len() == other.len()
            && self.weights == other.weights
            && pairs.all(|(a, b)| a.addr == b.addr && a.zone == b.zone)
    }

    /// Whether there is no replica.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// Whether an endpoint of this address is the replica that is meant.
fn is_same(kept: &Endpoint, replica: &Replica) -> bool {
    replica.zone.is_none() || replica.zone == kept.zone
}

fn made(replica: Replica, joining: bool) -> Endpoint {
    let endpoint = Endpoint::new(replica.addr).in_zone(replica.zone);
    if joining {
        endpoint.newborn()
    } else {
        endpoint
    }
}

/// The weights, if they make any difference.
fn differing(weights: Vec<f64>) -> Option<Box<[f64]>> {
    let first = *weights.first()?;
    let differ = weights.iter().any(|weight| *weight != first);
    differ.then(|| weights.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(ports: &[u16]) -> Vec<SocketAddr> {
        ports
            .iter()
            .map(|&port| SocketAddr::from(([10, 0, 0, 1], port)))
            .collect()
    }

    fn ports(set: &ReplicaSet) -> Vec<u16> {
        set.endpoints.iter().map(|e| e.addr.port()).collect()
    }

    #[test]
    fn keeps_order_and_drops_duplicates() {
        let set = ReplicaSet::from_addrs(addrs(&[3, 1, 3, 2, 1]), None);
        assert_eq!(ports(&set), [3, 1, 2]);
        assert_eq!(set.len(), 3);
        assert!(ReplicaSet::from_addrs([], Some(&set)).is_empty());
    }

    #[test]
    fn an_address_that_stays_keeps_its_endpoint() {
        let old = ReplicaSet::from_addrs(addrs(&[1, 2]), None);
        old.endpoints[1].begin();
        let new = ReplicaSet::from_addrs(addrs(&[3, 2, 2]), Some(&old));
        assert_eq!(ports(&new), [3, 2]);
        assert!(Arc::ptr_eq(&new.endpoints[1], &old.endpoints[1]));
        old.endpoints[1].end();
        assert_eq!(new.endpoints[1].outstanding(), 0);
    }

    #[test]
    fn an_address_that_returns_starts_anew() {
        let first = ReplicaSet::from_addrs(addrs(&[1]), None);
        first.endpoints[0].mark_unreachable(1);
        let second = ReplicaSet::from_addrs(addrs(&[2]), Some(&first));
        let third = ReplicaSet::from_addrs(addrs(&[1]), Some(&second));
        assert!(third.endpoints[0].is_reachable(1));
    }

    fn replica(port: u16, zone: Option<&str>) -> Replica {
        Replica {
            addr: addrs(&[port])[0],
            weight: 1.0,
            zone: zone.map(Arc::from),
        }
    }

    #[test]
    fn keeps_the_first_weight_and_only_weights_that_differ() {
        let all = addrs(&[1, 2, 1]);
        let pairs = all.iter().copied().zip([2.0, 3.0, 9.0]);
        let set = ReplicaSet::from_weighted(pairs, None);
        assert_eq!((set.len(), set.weight(0), set.weight(1)), (2, 2.0, 3.0));
        let even = ReplicaSet::from_weighted(all.into_iter().map(|addr| (addr, 7.0)), None);
        assert_eq!(even.weight(1), 1.0);
        assert!(even.is_like(&ReplicaSet::from_addrs(addrs(&[1, 2]), None)));
        assert!(!even.is_like(&set));
    }

    #[test]
    fn another_zone_is_another_machine() {
        let first = ReplicaSet::from_replicas([replica(1, Some("a"))], None);
        let unsaid = ReplicaSet::from_replicas([replica(1, None)], Some(&first));
        assert!(Arc::ptr_eq(&first.endpoints[0], &unsaid.endpoints[0]));
        assert!(first.is_like(&unsaid));
        let moved = ReplicaSet::from_replicas([replica(1, Some("b"))], Some(&first));
        assert!(!Arc::ptr_eq(&first.endpoints[0], &moved.endpoints[0]));
        assert_eq!(moved.endpoints[0].zone.as_deref(), Some("b"));
        assert!(!first.is_like(&moved));
    }

    #[test]
    fn who_joins_others_is_newborn() {
        let first = ReplicaSet::from_addrs(addrs(&[1, 2]), None);
        let second = ReplicaSet::from_addrs(addrs(&[2, 3]), Some(&first));
        assert_eq!(first.endpoints[0].age(9), None);
        assert_eq!(second.endpoints[0].age(9), None);
        assert_eq!(second.endpoints[1].age(9), Some(0));
        let anew = ReplicaSet::from_addrs(addrs(&[4]), Some(&ReplicaSet::default()));
        assert_eq!(anew.endpoints[0].age(9), None, "the set before was empty");
    }
}
