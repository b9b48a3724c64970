//! Doors: what a request passes before it is served, once at its server and once at its service.
//!
//! A door is one shard's view of limits that hold over all shards: the settings, the counts and
//! tables that are shared ([`Bounds`]), and who of this shard waits. A server or a service without
//! limits has none. When the settings change there is another door; requests that went through the
//! old one leave by it, and the counts are the same behind both.

use std::sync::Arc;

use super::rate::Rates;
use super::waiters::Waiters;
use crate::config::resolved::{Limits, RateLimit};
use crate::resilience::admission::{Admission, AdmissionConfig};
use crate::resilience::limit::Limit;

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Server,
    Service,
}

/// What all shards share of the limits of a server or a service.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Requests that have a place, and those that wait. Outlives every change of the settings.
    pub admission: Arc<Admission>,
    pub rates: Option<Arc<Rates>>,
    pub adaptive: Option<Arc<Limit>>,
}

impl Bounds {
    /// What these limits need: of what there was before, whatever suits. `rates` makes a table.
    #[must_use]
    pub fn after(
        before: Option<&Bounds>,
        limits: &Limits,
        rates: impl FnOnce(&RateLimit) -> Arc<Rates>,
    ) -> Bounds {
        let known = before.and_then(|before| before.rates.as_ref());
        let limit = before.and_then(|before| before.adaptive.as_ref());
        Bounds {
            adaptive: limits.adaptive.as_ref().map(|of| {
                let limit = limit.filter(|limit| limit.config() == of);
                limit.map_or_else(|| Arc::new(Limit::new(of)), Arc::clone)
            }),
            admission: before.map_or_else(Arc::default, |before| Arc::clone(&before.admission)),
            rates: limits.rate.as_ref().map(|of| {
                let known = known.filter(|rates| rates.of == *of);
                known.map_or_else(|| rates(of), Arc::clone)
            }),
        }
    }

    /// Whether they are what these limits need.
    #[must_use]
    pub fn suit(&self, limits: &Limits) -> bool {
        self.rates.as_ref().map(|rates| &rates.of) == limits.rate.as_ref()
            && self.adaptive.as_ref().map(|limit| limit.config()) == limits.adaptive.as_ref()
    }

    /// How many places there are at present by these limits.
    #[must_use]
    pub fn places(&self, limits: &Limits) -> AdmissionConfig {
        let AdmissionConfig {
            max_concurrent,
            max_pending,
        } = limits.admission;
        let adaptive = self
            .adaptive
            .as_ref()
            .map_or(u32::MAX, |limit| limit.current());
        AdmissionConfig {
            max_concurrent: max_concurrent.min(adaptive),
            max_pending,
        }
    }

    fn are(&self, other: &Bounds) -> bool {
        let made = |bounds: &Bounds| {
            let rates = bounds.rates.as_ref().map(Arc::as_ptr);
            (rates, bounds.adaptive.as_ref().map(Arc::as_ptr))
        };
        Arc::ptr_eq(&self.admission, &other.admission) && made(self) == made(other)
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    pub bounds: Bounds,
    pub waiters: Waiters,
}

impl Door {
    /// `None` if nothing is limited.
    #[must_use]
    pub fn new(limits: Limits, bounds: Bounds) -> Option<Door> {
        let waiters = Waiters::new(limits.codel.as_ref());
        (!limits.are_open()).then_some(Door {
            limits,
            bounds,
            waiters,
        })
    }

    /// Whether it is the door of these.
    #[must_use]
    pub fn is_of(&self, limits: &Limits, bounds: &Bounds) -> bool {
        self.limits == *limits && self.bounds.are(bounds)
    }

    /// Whether a request needs a place.
    #[must_use]
    pub fn has_places(&self) -> bool {
        self.limits.are_on_places()
    }

    /// How many places there are at present.
    #[must_use]
    pub fn places(&self) -> AdmissionConfig {
        self.bounds.places(&self.limits)
    }
}
