//! Policies as JSON. One for all names is printed whole; of those by prefix each has what it was
//! given, because what it was not given is another entry's to say.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::cursor::MOST;
use super::super::hedge::to_json as hedge_to_json;
use super::super::limits::{adaptive_to_json, queue_to_json};
use super::super::resolved::{
    ClientParams, ClientPolicy, FaultRule, HashKey, HealthCheck, Mirror, Policies, RateLimit,
    ServiceParams, ServicePolicy,
};
use super::{ms, opt_ms};
use crate::balance::{BalancerConfig, Kind};
use crate::naming::{Path, Pattern};
use crate::resilience::accrual::{AccrualConfig, AccrualPolicy};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::BudgetConfig;
use crate::resilience::classify::{Classifier, GrpcRetries};

pub fn clients(policies: &Policies<ClientParams>) -> Value {
    match policies {
        Policies::Global(_) => {
            let policy: ClientPolicy = policies.policy(&Path::empty());
            global(client(&policy.into()))
        }
        Policies::Static(entries) => by_prefix(entries, client),
    }
}

pub fn services(policies: &Policies<ServiceParams>) -> Value {
    match policies {
        Policies::Global(_) => {
            let policy: ServicePolicy = policies.policy(&Path::empty());
            global(service(&policy.into()))
        }
        Policies::Static(entries) => by_prefix(entries, service),
    }
}

fn global(mut params: Map<String, Value>) -> Value {
    params.insert("kind".to_owned(), json!("io.l5d.global"));
    Value::Object(params)
}

fn by_prefix<W>(entries: &[(Pattern, W)], of: impl Fn(&W) -> Map<String, Value>) -> Value {
    let entry = |(pattern, params): &(Pattern, W)| {
        let mut json = of(params);
        json.insert("prefix".to_owned(), json!(pattern.to_string()));
        Value::Object(json)
    };
    let configs: Vec<Value> = entries.iter().map(entry).collect();
    json!({ "kind": "io.l5d.static", "configs": configs })
}

/// Without what was not said.
fn said(json: Value) -> Map<String, Value> {
    let Value::Object(pairs) = json else {
        return Map::new();
    };
    let of = |(key, value): (String, Value)| match value {
        Value::Null => None,
        Value::Object(pairs) => {
            let inner = said(Value::Object(pairs));
            (!inner.is_empty()).then_some((key, Value::Object(inner)))
        }
        value => Some((key, value)),
    };
    pairs.into_iter().filter_map(of).collect()
}

/// A limit, linkerd's largest number if there is none.
fn limit(n: impl TryInto<u64>) -> u64 {
    n.try_into().unwrap_or(MOST).min(MOST)
}

fn client(params: &ClientParams) -> Map<String, Value> {
    let hash = params.hash.as_ref().and_then(Option::as_ref);
    let balancer = params.balancer.as_ref();
    said(json!({
        "loadBalancer": balancer.map(|config| self::balancer(config, hash)),
        "hostConnectionPool": {
            "minSize": params.min_size,
            "maxSize": params.max_size.map(limit),
            "idleTimeMs": params.idle_timeout.map(ms),
            "maxWaiters": params.max_waiters.map(limit),
            "maxIdle": params.max_idle,
        },
        "clientSession": { "lifeTimeMs": opt_ms(params.life_time.flatten()) },
        "failFast": params.fail_fast,
        "healthCheck": params.health_check.as_ref().and_then(Option::as_ref).map(HealthCheck::to_json),
        "failureAccrual": params.accrual.as_ref().map(accrual),
        "requeueBudget": params.requeue_budget.as_ref().map(budget),
        "requestAttemptTimeoutMs": opt_ms(params.attempt_timeout.flatten()),
        "connectTimeoutMs": params.connect_timeout.map(ms),
        "bodyTimeoutMs": params.body_timeout.map(ms),
        "socketOptions": { "noDelay": params.no_delay },
    }))
}

fn balancer(config: &BalancerConfig, hash: Option<&HashKey>) -> Value {
    let mut json = match &config.kind {
        Kind::P2c => json!({ "kind": "p2c" }),
        Kind::Ewma { decay } => json!({ "kind": "ewma", "decayTimeMs": ms(*decay) }),
        Kind::Aperture(aperture) => json!({
            "kind": "aperture",
            "smoothWindowMs": ms(aperture.smooth_window),
            "lowLoad": aperture.low_load,
            "highLoad": aperture.high_load,
            "minAperture": aperture.min_aperture,
        }),
        Kind::Heap => json!({ "kind": "heap" }),
        Kind::RoundRobin => json!({ "kind": "roundRobin" }),
        Kind::RingHash(ring) => json!({
            "kind": "ringHash",
            "hashBy": hash.map(hash_by),
            "virtualNodes": ring.virtual_nodes,
            "loadFactor": ring.load_factor,
        }),
    };
    json["maxEffort"] = json!(config.max_effort);
    json["slowStartMs"] = opt_ms(config.slow_start);
    // Read from a whole number.
    json["panicThresholdPercent"] = json!((config.panic_threshold * 100.0).round() as u64);
    json
}

fn hash_by(key: &HashKey) -> Value {
    match key {
        HashKey::Header(name) => json!({ "header": name }),
        HashKey::Cookie(name) => json!({ "cookie": name }),
        HashKey::Path => json!("path"),
        HashKey::Client => json!("client"),
    }
}

fn accrual(config: &AccrualConfig) -> Value {
    let mut json = match config.policy {
        AccrualPolicy::ConsecutiveFailures { failures } => {
            json!({ "kind": "io.l5d.consecutiveFailures", "failures": failures })
        }
        AccrualPolicy::SuccessRate {
            success_rate,
            requests,
        } => json!({
            "kind": "io.l5d.successRate",
            "successRate": success_rate,
            "requests": requests,
        }),
        AccrualPolicy::SuccessRateWindowed {
            success_rate,
            window_secs,
        } => json!({
            "kind": "io.l5d.successRateWindowed",
            "successRate": success_rate,
            "window": window_secs,
        }),
        AccrualPolicy::None => json!({ "kind": "none" }),
    };
    json["backoff"] = backoff(&config.backoff);
    json
}

fn budget(config: &BudgetConfig) -> Value {
    json!({
        "minRetriesPerSec": config.min_retries_per_sec,
        "percentCanRetry": config.percent_can_retry,
        "ttlSecs": config.ttl_secs,
    })
}

/// `null` for the kinds that have no name in a file: they are defaults.
fn backoff(backoff: &Backoff) -> Value {
    match backoff {
        Backoff::Constant { ms } => json!({ "kind": "constant", "ms": ms }),
        Backoff::Jittered { min_ms, max_ms } => {
            json!({ "kind": "jittered", "minMs": min_ms, "maxMs": max_ms })
        }
        Backoff::EqualJittered { .. } | Backoff::ExponentialJittered { .. } => Value::Null,
    }
}

fn service(params: &ServiceParams) -> Map<String, Value> {
    let total = |total: Option<Duration>| total.map_or(0, ms);
    let classifier = params.classifier.as_ref();
    // Where nobody waits, it has nothing to say.
    let queue = params.codel.as_ref();
    let queue = queue.filter(|codel| codel.is_some() || params.max_pending != Some(0));
    said(json!({
        "totalTimeoutMs": params.total_timeout.map(total),
        "responseClassifier": { "kind": classifier.map(self::classifier) },
        "retries": {
            "budget": params.retry_budget.as_ref().map(budget),
            "backoff": params.backoff.as_ref().map(backoff),
            "bufferBytes": params.replay_bytes,
        },
        "mirror": params.mirror.as_ref().and_then(Option::as_ref).map(Mirror::to_json),
        "hedge": params.hedge.as_ref().and_then(Option::as_ref).map(hedge_to_json),
        "maxConcurrentRequests": params.max_concurrent.filter(|n| *n < u32::MAX),
        "maxPendingRequests": params.max_pending,
        "queue": queue.map(|codel| queue_to_json(codel.as_ref())),
        "adaptiveLimit": params.adaptive_limit.as_ref().and_then(Option::as_ref).map(adaptive_to_json),
        "rateLimit": params.rate_limit.as_ref().and_then(Option::as_ref).map(RateLimit::to_json),
        "faults": params.faults.as_ref().map(|rules| {
            rules.iter().map(FaultRule::to_json).collect::<Vec<_>>()
        }),
    }))
}

fn classifier(classifier: &Classifier) -> &'static str {
    match classifier {
        Classifier::NonRetryable5xx => "io.l5d.http.nonRetryable5XX",
        Classifier::RetryableRead5xx => "io.l5d.http.retryableRead5XX",
        Classifier::RetryableIdempotent5xx => "io.l5d.http.retryableIdempotent5XX",
        Classifier::RetryableAll5xx => "io.l5d.http.retryableAll5XX",
        Classifier::AllSuccessful => "io.l5d.http.allSuccessful",
        Classifier::Grpc { retries, .. } => match retries {
            GrpcRetries::Default => "io.l5d.h2.grpc.default",
            GrpcRetries::Compliant => "io.l5d.h2.grpc.compliant",
            GrpcRetries::Always => "io.l5d.h2.grpc.alwaysRetryable",
            GrpcRetries::Never => "io.l5d.h2.grpc.neverRetryable",
            GrpcRetries::Codes(_) => "io.l5d.h2.grpc.retryableStatusCodes",
        },
    }
}
