use super::*;
use crate::http::{BodyLength, Version};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    text(&out).replace("\r\n", "\n")
}

#[test]
fn requests() {
    let bytes = b"POST http://b/c?d HTTP/1.0\r\nHost: a\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n";
    let (head, ..) = request(bytes, &Limits::default()).unwrap();
    let start = "POST /c?d HTTP/1.1\nhost: b\nX-A: 1\n";
    for (body, framing) in [
        (BodyLength::Exact(3), "content-length: 3\n"),
        (BodyLength::Empty, "content-length: 0\n"),
        (BodyLength::Streamed, "transfer-encoding: chunked\n"),
        (BodyLength::UntilClose, "transfer-encoding: chunked\n"),
    ] {
        let out = written(|out| write_request(out, &head, body));
        assert_eq!(out, format!("{start}{framing}\n"));
    }
    let options = RequestOptions {
        expect_continue: true,
        te_trailers: true,
        lines: &[],
    };
    let out = written(|out| write_request_with(out, &head, BodyLength::Exact(3), options));
    let end = "content-length: 3\nexpect: 100-continue\nte: trailers\nconnection: te\n\n";
    assert_eq!(out, format!("{start}{end}"));

    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let (head, ..) = request(bytes, &Limits::default()).unwrap();
    let out = written(|out| write_request(out, &head, head.body));
    assert_eq!(
        out,
        "GET / HTTP/1.1\nhost: a\nupgrade: websocket\nconnection: upgrade\n\n"
    );
}

#[test]
fn fields_that_frame_are_not_written_whoever_added_them() {
    let (mut head, ..) = request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &SMALL).unwrap();
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Upgrade",
    ] {
        assert!(head.fields.push(name.as_bytes(), b"1"));
    }
    let out = written(|out| write_request(out, &head, BodyLength::Empty));
    assert_eq!(out, "GET / HTTP/1.1\nhost: a\n\n");
}

#[test]
fn responses() {
    use BodyLength::{Empty, Exact, Streamed, UntilClose};
    use Version::{Http10, Http11};
    for (line, version, body, keep_alive, expected) in [
        ("200 OK", Http11, Exact(5), true, "content-length: 5\n"),
        (
            "200 OK",
            Http11,
            Exact(5),
            false,
            "content-length: 5\nconnection: close\n",
        ),
        (
            "200 OK",
            Http11,
            Streamed,
            true,
            "transfer-encoding: chunked\n",
        ),
        ("200 OK", Http11, UntilClose, true, "connection: close\n"),
        (
            "200 OK",
            Http10,
            Exact(0),
            true,
            "content-length: 0\nconnection: keep-alive\n",
        ),
        ("200 OK", Http10, Exact(0), false, "content-length: 0\n"),
        ("200 OK", Http10, Streamed, true, ""),
        ("200 OK", Http10, UntilClose, true, ""),
        ("200 OK", Http11, Empty, true, ""),
        ("204 No Content", Http11, Exact(0), true, ""),
        (
            "204 No Content",
            Http11,
            Empty,
            false,
            "connection: close\n",
        ),
    ] {
        let source = format!("HTTP/1.1 {line}\r\nA: b\r\nContent-Length: 0\r\n\r\n");
        let (head, ..) = response(source.as_bytes(), Method::Get).unwrap();
        let framing = ResponseFraming {
            version,
            body,
            keep_alive,
        };
        let out = written(|out| write_response(out, &head, &framing));
        assert_eq!(
            out,
            format!("HTTP/1.1 {line}\nA: b\n{expected}\n"),
            "{framing:?}"
        );
    }
}

#[test]
fn lengths_without_bodies_and_switched_protocols_are_passed_on() {
    let keep = |body| ResponseFraming {
        version: Version::Http11,
        body,
        keep_alive: true,
    };
    let (head, ..) = response(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", Method::Head).unwrap();
    let out = written(|out| write_response(out, &head, &keep(head.body)));
    assert_eq!(out, "HTTP/1.1 200 OK\ncontent-length: 5\n\n");

    let bytes = b"HTTP/1.1 101 SP\r\nConnection: upgrade\r\nUpgrade: websocket\r\nA: b\r\n\r\n";
    let (head, _, connection) = response(bytes, Method::Get).unwrap();
    let framing = ResponseFraming {
        keep_alive: connection.keep_alive,
        ..keep(head.body)
    };
    let out = written(|out| write_response(out, &head, &framing));
    assert_eq!(
        out,
        "HTTP/1.1 101 SP\nA: b\nupgrade: websocket\nconnection: upgrade\n\n"
    );

    let (head, ..) = response(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", Method::Get).unwrap();
    assert_eq!(
        written(|out| write_interim(out, &head)),
        "HTTP/1.1 103 Early\nLink: x\n\n"
    );
}

#[test]
fn choosing_what_a_client_understands() {
    use BodyLength::{Exact, Streamed, UntilClose};
    for (version, body, chosen, keep_alive) in [
        (Version::Http11, UntilClose, Streamed, true),
        (Version::Http11, Streamed, Streamed, true),
        (Version::Http10, Streamed, UntilClose, false),
        (Version::Http10, UntilClose, UntilClose, false),
        (Version::Http10, Exact(1), Exact(1), true),
    ] {
        let framing = ResponseFraming::choose(version, body, true);
        assert_eq!(
            (framing.body, framing.keep_alive),
            (chosen, keep_alive),
            "{version:?} {body:?}"
        );
    }
}

#[test]
fn errors_of_the_proxy() {
    let write = |version, keep_alive, is_head| {
        written(|out| {
            write_error(
                out,
                503,
                "no-endpoints",
                "l5d-retryable: true\r\n",
                "none\n",
                version,
                keep_alive,
                is_head,
            )
        })
    };
    let start = "HTTP/1.1 503 Service Unavailable\nl5d-err: no-endpoints\nl5d-retryable: true\n\
                 content-type: text/plain; charset=utf-8\ncontent-length: 5\n";
    assert_eq!(
        write(Version::Http11, true, false),
        format!("{start}\nnone\n")
    );
    assert_eq!(
        write(Version::Http11, false, true),
        format!("{start}connection: close\n\n")
    );
    assert_eq!(
        write(Version::Http10, true, true),
        format!("{start}connection: keep-alive\n\n")
    );
    let split =
        written(|out| write_error(out, 500, "a\r\nb: c", "", "", Version::Http11, true, false));
    assert!(!split.contains("l5d-err"));
}
