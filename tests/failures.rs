//! What a client gets when something on the way fails: one outcome, which says why, in time.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::backend::ok;
use support::client::post_head;
use support::proxy::inet;
use support::{Backend, Driver, Setup, free_port, pattern, wait_for};

both_drivers!(
    backend_refuses,
    a_dead_branch_fails_alone,
    connect_timeout,
    a_black_hole_fails_alone,
    total_timeout,
    attempt_timeout,
    bad_heads_of_backends,
    truncated_bodies_are_cut,
    truncation_shows_in_http_10,
    bad_chunks_of_backends_are_cut,
    stale_connections_do_not_show,
    a_request_is_not_sent_twice,
    what_comes_unasked_reaches_nobody,
    slow_head,
    idle_clients,
    stalled_upload,
    stalled_backend_body,
    stalled_reader,
    leaving_clients_cancel,
    leaving_clients_of_pipelines,
);

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn backend_refuses(driver: Driver) {
    let proxy = Setup::to(driver, local(free_port())).start();
    let mut client = proxy.client();
    // The connection survives: the request was read to its end.
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.status, response.why()), (502, "connect-failed"));
        assert!(!response.closes());
    }
    let response = client.post(&pattern(10));
    assert_eq!((response.status, response.why()), (502, "connect-failed"));
}

fn union(one: SocketAddr, other: SocketAddr) -> String {
    format!("/svc => {} & {}", inet(one), inet(other))
}

/// A union's branches are clients of their own: a request stands or falls with the one drawn.
fn a_dead_branch_fails_alone(driver: Driver) {
    let live = Backend::named("live");
    let dtab = union(live.addr, local(free_port()));
    let proxy = Setup::dtab(driver, &dtab).start();
    let mut client = proxy.client();
    let mut good = 0;
    for _ in 0..60 {
        let response = client.get("/");
        match response.status {
            200 => good += 1,
            502 => assert_eq!(response.why(), "connect-failed"),
            other => panic!("{other}"),
        }
    }
    assert!((10..50).contains(&good), "{good} of 60");
}

/// A listener whose backlog is full: further connections hang.
struct BlackHole {
    addr: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

fn black_hole() -> BlackHole {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&local(free_port()).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        filling.push(stream);
        assert!(filling.len() < 100, "the backlog does not fill");
    }
    BlackHole {
        addr,
        _listener: listener,
        _filling: filling,
    }
}

fn connect_timeout(driver: Driver) {
    let hole = black_hole();
    let proxy = Setup::to(driver, hole.addr)
        .client("connectTimeoutMs: 300")
        .start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let start = Instant::now();
        let response = client.get("/");
        assert_eq!((response.status, response.why()), (504, "connect-timeout"));
        assert!(start.elapsed() >= Duration::from_millis(290));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

fn a_black_hole_fails_alone(driver: Driver) {
    let hole = black_hole();
    let live = Backend::named("live");
    let proxy = Setup::dtab(driver, &union(live.addr, hole.addr))
        .client("connectTimeoutMs: 50")
        .start();
    let mut client = proxy.client();
    let good = (0..30).filter(|_| client.get("/").status == 200).count();
    assert!((3..28).contains(&good), "{good} of 30");
}

/// A backend that reads requests and keeps silent until it is left.
fn silent() -> Backend {
    Backend::start(|conn| while conn.next().is_some() {})
}

fn total_timeout(driver: Driver) {
    let backend = silent();
    let proxy = Setup::to(driver, backend.addr)
        .service("totalTimeoutMs: 300")
        .start();
    let mut client = proxy.client();
    for n in 1..=3 {
        let start = Instant::now();
        let response = client.get("/");
        assert_eq!((response.status, response.why()), (504, "request-timeout"));
        assert!(start.elapsed() >= Duration::from_millis(290));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(backend.accepts(), n);
        // Its answer could come later, so its connection is of no use any more.
        wait_for("the backend connection's end", || backend.open() == 0);
    }
}

fn attempt_timeout(driver: Driver) {
    let backend = silent();
    let proxy = Setup::to(driver, backend.addr)
        .client("requestAttemptTimeoutMs: 300")
        .start();
    let mut client = proxy.client();
    let response = client.post(&pattern(2000));
    assert_eq!(response.status, 504, "{response:?}");
    assert_ne!(response.why(), "");
    wait_for("the backend connection's end", || backend.open() == 0);
}

fn bad_heads_of_backends(driver: Driver) {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let table: [(&str, &str); 20] = [
        ("", "backend-reset"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "truncated-response"),
        ("H", "truncated-response"),
        ("garbage\r\n\r\n", "bad-status-line"),
        ("\x16\x03\x01\r\n\r\n", "bad-status-line"),
        ("HTTP/1.1 20 OK\r\n\r\n", "bad-status-line"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "bad-status-line"),
        ("HTTP/1.1 099 OK\r\n\r\n", "bad-status"),
        ("HTTP/2.0 200 OK\r\n\r\n", "http-version"),
        ("HTTP/1.1 200 OK\nX: y\r\n\r\n", "bare-lf"),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "space-before-colon"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "obs-fold"),
        ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", "nul"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "repeated-content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
            "bad-content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "te-and-cl",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "bad-transfer-encoding",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "te-on-http10",
        ),
        (
            "HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello",
            "interim-with-body",
        ),
        (&long, "head-too-large"),
    ];
    for (answer, word) in table {
        let backend = Backend::closing(answer);
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        let response = client.get("/");
        assert_eq!(
            (response.status, response.why()),
            (502, word),
            "{answer:.60?}"
        );
        // The client's own connection is none the worse.
        assert!(!response.closes());
        assert_eq!(client.post(b"x").why(), word);
        assert_eq!(backend.accepts(), 2, "{answer:.60?}: sent again");
    }
}

fn truncated_bodies_are_cut(driver: Driver) {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n".to_owned(),
    ] {
        for size in [0, 1, 50_000] {
            let mut answer = head.clone().into_bytes();
            answer.extend(pattern(size));
            let backend = Backend::closing(answer);
            let proxy = Setup::to(driver, backend.addr).start();
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            match client.response_to("GET") {
                Err(_) => {}
                // Nothing of the response was sent yet: then it may be told in words.
                Ok(response) => assert_eq!(response.status, 502, "{size} of {head:?}"),
            }
            assert_eq!(backend.accepts(), 1);
        }
    }
}

/// A response that ends with the connection must not seem complete when it was not: only a reset
/// can tell.
fn truncation_shows_in_http_10(driver: Driver) {
    let backend = Backend::closing(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n64\r\nand",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
    match client.response_to("GET") {
        Err(_) => {}
        Ok(response) => assert_eq!(response.status, 502, "{:?} seems complete", response.text()),
    }
}

fn bad_chunks_of_backends_are_cut(driver: Driver) {
    for chunk in [
        "x\r\n",
        "5\r\nhelloworld\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0\r\nbad\r\n\r\n",
    ] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        let backend = Backend::fixed(format!("{head}{chunk}"));
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        match client.response_to("GET") {
            Err(_) => {}
            Ok(response) => assert_eq!(response.status, 502, "{chunk:?} seems complete"),
        }
        wait_for("the backend connection's end", || backend.open() == 0);
    }
}

/// Backends close connections without a word; that is no error of any request.
fn stale_connections_do_not_show(driver: Driver) {
    // Right after the response.
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send(ok("once"));
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for n in 0..200 {
        let response = client.get("/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "once"),
            "{n}"
        );
    }
    // While idle: then even a request that must not be repeated goes through.
    let backend = Backend::named("kept");
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for n in 1..=20 {
        let response = client.post(b"body");
        assert_eq!((response.status, response.text().as_str()), (200, "kept"));
        assert_eq!(backend.accepts(), n);
        backend.cut_all();
        wait_for("the connection's end", || backend.open() == 0);
        // Its FIN has left; give it the time to arrive.
        std::thread::sleep(Duration::from_millis(20));
    }
    // With the next request on its way: a GET is sent again, on a new connection.
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send(ok("twice"));
            let _ = conn.next();
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for n in 0..50 {
        let response = client.get("/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "twice"),
            "{n}"
        );
    }
}

/// A POST that may have arrived is not sent again.
fn a_request_is_not_sent_twice(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send(ok("first"));
            let _ = conn.next();
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    let response = client.ask("POST /pay HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((response.status, response.why()), (502, "backend-reset"));
    let paid = |backend: &Backend| {
        let requests = backend.requests();
        requests.iter().filter(|r| r.target() == "/pay").count()
    };
    assert_eq!(paid(&backend), 1);
    assert_eq!(client.get("/").status, 200);
    let response = client.post(&pattern(100));
    assert_eq!((response.status, response.why()), (502, "backend-reset"));
}

/// No byte of one response ever reaches another client.
fn what_comes_unasked_reaches_nobody(driver: Driver) {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    // With the response, and after it.
    for pause in [0, 50] {
        let backend = Backend::start(move |conn| {
            while conn.next().is_some() {
                conn.send(ok("good"));
                std::thread::sleep(Duration::from_millis(pause));
                if conn.try_send(poison).is_err() {
                    return;
                }
            }
        });
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        for _ in 0..10 {
            assert_eq!(client.get("/").text(), "good");
            // What comes after the next request was sent is its response, as far as anybody can
            // tell: so let it come before.
            std::thread::sleep(Duration::from_millis(20 + pause * 2));
        }
    }
    // More than the length says.
    let backend =
        Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\n");
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "good");
    }
    // A body for HEAD and 304.
    for status in ["200 OK", "304 Not Modified"] {
        let backend = Backend::fixed(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{poison}",
            poison.len()
        ));
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        for _ in 0..10 {
            client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n");
            let response = client.response_to("HEAD").unwrap();
            assert_ne!(response.field("content-length"), Some("6"));
        }
    }
}

fn slow_head(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr)
        .server("headerReadTimeoutMs: 400")
        .start();
    let mut client = proxy.client();
    // A whole request first: the limit is for each head.
    assert_eq!(client.get("/").status, 200);
    let start = Instant::now();
    let head = format!("GET / HTTP/1.1\r\nHost: web\r\nX: {}", "y".repeat(1000));
    for byte in head.bytes() {
        if client.try_send([byte]).is_err() || start.elapsed() > Duration::from_secs(1) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let response = client.response();
    assert_eq!((response.status, response.why()), (408, "head-timeout"));
    assert!(response.closes() && client.is_closed());
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(backend.requests().len(), 1);
}

fn idle_clients(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr)
        .server("serverSession: {idleTimeMs: 400}")
        .start();
    let start = Instant::now();
    let mut never = proxy.client();
    let mut once = proxy.client();
    assert_eq!(once.get("/").status, 200);
    assert!(never.is_closed());
    assert!(start.elapsed() >= Duration::from_millis(390));
    assert!(once.is_closed());
    assert!(start.elapsed() < Duration::from_secs(15));
    // Idle connections to backends, too.
    let proxy = Setup::to(driver, backend.addr)
        .client("hostConnectionPool: {idleTimeMs: 300}")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    drop(once);
    let before = backend.accepts();
    wait_for("the idle connections' end", || backend.open() <= 1);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(backend.accepts(), before + 1);
}

fn stalled_upload(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr)
        .server("bodyTimeoutMs: 400")
        .start();
    let mut client = proxy.client();
    let start = Instant::now();
    client.send(post_head(100));
    client.send("only some");
    let response = client.response();
    assert_eq!((response.status, response.why()), (408, "body-timeout"));
    assert!(client.is_closed());
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(backend.requests().len(), 0);
    wait_for("the backend connection's end", || backend.open() == 0);
}

fn stalled_backend_body(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly some");
            let _ = conn.next();
        }
    });
    let proxy = Setup::to(driver, backend.addr)
        .client("bodyTimeoutMs: 400")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    let start = Instant::now();
    assert!(client.response_to("GET").is_err());
    assert!(start.elapsed() < Duration::from_secs(15));
    wait_for("the backend connection's end", || backend.open() == 0);
}

fn stalled_reader(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while conn.try_send(pattern(65_536)).is_ok() {}
        }
    });
    let proxy = Setup::to(driver, backend.addr)
        .server("bodyTimeoutMs: 400")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    wait_for("the request", || backend.requests().len() == 1);
    // Nothing is read: the proxy must not wait for ever.
    wait_for("the backend connection's end", || backend.open() == 0);
    drop(client);
}

fn leaving_clients_cancel(driver: Driver) {
    let request = |backend: &Backend, n: usize| {
        wait_for("the request", || {
            backend.accepts() == n && backend.open() == 1
        });
    };
    // While the backend thinks.
    let backend = silent();
    let proxy = Setup::to(driver, backend.addr).start();
    for n in 1..=3 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        request(&backend, n);
        drop(client);
        wait_for("the backend connection's end", || backend.open() == 0);
    }
    // While the body goes up.
    let mut client = proxy.client();
    client.send(post_head(100_000));
    client.send(pattern(5000));
    request(&backend, 4);
    drop(client);
    wait_for("the backend connection's end", || backend.open() == 0);
    // While the body comes down.
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while conn.try_send("5\r\nhello\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    client.take(10).unwrap();
    drop(client);
    wait_for("the backend connection's end", || backend.open() == 0);
}

/// A pipelined request behind the one in flight does not hide for good that its client has left.
fn leaving_clients_of_pipelines(driver: Driver) {
    let backend = Backend::start(|conn| {
        while conn.next().is_some() {
            std::thread::sleep(Duration::from_millis(200));
            if conn.try_send(ok("late")).is_err() {
                return;
            }
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let before = proxy.descriptors();
    for _ in 0..5 {
        let mut client = proxy.client();
        client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\nGET /2 HTTP/1.1\r\nHost: web\r\n\r\n");
        drop(client);
    }
    // What was made for the clients goes; connections to the backend may stay idle.
    wait_for("the clients' end", || {
        proxy.descriptors() <= before + backend.open()
    });
    assert_eq!(proxy.client().get("/").status, 200);
}
