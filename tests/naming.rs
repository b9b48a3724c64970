//! Names: from requests to backends, by identifier and dtab.

mod support;

use support::proxy::inet;
use support::{Backend, Client, Driver, Setup};

both_drivers!(
    by_host,
    by_header,
    by_path_in_a_header,
    by_method_and_host,
    by_path,
    by_fixed_name,
    identifiers_in_turn,
    alternatives,
    negative_names,
    weighted_union,
    later_entries_win,
    many_names,
    names_of_hosts,
    no_host_in_http_10,
);

fn get(client: &mut Client, target: &str, fields: &str) -> (u16, String) {
    let response = client.ask(format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
    match response.status {
        200 => (200, response.text()),
        status => (status, response.why().to_owned()),
    }
}

fn two() -> (Backend, Backend) {
    (Backend::named("red"), Backend::named("blue"))
}

fn ok(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

fn nobody() -> (u16, String) {
    (502, "no-hosts-available".to_owned())
}

fn by_host(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc/red => {}; /svc/blue:8080 => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: red\r\n"), ok("red"));
    assert_eq!(get(&mut client, "/", "Host: blue:8080\r\n"), ok("blue"));
    assert_eq!(get(&mut client, "/", "Host: blue\r\n"), nobody());
    assert_eq!(get(&mut client, "/", "Host: green\r\n"), nobody());
    assert_eq!(get(&mut client, "/", "Host: red\r\n"), ok("red"));
    assert_eq!(
        get(&mut client, "http://red/x", "Host: blue\r\n"),
        ok("red")
    );
}

fn by_header(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc/red => {}; /svc/blue => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab)
        .router("identifier: {kind: io.l5d.header.token, header: x-to}")
        .start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: a\r\nX-To: red\r\n"), ok("red"));
    assert_eq!(
        get(&mut client, "/", "Host: a\r\nx-TO: blue\r\n"),
        ok("blue")
    );
    assert_eq!(
        get(&mut client, "/", "Host: a\r\n"),
        (400, "unidentified".to_owned())
    );
    assert_eq!(get(&mut client, "/", "Host: a\r\nX-To: red\r\n"), ok("red"));
}

fn by_path_in_a_header(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc/a/red => {}; /svc/blue => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab)
        .router("identifier: {kind: header}")
        .start();
    let mut client = proxy.client();
    let mut named = |name: &str| {
        let fields = format!("Host: a\r\nl5d-name: {name}\r\n");
        get(&mut client, "/", &fields)
    };
    assert_eq!(named("/a/red"), ok("red"));
    assert_eq!(named("/blue/more"), ok("blue"));
    assert_eq!(named("blue"), (400, "unidentified".to_owned()));
    assert_eq!(named("/a/red"), ok("red"));
}

fn by_method_and_host(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/http/1.1/GET/web => {}; /http/1.1/POST => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab)
        .router("dstPrefix: /http")
        .router("identifier: {kind: io.l5d.methodAndHost}")
        .start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: web\r\n"), ok("red"));
    assert_eq!(get(&mut client, "/", "Host: WEB\r\n"), ok("red"));
    assert_eq!(client.post(b"x").text(), "blue");
    assert_eq!(get(&mut client, "/", "Host: other\r\n"), nobody());
}

fn by_path(driver: Driver) {
    let backend = Backend::echo();
    let dtab = format!("/svc/api/users => {}", inet(backend.addr));
    let proxy = Setup::dtab(driver, &dtab)
        .router("identifier: {kind: io.l5d.path, segments: 2, consume: true}")
        .start();
    let mut client = proxy.client();
    for (target, seen) in [
        ("/api/users/7?q=1", "/7?q=1"),
        ("/api/users", "/"),
        ("/api/users?a", "/?a"),
        ("/api/users/", "/"),
        ("//api//users//x", "//x"),
    ] {
        assert_eq!(get(&mut client, target, "Host: a\r\n").0, 200);
        assert_eq!(backend.requests().last().unwrap().target(), seen);
    }
    assert_eq!(get(&mut client, "/api", "Host: a\r\n").0, 400);
    assert_eq!(get(&mut client, "/api/other", "Host: a\r\n"), nobody());
}

fn by_fixed_name(driver: Driver) {
    let (red, _) = two();
    let proxy = Setup::dtab(driver, &format!("/svc/all => {}", inet(red.addr)))
        .router("identifier: {kind: io.l5d.static, path: /all}")
        .start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: whatever\r\n"), ok("red"));
}

fn identifiers_in_turn(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc/x => {}; /svc/web => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab)
        .router(
            "identifier: [{kind: io.l5d.header.token, header: x-to}, {kind: io.l5d.header.token}]",
        )
        .start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: web\r\nX-To: x\r\n"), ok("red"));
    assert_eq!(get(&mut client, "/", "Host: web\r\n"), ok("blue"));
}

fn alternatives(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/red => {}; /blue => {}; /svc/a => /nothing | /red; /svc/b => ~ | /nothing | /blue | /red; \
         /svc/c => /red | /blue",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: a\r\n"), ok("red"));
    assert_eq!(get(&mut client, "/", "Host: b\r\n"), ok("blue"));
    assert_eq!(get(&mut client, "/", "Host: c\r\n"), ok("red"));
}

fn negative_names(driver: Driver) {
    let (red, _) = two();
    let dtab = format!(
        "/red => {}; /svc/neg => ~; /svc/fail => ! | /red; /svc/empty => $ ; /svc/loop => /svc/loop; \
         /svc/two => /svc/one; /svc/one => /svc/two",
        inet(red.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    for name in ["neg", "fail", "empty", "loop", "two", "unknown"] {
        let (status, why) = get(&mut client, "/", &format!("Host: {name}\r\n"));
        assert_eq!(status, 502, "{name}");
        assert!(!why.is_empty(), "{name}");
    }
}

fn weighted_union(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc/web => 3 * {} & 1 * {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    let mut reds = 0;
    for _ in 0..1000 {
        let (status, text) = get(&mut client, "/", "Host: web\r\n");
        assert_eq!(status, 200);
        reds += usize::from(text == "red");
    }
    // Five standard deviations around 750.
    assert!((680..820).contains(&reds), "{reds}");
}

fn later_entries_win(driver: Driver) {
    let (red, blue) = two();
    let dtab = format!(
        "/svc => {}; /svc/web => {}; /svc/x => /host",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "Host: web\r\n"), ok("blue"));
    assert_eq!(get(&mut client, "/", "Host: other\r\n"), ok("red"));
    // An entry that leads nowhere falls back to the one before it.
    assert_eq!(get(&mut client, "/", "Host: x\r\n"), ok("red"));
}

/// A flood of names: the cache is bounded, and forgets nobody who is asked for.
fn many_names(driver: Driver) {
    let (red, _) = two();
    let dtab = format!("/svc/good => {}", inet(red.addr));
    let proxy = Setup::dtab(driver, &dtab)
        .router("bindingCache: {paths: 50}")
        .start();
    let mut client = proxy.client();
    for n in 0..2000 {
        assert_eq!(
            get(&mut client, "/", &format!("Host: made-up-{n}\r\n")),
            nobody()
        );
        if n % 10 == 0 {
            assert_eq!(get(&mut client, "/", "Host: good\r\n"), ok("red"));
        }
    }
    assert_eq!(red.accepts(), 1);
}

fn names_of_hosts(driver: Driver) {
    let (red, _) = two();
    let port = red.addr.port();
    let dtab = format!(
        "/svc/web => /$/inet/localhost/{port}; /svc/gone => /$/inet/no-such-host.invalid/1"
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    // It may have an IPv6 address as well, where nobody listens: then the next replica is tried.
    for _ in 0..20 {
        assert_eq!(get(&mut client, "/", "Host: web\r\n"), ok("red"));
    }
    let (status, why) = get(&mut client, "/", "Host: gone\r\n");
    assert!(matches!(status, 502 | 503), "{status} {why}");
    assert!(!why.is_empty());
}

/// A request of HTTP/1.0 without Host goes through two proxies; the second is told that there is
/// none.
fn no_host_in_http_10(driver: Driver) {
    let by_path = |addr| {
        Setup::to(driver, addr)
            .router("identifier: {kind: io.l5d.path}")
            .start()
    };
    let backend = Backend::echo();
    let second = by_path(backend.addr);
    let first = by_path(second.addr);
    let response = first.client().ask("GET /web HTTP/1.0\r\n\r\n");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(backend.requests()[0].field("host"), Some(""));
    // A name that is the host's needs one.
    let proxy = Setup::to(driver, backend.addr).start();
    let response = proxy.client().ask("GET /web HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(response.status, 400);
    assert_eq!(backend.requests().len(), 1);
}
