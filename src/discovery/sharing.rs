//! What the shards share of names ([`ServiceShared`], [`ClientShared`]), made here because here is the
//! one place that all of them ask.
//!
//! Whatever dtab a request brings along, a logical name of a router has one budget. It lives as long
//! as a shard remembers the name, and is made anew when a reload gives the name another one; what its
//! limits count goes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::config::resolved::{ClientParams, Policies, RateLimit, ServiceParams};
use crate::naming::Path;
use crate::router::ask::Target;
use crate::router::door::Bounds;
use crate::router::rate::Rates;
use crate::router::shared::{ClientShared, ServiceShared};

/// Names that are looked through for forgotten ones when there are so many, at least.
const PRUNE_FROM: usize = 64;

/// The policies of one router.
#[derive(Clone, Default)]
pub struct TablePolicies {
    pub client: Policies<ClientParams>,
    pub service: Policies<ServiceParams>,
}

/// See the module's head.
pub(super) struct Sharing {
    services: HashMap<(usize, Path), Weak<ServiceShared>>,
    /// The tables of each router, as many as there are different limits.
    rates: Vec<(usize, Weak<Rates>)>,
    prune_at: usize,
}

impl Default for Sharing {
    fn default() -> Self {
        Sharing {
            services: HashMap::new(),
            rates: Vec::new(),
            prune_at: PRUNE_FROM,
        }
    }
}

impl Sharing {
    /// What the shards share of a logical name of a router by these policies.
    pub fn service(
        &mut self,
        router: usize,
        name: &Path,
        policies: &Policies<ServiceParams>,
    ) -> Arc<ServiceShared> {
        let policy = policies.policy(name);
        let key = (router, name.clone());
        let known = self.services.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.as_ref().filter(|known| known.suits(&policy)) {
            return Arc::clone(known);
        }
        let before = known.as_ref().map(|known| &known.bounds);
        let limits = policy.limits();
        let bounds = Bounds::after(before, &limits, |of| rates(&mut self.rates, router, of));
        let made = ServiceShared::new(&policy, bounds);
        self.services.insert(key, Arc::downgrade(&made));
        if self.services.len() >= self.prune_at {
            self.services.retain(|_, shared| shared.strong_count() > 0);
            self.prune_at = PRUNE_FROM.max(2 * self.services.len());
        }
        made
    }

    /// Keys that the tables of each router forgot before their time.
    pub fn rate_evictions(&self) -> Vec<(usize, u64)> {
        let mut sums = BTreeMap::new();
        for (router, rates) in &self.rates {
            let evictions = rates.upgrade().map(|rates| rates.evictions());
            *sums.entry(*router).or_default() += evictions.unwrap_or_default();
        }
        sums.into_iter().collect()
    }
}

/// The table of a router's services that have this limit.
fn rates(known: &mut Vec<(usize, Weak<Rates>)>, router: usize, of: &RateLimit) -> Arc<Rates> {
    known.retain(|(_, rates)| rates.strong_count() > 0);
    let of_router = known.iter().filter(|(number, _)| *number == router);
    let mut tables = of_router.filter_map(|(_, rates)| rates.upgrade());
    tables.find(|rates| rates.of == *of).unwrap_or_else(|| {
        let made = Rates::new(of);
        known.push((router, Arc::downgrade(&made)));
        made
    })
}

/// What the shards share of a bound name by these policies: what they share already, if that suits.
pub(super) fn client(
    target: &Target,
    policies: &Policies<ClientParams>,
    known: Option<&Arc<ClientShared>>,
) -> Arc<ClientShared> {
    let policy = policies.policy(&target.id);
    match known.filter(|known| known.suits(&policy)) {
        Some(known) => Arc::clone(known),
        None => ClientShared::new(&policy),
    }
}
