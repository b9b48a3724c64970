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
}

impl ReplicaSet {
    /// The set of these addresses, with the endpoints of `previous` for those that were in it.
    pub fn from_addrs(
        addrs: impl IntoIterator<Item = SocketAddr>,
        previous: Option<&ReplicaSet>,
    ) -> ReplicaSet {
        let known = previous.map_or(&[][..], |previous| &previous.endpoints);
        // The value is taken by the first mention of its address: the second finds `None`.
        let mut known: BTreeMap<SocketAddr, Option<Arc<Endpoint>>> = known
            .iter()
            .map(|e| (e.addr, Some(Arc::clone(e))))
            .collect();
        let mut endpoints = Vec::new();
        for addr in addrs {
            match known.get_mut(&addr) {
                Some(kept) => endpoints.extend(kept.take()),
                None => {
                    known.insert(addr, None);
                    endpoints.push(Arc::new(Endpoint::new(addr)));
                }
            }
        }
        ReplicaSet {
            endpoints: endpoints.into(),
        }
    }

    /// The number of replicas.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is no replica.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
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
