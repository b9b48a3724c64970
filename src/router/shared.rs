//! What the shards of one process know of a name together.
//!
//! A budget bounds what the process does, so every shard draws on the same one. The slow path makes
//! these, one for each router and name, and tells the shards; a shard holds what it was told for as
//! long as it remembers the name. Everything in them is atomics: nobody waits for another shard.

use std::rc::Rc;
use std::sync::Arc;

use super::door::Bounds;
use crate::config::resolved::{ClientPolicy, ServicePolicy};
use crate::resilience::budget::{Budget, BudgetConfig};
use crate::resilience::hedge::Hedge;

/// A shard's handle: shards would else take the count of handles away from each other at every
/// request.
pub type Local<T> = Rc<Arc<T>>;

/// Of a logical name.
#[derive(Debug)]
pub struct ServiceShared {
    /// Pays for retries.
    pub retries: Budget,
    /// When a request is sent a second time, if its policy says so.
    pub hedge: Option<Box<Hedge>>,
    /// What its limits need.
    pub bounds: Bounds,
    of: BudgetConfig,
}

impl ServiceShared {
    #[must_use]
    pub fn new(policy: &ServicePolicy, bounds: Bounds) -> Arc<ServiceShared> {
        Arc::new(ServiceShared {
            bounds,
            hedge: policy.hedge.as_ref().map(|of| Box::new(Hedge::new(of))),
            retries: Budget::new(&policy.retry_budget),
            of: policy.retry_budget.clone(),
        })
    }

    /// Whether it is what this policy asks for.
    #[must_use]
    pub fn suits(&self, policy: &ServicePolicy) -> bool {
        self.of == policy.retry_budget
            && self.hedge.as_deref().map(Hedge::config) == policy.hedge.as_ref()
            && self.bounds.suit(&policy.limits())
    }
}

/// Of a bound name.
#[derive(Debug)]
pub struct ClientShared {
    /// Pays for sending again what was never delivered.
    pub requeues: Budget,
    of: BudgetConfig,
}

impl ClientShared {
    #[must_use]
    pub fn new(policy: &ClientPolicy) -> Arc<ClientShared> {
        Arc::new(ClientShared {
            requeues: Budget::new(&policy.requeue_budget),
            of: policy.requeue_budget.clone(),
        })
    }

    /// Whether it is what this policy asks for.
    #[must_use]
    pub fn suits(&self, policy: &ClientPolicy) -> bool {
        self.of == policy.requeue_budget
    }
}
