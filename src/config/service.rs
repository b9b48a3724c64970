//! Policy for requests as a whole: how long they may take, what a failure is, and trying again.

use std::time::Duration;

use super::by_prefix::policies;
use super::cursor::{Cursor, open_kind};
use super::faults::faults;
use super::hedge::hedge;
use super::keys::policy as keys;
use super::limits::{adaptive_limit, places, queue, rate_limit};
use super::mirror::mirror;
use super::resolved::{DEFAULT_TOTAL, Policies, ServiceParams};
use super::retries::{backoff, budget};
use super::value::Value;
use crate::resilience::classify::Classifier;

/// Bytes of one request that may be kept at most: so much memory can each cost.
const MOST_KEPT: u64 = 16 * 1024 * 1024;

/// The service of a router.
pub fn services(given: Option<Value<'_>>) -> Policies<ServiceParams> {
    policies(given, &keys::SERVICES, &keys::SERVICE_ENTRY, params)
}

/// What no request takes longer than; `None` if there may be one without a limit.
pub fn longest_total(services: &Policies<ServiceParams>) -> Option<Duration> {
    match services {
        Policies::Global(params) => params.total_timeout.unwrap_or(Some(DEFAULT_TOTAL)),
        // Which entries apply to a name is not known here, nor is whether any does.
        Policies::Static(entries) => {
            let mut given = entries
                .iter()
                .filter_map(|(_, params)| params.total_timeout);
            given.try_fold(DEFAULT_TOTAL, |longest, total| Some(longest.max(total?)))
        }
    }
}

fn params(block: &mut Cursor<'_>) -> ServiceParams {
    let total = block.ms_from("totalTimeoutMs", 0);
    let classifier = block.get("responseClassifier").and_then(classifier);
    let whole = block.title() == keys::SERVICE.title;
    let (max_concurrent, max_pending) = places(block, whole);
    let codel = queue(block, max_pending, whole);
    let adaptive_limit = block.get("adaptiveLimit").and_then(adaptive_limit);
    let rate_limit = block.get("rateLimit").and_then(rate_limit);
    let hedge = block.get("hedge").and_then(hedge);
    let mirror = block.get("mirror").and_then(mirror);
    let mut retries = block.block("retries", &keys::RETRIES);
    let bytes = retries.get("bufferBytes");
    let bytes = bytes.and_then(|value| value.int(0..=MOST_KEPT));
    let params = ServiceParams {
        total_timeout: total.map(|total| (!total.is_zero()).then_some(total)),
        classifier,
        retry_budget: retries.get("budget").map(budget),
        backoff: retries.get("backoff").and_then(backoff),
        replay_bytes: bytes.and_then(|n| usize::try_from(n).ok()),
        max_concurrent,
        max_pending,
        codel,
        adaptive_limit: adaptive_limit.map(Some),
        hedge: hedge.map(Some),
        mirror: mirror.map(Some),
        rate_limit: rate_limit.map(Some),
        faults: block.get("faults").map(faults),
    };
    retries.finish();
    params
}

fn classifier(value: Value<'_>) -> Option<Classifier> {
    let (kind, block) = open_kind(value, &keys::CLASSIFIERS, None)?;
    block.finish();
    Some(match kind {
        "io.l5d.http.retryableRead5XX" => Classifier::RetryableRead5xx,
        "io.l5d.http.retryableIdempotent5XX" => Classifier::RetryableIdempotent5xx,
        "io.l5d.http.retryableAll5XX" => Classifier::RetryableAll5xx,
        "io.l5d.http.allSuccessful" => Classifier::AllSuccessful,
        _ => Classifier::NonRetryable5xx,
    })
}
