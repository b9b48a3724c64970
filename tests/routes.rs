//! Route tables: rewriting, redirecting, answering, falling through.

mod support;

use std::net::SocketAddr;

use support::proxy::inet;
use support::{Backend, Client, Driver, Setup};

both_drivers!(
    names_and_rewrites,
    redirects,
    responds,
    bodies_of_answered_requests,
    falls_through,
    nothing_fits,
);

fn setup(driver: Driver, dtab: &str, routes: &[&str]) -> Setup {
    Setup::dtab(driver, dtab).router(&format!(
        "identifier: [{{kind: io.l5d.routes, routes: [{}]}}]",
        routes.join(", ")
    ))
}

fn get(client: &mut Client, host: &str, target: &str) -> support::Response {
    client.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn names_and_rewrites(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/svc/red => {}; /svc/blue => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let routes = [
        "{host: '*.example.com', path: /api, name: /red, rewritePrefix: /v2}",
        "{path: /strip, name: /red, rewritePrefix: /}",
        "{path: /canary, headers: {x-canary: '1'}, name: /red}",
        "{regex: '^/v[0-9]+/', name: /red}",
        "{exact: /one, name: /red, rewritePrefix: /other}",
        "{name: /blue}",
    ];
    let proxy = setup(driver, &dtab, &routes).start();
    let mut client = proxy.client();
    for (host, target, seen) in [
        ("www.example.com", "/api", "/v2"),
        ("WWW.example.com:80", "/api/x?q=1", "/v2/x?q=1"),
        ("a", "/strip", "/"),
        ("a", "/strip?q", "/?q"),
        ("a", "/strip/", "/"),
        ("a", "/strip/a%20b/?q=/strip", "/a%20b/?q=/strip"),
        ("a", "/v3/x", "/v3/x"),
        ("a", "/one?x", "/other?x"),
    ] {
        assert_eq!(get(&mut client, host, target).text(), "red", "{target}");
        assert_eq!(red.requests().last().unwrap().target(), seen);
    }
    for target in ["/api", "/stripe", "/canary", "/v/x", "/one/"] {
        assert_eq!(get(&mut client, "a", target).text(), "blue", "{target}");
        assert_eq!(blue.requests().last().unwrap().target(), target);
    }
    let canary = client.ask("GET /canary/7 HTTP/1.1\r\nHost: a\r\nX-Canary: 1\r\n\r\n");
    assert_eq!(canary.text(), "red");
}

fn redirects(driver: Driver) {
    let routes = [
        "{exact: /old, redirect: {to: 'https://new.example/', status: 301}}",
        "{path: /all, redirect: {to: 'https://new.example$path$query', status: 308}}",
        "{path: /tls, redirect: {to: 'https://$host:8443$path'}}",
    ];
    let proxy = setup(driver, "", &routes).start();
    let mut client = proxy.client();
    for (target, status, location) in [
        ("/old?q", 301, "https://new.example/"),
        ("/all", 308, "https://new.example/all"),
        ("/all/x?a=b", 308, "https://new.example/all/x?a=b"),
        (
            "/all/%0d%0aset-cookie:x",
            308,
            "https://new.example/all/%0d%0aset-cookie:x",
        ),
        ("/tls", 302, "https://web.example:8443/tls"),
    ] {
        let response = get(&mut client, "web.example:80", target);
        assert_eq!(response.status, status, "{target}");
        assert_eq!(response.field("location"), Some(location));
        assert_eq!(response.field("content-length"), Some("0"));
        assert_eq!(response.field("l5d-err"), None);
    }
    let mut admin = Client::connect(admin_of(&proxy));
    let metrics = admin.get("/admin/metrics/prometheus").text();
    let counted = "ringlink_responses_total{rt=\"it\",status=\"308\"} 3\n";
    assert!(metrics.contains(counted), "{metrics}");
    let refused = |line: &str| line.starts_with("ringlink_refusals") && !line.ends_with(" 0");
    assert!(!metrics.lines().any(refused), "{metrics}");
}

/// Where the proxy says that its admin server is.
fn admin_of(proxy: &support::Proxy) -> SocketAddr {
    let said = proxy.said();
    let (_, after) = said.split_once("admin: http://").expect("it is up");
    let addr = after.split(['/', ' ', '\n']).next().expect("an address");
    addr.parse().expect("an address")
}

fn responds(driver: Driver) {
    let routes = [
        "{path: /health, respond: {body: 'ok'}}",
        "{path: /late, respond: {status: 503, body: '<p>later', contentType: text/html}}",
        "{path: /none, respond: {status: 204}}",
        "{path: /empty, respond: {status: 404}}",
    ];
    let proxy = setup(driver, "", &routes).start();
    let mut client = proxy.client();
    let health = get(&mut client, "a", "/health/x");
    assert_eq!((health.status, health.text().as_str()), (200, "ok"));
    assert_eq!(
        health.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    client.send("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.response_to("HEAD").unwrap();
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("2"))
    );
    let late = get(&mut client, "a", "/late");
    assert_eq!((late.status, late.text().as_str()), (503, "<p>later"));
    assert_eq!(late.field("content-type"), Some("text/html"));
    assert_eq!(late.field("l5d-err"), None);
    let none = get(&mut client, "a", "/none");
    assert_eq!((none.status, none.field("content-length")), (204, None));
    assert_eq!(get(&mut client, "a", "/empty").status, 404);
    // Pipelined ones are answered in turn.
    let one = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(one.repeat(50));
    for _ in 0..50 {
        assert_eq!(client.response().text(), "ok");
    }
    let mut old = proxy.client();
    let response = old.ask("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(response.text(), "ok");
    assert!(old.is_closed());
}

/// Of a body that nobody reads, nothing is taken for the next request.
fn bodies_of_answered_requests(driver: Driver) {
    let proxy = setup(driver, "", &["{respond: {body: 'ok'}}"]).start();
    let mut client = proxy.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nGET /smuggled");
    let response = client.response();
    assert_eq!(response.text(), "ok");
    assert!(response.closes());
    assert!(client.take_all().unwrap_or_default().is_empty());
    let mut client = proxy.client();
    let response = client
        .ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(response.closes());
}

fn falls_through(driver: Driver) {
    let red = Backend::named("red");
    let proxy = Setup::dtab(driver, &format!("/svc/web => {}", inet(red.addr)))
        .router("identifier: [{kind: routes, routes: [{path: /health, respond: {body: up}}]}, {kind: header.token}]")
        .start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "web", "/health").text(), "up");
    assert_eq!(get(&mut client, "web", "/other").text(), "red");
}

fn nothing_fits(driver: Driver) {
    let proxy = setup(driver, "", &["{host: a, respond: {}}"]).start();
    let mut client = proxy.client();
    let response = get(&mut client, "b", "/");
    assert_eq!((response.status, response.why()), (400, "unidentified"));
    assert!(response.text().contains("no route fits"));
    assert_eq!(get(&mut client, "a", "/").status, 200);
}
