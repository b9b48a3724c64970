//! What loads, and what it then means.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::super::resolved::{Config, Cores, DriverChoice, Identifier, Limits};
use super::{file, ok, router, server, top};
use crate::naming::Path;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn every_default() {
    let config = ok("routers:\n- protocol: http\n  servers:\n  - {}\n");
    assert_eq!(config.admin.addr.to_string(), "127.0.0.1:9990");
    assert_eq!(config.admin.shutdown_grace, ms(10_000));
    let engine = &config.engine;
    assert_eq!(
        (engine.driver, &engine.cores),
        (DriverChoice::Auto, &Cores::Auto)
    );
    assert_eq!(
        (engine.ring_entries, engine.completion_entries),
        (4096, 16384)
    );
    assert_eq!((engine.buffer_count, engine.buffer_size), (4096, 16384));
    assert_eq!(engine.max_connections, 100_000);
    let router = &config.routers[0];
    assert_eq!(router.label, "http");
    assert_eq!(router.dtab.to_string(), "");
    assert_eq!(router.dst_prefix.to_string(), "/svc");
    assert_eq!(
        (router.binding_timeout, router.binding_cache.paths),
        (ms(10_000), 1000)
    );
    let heads = router.heads;
    assert_eq!(
        (heads.head_bytes, heads.line_bytes, heads.fields),
        (65536, 8192, 128)
    );
    assert!(
        matches!(&router.identifiers[..], [Identifier::HeaderToken { header }] if header == "Host")
    );
    let server = &router.servers[0];
    assert_eq!(
        (server.ip, server.port),
        (IpAddr::V4(Ipv4Addr::LOCALHOST), 4140)
    );
    assert_eq!((server.timeout, server.idle_timeout), (None, ms(65_000)));
    assert_eq!(
        (server.head_timeout, server.body_timeout),
        (ms(10_000), ms(60_000))
    );
    assert_eq!(
        (server.backlog, server.no_delay, server.allow_connect),
        (4096, true, false)
    );
    assert_eq!(server.label, None);
    assert_eq!(server.limits, Limits::default());
    let client = &router.client.policy(&Path::empty());
    assert_eq!(
        (client.connect_timeout, client.attempt_timeout),
        (ms(1000), None)
    );
    assert_eq!((client.idle_timeout, client.life_time), (ms(60_000), None));
    assert_eq!(
        (client.max_idle, client.body_timeout, client.no_delay),
        (65536, ms(60_000), true)
    );
    assert_eq!(
        router.service.policy(&Path::empty()).total_timeout,
        Some(ms(60_000))
    );
}

#[test]
fn engine() {
    let cores = |text: &str| ok(&top(&format!("engine: {{cores: {text}}}"))).engine.cores;
    assert_eq!(cores("auto"), Cores::Auto);
    assert_eq!(cores("\"auto\""), Cores::Auto);
    assert_eq!(cores("4"), Cores::Count(4));
    assert_eq!(cores("'0-3,8'"), Cores::List(vec![0, 1, 2, 3, 8]));
    assert_eq!(cores("2 - 3"), Cores::List(vec![2, 3]));
    assert_eq!(cores("[2, 0]"), Cores::List(vec![0, 2]));
    let driver = |text: &str| {
        ok(&top(&format!("engine: {{driver: {text}}}")))
            .engine
            .driver
    };
    assert_eq!(driver("io_uring"), DriverChoice::Uring);
    assert_eq!(driver("epoll"), DriverChoice::Epoll);
    let engine = ok(&top(
        "engine: {ring: {entries: 8192}, buffers: {count: 32768, sizeKB: 64}}",
    ))
    .engine;
    assert_eq!(
        (engine.ring_entries, engine.completion_entries),
        (8192, 32768)
    );
    assert_eq!((engine.buffer_count, engine.buffer_size), (32768, 65536));
}

#[test]
fn values_arrive() {
    let config = ok(&server(
        "ip: '::1'\nlabel: 12\ntimeoutMs: 1\nmaxConcurrentRequests: 9\nmaxPendingRequests: 8\nheaderReadTimeoutMs: 2\nbodyTimeoutMs: 3\nallowConnect: true\nclearContext: true\n\
         serverSession: {idleTimeMs: 4}\nsocketOptions: {noDelay: False, backlog: 5}",
    ));
    let server = &config.routers[0].servers[0];
    assert_eq!(server.ip.to_string(), "::1");
    assert_eq!(server.label.as_deref(), Some("12"));
    assert_eq!((server.timeout, server.head_timeout), (Some(ms(1)), ms(2)));
    assert_eq!((server.body_timeout, server.idle_timeout), (ms(3), ms(4)));
    let admission = (
        server.limits.admission.max_concurrent,
        server.limits.admission.max_pending,
    );
    assert_eq!(admission, (9, 8));
    round_trip(&config);
    assert_eq!(
        (server.backlog, server.no_delay, server.allow_connect),
        (5, false, true)
    );

    let config = ok(&router(
        "client: {hostConnectionPool: {idleTimeMs: 9, maxIdle: 0}, clientSession: {idleTimeMs: 8, lifeTimeMs: 7}, \
         requestAttemptTimeoutMs: 120000, connectTimeoutMs: 5, bodyTimeoutMs: 4, socketOptions: {noDelay: false}}\n\
         service: {totalTimeoutMs: 0}\nmaxHeadersKB: 4\nexperimental: true",
    ));
    let client = &config.routers[0].client.policy(&Path::empty());
    assert_eq!(
        (client.idle_timeout, client.life_time),
        (ms(8), Some(ms(7)))
    );
    assert_eq!((client.max_idle, client.no_delay), (0, false));
    assert_eq!(
        (client.connect_timeout, client.body_timeout),
        (ms(5), ms(4))
    );
    assert_eq!(client.attempt_timeout, Some(ms(120_000)));
    let service = &config.routers[0].service.policy(&Path::empty());
    assert_eq!(service.total_timeout, None);
    assert_eq!(config.routers[0].heads.line_bytes, 4096);
    let config = ok(&top(
        "admin: {ip: 0.0.0.0, port: 0, shutdownGraceMs: 0}\nusage: {orgId: a, enabled: true}",
    ));
    assert_eq!(config.admin.addr.to_string(), "0.0.0.0:0");
    assert_eq!(config.admin.shutdown_grace, Duration::ZERO);
}

#[test]
fn identifiers_by_both_names() {
    for prefix in ["", "io.l5d."] {
        let config = ok(&router(&format!(
            "identifier:\n- {{kind: {prefix}header.token, header: X-A}}\n- {{kind: {prefix}header}}\n- {{kind: {prefix}methodAndHost, httpUriInDst: true}}\n\
             - {{kind: {prefix}path, segments: 2, consume: true}}\n- {{kind: {prefix}static, path: /a/b}}"
        )));
        let [
            Identifier::HeaderToken { header },
            Identifier::Header { header: name },
            Identifier::MethodAndHost { uri_in_dst: true },
            Identifier::Path {
                segments: 2,
                consume: true,
            },
            Identifier::Static { path },
        ] = &config.routers[0].identifiers[..]
        else {
            panic!("{:?}", config.routers[0].identifiers);
        };
        assert_eq!(
            (header.as_str(), path.to_string().as_str()),
            ("X-A", "/a/b")
        );
        assert_eq!(name, "l5d-name");
    }
}

/// What `to_json` says loads again, and says the same.
#[track_caller]
pub(super) fn round_trip(config: &Config) {
    let json = config.to_json();
    for text in [json.to_string(), format!("{json:#}")] {
        assert_eq!(ok(&text).to_json(), json);
    }
}

#[test]
fn json_loads_again() {
    round_trip(&ok(&router(
        "service: {totalTimeoutMs: 0}\nlabel: \"a\\\"b\\n: ~\"",
    )));
    round_trip(&ok(&router(
        "dtab: |\n  /svc => 0.9 * /a & 0.1 * /b | !;\n  /x/* => ~",
    )));
    round_trip(&ok(&top("engine: {cores: [1, 5], driver: epoll}")));
    round_trip(&ok(&top("engine: {cores: 3, driver: io_uring}")));
    round_trip(&ok(&router(
        "identifier: [{kind: static, path: /a}, {kind: methodAndHost}, {kind: path}, {kind: header}]",
    )));
    let json = ok(&router("label: x")).to_json();
    assert_eq!(json["routers"][0]["label"], "x");
    assert_eq!(
        json["routers"][0]["servers"][0]["serverSession"]["idleTimeMs"],
        65000
    );
}

#[test]
fn shipped_configurations_load() {
    for name in ["http", "edge", "sidecar", "routes"] {
        round_trip(&ok(&file(&format!("configs/{name}.yaml"))));
    }
}
