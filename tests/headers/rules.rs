//! The rules of routers and routes, over the wire.

use super::{all, answering, ask, seen};
use crate::both_drivers;
use crate::support::proxy::inet;
use crate::support::{Backend, Driver, Setup};

both_drivers!(
    rules_change_requests,
    rules_change_responses,
    rules_of_routes,
    locations_are_led_back,
    locations_are_replaced,
    cookies_are_rewritten,
    tunnels_have_rules_too,
    a_connect_keeps_its_host,
);

fn rules_change_requests(driver: Driver) {
    let backend = Backend::named("a");
    let rules = "requestHeaders: {set: {Host: 'inner-$host:8080', X-Uri: '$host$path$query', X-Id: $request_id, X-Cost: '5 $$'}, \
                 add: {X-More: [a, b]}, remove: [Cookie, x-secret, via]}";
    let proxy = Setup::to(driver, backend.addr).router(rules).start();
    ask(
        &proxy,
        "Cookie: a\r\ncookie: b\r\nX-Secret: c\r\nX-Uri: d\r\nx-uri: e\r\nX-More: 0\r\nX-Kept: f\r\n",
    );
    let request = seen(&backend);
    assert_eq!(request.field("host"), Some("inner-web:8080"));
    // Its name is that of what the client asked for.
    assert_eq!(request.field("l5d-dst-service"), Some("/svc/web:80"));
    assert_eq!(request.field("x-uri"), Some("web/x/y?q=1"));
    assert_eq!(request.field("x-id"), request.field("l5d-reqid"));
    assert_eq!(request.field("x-cost"), Some("5 $"));
    assert_eq!(all(&request.fields, "x-more"), ["0", "a", "b"]);
    assert_eq!(request.field("x-kept"), Some("f"));
    for gone in ["cookie", "x-secret", "via"] {
        assert_eq!(all(&request.fields, gone), [""; 0], "{gone}");
    }
    // No host to speak of.
    proxy.client().ask("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
    assert_eq!(seen(&backend).field("x-uri"), Some("web/"));
}

fn rules_change_responses(driver: Driver) {
    let backend = answering("Server: inner\r\nX-Old: a\r\nVary: x\r\n");
    let rules = "responseHeaders: {set: {X-Old: '$path from $client_ip'}, add: {Vary: Cookie}, remove: [server, via]}";
    let proxy = Setup::to(driver, backend.addr).router(rules).start();
    let response = ask(&proxy, "");
    assert_eq!(response.field("x-old"), Some("/x/y from 127.0.0.1"));
    assert_eq!(all(&response.fields, "vary"), ["x", "Cookie"]);
    assert_eq!(
        (response.field("server"), response.field("via")),
        (None, None)
    );
    // Errors of the proxy stay what they are.
    let refused = proxy.client().ask("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    assert_eq!((refused.status, refused.field("x-old")), (400, None));
}

fn rules_of_routes(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/svc/red => {}; /svc/blue => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let routes = "identifier: {kind: routes, routes: [\
        {path: /red, name: /red, rewritePrefix: /new, requestHeaders: {set: {X-By: route, X-Was: $path}, remove: x-router}}, \
        {path: /go, redirect: {to: /gone}, responseHeaders: {set: {Cache-Control: no-store}}}, \
        {path: /ok, respond: {body: fine}, responseHeaders: {remove: content-type}}, {name: /blue}]}";
    let setup = Setup::dtab(driver, &dtab).router(routes);
    let proxy = setup
        .router("requestHeaders: {set: {X-By: router, X-Router: a}}")
        .router("responseHeaders: {set: {X-Edge: $host}}")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/red/a?b").text(), "red");
    let request = seen(&red);
    assert_eq!(request.target(), "/new/a?b");
    assert_eq!(
        (request.field("x-by"), request.field("x-router")),
        (Some("route"), None)
    );
    assert_eq!(request.field("x-was"), Some("/red/a"));
    assert_eq!(client.get("/").field("x-edge"), Some("web"));
    assert_eq!(seen(&blue).field("x-by"), Some("router"));
    let redirect = client.get("/go");
    assert_eq!(
        (redirect.status, redirect.field("cache-control")),
        (302, Some("no-store"))
    );
    assert_eq!(
        (redirect.field("x-edge"), redirect.field("via")),
        (Some("web"), None)
    );
    let fixed = client.get("/ok");
    assert_eq!(
        (fixed.text().as_str(), fixed.field("content-type")),
        ("fine", None)
    );
}

fn locations_are_led_back(driver: Driver) {
    // Says where it sends the client by what it was asked.
    let backend = Backend::answering(|request| {
        let host = request.field("host").expect("one");
        let location = match request.target() {
            "/full" => format!("http://{host}/cart?a#b"),
            "/away" => "https://away.example/cart".to_owned(),
            other => other.to_owned(),
        };
        let head = format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n");
        format!("{head}Refresh: 1; url={location}\r\n\r\n").into_bytes()
    });
    let dtab = format!("/svc => {}", inet(backend.addr));
    let routes = "identifier: [{kind: routes, routes: [\
        {path: /shop, name: /shop, rewritePrefix: /, requestHeaders: {set: {Host: 'shop.internal:81'}}}, \
        {path: /raw, name: /raw, rewritePrefix: /, rewriteLocation: off}]}, {kind: path, consume: true}]";
    let setup = Setup::dtab(driver, &dtab)
        .router(routes)
        .router("rewriteLocation: auto");
    let proxy = setup.start();
    let mut client = proxy.client();
    for (target, location) in [
        ("/shop/cart", "/shop/cart"),
        ("/shop", "/shop/"),
        ("/shop/full", "http://web/shop/cart?a#b"),
        ("/shop/away", "https://away.example/cart"),
        ("/raw/cart", "/cart"),
        ("/consumed/cart", "/consumed/cart"),
    ] {
        let response = client.get(target);
        assert_eq!(response.field("location"), Some(location), "{target}");
        let refresh = format!("1; url={location}");
        assert_eq!(
            response.field("refresh"),
            Some(refresh.as_str()),
            "{target}"
        );
    }
}

fn locations_are_replaced(driver: Driver) {
    let backend = answering(
        "Location: http://inner.example/a/b\r\nContent-Location: http://inner.example/a/b\r\n",
    );
    let rule = "rewriteLocation: {'http://inner.example/a/': 'https://$host/'}";
    let proxy = Setup::to(driver, backend.addr).router(rule).start();
    let response = ask(&proxy, "");
    assert_eq!(response.field("location"), Some("https://web/b"));
    assert_eq!(
        response.field("content-location"),
        Some("http://inner.example/a/b")
    );
}

fn cookies_are_rewritten(driver: Driver) {
    let backend = answering(
        "Set-Cookie: a=1; Domain=.Inner.example; Path=/two; Secure\r\nSet-Cookie: b=2; Path=/\r\nSet-Cookie: c=3\r\n",
    );
    let rule = "rewriteCookies: {domain: {inner.example: www.example}, path: {/two: /api/two}}";
    let proxy = Setup::to(driver, backend.addr).router(rule).start();
    let response = ask(&proxy, "");
    assert_eq!(
        all(&response.fields, "set-cookie"),
        [
            "a=1; Domain=www.example; Path=/api/two; Secure",
            "b=2; Path=/",
            "c=3"
        ]
    );
}

fn tunnels_have_rules_too(driver: Driver) {
    let backend = Backend::start(|conn| {
        let Some(request) = conn.next() else { return };
        assert_eq!(request.field("x-a"), Some("b"));
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\nl5d-secret: a\r\n\r\n");
    });
    let setup = Setup::to(driver, backend.addr).server("clearContext: true");
    let rules = setup.router("requestHeaders: {set: {X-A: b}}");
    let proxy = rules.router("responseHeaders: {set: {X-C: d}}").start();
    let response = ask(&proxy, "Connection: upgrade\r\nUpgrade: x\r\n");
    assert_eq!((response.status, response.field("x-c")), (101, Some("d")));
    assert_eq!(response.field("via"), Some("1.1 ringlink"));
    assert_eq!(response.field("l5d-secret"), None);
    assert_eq!(response.field("upgrade"), Some("x"));
}

fn a_connect_keeps_its_host(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next_head().is_some() {
            conn.send("HTTP/1.1 200 OK\r\n\r\n");
        }
    });
    let setup = Setup::to(driver, backend.addr).server("allowConnect: true");
    let proxy = setup
        .router("requestHeaders: {set: {Host: other, X-A: b}}")
        .start();
    let mut client = proxy.client();
    client.send("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n");
    assert_eq!(client.line().expect("a status line"), "HTTP/1.1 200 OK");
    let request = seen(&backend);
    assert_eq!(request.target(), "web:80");
    assert_eq!(request.field("host"), Some("web:80"));
    assert_eq!(request.field("x-a"), Some("b"));
}
