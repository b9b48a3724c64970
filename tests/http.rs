//! What a well-behaved client and a well-behaved backend may expect of a proxy between them.

mod support;

use std::time::Duration;

use support::backend::ok;
use support::client::{chunks, post_head};
use support::{Backend, Setup, assert_same, pattern, wait_for};
use support::{Client, Driver, Proxy};

both_drivers!(
    methods,
    bodies_with_a_length,
    bodies_in_chunks,
    bodies_for_http_10,
    response_trailers,
    chunk_extensions,
    responses_until_close,
    responses_without_a_body,
    head_keeps_its_length,
    interim_responses,
    expect_continue,
    early_response,
    pipelining,
    http_10,
    websocket,
    upgrade_refused_by_the_backend,
    upgrade_that_nobody_asked_for,
    connect_is_refused,
    absolute_form,
    asterisk_form,
    hop_by_hop_fields,
    fields_pass,
    one_byte_at_a_time,
    connection_close,
    connections_are_reused,
);

/// Around a receive buffer's size, and exactly at the bytes that may wait between the two sides.
const SIZES: [usize; 12] = [
    0, 1, 4096, 16_383, 16_384, 16_385, 65_536, 100_000, 262_144, 262_145, 524_288, 5_000_000,
];

fn echo(driver: Driver) -> (Backend, Proxy) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).start();
    (backend, proxy)
}

fn methods(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "HEAD",
    ] {
        client.send(format!("{method} /a?b=c HTTP/1.1\r\nHost: web\r\n\r\n"));
        let response = client.response_to(method).unwrap();
        assert_eq!(response.status, 200, "{method}");
        let line = format!("{method} /a?b=c HTTP/1.1");
        assert_eq!(response.field("x-line"), Some(line.as_str()));
        assert_eq!(response.field("l5d-err"), None);
    }
    assert_eq!(backend.accepts(), 1);
    assert_eq!(backend.requests()[0].field("host"), Some("web"));
}

fn bodies_with_a_length(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    for size in SIZES {
        let body = pattern(size);
        let mut writer = client.stream.try_clone().unwrap();
        let sent = body.clone();
        let sending = std::thread::spawn(move || {
            use std::io::Write;
            writer.write_all(post_head(sent.len()).as_bytes()).unwrap();
            writer.write_all(&sent).unwrap();
        });
        let response = client.response_to("POST");
        let seen = backend.requests().len();
        let response = response.unwrap_or_else(|e| panic!("{size}: {e}; {seen} requests seen"));
        sending.join().unwrap();
        assert_eq!(response.status, 200, "{size} {response:?}");
        assert_same(&response.body, &body, "response");
        let length = size.to_string();
        assert_eq!(response.field("content-length"), Some(length.as_str()));
    }
    for (request, size) in backend.requests().iter().zip(SIZES) {
        let length = size.to_string();
        assert_eq!(request.field("content-length"), Some(length.as_str()));
    }
}

fn bodies_in_chunks(driver: Driver) {
    let backend = Backend::answering(|request| {
        let te = request.field("transfer-encoding").unwrap_or("none");
        let head = format!("HTTP/1.1 200 OK\r\nX-TE: {te}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut answer = head.into_bytes();
        answer.extend(chunks(&request.body, 10_000));
        answer
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for size in SIZES {
        // Chunks of one byte only where there are few.
        for chunk in [if size > 20_000 { 9_973 } else { 1 }, 16_384, 40_000] {
            let body = pattern(size);
            let mut writer = client.stream.try_clone().unwrap();
            let coded = chunks(&body, chunk);
            let sending = std::thread::spawn(move || {
                use std::io::Write;
                let head = "POST /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
                writer.write_all(head.as_bytes()).unwrap();
                writer.write_all(&coded).unwrap();
            });
            let response = client.response();
            sending.join().unwrap();
            assert_eq!(response.status, 200, "{size}/{chunk} {:?}", response.fields);
            assert_eq!(response.field("x-te"), Some("chunked"));
            assert_same(&response.body, &body, "response");
        }
    }
}

/// A client of HTTP/1.0 cannot read chunks: the response ends with the connection.
fn bodies_for_http_10(driver: Driver) {
    for size in [0, 1, 16_384, 100_000] {
        let body = pattern(size);
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend(chunks(&body, 7_000));
        let backend = Backend::fixed(answer);
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        let response = client.ask("GET / HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.field("transfer-encoding"), None);
        assert_same(&response.body, &body, "response");
        if response.field("content-length").is_none() {
            assert!(client.is_closed());
        }
    }
}

fn response_trailers(driver: Driver) {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 77\r\nx-more: a b\r\n\r\n",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.1\r\nHost: web\r\nTE: trailers\r\n\r\n");
        assert_eq!(response.text(), "hello");
        assert_eq!(
            support::wire::field(&response.trailers, "x-sum"),
            Some("77")
        );
        assert_eq!(
            support::wire::field(&response.trailers, "x-more"),
            Some("a b")
        );
    }
    assert_eq!(backend.accepts(), 1);
}

fn chunk_extensions(driver: Driver) {
    let backend = Backend::start(|conn| {
        while let Some(request) = conn.next() {
            // The reader of tests refuses extensions, so none was passed on.
            assert_eq!(request.body, b"hello world");
            conn.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;a=b\r\nabc\r\n4;q=\"x\"\r\ndefg\r\n000;last\r\n\r\n",
            );
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.ask(
            "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n\
             5;x\r\nhello\r\n6;y=z;w=\"a\"\r\n world\r\n0;e\r\n\r\n",
        );
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.text(), "abcdefg");
    }
}

fn responses_until_close(driver: Driver) {
    for size in [0, 1, 16_384, 100_000, 3_000_000] {
        let body = pattern(size);
        let mut answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n".to_vec();
        answer.extend(&body);
        let backend = Backend::closing(answer);
        let proxy = Setup::to(driver, backend.addr).start();
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!(response.status, 200);
            assert_same(&response.body, &body, "response");
        }
        assert_eq!(backend.accepts(), 2);
    }
}

fn responses_without_a_body(driver: Driver) {
    let backend = Backend::answering(|request| match request.target() {
        "/204" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".into(),
        "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n".into(),
        "/205" => "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".into(),
        _ => ok("after"),
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.get("/204");
        assert_eq!(response.status, 204);
        assert_eq!(response.field("content-length"), None);
        assert_eq!(response.field("transfer-encoding"), None);
        let response = client.get("/304");
        assert_eq!(
            (response.status, response.field("etag")),
            (304, Some("\"x\""))
        );
        assert_eq!(client.get("/205").status, 205);
        assert_eq!(client.get("/").text(), "after");
    }
    assert_eq!(backend.accepts(), 1);
}

fn head_keeps_its_length(driver: Driver) {
    let backend = Backend::answering(|request| match request.target() {
        "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".into(),
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n");
        let response = client.response_to("HEAD").unwrap();
        assert_eq!(response.field("content-length"), Some("12345"));
        client.send("HEAD /chunked HTTP/1.1\r\nHost: web\r\n\r\n");
        assert_eq!(client.response_to("HEAD").unwrap().status, 200);
    }
    assert!(client.is_silent_for(Duration::from_millis(50)));
    assert_eq!(backend.accepts(), 1);
}

fn interim_responses(driver: Driver) {
    let backend = Backend::fixed(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    let statuses: Vec<u16> = response.interim.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [103, 102]);
    let hints = &response.interim[0].1;
    assert_eq!(support::wire::field(hints, "link"), Some("</a.css>"));
    // HTTP/1.0 has no interim responses (RFC 9110 §15.2).
    let response = proxy.client().ask("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

/// The client waits for the backend's go-ahead, and the backend for the client's body.
fn expect_continue(driver: Driver) {
    let backend = Backend::start(|conn| {
        while let Some(mut request) = conn.next_head() {
            assert_eq!(request.field("expect"), Some("100-continue"));
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            conn.request_body(&mut request).unwrap();
            conn.send(ok(&request.body.len().to_string()));
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        assert_eq!(client.line().unwrap(), "HTTP/1.1 100 Continue");
        while !client.line().unwrap().is_empty() {}
        client.send("hello");
        assert_eq!(client.response().text(), "5");
    }
}

/// The backend answers before it has the body: the client gets the answer, and the connection ends
/// because the rest of the body is in the way.
fn early_response(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next_head().is_some() {
            conn.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
            let _ = conn.take_all();
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\nstart");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    drop(client);
    wait_for("the backend connection's end", || backend.open() == 0);
}

fn pipelining(driver: Driver) {
    let backend = Backend::answering(|request| {
        if request.target() == "/1" {
            std::thread::sleep(Duration::from_millis(100));
        }
        ok(&format!("{} {}", request.target(), request.body.len()))
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: web\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody\
         POST /3 HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
         GET /4 HTTP/1.1\r\nHost: web\r\n\r\n",
    );
    for wanted in ["/1 0", "/2 4", "/3 2", "/4 0"] {
        assert_eq!(client.response().text(), wanted);
    }
    // Many, with answers that nobody reads meanwhile.
    let many: String = (0..2000)
        .map(|n| format!("GET /m{n} HTTP/1.1\r\nHost: web\r\n\r\n"))
        .collect();
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(many.as_bytes()).unwrap();
    });
    for n in 0..2000 {
        assert_eq!(client.response().text(), format!("/m{n} 0"));
    }
    sending.join().unwrap();
}

fn http_10(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    let response = client.ask("GET /old HTTP/1.0\r\nHost: web\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(client.is_closed());
    let mut client = proxy.client();
    for _ in 0..3 {
        let response =
            client.ask("GET /old HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.status, 200);
        let kept = response
            .field("connection")
            .unwrap_or("")
            .to_ascii_lowercase();
        assert_eq!(kept, "keep-alive");
    }
    assert_eq!(backend.requests().len(), 4);
    for request in backend.requests() {
        assert_eq!(request.line, "GET /old HTTP/1.1");
    }
}

fn websocket(driver: Driver) {
    let backend = Backend::start(|conn| {
        let Some(request) = conn.next_head() else {
            return;
        };
        assert_eq!(request.field("upgrade"), Some("websocket"));
        assert_eq!(request.field("sec-websocket-key"), Some("abc"));
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: def\r\n\r\nfirst",
        );
        assert_eq!(conn.take(5).unwrap(), b"early");
        // An echo, until the client ends; then one more word.
        let mut seen = 0;
        while seen < 300_000 {
            let n = (300_000 - seen).min(1000);
            let bytes = conn.take(n).unwrap();
            seen += n;
            conn.send(&bytes);
        }
        assert_eq!(conn.take_all().unwrap(), b"");
        conn.send("goodbye");
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: abc\r\n\r\nearly",
    );
    let response = client.response_to("GET").unwrap();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.field("sec-websocket-accept"), Some("def"));
    assert_eq!(client.take(5).unwrap(), b"first");
    let bytes = pattern(300_000);
    let mut writer = client.stream.try_clone().unwrap();
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(&sent).unwrap();
    });
    assert_same(&client.take(300_000).unwrap(), &bytes, "tunnel");
    sending.join().unwrap();
    client.end_writing();
    assert_eq!(client.take_all().unwrap(), b"goodbye");
}

/// Without its 101 an upgrade is a plain request, and the connection goes on.
fn upgrade_refused_by_the_backend(driver: Driver) {
    let backend = Backend::named("plain");
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.ask(
            "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!((response.status, response.text().as_str()), (200, "plain"));
    }
    assert_eq!(client.get("/").text(), "plain");
}

fn upgrade_that_nobody_asked_for(driver: Driver) {
    let backend = Backend::closing(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let response = proxy.client().get("/");
    assert_eq!((response.status, response.why()), (502, "unasked-upgrade"));
}

fn connect_is_refused(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    let response = client.ask("CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n");
    assert_eq!((response.status, response.why()), (405, "connect-refused"));
    assert_eq!(backend.accepts(), 0);
}

fn absolute_form(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    // The target's authority wins over Host (RFC 9112 §3.2.2).
    let response = client.ask("GET http://web:80/x?y HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(response.status, 200);
    let request = &backend.requests()[0];
    assert_eq!(request.line, "GET /x?y HTTP/1.1");
    assert_eq!(request.field("host"), Some("web:80"));
}

fn asterisk_form(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let response = proxy
        .client()
        .ask("OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n");
    assert_eq!(response.status, 200);
    assert_eq!(backend.requests()[0].line, "OPTIONS * HTTP/1.1");
}

/// What belongs to one connection stays on it.
fn hop_by_hop_fields(driver: Driver) {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x-secret\r\nX-Secret: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Open: 2\r\n\r\n",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    let response = client.ask(
        "GET / HTTP/1.1\r\nHost: web\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nX-Yours: 2\r\n\r\n",
    );
    let request = &backend.requests()[0];
    for gone in ["x-mine", "keep-alive", "proxy-connection"] {
        assert_eq!(request.field(gone), None, "{request:?}");
    }
    assert_eq!(request.field("x-yours"), Some("2"));
    for gone in ["x-secret", "keep-alive", "proxy-connection"] {
        assert_eq!(response.field(gone), None, "{response:?}");
    }
    assert_eq!(response.field("x-open"), Some("2"));
}

fn fields_pass(driver: Driver) {
    let backend = Backend::fixed(
        "HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\n\
         X-Bytes: \u{e9}t\u{e9}\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    let many: String = (0..100)
        .map(|n| format!("X-{n}: {}\r\n", "v".repeat(n)))
        .collect();
    let response = client.ask(format!(
        "GET / HTTP/1.1\r\nHost: web\r\n{many}Accept: a\r\nAccept: b\r\n\r\n"
    ));
    let of = |fields: &support::wire::Fields, name: &str| -> Vec<String> {
        let found = fields.iter().filter(|(n, _)| n == name);
        found.map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(of(&response.fields, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(of(&response.fields, "x-empty"), [""]);
    assert_eq!(of(&response.fields, "x-bytes"), ["\u{e9}t\u{e9}"]);
    let request = &backend.requests()[0];
    assert_eq!(of(&request.fields, "accept"), ["a", "b"]);
    for n in 0..100 {
        assert_eq!(of(&request.fields, &format!("x-{n}")), ["v".repeat(n)]);
    }
}

fn one_byte_at_a_time(driver: Driver) {
    let backend = Backend::start(|conn| {
        while let Some(request) = conn.next() {
            let body = request.body.len();
            let answer = format!(
                "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX-Got: {body}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4;e=f\r\nabcd\r\n1\r\ne\r\n0\r\nX-T: 1\r\n\r\n"
            );
            for byte in answer.as_bytes() {
                conn.send([*byte]);
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    let requests = [
        "GET /a HTTP/1.1\r\nHost: web\r\nX-Some: thing\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello",
        "POST /c HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=\"y\"\r\nhello\r\na\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
    ];
    for (request, got) in requests.iter().zip(["0", "5", "15"]) {
        for byte in request.as_bytes() {
            client.send([*byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
        let response = client.response();
        assert_eq!(response.field("x-got"), Some(got), "{response:?}");
        assert_eq!(response.text(), "abcde");
        assert_eq!(response.trailers.len(), 1);
        assert_eq!(response.interim.len(), 1);
    }
    assert_eq!(backend.accepts(), 1);
}

fn connection_close(driver: Driver) {
    let (backend, proxy) = echo(driver);
    let mut client = proxy.client();
    let response = client.ask("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(response.closes());
    assert!(client.is_closed());
    // The client's wish is its own: the backend's connection is kept.
    assert_eq!(proxy.client().get("/").status, 200);
    assert_eq!(backend.accepts(), 1);
    // And the other way round.
    let backend = Backend::start(|conn| {
        if conn.next().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for n in 1..=3 {
        let response = client.get("/");
        assert!(!response.closes(), "{response:?}");
        assert_eq!(response.text(), "ok");
        assert_eq!(backend.accepts(), n);
    }
}

fn connections_are_reused(driver: Driver) {
    let (backend, proxy) = echo(driver);
    for _ in 0..20 {
        let mut client = proxy.client();
        for _ in 0..20 {
            assert_eq!(client.get("/").status, 200);
        }
    }
    assert_eq!(backend.accepts(), 1);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let addr = proxy.addr;
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                for _ in 0..50 {
                    assert_eq!(client.post(&pattern(3000)).status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert!(backend.accepts() <= 8, "{}", backend.accepts());
}
