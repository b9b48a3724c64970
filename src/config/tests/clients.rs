//! Policy towards replicas: what it means, what is refused, and that it loads again.

use std::time::Duration;

use super::super::resolved::{ClientPolicy, HashKey};
use super::accepted::round_trip;
use super::{check, ok, router};
use crate::balance::{Aperture, BalancerConfig, Kind, RingHash};
use crate::resilience::accrual::{AccrualConfig, AccrualPolicy};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::BudgetConfig;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The policy of a name by what `client:` says, which loads again.
#[track_caller]
fn policy(client: &str, name: &str) -> ClientPolicy {
    let config = ok(&router(&format!("client: {client}")));
    round_trip(&config);
    let policy = |config: &super::Config| config.routers[0].client.policy(&name.parse().unwrap());
    assert_eq!(policy(&ok(&config.to_json().to_string())), policy(&config));
    policy(&config)
}

#[test]
fn left_out_it_is_the_default() {
    let nothing = ok("routers: [{protocol: http, servers: [{port: 0}]}]");
    let path = crate::naming::Path::empty();
    for text in ["{}", "{kind: global}", "{kind: io.l5d.static, configs: []}"] {
        assert_eq!(policy(text, "/a"), ClientPolicy::default(), "{text}");
        assert_eq!(policy(text, "/a"), nothing.routers[0].client.policy(&path));
    }
}

#[test]
fn balancers() {
    let balancer = |text: &str| policy(&format!("{{loadBalancer: {{{text}}}}}"), "/").balancer;
    let of = |kind| BalancerConfig {
        kind,
        ..BalancerConfig::default()
    };
    assert_eq!(balancer("kind: p2c"), BalancerConfig::default());
    assert_eq!(
        balancer("kind: heap, maxEffort: 7, slowStartMs: 30000, panicThresholdPercent: 29"),
        BalancerConfig {
            kind: Kind::Heap,
            max_effort: 7,
            slow_start: Some(ms(30_000)),
            prefer_zone: None,
            panic_threshold: 0.29,
        }
    );
    assert_eq!(balancer("kind: roundRobin"), of(Kind::RoundRobin));
    let ewma = |n| of(Kind::Ewma { decay: ms(n) });
    assert_eq!(balancer("kind: ewma"), ewma(10_000));
    assert_eq!(balancer("kind: ewma, decayTimeMs: 5"), ewma(5));
    assert_eq!(
        balancer("kind: aperture"),
        of(Kind::Aperture(Aperture::default()))
    );
    assert_eq!(
        balancer(
            "kind: aperture, smoothWindowMs: 6, lowLoad: 0.00001, highLoad: 3, minAperture: 4"
        ),
        of(Kind::Aperture(Aperture {
            smooth_window: ms(6),
            low_load: 0.00001,
            high_load: 3.0,
            min_aperture: 4,
        }))
    );
    for (text, key) in [
        ("path", HashKey::Path),
        ("client", HashKey::Client),
        ("{header: X-User}", HashKey::Header("X-User".to_owned())),
        ("{cookie: sid}", HashKey::Cookie("sid".to_owned())),
    ] {
        let policy = policy(
            &format!("{{loadBalancer: {{kind: ringHash, hashBy: {text}}}}}"),
            "/",
        );
        assert_eq!(policy.balancer, of(Kind::RingHash(RingHash::default())));
        assert_eq!(policy.hash, Some(key));
    }
    assert_eq!(
        balancer("kind: ringHash, hashBy: path, virtualNodes: 9, loadFactor: 1.5"),
        of(Kind::RingHash(RingHash {
            virtual_nodes: 9,
            load_factor: 1.5,
        }))
    );
}

#[test]
fn failures_and_budgets() {
    let accrual = |text: &str| policy(&format!("{{failureAccrual: {text}}}"), "/").accrual;
    let of = |policy| AccrualConfig {
        policy,
        ..AccrualConfig::default()
    };
    assert_eq!(
        accrual("{kind: io.l5d.consecutiveFailures}"),
        AccrualConfig::default()
    );
    assert_eq!(
        accrual("{kind: consecutiveFailures, failures: 2, backoff: {kind: constant, ms: 9}}"),
        AccrualConfig {
            policy: AccrualPolicy::ConsecutiveFailures { failures: 2 },
            backoff: Backoff::Constant { ms: 9 },
        }
    );
    assert_eq!(
        accrual("{kind: io.l5d.successRate, successRate: 0.99999, requests: 1000}"),
        of(AccrualPolicy::SuccessRate {
            success_rate: 0.99999,
            requests: 1000,
        })
    );
    assert_eq!(
        accrual("{kind: io.l5d.successRateWindowed, successRate: 1, window: 30}"),
        of(AccrualPolicy::SuccessRateWindowed {
            success_rate: 1.0,
            window_secs: 30,
        })
    );
    assert_eq!(accrual("{kind: none}"), of(AccrualPolicy::None));
    let policy = policy(
        "{failFast: true, requeueBudget: {minRetriesPerSec: 0, percentCanRetry: 1000, ttlSecs: 60}}",
        "/",
    );
    assert!(policy.fail_fast);
    assert_eq!(
        policy.requeue_budget,
        BudgetConfig {
            ttl_secs: 60,
            min_retries_per_sec: 0,
            percent_can_retry: 1000.0,
        }
    );
}

#[test]
fn pools() {
    let sizes = |text: &str| {
        let policy = policy(&format!("{{hostConnectionPool: {{{text}}}}}"), "/");
        (
            policy.min_size,
            policy.max_size,
            policy.max_waiters,
            policy.max_idle,
        )
    };
    assert_eq!(sizes(""), (0, u32::MAX, usize::MAX, 65536));
    assert_eq!(
        sizes("minSize: 1, maxSize: 2, maxWaiters: 0, maxIdle: 4"),
        (1, 2, 0, 4)
    );
    // What linkerd has for no limit.
    assert_eq!(
        sizes("maxSize: 2147483647, maxWaiters: 2147483647"),
        (0, u32::MAX, usize::MAX, 65536)
    );
}

#[test]
fn by_prefix() {
    let text = "
  kind: io.l5d.static
  configs:
  - prefix: /
    requestAttemptTimeoutMs: 1000
    loadBalancer: {kind: ringHash, hashBy: path}
    hostConnectionPool: {maxIdle: 7}
  - prefix: '/#/*/{service}'
    failFast: true
  - prefix: /#/io.l5d.fs/cat
    loadBalancer: {kind: ewma}
    requestAttemptTimeoutMs: 500
    hostConnectionPool: {maxSize: 3}";
    let default = ClientPolicy::default();
    let other = policy(text, "/$/inet");
    assert_eq!(other.attempt_timeout, Some(ms(1000)));
    assert_eq!(other.hash, Some(HashKey::Path));
    assert_eq!((other.fail_fast, other.max_size), (false, default.max_size));
    let dog = policy(text, "/#/io.l5d.fs/dog");
    assert_eq!(
        dog,
        ClientPolicy {
            fail_fast: true,
            ..other
        }
    );
    let cat = policy(text, "/#/io.l5d.fs/cat/v2");
    assert_eq!(cat.attempt_timeout, Some(ms(500)));
    assert_eq!((cat.max_size, cat.max_idle, cat.fail_fast), (3, 7, true));
    // A balancer replaces the one before with all that belongs to it.
    assert_eq!(
        (cat.balancer.kind, cat.hash),
        (Kind::Ewma { decay: ms(10_000) }, None)
    );
    // What an entry was not given, it does not say.
    let json = ok(&router(&format!("client: {text}"))).to_json();
    let entries = &json["routers"][0]["client"]["configs"];
    assert_eq!(
        entries[1],
        serde_json::json!({ "prefix": "/#/*/{service}", "failFast": true })
    );
}

#[test]
fn wrong_balancers() {
    let place = "routers[0].client.loadBalancer";
    check(
        |text| router(&format!("client:\n  loadBalancer:\n    {text}")),
        &[
            (
                "kind: p2p",
                &[&format!("6:13: {place}.kind: unknown load balancer `p2p`")],
            ),
            (
                "maxEffort: 5",
                &[&format!("6:7: {place}: `kind` is missing")],
            ),
            (
                "kind: p2c\n    enableProbation: true",
                &[&format!(
                    "7:7: {place}.enableProbation: client.loadBalancer.enableProbation is not supported yet"
                )],
            ),
            (
                "kind: p2c\n    maxEffort: 0\n    decayTimeMs: 1",
                &[
                    &format!("7:18: {place}.maxEffort: 0 is not within 1 to 1000"),
                    &format!("8:7: {place}.decayTimeMs: unknown key `decayTimeMs`"),
                ],
            ),
            (
                "kind: heap\n    panicThresholdPercent: 101\n    slowStartMs: 0",
                &[
                    &format!("7:30: {place}.panicThresholdPercent: 101 is not within 0 to 100"),
                    &format!("8:20: {place}.slowStartMs: 0 is not within 1 to 2147483647"),
                ],
            ),
            (
                "kind: aperture\n    lowLoad: 2",
                &[&format!(
                    "7:16: {place}.lowLoad: 2 is not less than `highLoad`, which is 2"
                )],
            ),
            (
                "kind: aperture\n    lowLoad: 0.6\n    highLoad: 0.25\n    minAperture: 0",
                &[
                    &format!(
                        "8:17: {place}.highLoad: 0.25 is not more than `lowLoad`, which is 0.6"
                    ),
                    &format!("9:20: {place}.minAperture: 0 is not within 1 to 1000000"),
                ],
            ),
            (
                "kind: ringHash\n    loadFactor: 1\n    virtualNodes: 0",
                &[
                    &format!("6:7: {place}: `hashBy` is missing"),
                    &format!("7:19: {place}.loadFactor: 1 is not within 1.01 to 1000"),
                    &format!("8:21: {place}.virtualNodes: 0 is not within 1 to 10000"),
                ],
            ),
            (
                "kind: ringHash\n    hashBy: user",
                &[&format!(
                    "7:15: {place}.hashBy: requests have no `user` to hash by"
                )],
            ),
            (
                "kind: ringHash\n    hashBy: {header: a, cookie: b}",
                &[&format!(
                    "7:16: {place}.hashBy: one of `header` and `cookie`"
                )],
            ),
            (
                "kind: ringHash\n    hashBy: {cookie: 'a b'}",
                &[&format!(
                    "7:24: {place}.hashBy.cookie: `a b` is not the name of a cookie"
                )],
            ),
        ],
    );
}

#[test]
fn wrong_failures_and_budgets() {
    let accrual = "routers[0].client.failureAccrual";
    let budget = "routers[0].client.requeueBudget";
    check(
        |text| router(&format!("client:\n  {text}")),
        &[
            (
                "failureAccrual: {failures: 5}",
                &[&format!("5:22: {accrual}: `kind` is missing")],
            ),
            (
                "failureAccrual: {kind: consecutiveFailures, failures: 0}",
                &[&format!(
                    "5:59: {accrual}.failures: 0 is not within 1 to 1000000"
                )],
            ),
            (
                "failureAccrual: {kind: successRate, requests: 0}",
                &[
                    &format!("5:22: {accrual}: `successRate` is missing"),
                    &format!("5:51: {accrual}.requests: 0 is not within 1 to 10000000"),
                ],
            ),
            (
                "failureAccrual: {kind: successRateWindowed, successRate: 1.1}",
                &[
                    &format!("5:22: {accrual}: `window` is missing"),
                    &format!("5:62: {accrual}.successRate: 1.1 is not within 0 to 1"),
                ],
            ),
            (
                "failureAccrual: {kind: none, backoff: {kind: jittered, minMs: 2}}",
                &[&format!("5:44: {accrual}.backoff: `maxMs` is missing")],
            ),
            (
                "failureAccrual: {kind: none, backoff: {kind: jittered, minMs: 2, maxMs: 1}}",
                &[&format!(
                    "5:77: {accrual}.backoff.maxMs: 1 is less than `minMs`, which is 2"
                )],
            ),
            (
                "failureAccrual: {kind: none, backoff: {kind: jittered, minMs: 0, maxMs: 1}}",
                &[&format!(
                    "5:67: {accrual}.backoff.minMs: 0 is not within 1 to 2147483647"
                )],
            ),
            (
                "requeueBudget: {ttlSecs: 61, percentCanRetry: 1000.5, minRetriesPerSec: -1}",
                &[
                    &format!("5:30: {budget}.ttlSecs: 61 is not within 1 to 60"),
                    &format!("5:51: {budget}.percentCanRetry: 1000.5 is not within 0 to 1000"),
                    &format!("5:77: {budget}.minRetriesPerSec: -1 is not within 0 to 2147483647"),
                ],
            ),
            (
                "failFast: 1",
                &["5:15: routers[0].client.failFast: expected true or false, found `1`"],
            ),
            (
                "hostConnectionPool: {minSize: 5, maxSize: 4, maxIdle: 3}",
                &[
                    "5:35: routers[0].client.hostConnectionPool.minSize: 5 is more than `maxSize`, which is 4",
                    "5:35: routers[0].client.hostConnectionPool.minSize: 5 is more than `maxIdle`, which is 3",
                ],
            ),
        ],
    );
}

#[test]
fn decimals_are_plain() {
    let told = |text: &str| {
        let text = router(&format!(
            "client: {{requeueBudget: {{percentCanRetry: {text}}}}}"
        ));
        super::told(&text).concat()
    };
    for text in ["0", "0.2", "0.00001", "1000", "1000.0", "12.50"] {
        assert_eq!(told(text), "", "{text}");
    }
    for text in [
        "1e-3",
        "+1",
        ".5",
        "5.",
        "1.2.3",
        "NaN",
        ".inf",
        "1_0",
        "0x1",
        "01",
        "00.5",
        "-",
        "--1",
        "'0.2'",
        "[1]",
        "0.000001",
        "-0.1",
        "1000.00001",
    ] {
        assert_ne!(told(text), "", "{text}");
    }
}

#[test]
fn wrong_entries() {
    let place = "routers[0].client.configs";
    check(
        |text| router(&format!("client:\n  kind: io.l5d.static\n  {text}")),
        &[
            (
                "config: []",
                &[
                    "5:5: routers[0].client: `configs` is missing",
                    "6:5: routers[0].client.config: unknown key `config`",
                ],
            ),
            (
                "configs: {prefix: /}",
                &[&format!("6:15: {place}: expected a list, found a map")],
            ),
            (
                "configs:\n  - failFast: true\n  - prefix: a\n  - /",
                &[
                    &format!("7:7: {place}[0]: `prefix` is missing"),
                    &format!("8:15: {place}[1].prefix: …"),
                    &format!("9:7: {place}[2]: expected a map, found a single value"),
                ],
            ),
            (
                "configs: [{prefix: /, kind: io.l5d.global, tls: {}, engine: x}]",
                &[
                    &format!("6:27: {place}[0].kind: unknown key `kind`"),
                    &format!("6:48: {place}[0].tls: client.configs[].tls is not supported yet"),
                    &format!(
                        "6:57: {place}[0].engine: client.configs[].engine is a key of an older linkerd"
                    ),
                ],
            ),
        ],
    );
}
