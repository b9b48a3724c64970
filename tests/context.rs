//! Context: what requests bring along from proxy to proxy, and what replicas are told.

mod support;

use support::proxy::{Proxy, inet};
use support::{Backend, Driver, Setup};

both_drivers!(
    staging,
    debug_proxy,
    a_table_for_one_request,
    tables_are_joined,
    bad_tables,
    replicas_are_told_the_name,
    strangers_bring_no_context,
    strangers_see_no_errors,
);

fn ask(proxy: &Proxy, host: &str, fields: &str) -> support::Response {
    let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    proxy.client().ask(request)
}

/// The value of a field that a backend saw last.
fn seen(backend: &Backend, name: &str) -> Option<String> {
    let requests = backend.requests();
    let request = requests.last().expect("a request");
    request.field(name).map(str::to_owned)
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// One service of a call tree replaced, two proxies away from whoever asks.
fn staging(driver: Driver) {
    let (b, b2) = (Backend::named("b"), Backend::named("b2"));
    let dtab = format!("/svc/B => {}; /svc/B2 => {}", inet(b.addr), inet(b2.addr));
    let second = Setup::dtab(driver, &dtab).start();
    let first = Setup::dtab(driver, &format!("/svc => {}", inet(second.addr))).start();
    assert_eq!(ask(&first, "B", "").text(), "b");
    assert_eq!(seen(&b, "l5d-ctx-dtab"), None);
    let staged = ask(&first, "B", "l5d-dtab: /svc/B => /svc/B2\r\n");
    assert_eq!(staged.text(), "b2");
    assert_eq!(seen(&b2, "l5d-dtab"), None);
    assert_eq!(seen(&b2, "l5d-ctx-dtab"), text("/svc/B => /svc/B2"));
    assert_eq!(ask(&first, "B", "").text(), "b");
}

/// A proxy in the way of one service: it gets the request and passes it on to where it was going.
/// Here it knows that service at another address, which is how it shows.
fn debug_proxy(driver: Driver) {
    let (e, seen_by_debug) = (Backend::named("e"), Backend::named("e by way of p"));
    let debug = Setup::dtab(driver, &format!("/svc/E => {}", inet(seen_by_debug.addr))).start();
    let dtab = format!("/svc/E => {}; /svc/P => {}", inet(e.addr), inet(debug.addr));
    let proxy = Setup::dtab(driver, &dtab).start();
    assert_eq!(ask(&proxy, "E", "").text(), "e");
    let table = "/svc/E => /svc/P/svc/E";
    let response = ask(&proxy, "E", &format!("l5d-dtab: {table}\r\n"));
    assert_eq!(response.text(), "e by way of p");
    assert_eq!(seen(&seen_by_debug, "l5d-ctx-dtab"), text(table));
    assert_eq!(seen(&seen_by_debug, "l5d-dst-service"), text("/svc/E"));
    assert_eq!(seen(&seen_by_debug, "l5d-dst-residual"), None);
    assert_eq!(ask(&proxy, "E", "").text(), "e");
}

fn a_table_for_one_request(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/red => {}; /blue => {}; /svc => /red",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    for _ in 0..3 {
        assert_eq!(
            ask(&proxy, "web", "l5d-dtab: /svc/web => /blue\r\n").text(),
            "blue"
        );
        assert_eq!(ask(&proxy, "web", "").text(), "red");
        assert_eq!(ask(&proxy, "web", "L5D-DTAB:\r\n").text(), "red");
        let nowhere = ask(&proxy, "web", "l5d-dtab: /svc/web => !\r\n");
        assert_eq!((nowhere.status, nowhere.why()), (502, "no-hosts-available"));
    }
    // Far more tables than the cache holds.
    for turn in 0..3000 {
        let table = format!("l5d-dtab: /svc/web => /blue ; /turn => /{turn}\r\n");
        assert_eq!(ask(&proxy, "web", &table).text(), "blue");
    }
    assert_eq!(ask(&proxy, "web", "").text(), "red");
}

fn tables_are_joined(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/red => {}; /blue => {}; /svc => /red",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = Setup::dtab(driver, &dtab).start();
    // What the user says goes before what came with the context, wherever they stand.
    let user = "l5d-dtab: /svc => /blue;\r\n";
    let context = "l5d-ctx-dtab: /svc => /red\r\nl5d-ctx-dtab: /x => /y\r\n";
    for fields in [format!("{user}{context}"), format!("{context}{user}")] {
        assert_eq!(ask(&proxy, "web", &fields).text(), "blue");
        let joined = "/svc => /red ; /x => /y ; /svc => /blue";
        assert_eq!(seen(&blue, "l5d-ctx-dtab"), text(joined));
        assert_eq!(seen(&blue, "l5d-dtab"), None);
    }
    let context = "l5d-ctx-dtab: /svc => /blue\r\n";
    assert_eq!(ask(&proxy, "web", context).text(), "blue");
}

fn bad_tables(driver: Driver) {
    let red = Backend::named("red");
    let proxy = Setup::to(driver, red.addr).start();
    for table in [
        "/svc",
        "/svc =>",
        "/svc => /x y",
        "svc => /x",
        "/a => /b ; ; /c",
    ] {
        let response = ask(&proxy, "web", &format!("l5d-dtab: {table}\r\n"));
        assert_eq!(
            (response.status, response.why()),
            (400, "bad-dtab"),
            "{table}"
        );
    }
    assert_eq!(ask(&proxy, "web", "").text(), "red");
}

fn replicas_are_told_the_name(driver: Driver) {
    let red = Backend::named("red");
    let proxy = Setup::to(driver, red.addr).start();
    let lies = "l5d-dst-service: /lie\r\nl5d-dst-client: /lie\r\nl5d-dst-residual: /lie\r\n";
    assert_eq!(ask(&proxy, "web", lies).text(), "red");
    assert_eq!(seen(&red, "l5d-dst-service"), text("/svc/web"));
    assert_eq!(seen(&red, "l5d-dst-client"), text(&inet(red.addr)));
    assert_eq!(seen(&red, "l5d-dst-residual"), text("/web"));
    let requests = red.requests();
    let fields = &requests.last().unwrap().fields;
    let told = fields.iter().filter(|(name, _)| name.starts_with("l5d-"));
    // The names, and which call of which trace it is.
    assert_eq!(told.count(), 5);
}

fn strangers_bring_no_context(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/red => {}; /blue => {}; /svc => /red",
        inet(red.addr),
        inet(blue.addr)
    );
    let setup =
        Setup::dtab(driver, &dtab).router("identifier: [{kind: header}, {kind: header.token}]");
    let open = setup.clone().start();
    let closed = setup.server("clearContext: true").start();
    let fields = "l5d-dtab: /svc => /blue\r\nl5d-name: /other\r\nl5d-other: 1\r\nl5: 1\r\n";
    assert_eq!(ask(&open, "web", fields).text(), "blue");
    assert_eq!(seen(&blue, "l5d-dst-service"), text("/svc/other"));
    assert_eq!(seen(&blue, "l5d-other"), text("1"));
    assert_eq!(ask(&closed, "web", fields).text(), "red");
    assert_eq!(seen(&red, "l5d-dst-service"), text("/svc/web"));
    assert_eq!(seen(&red, "l5d-other"), None);
    assert_eq!(seen(&red, "l5d-ctx-dtab"), None);
    assert_eq!(seen(&red, "l5"), text("1"));
}

fn strangers_see_no_errors(driver: Driver) {
    let inner = Setup::dtab(driver, "/svc => !").start();
    let setup = Setup::to(driver, inner.addr);
    let open = setup.clone().start();
    let closed = setup.server("clearContext: true").start();
    let response = ask(&open, "web", "");
    assert_eq!(
        (response.status, response.why()),
        (502, "no-hosts-available")
    );
    assert!(response.text().contains("/svc/web"));
    // An error of the proxy behind it, one of its own, and one about the request itself.
    let mut client = closed.client();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: web\r\n\r\n", 502),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/9\r\n\r\n", 400),
    ] {
        let response = client.ask(request);
        assert_eq!(
            (response.status, response.text()),
            (status, String::new()),
            "{request}"
        );
        assert_eq!(response.field("l5d-err"), None);
        client = closed.client();
    }
}
