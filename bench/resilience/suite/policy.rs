//! Policies: ringlink's, which is what the real code does with these configurations, and models of
//! what others do by default.
//!
//! The models are of documented algorithms, not of programs: who picks, who is ejected, what is
//! tried again. Nothing of a model's own speed is in them.
//!
//! * **nginx**: (smooth) round robin; `max_fails=1 fail_timeout=10s`, per worker;
//!   `proxy_next_upstream error timeout`, each server at most once. Errors that a server answers
//!   are no failures.
//! * **HAProxy**: round robin; `retries 3` of failed connects, a second apart, on the same server
//!   (no `option redispatch`); no checks, no observation.
//! * **Envoy**: round robin; no outlier detection, no retries. **Envoy LR**: the same with
//!   `LEAST_REQUEST`, two choices, which may be the same.

use ringlink::balance::{BalancerConfig, Kind};
use ringlink::resilience::accrual::{AccrualConfig, AccrualPolicy};
use ringlink::resilience::admission::AdmissionConfig;
use ringlink::resilience::backoff::Backoff;
use ringlink::resilience::budget::BudgetConfig;
use ringlink::resilience::codel::CodelConfig;
use ringlink::resilience::hedge::HedgeConfig;
use ringlink::resilience::limit::LimitConfig;

use super::clock::SEC;

/// Who picks the replica.
#[derive(Clone)]
pub enum Picks {
    /// ringlink's balancer.
    Ringlink(BalancerConfig),
    /// One after the other; after a failure not for this time, 0 if that does not matter.
    Rounds { fail_timeout: u64 },
    /// The one of two, drawn independently, with fewer requests on their way.
    LeastRequest,
}

/// What follows a connect that failed.
#[derive(Clone)]
pub enum Reconnect {
    Never,
    /// Others, as long as the budget lasts.
    Budget(BudgetConfig),
    /// The same again, so many times, this long after.
    Same(u32, u64),
    /// Others, each once.
    Others,
}

/// What follows an answer that is an error, or none in time.
#[derive(Clone)]
pub struct Retry {
    pub most: u32,
    pub budget: Option<BudgetConfig>,
    pub backoff: Backoff,
    /// The error of a callee whose own retries ran out is passed on as one not to be retried, as the
    /// proxy does.
    pub once_in_chain: bool,
}

/// Who may come in, and who waits.
#[derive(Clone)]
pub struct Guarding {
    pub limit: Option<LimitConfig>,
    pub admission: AdmissionConfig,
    pub codel: CodelConfig,
}

/// How a service is called.
#[derive(Clone)]
pub struct Policy {
    pub name: &'static str,
    pub picks: Picks,
    pub accrual: Option<AccrualConfig>,
    /// A success revives a dead endpoint that was sent to all the same.
    pub revives: bool,
    pub reconnect: Reconnect,
    pub retry: Option<Retry>,
    pub hedge: Option<HedgeConfig>,
    pub guard: Option<Guarding>,
    pub connect_timeout: u64,
    /// From the first attempt to the last answer.
    pub total_timeout: u64,
    /// Deadlines are passed on, and nothing is begun that is late.
    pub deadlines: bool,
}

/// Without anything: a base to build on.
pub fn plain(name: &'static str, picks: Picks) -> Policy {
    Policy {
        name,
        picks,
        accrual: None,
        revives: true,
        reconnect: Reconnect::Never,
        retry: None,
        hedge: None,
        guard: None,
        connect_timeout: SEC,
        total_timeout: u64::MAX,
        deadlines: false,
    }
}

/// ringlink's defaults with a way to balance.
pub fn ringlink(name: &'static str, kind: Kind) -> Policy {
    let config = BalancerConfig {
        kind,
        ..BalancerConfig::default()
    };
    Policy {
        accrual: Some(AccrualConfig::default()),
        reconnect: Reconnect::Budget(BudgetConfig::default()),
        ..plain(name, Picks::Ringlink(config))
    }
}

/// The same without failure accrual.
pub fn without_accrual(name: &'static str, kind: Kind) -> Policy {
    Policy {
        accrual: Some(AccrualConfig {
            policy: AccrualPolicy::None,
            ..AccrualConfig::default()
        }),
        ..ringlink(name, kind)
    }
}

pub fn nginx() -> Policy {
    let picks = Picks::Rounds {
        fail_timeout: 10 * SEC,
    };
    Policy {
        reconnect: Reconnect::Others,
        connect_timeout: 60 * SEC,
        ..plain("nginx (model)", picks)
    }
}

pub fn haproxy() -> Policy {
    Policy {
        reconnect: Reconnect::Same(3, SEC),
        // There is no default; this is the one of its own examples.
        connect_timeout: 5 * SEC,
        ..plain("HAProxy (model)", Picks::Rounds { fail_timeout: 0 })
    }
}

pub fn envoy() -> Policy {
    Policy {
        connect_timeout: 5 * SEC,
        ..plain("Envoy (model)", Picks::Rounds { fail_timeout: 0 })
    }
}

pub fn envoy_least_request() -> Policy {
    Policy {
        name: "Envoy LR (model)",
        picks: Picks::LeastRequest,
        ..envoy()
    }
}

/// The models of what others do by default.
pub fn others() -> [Policy; 4] {
    [nginx(), haproxy(), envoy(), envoy_least_request()]
}

/// Retries of all errors by the budget's default, at once.
pub fn budgeted(budget: BudgetConfig) -> Retry {
    Retry {
        most: u32::MAX,
        budget: Some(budget),
        backoff: Backoff::default(),
        once_in_chain: true,
    }
}
