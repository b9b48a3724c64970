use super::*;
use crate::http::{BodyLength, Name, Version};

/// `\n` stands for CRLF here; what is about line ends writes them out with `raw`.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A head with nothing wrong but these fields.
fn with(fields: &str) -> Vec<u8> {
    crlf(&format!("POST / HTTP/1.1\nHost: a\n{fields}\n\n"))
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// One rule a line: bytes in; status and reason out.
fn refused() -> Vec<(Vec<u8>, u16, &'static str)> {
    let mut cases = line_ends();
    cases.extend(request_lines());
    cases.extend(field_lines());
    cases.extend(hosts());
    cases.extend(framings());
    cases.extend(limits());
    cases
}

fn line_ends() -> Vec<(Vec<u8>, u16, &'static str)> {
    vec![
        (raw(b"GET / HTTP/1.1\nHost: a\r\n\r\n"), 400, "bare-lf"),
        (raw(b"GET / HTTP/1.1\r\nHost: a\n\r\n"), 400, "bare-lf"),
        (raw(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), 400, "bare-lf"),
        (raw(b"GET / HTTP/1.1\n\n"), 400, "bare-lf"),
        (raw(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "bare-lf"),
        (
            raw(b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            400,
            "bare-lf",
        ),
        (raw(b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), 400, "bare-cr"),
        (raw(b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "bare-cr"),
        (raw(b"GE\rT / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "bare-cr"),
        (raw(b"GET\r/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "bare-cr"),
        (raw(b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "bare-cr"),
        (
            raw(b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            400,
            "bare-cr",
        ),
        (raw(b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), 400, "bare-cr"),
        (
            raw(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n"),
            400,
            "bare-cr",
        ),
        (
            raw(b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n"),
            400,
            "bare-cr",
        ),
        (raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), 400, "bare-cr"),
        (
            raw(b"GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n"),
            400,
            "bare-cr",
        ),
        (
            raw(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            400,
            "blank-lines",
        ),
    ]
}

fn request_lines() -> Vec<(Vec<u8>, u16, &'static str)> {
    let host = "\nHost: a\n\n";
    let line = |line: &str| crlf(&format!("{line}{host}"));
    vec![
        (
            raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"),
            400,
            "tls-on-plain-port",
        ),
        (raw(b"\x80\x01\r\n\r\n"), 400, "bad-method"),
        (raw(b"\0\r\n\r\n"), 400, "bad-method"),
        (line(" GET / HTTP/1.1"), 400, "bad-method"),
        (line("G(T / HTTP/1.1"), 400, "bad-method"),
        (line("GE\u{e9}T / HTTP/1.1"), 400, "bad-method"),
        (line("\"GET\" / HTTP/1.1"), 400, "bad-method"),
        (line("GET\t/ HTTP/1.1"), 400, "control-in-request-line"),
        (line("GET /\tHTTP/1.1"), 400, "control-in-request-line"),
        (line("GET /\u{b} HTTP/1.1"), 400, "control-in-request-line"),
        (line("GET /\u{7f} HTTP/1.1"), 400, "control-in-request-line"),
        (line("GET /\0 HTTP/1.1"), 400, "nul"),
        (line("GET"), 400, "bad-request-line"),
        (line("GET "), 400, "bad-request-line"),
        (line("GET /"), 400, "bad-request-line"),
        (line("GET / "), 400, "bad-request-line"),
        (line("GET  / HTTP/1.1"), 400, "extra-space"),
        (line("GET /  HTTP/1.1"), 400, "extra-space"),
        (line("GET / HTTP/1.1 "), 400, "bad-request-line"),
        (line("GET / HTTP/1.1 x"), 400, "bad-request-line"),
        (line("GET /a b HTTP/1.1"), 400, "bad-request-line"),
        (line("GET / http/1.1"), 400, "bad-request-line"),
        (line("GET / HTTP/1"), 400, "bad-request-line"),
        (line("GET / HTTP/11"), 400, "bad-request-line"),
        (line("GET / HTTP/1.10"), 400, "bad-request-line"),
        (line("GET / HTTP/1,1"), 400, "bad-request-line"),
        (line("GET / HTTP/+1.1"), 400, "bad-request-line"),
        (line("GET / HTTPS/1.1"), 400, "bad-request-line"),
        (line("GET / ICY/1.1"), 400, "bad-request-line"),
        (line("GET / HTTP/1.2"), 505, "http-version"),
        (line("GET / HTTP/0.9"), 505, "http-version"),
        (line("GET / HTTP/3.0"), 505, "http-version"),
        (crlf("PRI * HTTP/2.0\n\nSM\n\n"), 505, "http-version"),
        (line("GET a HTTP/1.1"), 400, "bad-target"),
        (line("GET a/b HTTP/1.1"), 400, "bad-target"),
        (line("GET * HTTP/1.1"), 400, "bad-target"),
        (line("OPTIONS *x HTTP/1.1"), 400, "bad-target"),
        (line("GET ?q HTTP/1.1"), 400, "bad-target"),
        (line("GET /#top HTTP/1.1"), 400, "bad-target"),
        (line("GET /\u{e9} HTTP/1.1"), 400, "bad-target"),
        (line("GET a:80 HTTP/1.1"), 400, "bad-target"),
        (line("GET ftp://a/ HTTP/1.1"), 400, "bad-target"),
        (line("GET http:/a HTTP/1.1"), 400, "bad-target"),
        (line("GET http:// HTTP/1.1"), 400, "bad-target"),
        (line("GET http:///a HTTP/1.1"), 400, "bad-target"),
        (line("GET http://u@a/ HTTP/1.1"), 400, "bad-target"),
        (line("GET http://a:b/ HTTP/1.1"), 400, "bad-target"),
        (line("GET http://a\\b/ HTTP/1.1"), 400, "bad-target"),
        (line("CONNECT / HTTP/1.1"), 400, "bad-target"),
        (line("CONNECT a HTTP/1.1"), 400, "bad-target"),
        (line("CONNECT a: HTTP/1.1"), 400, "bad-target"),
        (line("CONNECT :80 HTTP/1.1"), 400, "bad-target"),
        (line("CONNECT http://a:80/ HTTP/1.1"), 400, "bad-target"),
        (
            crlf("CONNECT a:1 HTTP/1.1\nHost: a\nContent-Length: 1\n\n"),
            400,
            "connect-with-body",
        ),
    ]
}

fn field_lines() -> Vec<(Vec<u8>, u16, &'static str)> {
    vec![
        (with("X: a\n b"), 400, "obs-fold"),
        (with("X: a\n\tb"), 400, "obs-fold"),
        (with(" X: a"), 400, "obs-fold"),
        (with(" "), 400, "obs-fold"),
        (crlf("GET / HTTP/1.1\n Host: a\n\n"), 400, "obs-fold"),
        (with("X : a"), 400, "space-before-colon"),
        (with("X\t: a"), 400, "space-before-colon"),
        (with("Content-Length : 1"), 400, "space-before-colon"),
        (
            with("Transfer-Encoding\t : chunked"),
            400,
            "space-before-colon",
        ),
        (with(": a"), 400, "empty-field-name"),
        (with(":"), 400, "empty-field-name"),
        (with("X"), 400, "missing-colon"),
        (with("X y"), 400, "bad-field-name"),
        (with("X y: a"), 400, "bad-field-name"),
        (with("X(y): a"), 400, "bad-field-name"),
        (with("X/y: a"), 400, "bad-field-name"),
        (with("\"X\": a"), 400, "bad-field-name"),
        (with("X\u{e9}: a"), 400, "bad-field-name"),
        (with("X\u{1}: a"), 400, "bad-field-name"),
        (with("X\0: a"), 400, "nul"),
        (with("X: a\0b"), 400, "nul"),
        (with("X: \0"), 400, "nul"),
        (with("X: a\u{1}"), 400, "bad-field-value"),
        (with("X: \u{b}a"), 400, "bad-field-value"),
        (with("X: a\u{7f}"), 400, "bad-field-value"),
        (with("X: a\u{1b}[0m"), 400, "bad-field-value"),
    ]
}

fn hosts() -> Vec<(Vec<u8>, u16, &'static str)> {
    let host = |fields: &str| crlf(&format!("GET / HTTP/1.1\n{fields}\n"));
    vec![
        (host(""), 400, "missing-host"),
        (host("X-Host: a\n"), 400, "missing-host"),
        (crlf("GET http://a/ HTTP/1.1\n\n"), 400, "missing-host"),
        (crlf("CONNECT a:1 HTTP/1.1\n\n"), 400, "missing-host"),
        (host("Host: a\nHost: a\n"), 400, "repeated-host"),
        (host("Host: a\nX: y\nhOST: b\n"), 400, "repeated-host"),
        (
            crlf("GET / HTTP/1.0\nHost: a\nHost: b\n\n"),
            400,
            "repeated-host",
        ),
        (host("Host: a, b\n"), 400, "bad-host"),
        (host("Host: a b\n"), 400, "bad-host"),
        (host("Host: u@a\n"), 400, "bad-host"),
        (host("Host: a/b\n"), 400, "bad-host"),
        (host("Host: http://a\n"), 400, "bad-host"),
        (host("Host: a:b\n"), 400, "bad-host"),
        (host("Host: a:99999\n"), 400, "bad-host"),
        (host("Host: [::1\n"), 400, "bad-host"),
        (host("Host: \u{e9}\n"), 400, "bad-host"),
        (
            crlf("GET http://a/ HTTP/1.1\nHost: b c\n\n"),
            400,
            "bad-host",
        ),
        (crlf("GET / HTTP/1.0\nHost: a/b\n\n"), 400, "bad-host"),
    ]
}

fn framings() -> Vec<(Vec<u8>, u16, &'static str)> {
    let te = |value: &str| with(&format!("Transfer-Encoding: {value}"));
    let cl = |value: &str| with(&format!("Content-Length: {value}"));
    vec![
        (
            with("Content-Length: 1\nTransfer-Encoding: chunked"),
            400,
            "te-and-cl",
        ),
        (
            with("Transfer-Encoding: chunked\nContent-Length: 1"),
            400,
            "te-and-cl",
        ),
        (
            with("transfer-encoding: x\ncontent-length: x"),
            400,
            "te-and-cl",
        ),
        (
            crlf("GET / HTTP/1.0\nContent-Length: 1\nTransfer-Encoding: chunked\n\n"),
            400,
            "te-and-cl",
        ),
        (
            crlf("GET / HTTP/1.0\nTransfer-Encoding: chunked\n\n"),
            400,
            "te-on-http10",
        ),
        (te(""), 400, "bad-transfer-encoding"),
        (te("identity"), 400, "bad-transfer-encoding"),
        (te("gzip"), 400, "bad-transfer-encoding"),
        (te("gzip, chunked"), 400, "bad-transfer-encoding"),
        (te("chunked, gzip"), 400, "bad-transfer-encoding"),
        (te("chunked, chunked"), 400, "bad-transfer-encoding"),
        (te("chunked,"), 400, "bad-transfer-encoding"),
        (te(", chunked"), 400, "bad-transfer-encoding"),
        (te("xchunked"), 400, "bad-transfer-encoding"),
        (te("chunked;q=1"), 400, "bad-transfer-encoding"),
        (te("\"chunked\""), 400, "bad-transfer-encoding"),
        (te("chunked\u{b}"), 400, "bad-field-value"),
        (
            te("chunked\nTransfer-Encoding: chunked"),
            400,
            "bad-transfer-encoding",
        ),
        (
            te("chunked\nTransfer-Encoding: identity"),
            400,
            "bad-transfer-encoding",
        ),
        (cl("1\nContent-Length: 2"), 400, "repeated-content-length"),
        (cl("1\nContent-Length: 1"), 400, "repeated-content-length"),
        (cl(""), 400, "bad-content-length"),
        (cl("1, 1"), 400, "bad-content-length"),
        (cl("1,"), 400, "bad-content-length"),
        (cl("+1"), 400, "bad-content-length"),
        (cl("-1"), 400, "bad-content-length"),
        (cl("0x1"), 400, "bad-content-length"),
        (cl("1 2"), 400, "bad-content-length"),
        (cl("1.0"), 400, "bad-content-length"),
        (cl("1_0"), 400, "bad-content-length"),
        (cl("a"), 400, "bad-content-length"),
        (cl("\u{661}"), 400, "bad-content-length"),
        (cl("18446744073709551616"), 400, "bad-content-length"),
        (cl("99999999999999999999999"), 400, "bad-content-length"),
        (with("Connection: a b"), 400, "bad-connection"),
        (with("Connection: \"close\""), 400, "bad-connection"),
        (
            with("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"),
            400,
            "bad-connection",
        ),
        (with("Expect: 200-ok"), 417, "unknown-expectation"),
        (with("Expect:"), 417, "unknown-expectation"),
        (with("Expect: 100-continue, x"), 417, "unknown-expectation"),
        (
            with("Expect: 100-continue\nExpect: x"),
            417,
            "unknown-expectation",
        ),
    ]
}

fn limits() -> Vec<(Vec<u8>, u16, &'static str)> {
    let many = |n: usize| with("X: a\n".repeat(n).trim_end());
    let a = |n: usize| "a".repeat(n);
    vec![
        (
            crlf(&format!("GET /{} HTTP/1.1\nHost: a\n\n", a(27))),
            414,
            "request-line-too-long",
        ),
        (raw(a(43).as_bytes()), 414, "request-line-too-long"),
        (
            raw(&[b"GET /", a(300).as_bytes()].concat()),
            414,
            "request-line-too-long",
        ),
        (many(5), 431, "too-many-fields"),
        (with(&format!("X: {}", a(200))), 431, "head-too-large"),
        (with(&format!("X: {}", a(168))), 431, "head-too-large"),
        (
            raw(&[&b"GET / HTTP/1.1\r\nX: "[..], a(500).as_bytes()].concat()),
            431,
            "head-too-large",
        ),
    ]
}

#[test]
fn every_broken_rule_is_refused_with_its_word() {
    let cases = refused();
    assert!(cases.len() >= 150, "{}", cases.len());
    for (bytes, status, reason) in cases {
        // Some limits are reached only with the small ones, some rules only within the large.
        let small = matches!(status, 414 | 431);
        let limits = if small { SMALL } else { Limits::default() };
        match request(&bytes, &limits) {
            Ok(_) => panic!("accepted: {:?}", text(&bytes)),
            Err(error) => assert_eq!(
                (error.status(), error.reason()),
                (status, reason),
                "{:?}: {error}",
                text(&bytes)
            ),
        }
    }
}

#[test]
fn limits_are_inclusive() {
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(26));
    assert!(request(line.as_bytes(), &SMALL).is_ok());
    assert!(request(&with("A: 1\nB: 2\nC: 3\nD: 4"), &SMALL).is_ok());
    let empty = with("X: ").len();
    assert!(request(&with(&format!("X: {}", "a".repeat(200 - empty))), &SMALL).is_ok());
    assert!(request(&with(&format!("X: {}", "a".repeat(201 - empty))), &SMALL).is_err());
}

#[test]
fn a_request_is_read_into_its_meaning() {
    let bytes = crlf(
        "PURGE /a/b?c=d HTTP/1.1\nHost: Example.org:81\nuser-agent:  x y \t\nX-Empty:\n\
         Connection: close, X-Hop, host, X-Forwarded-For\nX-Hop: 1\nx-hop: 2\nKeep-Alive: 5\n\
         X-Forwarded-For: 10.0.0.1\nl5d-dtab: /a=>/b\nTE: gzip, Trailers\n\
         Proxy-Authorization: secret\nContent-Length: 007\nExpect: 100-Continue\n\nbodybod",
    );
    let (head, used, connection) = request(&bytes, &Limits::default()).unwrap();
    assert_eq!(used, bytes.len() - 7);
    assert!(!connection.keep_alive);
    assert_eq!(
        (head.method, head.method_bytes()),
        (Method::Other, &b"PURGE"[..])
    );
    assert_eq!(
        (head.target(), head.path()),
        (&b"/a/b?c=d"[..], &b"/a/b"[..])
    );
    assert_eq!(head.authority(), b"Example.org:81");
    assert_eq!(
        (head.version, head.body),
        (Version::Http11, BodyLength::Exact(7))
    );
    assert!(head.expect_continue && head.te_trailers && head.upgrade().is_none());
    assert_eq!(
        lines(&head.fields),
        "user-agent: x y\nX-Empty: \nX-Forwarded-For: 10.0.0.1\nl5d-dtab: /a=>/b\n"
    );
    assert_eq!(head.fields.get(Name::L5dDtab), Some(&b"/a=>/b"[..]));
}

#[test]
fn targets_come_in_four_forms() {
    for (line, target, authority) in [
        ("GET / HTTP/1.1", "/", "h"),
        ("GET //a/../b HTTP/1.1", "//a/../b", "h"),
        ("GET http://a.b:8/c?d HTTP/1.1", "/c?d", "a.b:8"),
        ("GET HTTPS://A HTTP/1.1", "/", "A"),
        ("GET http://a?q HTTP/1.1", "/?q", "a"),
        ("GET http://[::1]:9/ HTTP/1.1", "/", "[::1]:9"),
        ("OPTIONS * HTTP/1.1", "*", "h"),
        ("OPTIONS http://a HTTP/1.1", "*", "a"),
        ("OPTIONS http://a/ HTTP/1.1", "/", "a"),
        ("CONNECT a:443 HTTP/1.1", "a:443", "a:443"),
        ("CONNECT [::1]:443 HTTP/1.1", "[::1]:443", "[::1]:443"),
    ] {
        let (head, ..) = request(&crlf(&format!("{line}\nHost: h\n\n")), &SMALL).unwrap();
        assert_eq!(
            (text(head.target()), text(head.authority())),
            (target.into(), authority.into())
        );
    }
}

#[test]
fn what_lasts_and_what_does_not() {
    for (version, fields, keep) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\n", false),
        ("1.1", "Connection: , CLOSE ,\n", false),
        ("1.1", "Connection: keep-alive\nConnection: close\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\n", true),
        ("1.0", "Connection: keep-alive, close\n", false),
        ("1.0", "Proxy-Connection: keep-alive\n", false),
    ] {
        let bytes = crlf(&format!("GET / HTTP/{version}\nHost: h\n{fields}\n"));
        let (head, _, connection) = request(&bytes, &Limits::default()).unwrap();
        assert_eq!(connection.keep_alive, keep, "{version} {fields}");
        assert!(head.fields.is_empty());
    }
    for (bytes, version) in [
        ("GET / HTTP/1.0\r\n\r\n", Version::Http10),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Version::Http11),
    ] {
        let (head, ..) = request(bytes.as_bytes(), &SMALL).unwrap();
        assert_eq!((head.authority(), head.version), (&b""[..], version));
        assert!(head.fields.is_empty());
    }
}

#[test]
fn upgrades_are_asked_for_by_connection_and_never_to_h2c() {
    for (version, fields, upgrade) in [
        (
            "1.1",
            "Connection: Upgrade\nUpgrade: websocket",
            Some("websocket"),
        ),
        (
            "1.1",
            "Connection: keep-alive, upgrade\nUpgrade: a/1, b",
            Some("a/1, b"),
        ),
        ("1.1", "Upgrade: websocket", None),
        ("1.1", "Connection: upgrade", None),
        ("1.0", "Connection: Upgrade\nUpgrade: websocket", None),
        (
            "1.1",
            "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: x",
            None,
        ),
        ("1.1", "Connection: Upgrade\nUpgrade: websocket, H2C", None),
        ("1.1", "Connection: Upgrade\nUpgrade: HTTP/2.0", None),
        ("1.1", "Connection: Upgrade\nUpgrade: a b", None),
        ("1.1", "Connection: Upgrade\nUpgrade:", None),
    ] {
        let bytes = crlf(&format!("GET / HTTP/{version}\nHost: h\n{fields}\n\n"));
        let (head, ..) = request(&bytes, &Limits::default()).unwrap();
        assert_eq!(
            head.upgrade().map(text),
            upgrade.map(String::from),
            "{fields}"
        );
        assert!(head.fields.is_empty());
    }
}

#[test]
fn bodies_of_requests() {
    for (version, fields, body, expects) in [
        ("1.1", "", BodyLength::Empty, false),
        ("1.1", "Content-Length: 0\n", BodyLength::Exact(0), false),
        (
            "1.1",
            "Content-Length: 18446744073709551615\n",
            BodyLength::Exact(u64::MAX),
            false,
        ),
        (
            "1.1",
            "Transfer-Encoding:\t Chunked \n",
            BodyLength::Streamed,
            false,
        ),
        ("1.1", "Expect: 100-continue\n", BodyLength::Empty, false),
        (
            "1.1",
            "Content-Length: 1\nExpect: 100-continue\n",
            BodyLength::Exact(1),
            true,
        ),
        (
            "1.0",
            "Content-Length: 1\nExpect: 100-continue\n",
            BodyLength::Exact(1),
            false,
        ),
    ] {
        let bytes = crlf(&format!("GET / HTTP/{version}\nHost: h\n{fields}\n"));
        let (head, ..) = request(&bytes, &Limits::default()).unwrap();
        assert_eq!(
            (head.body, head.expect_continue),
            (body, expects),
            "{version} {fields}"
        );
        assert!(head.fields.is_empty());
    }
}

#[test]
fn heads_follow_each_other_and_stray_empty_lines_leave_the_reader_idle() {
    let (mut reader, mut head) = (HeadReader::new(), RequestHead::new());
    let stream = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n\r\n";
    let mut at = 0;
    for target in [b"/a", b"/b"] {
        match reader.request(&stream[at..], &SMALL, &mut head).unwrap() {
            Progress::Complete { used, .. } => at += used,
            Progress::Partial => panic!(),
        }
        assert_eq!(head.target(), target);
    }
    let progress = reader.request(&stream[at..], &SMALL, &mut head).unwrap();
    assert!(progress == Progress::Partial && reader.is_idle());
    assert_eq!(
        reader.request(b"GET", &SMALL, &mut head).unwrap(),
        Progress::Partial
    );
    assert!(!reader.is_idle());
    reader.reset();
    assert!(reader.is_idle() && head.target().is_empty());
}

#[test]
fn steady_state_keeps_its_memory() {
    let (mut reader, mut head) = (HeadReader::new(), RequestHead::new());
    let bytes = with("A: 1\nB: 2\nContent-Length: 3");
    reader.request(&bytes, &SMALL, &mut head).unwrap();
    let held = head.fields.capacity_bytes();
    for _ in 0..100 {
        reader.request(&bytes, &SMALL, &mut head).unwrap();
    }
    assert_eq!(head.fields.capacity_bytes(), held);
}
