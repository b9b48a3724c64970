//! Headers: what ringlink adds to heads, takes off them and changes in them.

mod rules;
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use support::proxy::{Proxy, inet};
use support::{Backend, Driver, Request, Response, Setup};

both_drivers!(
    via_is_appended,
    circles_are_cut,
    certificates_are_not_believed,
    the_time_of_arrival,
    forwarded_with_random_labels,
    forwarded_with_addresses,
    strangers_are_not_believed,
    trusted_proxies_are_believed,
    wildcards_know_their_address,
    the_older_name_of_a_dtab,
);

fn ask(proxy: &Proxy, fields: &str) -> Response {
    let request = format!("GET /x/y?q=1 HTTP/1.1\r\nHost: web:80\r\n{fields}\r\n");
    proxy.client().ask(request)
}

/// What a backend saw last.
fn seen(backend: &Backend) -> Request {
    let requests = backend.requests();
    requests.last().expect("a request").clone()
}

/// The values of all lines of a name.
fn all<'f>(fields: &'f [(String, String)], name: &str) -> Vec<&'f str> {
    let lines = fields.iter().filter(|(n, _)| n == name);
    lines.map(|(_, value)| value.as_str()).collect()
}

/// A backend whose responses have these fields.
fn answering(fields: &str) -> Backend {
    Backend::fixed(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n"
    ))
}

fn via_is_appended(driver: Driver) {
    let backend = answering("Via: 1.1 inner\r\nVia: 1.0 innermost\r\n");
    let second = Setup::to(driver, backend.addr).start();
    let first = Setup::to(driver, second.addr).start();
    let response = ask(&first, "Via: 1.0 a\r\nX: y\r\nvia: 1.1 b (c, d)\r\n");
    let ours = "1.1 ringlink, 1.1 ringlink";
    assert_eq!(
        all(&seen(&backend).fields, "via"),
        [format!("1.0 a, 1.1 b (c, d), {ours}")]
    );
    assert_eq!(
        all(&response.fields, "via"),
        [format!("1.1 inner, 1.0 innermost, {ours}")]
    );
    let old = first.client().ask("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
    assert_eq!(
        seen(&backend).field("via"),
        Some("1.0 ringlink, 1.1 ringlink")
    );
    assert_eq!(all(&old.fields, "via").len(), 1);
    // What ringlink says itself came by nobody.
    let refused = first.client().ask("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    assert_eq!((refused.status, refused.field("via")), (400, None));
}

fn circles_are_cut(driver: Driver) {
    let backend = Backend::named("a");
    let setup = Setup::to(driver, backend.addr).server("maxCallDepth: 3");
    let proxy = setup.start();
    assert_eq!(
        ask(&proxy, "Via: 1.1 a, 1.1 b\r\nVia: 1.1 c\r\n").status,
        200
    );
    let refused = ask(&proxy, "Via: 1.1 a, 1.1 b\r\nVia: 1.1 c, 1.1 d\r\n");
    assert_eq!((refused.status, refused.why()), (400, "max-call-depth"));
    assert!(refused.text().contains("4 proxies"), "{}", refused.text());
    // A proxy that leads to itself ends by its own marks.
    let port = support::free_port();
    let itself = format!("/svc => /$/inet/127.0.0.1/{port}");
    let yaml = Setup::dtab(driver, &itself)
        .server("maxCallDepth: 5")
        .yaml(port);
    let proxy = Proxy::spawn(&yaml, ([127, 0, 0, 1], port).into());
    support::wait_for("its start", || proxy.said().contains("admin: http"));
    let refused = ask(&proxy, "");
    assert_eq!((refused.status, refused.why()), (400, "max-call-depth"));
}

fn certificates_are_not_believed(driver: Driver) {
    let backend = Backend::named("a");
    let proxy = Setup::to(driver, backend.addr).start();
    ask(
        &proxy,
        "X-Forwarded-Client-Cert: Hash=1\r\nx-forwarded-client-certs: 2\r\n",
    );
    assert_eq!(seen(&backend).field("x-forwarded-client-cert"), None);
    assert_eq!(seen(&backend).field("x-forwarded-client-certs"), Some("2"));
}

fn the_time_of_arrival(driver: Driver) {
    let backend = Backend::named("a");
    let setup = Setup::to(driver, backend.addr).server("timestampHeader: X-Request-Start");
    let proxy = setup.start();
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        i128::try_from(since.expect("after 1970").as_millis()).expect("a time")
    };
    let before = now();
    ask(&proxy, "X-Request-Start: 1\r\n");
    let told: i128 = seen(&backend)
        .field("x-request-start")
        .expect("one")
        .parse()
        .expect("a number");
    // Up to a second of what the clock has done since the last look at it.
    assert!(
        (before - 1100..=now() + 1100).contains(&told),
        "{told} but {before}"
    );
}

fn forwarded_with_random_labels(driver: Driver) {
    let backend = Backend::named("a");
    let setup = Setup::to(driver, backend.addr);
    let proxy = setup.clone().server("addForwardedHeader: {}").start();
    let mut labels = BTreeSet::new();
    for _ in 0..3 {
        ask(&proxy, "Forwarded: for=\"_a\"\r\n");
        let request = seen(&backend);
        let value = request.field("forwarded").expect("one");
        let ours = value
            .strip_prefix("for=\"_a\", ")
            .expect("what came in stays");
        let parts: Vec<_> = ours.split(';').collect();
        assert_eq!(parts[2..], ["host=\"web:80\"", "proto=http"]);
        for (part, name) in [(parts[0], "by=_"), (parts[1], "for=_")] {
            let label = part.strip_prefix(name).expect("a label");
            assert!(label.len() == 6 && label.bytes().all(|b| b.is_ascii_alphanumeric()));
            labels.insert(label.to_owned());
        }
    }
    assert_eq!(labels.len(), 6, "{labels:?}");
    let one = "addForwardedHeader: {by: {kind: router}, for: {kind: connectionRandom}}";
    let proxy = setup.server(one).start();
    let mut labels = BTreeSet::new();
    for _ in 0..2 {
        let mut client = proxy.client();
        for _ in 0..3 {
            client.get("/");
            let value = seen(&backend).field("forwarded").expect("one").to_owned();
            assert!(value.starts_with("by=_it;for=_") && value.ends_with(";host=web;proto=http"));
            labels.insert(value);
        }
    }
    assert_eq!(labels.len(), 2, "{labels:?}");
}

fn forwarded_with_addresses(driver: Driver) {
    let backend = Backend::named("a");
    let by = "addForwardedHeader: {by: {kind: 'ip:port'}, for: {kind: ip}}";
    let proxy = Setup::to(driver, backend.addr).server(by).start();
    ask(&proxy, "");
    let port = proxy.addr.port();
    let expected = format!("by=\"127.0.0.1:{port}\";for=127.0.0.1;host=\"web:80\";proto=http");
    assert_eq!(seen(&backend).field("forwarded"), Some(expected.as_str()));
}

const LIES: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: bank\r\nX-Forwarded-Port: 443\r\nX-Real-Ip: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";

fn strangers_are_not_believed(driver: Driver) {
    let backend = Backend::named("a");
    let setup =
        Setup::to(driver, backend.addr).router("requestHeaders: {set: {X-Who: $client_ip}}");
    let open = setup.clone().start();
    ask(&open, LIES);
    let request = seen(&backend);
    assert_eq!(
        all(&request.fields, "x-forwarded-for"),
        ["6.6.6.6", "7.7.7.7"]
    );
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-who"), Some("127.0.0.1"));
    let proxy = setup
        .server("xForwarded: true, addForwardedHeader: {for: {kind: ip}}")
        .start();
    for _ in 0..2 {
        ask(&proxy, LIES);
        let request = seen(&backend);
        let port = proxy.addr.port().to_string();
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "web:80"),
            ("x-forwarded-port", port.as_str()),
            ("x-real-ip", "127.0.0.1"),
            ("x-who", "127.0.0.1"),
        ] {
            assert_eq!(request.field(name), Some(value));
        }
        let forwarded = request.field("forwarded").expect("one");
        assert!(forwarded.starts_with("by=_") && forwarded.contains(";for=127.0.0.1;"));
    }
}

fn trusted_proxies_are_believed(driver: Driver) {
    let backend = Backend::named("a");
    let setup =
        Setup::to(driver, backend.addr).router("responseHeaders: {set: {X-Who: $client_ip}}");
    let trusting = "xForwarded: {trusted: [127.0.0.0/8, 10.0.0.0/8]}";
    let proxy = setup.clone().server(trusting).start();
    let response = ask(
        &proxy,
        "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n",
    );
    let request = seen(&backend);
    assert_eq!(
        request.field("x-forwarded-for"),
        Some("6.6.6.6, 1.2.3.4, 10.1.1.1, 127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("web:80"));
    assert_eq!(request.field("x-real-ip"), Some("1.2.3.4"));
    assert_eq!(response.field("x-who"), Some("1.2.3.4"));
    // Two proxies, of which the second believes the first.
    let first = Setup::to(driver, proxy.addr)
        .server("xForwarded: true")
        .start();
    ask(&first, LIES);
    let request = seen(&backend);
    assert_eq!(
        request.field("x-forwarded-for"),
        Some("127.0.0.1, 127.0.0.1")
    );
    assert_eq!(
        request.field("x-forwarded-port"),
        Some(first.addr.port().to_string().as_str())
    );
    let alone = "xForwarded: {for: replace, realIp: false, host: false, trusted: [127.0.0.1]}";
    let proxy = setup.server(alone).start();
    ask(&proxy, "X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n");
    let request = seen(&backend);
    assert_eq!(request.field("x-forwarded-for"), Some("1.2.3.4"));
    assert_eq!(request.field("x-real-ip"), None);
    assert_eq!(request.field("x-forwarded-host"), None);
}

fn wildcards_know_their_address(driver: Driver) {
    let backend = Backend::named("a");
    let server = "ip: '0.0.0.0', xForwarded: true, addForwardedHeader: {by: {kind: 'ip:port'}}";
    let proxy = Setup::to(driver, backend.addr).server(server).start();
    ask(&proxy, "");
    let request = seen(&backend);
    let port = proxy.addr.port();
    assert_eq!(
        request.field("x-forwarded-port"),
        Some(port.to_string().as_str())
    );
    let forwarded = request.field("forwarded").expect("one");
    assert!(
        forwarded.starts_with(&format!("by=\"127.0.0.1:{port}\";")),
        "{forwarded}"
    );
}

fn the_older_name_of_a_dtab(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/red => {}; /blue => {}; /svc => /red",
        inet(red.addr),
        inet(blue.addr)
    );
    let setup = Setup::dtab(driver, &dtab);
    let proxy = setup.clone().start();
    assert_eq!(ask(&proxy, "Dtab-Local: /svc => /blue;\r\n").text(), "blue");
    assert_eq!(seen(&blue).field("dtab-local"), None);
    assert_eq!(seen(&blue).field("l5d-ctx-dtab"), Some("/svc => /blue"));
    let all = "l5d-dtab: /svc => /red\r\ndtab-local: /svc => /blue\r\nl5d-ctx-dtab: /a => /b\r\n";
    assert_eq!(ask(&proxy, all).text(), "red");
    let joined = "/a => /b ; /svc => /blue ; /svc => /red";
    assert_eq!(seen(&red).field("l5d-ctx-dtab"), Some(joined));
    let bad = ask(&proxy, "dtab-local: /svc\r\n");
    assert_eq!((bad.status, bad.why()), (400, "bad-dtab"));
    let closed = setup.server("clearContext: true").start();
    assert_eq!(ask(&closed, "dtab-local: /svc => /blue\r\n").text(), "red");
    assert_eq!(seen(&red).field("dtab-local"), None);
}
