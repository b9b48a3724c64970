//! Dark traffic over real sockets: copies arrive, are compared, and never touch the request itself.

mod support;

use std::time::{Duration, Instant};

use support::{Backend, Client, Driver, Proxy, Setup, pattern, wait_for};

both_drivers!(
    copies_arrive_and_are_compared,
    a_part_is_mirrored,
    what_is_wrong_with_a_copy_is_nobodys_concern,
    copies_at_once_are_bounded,
    large_bodies_are_not_copied,
    going_does_not_wait_for_copies,
);

/// A proxy whose requests go to `light`, and as a mirror to a name that leads to `dark`.
fn proxy(driver: Driver, light: &Backend, dark: u16, keys: &str) -> Setup {
    let dtab = format!(
        "/svc => /$/inet/127.0.0.1/{} ; /svc/dark => /$/inet/127.0.0.1/{dark}",
        light.addr.port()
    );
    Setup::dtab(driver, &dtab).service(&format!("mirror: {{to: /svc/dark{keys}}}"))
}

fn put(client: &mut Client, body: &[u8]) -> support::Response {
    client.send(format!(
        "PUT /p?q=1 HTTP/1.1\r\nHost: web\r\nX-Mine: yes\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

fn count(proxy: &Proxy, name: &str, labels: &str) -> f64 {
    proxy.metric(&format!(r#"ringlink_mirror_{name}{{rt="it"{labels}}}"#))
}

fn copies_arrive_and_are_compared(driver: Driver) {
    let light = Backend::named("light");
    let dark = Backend::fixed("HTTP/1.1 503 Dark\r\nContent-Length: 4\r\n\r\nnoon");
    let proxy = proxy(driver, &light, dark.addr.port(), ", percent: 100").start();
    let mut client = proxy.client();
    for body in [&b""[..], b"x", &pattern(30_000)] {
        let response = put(&mut client, body);
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "light"),
            "the client sees nothing of it"
        );
    }
    client.send("PUT /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(support::client::chunks(&pattern(5000), 700));
    assert_eq!(client.response().status, 200);
    wait_for("the copies", || dark.requests().len() == 4);
    let (light, dark) = (light.requests(), dark.requests());
    for original in &light {
        let same = |copy: &&support::Request| copy.body == original.body;
        let copy = dark.iter().find(same).expect("a copy of each");
        assert_eq!(copy.line, original.line);
        assert_eq!(copy.field("x-mine"), original.field("x-mine"));
        assert_eq!(copy.field("l5d-mirrored"), Some("1"));
        assert_eq!(original.field("l5d-mirrored"), None);
        assert_eq!(copy.field("l5d-dst-service"), Some("/svc/dark"));
        assert_eq!(
            copy.field("l5d-reqid"),
            original.field("l5d-reqid"),
            "one trace"
        );
    }
    let different = r#",result="different",primary="2xx",mirror="5xx""#;
    wait_for("the comparison", || {
        count(&proxy, "compared_total", different) == 4.0
    });
    assert_eq!(count(&proxy, "sent_total", ""), 4.0);
    wait_for("the end", || count(&proxy, "active", "") == 0.0);
    // What is a copy is not copied.
    let marked = client.ask("GET / HTTP/1.1\r\nHost: web\r\nl5d-mirrored: 1\r\n\r\n");
    assert_eq!(marked.status, 200);
    assert_eq!(count(&proxy, "sent_total", ""), 4.0);
}

fn a_part_is_mirrored(driver: Driver) {
    let (light, dark) = (Backend::named("light"), Backend::named("dark"));
    let proxy = proxy(driver, &light, dark.addr.port(), ", percent: 30").start();
    let mut client = proxy.client();
    for _ in 0..300 {
        assert_eq!(client.get("/").status, 200);
    }
    let sent = count(&proxy, "sent_total", "");
    assert!((50.0..=140.0).contains(&sent), "{sent} of 300");
    wait_for("the copies", || dark.requests().len() as f64 == sent);
}

fn what_is_wrong_with_a_copy_is_nobodys_concern(driver: Driver) {
    let endless = [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"[..],
        &pattern(3_000_000),
    ]
    .concat();
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx";
    let hangs = Backend::start(|_| std::thread::sleep(Duration::from_secs(4)));
    for (dark, reason) in [
        (Some(hangs), "timeout"),
        (Some(Backend::fixed(endless)), "too-long"),
        (Some(Backend::closing(broken)), "broken"),
        (Some(Backend::closing("nonsense\r\n\r\n")), "broken"),
        (None, "connect"),
    ] {
        let light = Backend::named("light");
        let port = dark
            .as_ref()
            .map_or_else(support::free_port, |dark| dark.addr.port());
        let keys = ", percent: 100, timeoutMs: 700, maxConcurrent: 1000";
        let proxy = proxy(driver, &light, port, keys).start();
        let mut client = proxy.client();
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(client.get("/").text(), "light", "{reason}");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_millis(2500), "{reason}: {took:?}");
        let label = format!(r#",reason="{reason}""#);
        wait_for(reason, || {
            count(&proxy, "active", "") == 0.0 && count(&proxy, "failed_total", &label) > 0.0
        });
        assert_eq!(count(&proxy, "sent_total", ""), 50.0, "{reason}");
        assert_eq!(light.requests().len(), 50);
    }
}

fn copies_at_once_are_bounded(driver: Driver) {
    let light = Backend::named("light");
    let hangs = Backend::start(|_| std::thread::sleep(Duration::from_secs(4)));
    let keys = ", percent: 100, maxConcurrent: 2, timeoutMs: 3000";
    let proxy = proxy(driver, &light, hangs.addr.port(), keys).start();
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(count(&proxy, "sent_total", ""), 2.0);
    assert_eq!(count(&proxy, "active", ""), 2.0);
    assert_eq!(
        count(&proxy, "skipped_total", r#",reason="too-many""#),
        18.0
    );
}

fn large_bodies_are_not_copied(driver: Driver) {
    let (light, dark) = (Backend::echo(), Backend::named("dark"));
    let keys = ", percent: 100, maxBodyKB: 4";
    let proxy = proxy(driver, &light, dark.addr.port(), keys).start();
    let mut client = proxy.client();
    assert_eq!(put(&mut client, &pattern(5_000)).status, 200);
    client.send("PUT /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(support::client::chunks(&pattern(100_000), 7000));
    assert_eq!(client.response().status, 200);
    assert_eq!(count(&proxy, "skipped_total", r#",reason="body""#), 2.0);
    assert_eq!(put(&mut client, &pattern(4_000)).status, 200);
    wait_for("the small one", || dark.requests().len() == 1);
    assert_eq!(count(&proxy, "sent_total", ""), 1.0);
}

fn going_does_not_wait_for_copies(driver: Driver) {
    let light = Backend::named("light");
    let hangs = Backend::start(|_| std::thread::sleep(Duration::from_secs(5)));
    let keys = ", percent: 100, timeoutMs: 1500";
    let setup = proxy(driver, &light, hangs.addr.port(), keys);
    let mut proxy = setup.start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(count(&proxy, "active", ""), 1.0);
    let began = Instant::now();
    drop(client);
    proxy.terminate();
    assert!(proxy.wait().success());
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1400), "{took:?}");
}
