//! Limits: what they mean, what is refused, and that they load again.

use super::super::resolved::{Limits, RateKey, RateLimit};
use super::accepted::round_trip;
use super::{check, ok, router, server};
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
                    "5:16: routers[0].servers[0].rateLimit: 31 at once would take 31 days to be allowed again: 30 at most",
                ],
            ),
            (
                "rateLimit: {requests: 1, by: {cookie: a}}",
                &[
                    "5:34: routers[0].servers[0].rateLimit.by: `header` is missing",
                    "5:35: routers[0].servers[0].rateLimit.by.cookie: unknown key `cookie`",
                ],
            ),
        ],
    );
}
