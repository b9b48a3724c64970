//! The replicas of one bound name at one time.
//!
//! A set never changes. Discovery builds the next one from the last and publishes it to the shards;
//! whoever holds the last finishes with it in peace. An address that stays keeps its [`Endpoint`],
//! so that an update neither forgets the requests on their way nor forgives a dead host. One that
//! leaves and returns starts anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;

/// A snapshot of the replicas of a name, each address once.
#[derive(Debug, Clone, Default)]
pub struct ReplicaSet {
    /// In the order in which their addresses were first given.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// The weight of each endpoint, and the sum of its and all before it; `None` if all are equal.
    pub(super) weights: Option<Box<[(f64, f64)]>>,
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
        let known = previous.map_or(&[][..], |previous| &previous.endpoints);
        // The value is taken by the first mention of its address: the second finds `None`.
        let mut known: BTreeMap<SocketAddr, Option<Arc<Endpoint>>> = known
            .iter()
            .map(|e| (e.addr, Some(Arc::clone(e))))
            .collect();
        let mut endpoints = Vec::new();
        let mut weights = Vec::new();
        for (addr, weight) in addrs {
            let endpoint = match known.get_mut(&addr) {
                Some(kept) => kept.take(),
                None => {
                    known.insert(addr, None);
                    Some(Arc::new(Endpoint::new(addr)))
                }
            };
            if let Some(endpoint) = endpoint {
                endpoints.push(endpoint);
                weights.push(weight);
            }
        }
        ReplicaSet {
            endpoints: endpoints.into(),
            weights: summed(&weights),
        }
    }

    /// The number of replicas.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether both have the same addresses in the same order, with the same weights.
    #[must_use]
    pub fn is_like(&self, other: &ReplicaSet) -> bool {
        let mut pairs = self.endpoints.iter().zip(&other.endpoints);
        self.len() == other.len()
            && self.weights == other.weights
            && pairs.all(|(a, b)| a.addr == b.addr)
    }

    /// Whether there is no replica.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// Weights with their running sums, if they make any difference.
fn summed(weights: &[f64]) -> Option<Box<[(f64, f64)]>> {
    let first = weights.first()?;
    if weights.iter().all(|weight| weight == first) {
        return None;
    }
    let mut sum = 0.0;
    let pair = |weight: &f64| {
        sum += weight;
        (*weight, sum)
    };
    Some(weights.iter().map(pair).collect())
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
}
