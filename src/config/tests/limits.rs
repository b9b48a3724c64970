//! Limits: what they mean, what is refused, and that they load again.

use super::super::resolved::{Limits, RateKey, RateLimit, Wanted};
use super::accepted::round_trip;
use super::{check, ok, router, server};
use crate::resilience::codel::CodelConfig;
use crate::resilience::limit::LimitConfig;
use crate::resilience::rate::RateConfig;

/// What limits a server that says this, which loads again.
#[track_caller]
fn of_server(text: &str) -> Limits {
    let config = ok(&server(text));
    round_trip(&config);
    let again = ok(&config.to_json().to_string());
    let limits = config.routers[0].servers[0].limits.clone();
    assert_eq!(again.routers[0].servers[0].limits, limits);
    limits
}

/// What limits a service of a name.
#[track_caller]
fn of_service(text: &str, name: &str) -> Limits {
    let config = ok(&router(&format!("service: {text}")));
    round_trip(&config);
    let of = |config: &super::Config| {
        let service = &config.routers[0].service;
        service.policy(&name.parse().unwrap()).limits()
    };
    assert_eq!(of(&ok(&config.to_json().to_string())), of(&config));
    of(&config)
}

fn rate(requests: u32, seconds: u64, burst: u32, by: RateKey) -> Option<RateLimit> {
    Some(RateLimit {
        by,
        rate: RateConfig {
            requests,
            per_ms: seconds * 1000,
            burst,
            ..RateConfig::default()
        },
    })
}

#[test]
fn nothing_is_limited_by_default() {
    assert!(of_server("label: a").are_open());
    assert!(of_service("{}", "/svc/a").are_open());
}

#[test]
fn rates() {
    for (text, expected) in [
        ("requests: 7", rate(7, 1, 7, RateKey::Everything)),
        (
            "requests: 7, perSecs: 60, burst: 3, by: client",
            rate(7, 60, 3, RateKey::Client),
        ),
        ("requests: 1, by: path", rate(1, 1, 1, RateKey::Path)),
        (
            "requests: 1, by: {header: X-Key}",
            rate(1, 1, 1, RateKey::Header("X-Key".to_owned())),
        ),
    ] {
        assert_eq!(of_server(&format!("rateLimit: {{{text}}}")).rate, expected);
        let service = format!("{{rateLimit: {{{text}}}}}");
        assert_eq!(of_service(&service, "/svc/a").rate, expected);
    }
    let keys = of_server("rateLimit: {requests: 1, maxKeys: 10}").rate;
    assert_eq!(keys.map(|limit| limit.rate.keys), Some(10));
    let text = "
  kind: io.l5d.static
  configs:
  - {prefix: /svc, rateLimit: {requests: 5}}
  - {prefix: /svc/a, rateLimit: {requests: 6}}";
    assert_eq!(
        of_service(text, "/svc/b").rate,
        rate(5, 1, 5, RateKey::Everything)
    );
    assert_eq!(
        of_service(text, "/svc/a").rate,
        rate(6, 1, 6, RateKey::Everything)
    );
    assert_eq!(of_service(text, "/other").rate, None);
}

#[test]
fn places() {
    for text in [
        "maxConcurrentRequests: 9, maxPendingRequests: 8",
        "maxPendingRequests: 8, adaptiveLimit: {min: 2, max: 5, tolerance: 2.5, windowMs: 7, baselineSecs: 8}",
        "adaptiveLimit: {}",
    ] {
        let config = ok(&format!(
            "routers: [{{protocol: http, servers: [{{port: 0, {text}}}]}}]"
        ));
        round_trip(&config);
        let limits = config.routers[0].servers[0].limits.clone();
        assert!(limits.are_on_places() && !limits.are_open(), "{text}");
        assert_eq!(of_service(&format!("{{{text}}}"), "/svc/a"), limits);
    }
    let config =
        of_server("adaptiveLimit: {min: 2, max: 5, tolerance: 2.5, windowMs: 7, baselineSecs: 8}");
    let expected = LimitConfig {
        min: 2,
        max: 5,
        initial: 5,
        tolerance: 2.5,
        window_ms: 7,
        baseline_secs: 8,
        ..LimitConfig::default()
    };
    assert_eq!(config.adaptive, Some(expected));
    assert_eq!(
        of_server("adaptiveLimit: {}").adaptive,
        Some(LimitConfig::default())
    );
    let text = "
  kind: io.l5d.static
  configs:
  - {prefix: /svc, maxPendingRequests: 3}
  - {prefix: /svc/a, maxConcurrentRequests: 7}";
    let admission = |name| of_service(text, name).admission;
    assert_eq!(
        (
            admission("/svc/a").max_concurrent,
            admission("/svc/a").max_pending
        ),
        (7, 3)
    );
    assert!(of_service(text, "/svc/b").are_open());
}

#[test]
fn queues() {
    for (text, codel) in [
        ("fifo", None),
        ("codel", Some(CodelConfig::default())),
        (
            "codel, targetMs: 7, intervalMs: 14",
            Some(CodelConfig {
                target_ms: 7,
                interval_ms: 14,
            }),
        ),
    ] {
        let text =
            format!("maxConcurrentRequests: 9, maxPendingRequests: 8, queue: {{kind: {text}}}");
        let limits = of_server(&text.replace(", m", "\nm").replace(", q", "\nq"));
        assert_eq!(limits.codel, codel);
        assert_eq!(of_service(&format!("{{{text}}}"), "/svc/a"), limits);
    }
    let text = "
  kind: io.l5d.static
  configs:
  - {prefix: /svc, queue: {kind: codel}}
  - {prefix: /svc/a, maxConcurrentRequests: 7, maxPendingRequests: 3}
  - {prefix: /svc/a/b, queue: {kind: fifo}}";
    assert_eq!(
        of_service(text, "/svc/a").codel,
        Some(CodelConfig::default())
    );
    assert_eq!(of_service(text, "/svc/a/b").codel, None);
}

#[test]
fn wrong_places() {
    check(
        server,
        &[
            (
                "adaptiveLimit: {min: 30, initial: 20, tolerance: 0.9}",
                &[
                    "5:21: routers[0].servers[0].adaptiveLimit: `initial` is 20, and not within `min` to `max`: 30 to 1000",
                    "5:54: routers[0].servers[0].adaptiveLimit.tolerance: 0.9 is not within 1 to 100",
                ],
            ),
            (
                "queue: {kind: codel, targetMs: 10, intervalMs: 19}",
                &[
                    "5:13: routers[0].servers[0].queue: nobody waits without `maxPendingRequests`",
                    "5:13: routers[0].servers[0].queue: `intervalMs` is 19, and less than two times `targetMs`, which is 10",
                ],
            ),
            (
                "queue: {kind: lifo}",
                &[
                    "5:13: routers[0].servers[0].queue: nobody waits without `maxPendingRequests`",
                    "5:19: routers[0].servers[0].queue.kind: unknown queue `lifo`",
                ],
            ),
            (
                "adaptiveLimit: {min: 30, max: 20}",
                &[
                    "5:21: routers[0].servers[0].adaptiveLimit: `initial` is 30, and not within `min` to `max`: 30 to 20",
                ],
            ),
        ],
    );
    check(
        |text| router(&format!("service: {{{text}}}")),
        &[(
            "maxPendingRequests: 5",
            &[
                "4:33: routers[0].service.maxPendingRequests: nobody waits without `maxConcurrentRequests` or `adaptiveLimit`",
            ],
        )],
    );
}

#[test]
fn faults() {
    let text = "
  kind: io.l5d.static
  configs:
  - prefix: /svc
    faults:
    - match: {path: /a/, methods: get-it, headers: {X-A: b, x-c: '*'}}
      abort: {percent: 12.34567, status: 503}
      delay: {percent: 0.00001, ms: 20}
    - match: {path: /}
      delay: {percent: 100, ms: 2147483647}
  - {prefix: /svc/well, faults: []}";
    let text = text.replace("get-it", "GET");
    assert!(of_service(&text, "/svc/a").are_open());
    let config = ok(&router(&format!("service: {text}")));
    let policy = |name: &str| config.routers[0].service.policy(&name.parse().unwrap());
    let [first, second] = &policy("/svc/a").faults[..] else {
        panic!("two faults");
    };
    assert_eq!(
        (first.path.as_deref(), &first.methods[..]),
        (Some("/a"), &["GET".to_owned()][..])
    );
    let wanted = [Wanted::Value("b".to_owned()), Wanted::Present];
    assert!(first.headers.iter().map(|(_, wanted)| wanted).eq(&wanted));
    let abort = first.faults.abort.as_ref().unwrap();
    assert_eq!((abort.fraction, abort.status), (0.123_456_7, 503));
    assert_eq!(second.path.as_deref(), Some(""));
    assert_eq!(second.faults.delay.as_ref().unwrap().ms, 2_147_483_647);
    assert!(policy("/svc/a").is_guarded() && !policy("/svc/well").is_guarded());
}

#[test]
fn wrong_faults() {
    check(
        |text| router(&format!("service: {{faults: {text}}}")),
        &[
            (
                "{}",
                &["4:21: routers[0].service.faults: expected a list, found a map"],
            ),
            (
                "[{match: {path: a, methods: get}}]",
                &[
                    "4:23: routers[0].service.faults[0]: a fault has an `abort`, a `delay` or both",
                    "4:37: routers[0].service.faults[0].match.path: `a` is not the path of a URI",
                    "4:49: routers[0].service.faults[0].match.methods: `get` is not a method",
                ],
            ),
            (
                "[{abort: {percent: 101, status: 200}, delay: {}}]",
                &[
                    "4:40: routers[0].service.faults[0].abort.percent: 101 is not within 0 to 100",
                    "4:53: routers[0].service.faults[0].abort.status: 200 is not within 400 to 599",
                    "4:66: routers[0].service.faults[0].delay: `percent` is missing",
                    "4:66: routers[0].service.faults[0].delay: `ms` is missing",
                ],
            ),
        ],
    );
}

#[test]
fn wrong_limits() {
    check(
        server,
        &[
            (
                "rateLimit: {}",
                &["5:16: routers[0].servers[0].rateLimit: `requests` is missing"],
            ),
            (
                "rateLimit: {requests: 0, perSecs: 86401, burst: x, by: cookie, maxKeys: 0}",
                &[
                    "5:27: routers[0].servers[0].rateLimit.requests: 0 is not within 1 to 1000000",
                    "5:39: routers[0].servers[0].rateLimit.perSecs: 86401 is not within 1 to 86400",
                    "5:53: routers[0].servers[0].rateLimit.burst: `x` is not a whole number",
                    "5:60: routers[0].servers[0].rateLimit.by: requests do not count together by `cookie`",
                    "5:77: routers[0].servers[0].rateLimit.maxKeys: 0 is not within 1 to 4194304",
                ],
            ),
            (
                "rateLimit: {requests: 1, perSecs: 86400, burst: 31}",
                &[
                    "5:17: routers[0].servers[0].rateLimit: 31 at once would take 31 days to be allowed again: 30 at most",
                ],
            ),
            (
                "rateLimit: {requests: 1, by: {cookie: a}}",
                &[
                    "5:35: routers[0].servers[0].rateLimit.by: `header` is missing",
                    "5:35: routers[0].servers[0].rateLimit.by.cookie: unknown key `cookie`",
                ],
            ),
        ],
    );
}
