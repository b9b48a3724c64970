//! Policy for requests as a whole: what it means, what is refused, and that it loads again.

use std::time::Duration;

use super::super::resolved::ServicePolicy;
use super::accepted::round_trip;
use super::{check, ok, router, told};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::BudgetConfig;
use crate::resilience::classify::Classifier;

/// The policy of a name by what `service:` says, which loads again.
#[track_caller]
fn policy(service: &str, name: &str) -> ServicePolicy {
    let config = ok(&router(&format!("service: {service}")));
    round_trip(&config);
    let policy = |config: &super::Config| config.routers[0].service.policy(&name.parse().unwrap());
    assert_eq!(policy(&ok(&config.to_json().to_string())), policy(&config));
    policy(&config)
}

#[test]
fn classifiers() {
    use Classifier::{
        AllSuccessful, NonRetryable5xx, RetryableAll5xx, RetryableIdempotent5xx, RetryableRead5xx,
    };
    for (kind, classifier) in [
        ("nonRetryable5XX", NonRetryable5xx),
        ("retryableRead5XX", RetryableRead5xx),
        ("retryableIdempotent5XX", RetryableIdempotent5xx),
        ("retryableAll5XX", RetryableAll5xx),
        ("allSuccessful", AllSuccessful),
    ] {
        let text = format!("{{responseClassifier: {{kind: io.l5d.http.{kind}}}}}");
        let expected = ServicePolicy {
            classifier,
            ..ServicePolicy::default()
        };
        assert_eq!(policy(&text, "/svc/a"), expected);
        let old = router(&format!(
            "service: {{responseClassifier: {{kind: io.l5d.{kind}}}}}"
        ));
        let expected = format!(
            "4:40: routers[0].service.responseClassifier.kind: response classifier `io.l5d.{kind}` is of an older linkerd"
        );
        assert_eq!(told(&old), [expected]);
    }
}

#[test]
fn retries_by_prefix() {
    let text = "
  kind: io.l5d.static
  configs:
  - prefix: /svc
    totalTimeoutMs: 500
    retries: {bufferBytes: 0, budget: {percentCanRetry: 0.5}}
  - prefix: /svc/foo
    totalTimeoutMs: 0
    retries: {backoff: {kind: jittered, minMs: 10, maxMs: 10000}}";
    let other = policy(text, "/svc/bar");
    assert_eq!(
        other,
        ServicePolicy {
            total_timeout: Some(Duration::from_millis(500)),
            retry_budget: BudgetConfig {
                percent_can_retry: 0.5,
                ..BudgetConfig::default()
            },
            replay_bytes: 0,
            ..ServicePolicy::default()
        }
    );
    let foo = policy(text, "/svc/foo/v2");
    assert_eq!(
        foo,
        ServicePolicy {
            total_timeout: None,
            backoff: Backoff::Jittered {
                min_ms: 10,
                max_ms: 10_000,
            },
            ..other
        }
    );
    assert_eq!(policy(text, "/other"), ServicePolicy::default());
}

#[test]
fn wrong_services() {
    check(
        |text| router(&format!("service:\n  {text}")),
        &[
            (
                "responseClassifier: {}",
                &["5:25: routers[0].service.responseClassifier: `kind` is missing"],
            ),
            (
                "responseClassifier: {kind: io.l5d.http.retryableRead4XX}",
                &[
                    "5:32: routers[0].service.responseClassifier.kind: unknown response classifier `io.l5d.http.retryableRead4XX`",
                ],
            ),
            (
                "retries: {bufferBytes: 16777217, backoff: {kind: exponential}, budget: []}",
                &[
                    "5:28: routers[0].service.retries.bufferBytes: 16777217 is not within 0 to 16777216",
                    "5:54: routers[0].service.retries.backoff.kind: unknown backoff `exponential`",
                    "5:76: routers[0].service.retries.budget: expected a map, found a list",
                ],
            ),
            (
                "kind: static\n  configs: [{totalTimeoutMs: -1}]",
                &[
                    "6:16: routers[0].service.configs[0]: `prefix` is missing",
                    "6:32: routers[0].service.configs[0].totalTimeoutMs: -1 is not within 0 to 2147483647",
                ],
            ),
        ],
    );
}

/// What no request can outlast is told only where it is certain.
#[test]
fn attempts_and_requests() {
    let with = |service: &str, client: &str| {
        told(&router(&format!("service: {service}\nclient: {client}")))
    };
    let service = |totals: &[u64]| {
        let entry = |ms: &u64| format!("{{prefix: /svc/{ms}, totalTimeoutMs: {ms}}}");
        let entries: Vec<_> = totals.iter().map(entry).collect();
        format!("{{kind: io.l5d.static, configs: [{}]}}", entries.join(", "))
    };
    let client = "{kind: io.l5d.static, configs: [{prefix: /, requestAttemptTimeoutMs: 70000}]}";
    let place = "routers[0].client.configs[0].requestAttemptTimeoutMs";
    let wrong = |total| {
        [format!(
            "5:80: {place}: 70000 is more than the whole request has: {total}"
        )]
    };
    assert_eq!(with("{totalTimeoutMs: 50}", client), wrong(50));
    assert_eq!(with("{}", client), wrong(60_000));
    assert_eq!(with("{totalTimeoutMs: 0}", client), [""; 0]);
    assert_eq!(with(&service(&[]), client), wrong(60_000));
    assert_eq!(with(&service(&[500, 69_999]), client), wrong(69_999));
    assert_eq!(with(&service(&[500, 70_000]), client), [""; 0]);
    assert_eq!(with(&service(&[500, 0]), client), [""; 0]);
}
