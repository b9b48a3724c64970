//! Start, check and end of the process, as whoever operates it sees them.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::backend::ok;
use support::proxy::{binary, temp_file};
use support::{Backend, Driver, PATIENCE, Proxy, Setup, free_port, pattern, wait_for};

both_drivers!(
    an_idle_proxy_ends_at_once,
    what_is_in_flight_finishes,
    a_body_in_flight_finishes,
    grace_has_an_end,
    nobody_new_is_let_in,
    sigint_ends_it_too,
    a_taken_port_is_an_error,
    two_proxies_do_not_share_a_port,
    two_shards_serve,
);

fn kill(proxy: &Proxy, signal: &str) {
    let pid = proxy.pid().to_string();
    let status = Command::new("kill").args([signal, &pid]).status();
    assert!(status.expect("kill").success());
}

/// A backend that answers when it was told to.
fn slow(ms: u64) -> Backend {
    Backend::answering(move |_| {
        std::thread::sleep(Duration::from_millis(ms));
        ok("at last")
    })
}

fn an_idle_proxy_ends_at_once(driver: Driver) {
    let backend = Backend::echo();
    let mut proxy = Setup::to(driver, backend.addr).cores(2).start();
    let mut idle = proxy.client();
    assert_eq!(idle.get("/").status, 200);
    let start = Instant::now();
    proxy.terminate();
    assert!(idle.is_closed());
    assert!(proxy.wait().success(), "{}", proxy.said());
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "it waited for its grace"
    );
}

fn what_is_in_flight_finishes(driver: Driver) {
    let backend = slow(1000);
    let mut proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    wait_for("the request", || backend.requests().len() == 1);
    proxy.terminate();
    let response = client.response();
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "at last")
    );
    assert!(response.closes(), "{response:?}");
    assert!(client.is_closed());
    assert!(proxy.wait().success(), "{}", proxy.said());
}

fn a_body_in_flight_finishes(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            for part in pattern(100_000).chunks(10_000) {
                conn.send(part);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let mut proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    let head = client.response_head().unwrap();
    assert_eq!(head.status, 200);
    proxy.terminate();
    support::assert_same(&client.take(100_000).unwrap(), &pattern(100_000), "body");
    assert!(client.is_closed());
    assert!(proxy.wait().success(), "{}", proxy.said());
}

/// What does not finish is cut, and the status tells.
fn grace_has_an_end(driver: Driver) {
    let backend = slow(60_000);
    let mut proxy = Setup::to(driver, backend.addr).grace_ms(500).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    wait_for("the request", || backend.requests().len() == 1);
    let start = Instant::now();
    proxy.terminate();
    proxy.wait();
    assert!(start.elapsed() >= Duration::from_millis(490));
    assert!(start.elapsed() < Duration::from_secs(15));
    assert!(client.response_to("GET").is_err());
}

fn nobody_new_is_let_in(driver: Driver) {
    let backend = slow(1500);
    let mut proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    wait_for("the request", || backend.requests().len() == 1);
    proxy.terminate();
    wait_for("the listener's end", || {
        TcpStream::connect(proxy.addr).is_err()
    });
    assert!(proxy.ended().is_none(), "it left a request behind");
    assert_eq!(client.response().status, 200);
    assert!(proxy.wait().success());
}

fn sigint_ends_it_too(driver: Driver) {
    let backend = Backend::echo();
    let mut proxy = Setup::to(driver, backend.addr).start();
    assert_eq!(proxy.client().get("/").status, 200);
    kill(&proxy, "-INT");
    assert!(proxy.wait().success(), "{}", proxy.said());
}

fn spawned(yaml: &str, port: u16) -> Proxy {
    Proxy::spawn(yaml, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn a_taken_port_is_an_error(driver: Driver) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    for cores in [1, 2] {
        let yaml = Setup::to(driver, addr).cores(cores).yaml(addr.port());
        let mut proxy = spawned(&yaml, addr.port());
        let status = proxy.wait();
        assert!(!status.success());
        wait_for("its reason", || proxy.said().contains(&addr.to_string()));
        let said = proxy.said();
        assert!(said.contains("in use"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Shards share a port, processes must not do so by mistake: half the requests would go astray.
fn two_proxies_do_not_share_a_port(driver: Driver) {
    let backend = Backend::echo();
    let first = Setup::to(driver, backend.addr).cores(2).start();
    let port = first.addr.port();
    let yaml = Setup::to(driver, backend.addr).cores(2).yaml(port);
    let mut second = spawned(&yaml, port);
    let end = Instant::now() + Duration::from_secs(5);
    while second.ended().is_none() {
        assert!(Instant::now() < end, "both listen on port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!second.wait().success());
}

fn two_shards_serve(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).cores(2).start();
    let mut clients: Vec<_> = (0..40).map(|_| proxy.client()).collect();
    for _ in 0..10 {
        for client in &mut clients {
            assert_eq!(client.post(b"body").text(), "body");
        }
    }
    // At most one per shard: the clients ask one after the other.
    assert!(backend.accepts() <= 2, "{}", backend.accepts());
}

fn run(arguments: &[&str]) -> Output {
    let child = Command::new(binary()).args(arguments).output();
    child.expect("the proxy's binary")
}

fn all_of(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn check(yaml: &str) -> Output {
    let path = temp_file("check.yaml", yaml);
    let output = run(&["check", &path.to_string_lossy()]);
    std::fs::remove_file(path).unwrap();
    output
}

const BROKEN: &str = "routers:\n- protocol: http\n  servrs: [{port: 4140}]\n  dtab: /svc = /x\n";

#[test]
fn check_of_a_good_file() {
    let port = free_port();
    let yaml = Setup::to(Driver::Uring, SocketAddr::from(([127, 0, 0, 1], port))).yaml(port);
    let output = check(&yaml);
    assert!(output.status.success(), "{}", all_of(&output));
    // Checking starts nothing, and so works beside the running proxy.
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert!(check(&yaml).status.success());
}

/// All problems at once, each with its place and, where there is one, a way out.
#[test]
fn check_of_a_broken_file() {
    let output = check(BROKEN);
    assert!(!output.status.success());
    let said = all_of(&output);
    for wanted in ["servrs", "servers", "3:3", "4:"] {
        assert!(said.contains(wanted), "no {wanted} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The proxy itself says the same, and does not start.
#[test]
fn start_with_a_broken_file() {
    let path = temp_file("broken.yaml", BROKEN);
    let start = Instant::now();
    let output = run(&[&path.to_string_lossy()]);
    assert!(start.elapsed() < PATIENCE);
    std::fs::remove_file(path).unwrap();
    let said = all_of(&output);
    assert!(!output.status.success());
    assert!(
        output.status.code().is_some_and(|code| code != 101),
        "{said}"
    );
    assert!(said.contains("servrs") && said.contains("3:3"), "{said}");
}

#[test]
fn start_without_a_file() {
    for arguments in [
        &["/no/such/file.yaml"][..],
        &["check", "/no/such/file.yaml"],
    ] {
        let output = run(arguments);
        let said = all_of(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("/no/such/file.yaml"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert!(!run(&[]).status.success());
    assert!(run(&["--help"]).status.success());
    assert!(all_of(&run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
}
