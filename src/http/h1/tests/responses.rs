use super::*;
use crate::http::{BodyLength, Version};

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

#[test]
fn every_broken_rule_is_refused_with_its_word() {
    let line = |line: &str| crlf(&format!("{line}\n\n"));
    let with = |fields: &str| crlf(&format!("HTTP/1.1 200 OK\n{fields}\n\n"));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (line(""), "bad-status-line"),
        (line("\nHTTP/1.1 200 OK"), "bad-status-line"),
        (line("ICY 200 OK"), "bad-status-line"),
        (line("HTTP/1.1"), "bad-status-line"),
        (line("HTTP/1.1 "), "bad-status-line"),
        (line("HTTP/1.1 20"), "bad-status-line"),
        (line("HTTP/1.1 2x0 OK"), "bad-status-line"),
        (line("HTTP/1.1 2000 OK"), "bad-status-line"),
        (line("HTTP/1.1 200OK"), "bad-status-line"),
        (line("HTTP/1.1 200\tOK"), "bad-status-line"),
        (line("HTTP/1.1  200 OK"), "bad-status-line"),
        (line("HTTP/1.1\t200 OK"), "bad-status-line"),
        (line("http/1.1 200 OK"), "bad-status-line"),
        (line("HTTP/1.1 -20 OK"), "bad-status-line"),
        (line("HTTP/1.1 200 O\u{1}K"), "bad-status-line"),
        (line("HTTP/1.1 200 O\0K"), "nul"),
        (line("HTTP/1.1 200 O\u{7f}K"), "bad-status-line"),
        (line("HTTP/1.1 099 OK"), "bad-status"),
        (line("HTTP/1.1 000 OK"), "bad-status"),
        (line("HTTP/2.0 200 OK"), "http-version"),
        (line("HTTP/1.2 200 OK"), "http-version"),
        (
            line(&format!("HTTP/1.1 200 {}", "a".repeat(8192))),
            "status-line-too-long",
        ),
        (b"HTTP/1.1 200 OK\n\r\n".to_vec(), "bare-lf"),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n".to_vec(), "bare-lf"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\n".to_vec(), "bare-lf"),
        (b"HTTP/1.1 200 O\rK\r\n\r\n".to_vec(), "bare-cr"),
        (b"HTTP/1.1 200\r OK\r\n\r\n".to_vec(), "bare-cr"),
        (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n".to_vec(), "bare-cr"),
        (with("A: b\n c"), "obs-fold"),
        (with(" A: b"), "obs-fold"),
        (with("A : b"), "space-before-colon"),
        (with(": b"), "empty-field-name"),
        (with("A"), "missing-colon"),
        (with("A b: c"), "bad-field-name"),
        (with("A: \u{1}"), "bad-field-value"),
        (with("A: \0"), "nul"),
        (
            with("Content-Length: 1\nTransfer-Encoding: chunked"),
            "te-and-cl",
        ),
        (
            with("Transfer-Encoding: gzip, chunked"),
            "bad-transfer-encoding",
        ),
        (
            with("Transfer-Encoding: chunked\nTransfer-Encoding: chunked"),
            "bad-transfer-encoding",
        ),
        (with("Transfer-Encoding: identity"), "bad-transfer-encoding"),
        (
            crlf("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n"),
            "te-on-http10",
        ),
        (
            with("Content-Length: 1\nContent-Length: 1"),
            "repeated-content-length",
        ),
        (with("Content-Length: 1, 1"), "bad-content-length"),
        (with("Content-Length: -1"), "bad-content-length"),
        (
            with("Content-Length: 18446744073709551616"),
            "bad-content-length",
        ),
        (with("Connection: a b"), "bad-connection"),
        (with(&"A: b\n".repeat(129)), "too-many-fields"),
        (with(&format!("A: {}", "b".repeat(65536))), "head-too-large"),
        (
            crlf("HTTP/1.1 100 C\nContent-Length: 1\n\n"),
            "interim-with-body",
        ),
        (
            crlf("HTTP/1.1 101 S\nTransfer-Encoding: chunked\n\n"),
            "interim-with-body",
        ),
    ];
    for (bytes, reason) in cases {
        match response(&bytes, Method::Get) {
            Ok(_) => panic!("accepted: {:?}", text(&bytes)),
            Err(error) => {
                assert_eq!(
                    (error.status(), error.reason()),
                    (502, reason),
                    "{:?}",
                    text(&bytes)
                );
            }
        }
    }
}

/// RFC 9112 §6.3, rule by rule.
#[test]
fn body_lengths() {
    use BodyLength::{Empty, Exact, Streamed, UntilClose};
    let te = "Transfer-Encoding: chunked\n";
    for (method, start, fields, body, declared, keep) in [
        (
            "GET",
            "1.1 200 OK",
            "Content-Length: 5\n",
            Exact(5),
            None,
            true,
        ),
        (
            "GET",
            "1.1 200 OK",
            "Content-Length: 0\n",
            Exact(0),
            None,
            true,
        ),
        ("GET", "1.1 200 OK", te, Streamed, None, true),
        ("GET", "1.1 200 OK", "", UntilClose, None, false),
        (
            "GET",
            "1.0 200 OK",
            "Content-Length: 5\n",
            Exact(5),
            None,
            false,
        ),
        (
            "GET",
            "1.0 200 OK",
            "Connection: keep-alive\nContent-Length: 5\n",
            Exact(5),
            None,
            true,
        ),
        (
            "GET",
            "1.0 200 OK",
            "Connection: keep-alive\n",
            UntilClose,
            None,
            false,
        ),
        (
            "GET",
            "1.1 200 OK",
            "Connection: close\nContent-Length: 5\n",
            Exact(5),
            None,
            false,
        ),
        (
            "HEAD",
            "1.1 200 OK",
            "Content-Length: 5\n",
            Empty,
            Some(5),
            true,
        ),
        ("HEAD", "1.1 200 OK", te, Empty, None, true),
        ("HEAD", "1.1 200 OK", "", Empty, None, true),
        (
            "GET",
            "1.1 304 NM",
            "Content-Length: 5\n",
            Empty,
            Some(5),
            true,
        ),
        ("GET", "1.1 304 NM", te, Empty, None, true),
        ("GET", "1.1 204 NC", "", Empty, None, true),
        (
            "GET",
            "1.1 204 NC",
            "Content-Length: 0\n",
            Empty,
            None,
            true,
        ),
        ("GET", "1.1 204 NC", te, Empty, None, false),
        (
            "HEAD",
            "1.1 204 NC",
            "Content-Length: 5\n",
            Empty,
            None,
            false,
        ),
        ("GET", "1.1 100 C", "", Empty, None, true),
        ("GET", "1.1 103 EH", "Link: x\n", Empty, None, true),
        (
            "GET",
            "1.1 101 SP",
            "Connection: upgrade\nUpgrade: x\n",
            Empty,
            None,
            false,
        ),
        ("CONNECT", "1.1 200 OK", te, Empty, None, false),
        (
            "CONNECT",
            "1.1 200 OK",
            "Content-Length: 5\n",
            Empty,
            None,
            false,
        ),
        (
            "CONNECT",
            "1.1 403 No",
            "Content-Length: 5\n",
            Exact(5),
            None,
            true,
        ),
        (
            "GET",
            "1.1 205 RC",
            "Content-Length: 5\n",
            Exact(5),
            None,
            true,
        ),
        (
            "GET",
            "1.1 999 ?",
            "Content-Length: 5\n",
            Exact(5),
            None,
            true,
        ),
    ] {
        let bytes = crlf(&format!("HTTP/{start}\n{fields}\n"));
        let (head, used, connection) = response(&bytes, Method::of(method.as_bytes())).unwrap();
        let got = (head.body, head.declared_length, connection.keep_alive);
        assert_eq!(got, (body, declared, keep), "{method} {start} {fields}");
        assert_eq!(used, bytes.len());
    }
}

#[test]
fn a_response_is_read_into_its_meaning() {
    let bytes = crlf(
        "HTTP/1.1 404 Not \u{fc}ber Found \nServer: x\nSet-Cookie: a\nset-cookie: b\nUpgrade: h2\n\
         Keep-Alive: max=9, timeout=75\nConnection: x-a, keep-alive, upgrade\nX-A: 1\nDate: now\n\
         Content-Length: 3\nTrailer: x\nProxy-Authenticate: Basic\n\nabc",
    );
    let (head, used, connection) = response(&bytes, Method::Get).unwrap();
    assert_eq!(used, bytes.len() - 3);
    assert_eq!(
        (head.status, text(head.reason())),
        (404, "Not \u{fc}ber Found ".into())
    );
    assert_eq!(
        (connection.keep_alive, connection.idle_seconds),
        (true, Some(75))
    );
    assert_eq!((head.upgrade(), head.version), (None, Version::Http11));
    assert_eq!(
        lines(&head.fields),
        "Server: x\nSet-Cookie: a\nset-cookie: b\nDate: now\n"
    );
    assert!(!head.is_interim());
}

#[test]
fn reasons_may_be_missing_with_their_space() {
    for (line, reason) in [
        ("HTTP/1.1 200", ""),
        ("HTTP/1.1 200 ", ""),
        ("HTTP/1.1 200  a", " a"),
    ] {
        let (head, ..) = response(&crlf(&format!("{line}\n\n")), Method::Get).unwrap();
        assert_eq!(text(head.reason()), reason);
    }
}

#[test]
fn upgrades_are_told_for_101_and_426_only() {
    for (status, upgrade) in [(101, true), (426, true), (200, false)] {
        let bytes = format!("HTTP/1.1 {status} x\nConnection: Upgrade\nUpgrade: websocket\n\n");
        let (head, ..) = response(&crlf(&bytes), Method::Get).unwrap();
        assert_eq!(head.upgrade().is_some(), upgrade, "{status}");
    }
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let stream = crlf("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n");
    let (first, used, _) = response(&stream, Method::Post).unwrap();
    assert!(first.is_interim());
    let (second, ..) = response(&stream[used..], Method::Post).unwrap();
    assert_eq!((second.status, second.is_interim()), (200, false));
}
