//! Policies for clients and services: as given, every parameter optional, and as one name has them.
//!
//! linkerd has two ways to give them. `io.l5d.global` gives parameters to all names;
//! `io.l5d.static` gives some to the names that begin like a pattern. All entries that fit a name
//! apply, in their order, and a later one overrides single parameters of an earlier one: so an entry
//! is a set of wishes ([`ClientParams`], [`ServiceParams`]), and only a name has a whole policy.

use std::time::Duration;

use super::faults::FaultRule;
use super::health::HealthCheck;
use super::limits::{Limits, RateLimit};
use super::mirror::Mirror;
use crate::balance::BalancerConfig;
use crate::naming::{Path, Pattern};
use crate::resilience::accrual::AccrualConfig;
use crate::resilience::admission::AdmissionConfig;
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::BudgetConfig;
use crate::resilience::classify::Classifier;
use crate::resilience::codel::CodelConfig;
use crate::resilience::hedge::HedgeConfig;
use crate::resilience::limit::LimitConfig;

/// Below the 65 to 75 s that common backends keep an idle connection: who closes first must be us,
/// or a request is lost in the crossing.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(60);
pub const DEFAULT_TOTAL: Duration = Duration::from_secs(60);
/// Bytes of a request's body that are kept for a retry, by default.
pub const DEFAULT_REPLAY: usize = 64 * 1024;

/// Wishes for the names of one router, in their order.
#[derive(Debug, Clone)]
pub enum Policies<W> {
    /// For all names.
    Global(W),
    /// For those that begin like the pattern.
    Static(Vec<(Pattern, W)>),
}

impl<W: Default> Default for Policies<W> {
    fn default() -> Self {
        Policies::Global(W::default())
    }
}

impl<W> Policies<W> {
    /// The wishes that apply to a name, in their order.
    fn of<'p>(&'p self, name: &'p Path) -> impl Iterator<Item = &'p W> {
        let (global, by_prefix) = match self {
            Policies::Global(wishes) => (Some(wishes), &[][..]),
            Policies::Static(entries) => (None, &entries[..]),
        };
        let fits = by_prefix
            .iter()
            .filter(|(pattern, _)| pattern.matches(name).is_some());
        global.into_iter().chain(fits.map(|(_, wishes)| wishes))
    }
}

/// What like requests have in common for a hashing balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The path, without the query.
    Path,
    /// The client's address.
    Client,
}

macro_rules! policy {
    (
        $(#[$policy_doc:meta])* $policy:ident, $(#[$params_doc:meta])* $params:ident,
        { $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)+ }
    ) => {
        $(#[$policy_doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $policy { $($(#[$doc])* pub $field: $type,)+ }

        $(#[$params_doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $params { $($(#[$doc])* pub $field: Option<$type>,)+ }

        impl Default for $policy {
            fn default() -> Self {
                $policy { $($field: $default,)+ }
            }
        }

        impl $params {
            /// Overrides what is wished for.
            fn apply(&self, policy: &mut $policy) {
                $(if let Some(wished) = &self.$field {
                    policy.$field.clone_from(wished);
                })+
            }
        }

        impl From<$policy> for $params {
            /// A wish for all of it.
            fn from(policy: $policy) -> Self {
                $params { $($field: Some(policy.$field),)+ }
            }
        }

        impl Policies<$params> {
            /// The policy of a name.
            #[must_use]
            pub fn policy(&self, name: &Path) -> $policy {
                let mut policy = $policy::default();
                self.of(name).for_each(|params| params.apply(&mut policy));
                policy
            }
        }
    };
}

policy! {
    /// Policy towards the replicas of one bound name.
    ClientPolicy,
    /// Wishes for it.
    ClientParams,
    {
        /// Who picks the replica.
        balancer: BalancerConfig = BalancerConfig::default(),
        /// For a balancer that hashes; without one it picks by load.
        hash: Option<HashKey> = None,
        connect_timeout: Duration = Duration::from_secs(1),
        /// Time from dispatch to the head of the response, for one attempt.
        attempt_timeout: Option<Duration> = None,
        /// A backend that gives or takes no byte of a body for so long is cut.
        body_timeout: Duration = Duration::from_secs(60),
        /// A pooled connection idle for so long is closed.
        idle_timeout: Duration = DEFAULT_IDLE,
        /// A pooled connection of this age is not used again.
        life_time: Option<Duration> = None,
        /// Idle connections kept per endpoint and shard.
        max_idle: usize = 65_536,
        /// Idle connections per endpoint and shard that do not grow too old.
        min_size: usize = 0,
        /// Requests in flight at one endpoint, over all shards; each has a connection.
        max_size: u32 = u32::MAX,
        /// Requests of one shard that wait because of `max_size`, for each endpoint.
        max_waiters: usize = usize::MAX,
        no_delay: bool = true,
        /// Whether an endpoint that cannot be connected to is avoided until it can.
        fail_fast: bool = false,
        /// How replicas are asked whether they are well, if they are.
        health_check: Option<HealthCheck> = None,
        accrual: AccrualConfig = AccrualConfig::default(),
        /// What pays for sending again what was never delivered.
        requeue_budget: BudgetConfig = BudgetConfig::default(),
    }
}

policy! {
    /// Policy for the requests of one logical name.
    ServicePolicy,
    /// Wishes for it.
    ServiceParams,
    {
        /// Limit from the request's head to the response's head, over all attempts.
        total_timeout: Option<Duration> = Some(DEFAULT_TOTAL),
        /// Which responses are failures, and which of those are tried again.
        classifier: Classifier = Classifier::default(),
        /// What pays for it.
        retry_budget: BudgetConfig = BudgetConfig::default(),
        /// How long to wait before each.
        backoff: Backoff = Backoff::default(),
        /// Bytes of a request's body that are kept so that it can be sent again.
        replay_bytes: usize = DEFAULT_REPLAY,
        /// Requests served at once, over all shards.
        max_concurrent: u32 = u32::MAX,
        /// Requests that wait for one of these places.
        max_pending: u32 = 0,
        /// How those that wait are dealt with.
        codel: Option<CodelConfig> = None,
        /// How many are served at once by how long they take.
        adaptive_limit: Option<LimitConfig> = None,
        /// When a request whose response is late is sent a second time.
        hedge: Option<HedgeConfig> = None,
        /// What is sent to another name as well.
        mirror: Option<Mirror> = None,
        /// How often a key may ask.
        rate_limit: Option<RateLimit> = None,
        /// What is done to requests on purpose: the first that fits.
        faults: Vec<FaultRule> = Vec::new(),
    }
}

impl ServicePolicy {
    /// Whether a request has to pass something before it is sent.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.limits().are_open() || !self.faults.is_empty()
    }

    /// What bounds its requests.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            rate: self.rate_limit.clone(),
            admission: AdmissionConfig {
                max_concurrent: self.max_concurrent,
                max_pending: self.max_pending,
            },
            adaptive: self.adaptive_limit.clone(),
            codel: self.codel.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_that_fit_apply_in_order() {
        let total = |ms| ServiceParams {
            total_timeout: Some(Some(Duration::from_millis(ms))),
            ..ServiceParams::default()
        };
        let kept = ServiceParams {
            replay_bytes: Some(7),
            ..ServiceParams::default()
        };
        let pattern = |text| Pattern::parse(text).unwrap();
        let policies = Policies::Static(vec![
            (pattern("/svc"), total(500)),
            (pattern("/svc/*/v2"), kept),
            (pattern("/svc/foo"), total(1000)),
        ]);
        for (name, ms, bytes) in [
            ("/svc/bar", 500, DEFAULT_REPLAY),
            ("/svc/foo", 1000, DEFAULT_REPLAY),
            ("/svc/foo/v2/x", 1000, 7),
            ("/other", 60_000, DEFAULT_REPLAY),
        ] {
            let policy = policies.policy(&name.parse().unwrap());
            let limit = policy.total_timeout.unwrap().as_millis();
            assert_eq!((limit, policy.replay_bytes), (ms, bytes), "{name}");
        }
        let all = Policies::Global(total(5));
        assert_eq!(
            all.policy(&Path::empty())
                .total_timeout
                .unwrap()
                .as_millis(),
            5
        );
    }
}
