//! Transformers: what becomes of bound names.

mod support;

use support::proxy::{Proxy, inet};
use support::{Backend, Driver, Setup};

both_drivers!(
    ports,
    this_machine_only,
    one_host_only,
    nothing_left,
    always_one_name,
    every_bound_name_replaced,
    a_namers_own,
);

fn ask(proxy: &Proxy, host: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let response = proxy.client().ask(request);
    match response.status {
        200 => response.text(),
        _ => response.why().to_owned(),
    }
}

fn setup(driver: Driver, dtab: &str, transformers: &str) -> Setup {
    Setup::dtab(driver, dtab).router(&format!(
        "interpreter: {{kind: default, transformers: [{transformers}]}}"
    ))
}

/// The name by which the proxy reached a backend last.
fn client(backend: &Backend) -> String {
    let requests = backend.requests();
    let request = requests.last().expect("a request");
    request.field("l5d-dst-client").expect("a name").to_owned()
}

fn ports(driver: Driver) {
    let red = Backend::named("red");
    let port = red.addr.port();
    let dtab = "/svc/a => /$/inet/127.1/1; /svc/b => /$/inet/127.1/2 & /$/inet/127.1/3";
    let proxy = setup(driver, dtab, &format!("{{kind: port, port: {port}}}")).start();
    assert_eq!(ask(&proxy, "a"), "red");
    assert_eq!(
        client(&red),
        format!("/%/io.l5d.port/{port}/$/inet/127.1/1")
    );
    for _ in 0..10 {
        assert_eq!(ask(&proxy, "b"), "red");
    }
    assert_eq!(ask(&proxy, "c"), "no-hosts-available");
    let two = format!("{{kind: port, port: 9}}, {{kind: port, port: {port}, prefix: /p}}");
    let proxy = setup(driver, dtab, &two).start();
    assert_eq!(ask(&proxy, "a"), "red");
    assert_eq!(client(&red), "/%/p/%/io.l5d.port/9/$/inet/127.1/1");
}

const HERE_AND_AWAY: &str = "names: {/a: [127.0.0.1 PORT, 192.0.2.1 PORT], /b: [192.0.2.1 PORT]}";

fn here_and_away(backend: &Backend, transformers: &str) -> String {
    let names = HERE_AND_AWAY.replace("PORT", &backend.addr.port().to_string());
    format!("{{kind: static, prefix: /x, {names}, transformers: [{transformers}]}}")
}

fn this_machine_only(driver: Driver) {
    let red = Backend::named("red");
    let proxy = setup(driver, "/svc => /#/x", "{kind: io.l5d.localhost}")
        .namers(&here_and_away(&red, ""))
        .start();
    for _ in 0..10 {
        assert_eq!(ask(&proxy, "a"), "red");
    }
    assert_eq!(client(&red), "/%/io.l5d.localhost/#/x/a");
    assert_eq!(ask(&proxy, "b"), "no-hosts-available");
}

fn one_host_only(driver: Driver) {
    let red = Backend::named("red");
    let proxy = setup(
        driver,
        "/svc => /#/x",
        "{kind: specificHost, host: 127.0.0.1}",
    )
    .namers(&here_and_away(&red, ""))
    .start();
    for _ in 0..10 {
        assert_eq!(ask(&proxy, "a"), "red");
    }
    assert_eq!(ask(&proxy, "b"), "no-hosts-available");
}

fn nothing_left(driver: Driver) {
    let red = Backend::named("red");
    let dtab = format!("/svc/a => {}", inet(red.addr));
    let proxy = setup(driver, &dtab, "{kind: specificHost, host: 127.0.0.2}").start();
    assert_eq!(ask(&proxy, "a"), "no-hosts-available");
    assert_eq!(ask(&proxy, "b"), "no-hosts-available");
}

fn always_one_name(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dtab = format!(
        "/red => {}; /svc/blue => {}",
        inet(red.addr),
        inet(blue.addr)
    );
    let proxy = setup(driver, &dtab, "{kind: const, path: /red}").start();
    for host in ["blue", "nobody"] {
        assert_eq!(ask(&proxy, host), "red");
    }
    assert_eq!(client(&red), format!("/%/io.l5d.const{}", inet(red.addr)));
    let proxy = setup(driver, &dtab, "{kind: const, path: /nobody}").start();
    assert_eq!(ask(&proxy, "blue"), "no-hosts-available");
}

fn every_bound_name_replaced(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (r, b) = (inet(red.addr), inet(blue.addr));
    let dtab = format!("/red => {r}; /svc/blue => {b}; /svc/two => {b} & {b}");
    let proxy = setup(driver, &dtab, "{kind: replace, path: /red}").start();
    assert_eq!(ask(&proxy, "blue"), "red");
    assert_eq!(client(&red), format!("/%/io.l5d.replace{r}"));
    assert_eq!(ask(&proxy, "two"), "red");
    assert_eq!(ask(&proxy, "nobody"), "no-hosts-available");
    let proxy = setup(driver, &dtab, "{kind: replace, path: /nobody}").start();
    assert_eq!(ask(&proxy, "blue"), "no-hosts-available");
    assert_eq!(ask(&proxy, "two"), "no-hosts-available");
}

fn a_namers_own(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let port = format!("{{kind: port, port: {}}}", blue.addr.port());
    let namer = here_and_away(&red, &format!("{{kind: localhost}}, {port}"));
    let dtab = format!("/svc => /#/x; /svc/red => {}", inet(red.addr));
    let proxy = Setup::dtab(driver, &dtab).namers(&namer).start();
    assert_eq!(ask(&proxy, "a"), "blue");
    let name = format!(
        "/%/io.l5d.port/{}/%/io.l5d.localhost/#/x/a",
        blue.addr.port()
    );
    assert_eq!(client(&blue), name);
    assert_eq!(ask(&proxy, "red"), "red");
}
