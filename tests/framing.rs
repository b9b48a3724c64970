//! Requests that two parsers could read in two ways, and requests beyond the limits. Each is refused
//! with its own status and word, its connection is closed, and no backend hears of it.

mod support;

use support::{Backend, Driver, Proxy, Setup};

both_drivers!(
    heads_are_refused,
    bodies_are_refused,
    cuts_do_not_matter,
    limits_are_exact,
    blank_lines_before_a_request,
    nothing_after_a_refusal_is_read,
);

/// What follows every vector: if it is ever served, the vector was a smuggler.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n";

struct Vector {
    raw: Vec<u8>,
    status: u16,
    word: &'static str,
}

fn vector(raw: impl AsRef<[u8]>, status: u16, word: &'static str) -> Vector {
    Vector {
        raw: raw.as_ref().to_vec(),
        status,
        word,
    }
}

/// A request whose head has these lines after Host.
fn with(lines: &str, status: u16, word: &'static str) -> Vector {
    let raw = format!("POST / HTTP/1.1\r\nHost: web\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    vector(raw, status, word)
}

/// A GET with this request line.
fn line(line: &str, status: u16, word: &'static str) -> Vector {
    vector(format!("{line}\r\nHost: web\r\n\r\n"), status, word)
}

fn framing_of_heads() -> Vec<Vector> {
    vec![
        // Two framings at once.
        with(
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            400,
            "te-and-cl",
        ),
        with(
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            400,
            "te-and-cl",
        ),
        with(
            "transfer-encoding: Chunked\r\ncontent-length: 0",
            400,
            "te-and-cl",
        ),
        // Content-Length that is not one number.
        with(
            "Content-Length: 5\r\nContent-Length: 5",
            400,
            "repeated-content-length",
        ),
        with(
            "Content-Length: 5\r\nContent-Length: 6",
            400,
            "repeated-content-length",
        ),
        with("Content-Length: 5, 5", 400, "bad-content-length"),
        with("Content-Length: 5,6", 400, "bad-content-length"),
        with("Content-Length: +5", 400, "bad-content-length"),
        with("Content-Length: -5", 400, "bad-content-length"),
        with("Content-Length: 0x5", 400, "bad-content-length"),
        with("Content-Length: 5 5", 400, "bad-content-length"),
        with("Content-Length: 5e0", 400, "bad-content-length"),
        with("Content-Length: \"5\"", 400, "bad-content-length"),
        with("Content-Length:", 400, "bad-content-length"),
        with(
            "Content-Length: 99999999999999999999",
            400,
            "bad-content-length",
        ),
        with(
            "Content-Length: 18446744073709551616",
            400,
            "bad-content-length",
        ),
        // Transfer-Encoding that is not exactly chunked.
        with("Transfer-Encoding: xchunked", 400, "bad-transfer-encoding"),
        with("Transfer-Encoding: chunkedx", 400, "bad-transfer-encoding"),
        with(
            "Transfer-Encoding: chunked, chunked",
            400,
            "bad-transfer-encoding",
        ),
        with(
            "Transfer-Encoding: chunked, identity",
            400,
            "bad-transfer-encoding",
        ),
        with(
            "Transfer-Encoding: gzip, chunked",
            400,
            "bad-transfer-encoding",
        ),
        with("Transfer-Encoding: identity", 400, "bad-transfer-encoding"),
        with(
            "Transfer-Encoding: \"chunked\"",
            400,
            "bad-transfer-encoding",
        ),
        with(
            "Transfer-Encoding: chunked;q=1",
            400,
            "bad-transfer-encoding",
        ),
        with("Transfer-Encoding: ,chunked", 400, "bad-transfer-encoding"),
        with("Transfer-Encoding:", 400, "bad-transfer-encoding"),
        with(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            400,
            "bad-transfer-encoding",
        ),
        with(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            400,
            "bad-transfer-encoding",
        ),
        with("Transfer-Encoding: \u{b}chunked", 400, "bad-field-value"),
        with("Transfer-Encoding : chunked", 400, "space-before-colon"),
        with("Transfer-Encoding\t: chunked", 400, "space-before-colon"),
        with("Content-Length : 5", 400, "space-before-colon"),
        with("Transfer-Encoding:\r\n chunked", 400, "obs-fold"),
        with("X: y\r\n\tTransfer-Encoding: chunked", 400, "obs-fold"),
        with(" Transfer-Encoding: chunked", 400, "obs-fold"),
        with("X: y\nTransfer-Encoding: chunked", 400, "bare-lf"),
        with("X: y\rTransfer-Encoding: chunked", 400, "bare-cr"),
        with("X: y\r\r\nContent-Length: 5", 400, "bare-cr"),
        with("X: a\0b", 400, "nul"),
        with("X\0Y: a", 400, "nul"),
        with("X: a\u{1}b", 400, "bad-field-value"),
        with("X: a\u{7f}b", 400, "bad-field-value"),
        with(": empty", 400, "empty-field-name"),
        with("NoColonHere", 400, "missing-colon"),
        with("X(Y): a", 400, "bad-field-name"),
        with("X\u{b}Y: a", 400, "bad-field-name"),
        with("X\"Y: a", 400, "bad-field-name"),
        with("Expect: 200-maybe", 417, "unknown-expectation"),
        vector(
            "POST / HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "te-on-http10",
        ),
        vector(
            "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 5\r\n\r\nhello",
            400,
            "connect-with-body",
        ),
    ]
}

fn lines_and_hosts() -> Vec<Vector> {
    vec![
        line("GET  / HTTP/1.1", 400, "extra-space"),
        line("GET /  HTTP/1.1", 400, "extra-space"),
        line(" GET / HTTP/1.1", 400, "bad-method"),
        line("GET / HTTP/1.1 ", 400, "bad-request-line"),
        line("GET\t/ HTTP/1.1", 400, "control-in-request-line"),
        line("GET /\0 HTTP/1.1", 400, "nul"),
        line("GET /a b HTTP/1.1", 400, "bad-request-line"),
        line("GET /", 400, "bad-request-line"),
        line("GET", 400, "bad-request-line"),
        line("G(T / HTTP/1.1", 400, "bad-method"),
        line("GET a HTTP/1.1", 400, "bad-target"),
        line("GET * HTTP/1.1", 400, "bad-target"),
        line("GET /a#b HTTP/1.1", 400, "bad-target"),
        line("GET /\u{e9} HTTP/1.1", 400, "bad-target"),
        line("GET http:// HTTP/1.1", 400, "bad-target"),
        line("CONNECT / HTTP/1.1", 400, "bad-target"),
        line("GET / HTTP/2.0", 505, "http-version"),
        line("GET / HTTP/1.2", 505, "http-version"),
        line("GET / HTTP/0.9", 505, "http-version"),
        line("GET / HTTP/11", 400, "bad-request-line"),
        line("GET / http/1.1", 400, "bad-request-line"),
        line("GET / HTTP/1.1\nX: y", 400, "bare-lf"),
        line("GET / HTTP/1.1\rX: y", 400, "bare-cr"),
        vector("GET / HTTP/1.1\r\n\r\n", 400, "missing-host"),
        vector(
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "repeated-host",
        ),
        vector(
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            400,
            "repeated-host",
        ),
        vector("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad-host"),
        vector("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad-host"),
        vector("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad-host"),
        vector("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "bad-host"),
        vector("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "bad-host"),
        vector(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            400,
            "tls-on-plain-port",
        ),
        vector("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http-version"),
    ]
}

fn too_much() -> Vec<Vector> {
    let fields = |n: usize, len: usize| -> String {
        let value = "v".repeat(len);
        (0..n).map(|n| format!("X-{n}: {value}\r\n")).collect()
    };
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n");
    vec![
        vector(get(&fields(65, 1000)), 431, "head-too-large"),
        vector(get(&fields(1, 66_000)), 431, "head-too-large"),
        vector(get(&fields(200, 1)), 431, "too-many-fields"),
        line(
            &format!("GET /{} HTTP/1.1", "a".repeat(9000)),
            414,
            "request-line-too-long",
        ),
        line(&"A".repeat(9000), 414, "request-line-too-long"),
        vector("\r\n".repeat(100), 400, "blank-lines"),
    ]
}

/// The chunked body after a sound head.
fn chunked(body: &str, status: u16, word: &'static str) -> Vector {
    let raw = format!("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    vector(raw, status, word)
}

fn bodies() -> Vec<Vector> {
    vec![
        chunked("xyz\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("-5\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("+5\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("0x5\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked(" 5\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("5 \r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("5 ;a\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked("5_0\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-size"),
        chunked(
            "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
            400,
            "chunk-too-large",
        ),
        chunked(
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            400,
            "chunk-too-large",
        ),
        chunked(
            "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
            400,
            "chunk-too-large",
        ),
        chunked("5\nhello\r\n0\r\n\r\n", 400, "chunk-bare-lf"),
        chunked("5;a\nhello\r\n0\r\n\r\n", 400, "chunk-bare-lf"),
        chunked("5\r\nhello\n0\r\n\r\n", 400, "chunk-bare-lf"),
        chunked("5\r\nhello\r\n0\r\n\n", 400, "chunk-bare-lf"),
        chunked("5\rhello\r\n0\r\n\r\n", 400, "chunk-bare-cr"),
        chunked("5\r\nhello\r0\r\n\r\n", 400, "chunk-bare-cr"),
        chunked("5\r\nhelloworld\r\n0\r\n\r\n", 400, "junk-after-chunk"),
        chunked("5;\u{1}\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-extension"),
        chunked("5;\0\r\nhello\r\n0\r\n\r\n", 400, "bad-chunk-extension"),
        chunked(
            &format!("5;{}\r\nhello\r\n", "x".repeat(70_000)),
            400,
            "chunk-extension-too-long",
        ),
        chunked("0\r\nbad trailer\r\n\r\n", 400, "bad-trailer"),
        chunked("0\r\n X: folded\r\n\r\n", 400, "bad-trailer"),
        chunked(
            &format!("0\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            400,
            "trailers-too-large",
        ),
    ]
}

/// Sends bytes; tells what came back that should not have.
fn refused(proxy: &Proxy, vector: &Vector, pieces: usize) -> Result<(), String> {
    let mut client = proxy.client();
    let mut raw = vector.raw.clone();
    raw.extend_from_slice(SMUGGLED);
    for piece in raw.chunks(pieces) {
        // The proxy may have had enough before the end.
        if client.try_send(piece).is_err() {
            break;
        }
    }
    let show: String = String::from_utf8_lossy(&vector.raw)
        .chars()
        .take(120)
        .collect();
    let response = client
        .response_to("POST")
        .map_err(|e| format!("{show:?}: {e}, not {}", vector.word))?;
    let (status, word) = (response.status, response.why());
    if (status, word) != (vector.status, vector.word) {
        let Vector {
            status: wanted,
            word: right,
            ..
        } = vector;
        return Err(format!("{show:?}: {status} {word}, not {wanted} {right}"));
    }
    if !response.closes() || !client.is_closed() {
        return Err(format!("{show:?}: the connection is left open"));
    }
    Ok(())
}

fn check(driver: Driver, vectors: &[Vector], pieces: usize, heads: bool) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).start();
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|vector| refused(&proxy, vector, pieces).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if heads {
        assert_eq!(backend.accepts(), 0);
    }
    // The backends' side is read by a parser that keeps whole requests only.
    assert_eq!(backend.requests().len(), 0);
    assert_eq!(proxy.client().get("/").status, 200);
}

fn heads_are_refused(driver: Driver) {
    let mut all = framing_of_heads();
    all.extend(lines_and_hosts());
    all.extend(too_much());
    assert!(all.len() >= 40);
    check(driver, &all, usize::MAX, true);
}

fn bodies_are_refused(driver: Driver) {
    check(driver, &bodies(), usize::MAX, false);
}

fn cuts_do_not_matter(driver: Driver) {
    let mut all = framing_of_heads();
    all.extend(lines_and_hosts());
    all.extend(bodies());
    all.retain(|vector| vector.raw.len() < 300);
    for pieces in [1, 7] {
        check(driver, &all, pieces, false);
    }
}

/// At the limit all is well, one beyond it is not.
fn limits_are_exact(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr)
        .router("maxHeadersKB: 4")
        .router("maxInitialLineKB: 2")
        .router("maxHeaderFields: 10")
        .start();
    let status = |raw: String| {
        let response = proxy.client().ask(raw);
        (response.status, response.why().to_owned())
    };
    let fine = (200, String::new());
    let of_line = |len: usize| {
        let target = "a".repeat(len - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: web\r\n\r\n")
    };
    assert_eq!(status(of_line(2048)), fine);
    assert_eq!(status(of_line(2049)), (414, "request-line-too-long".into()));
    let of_head = |len: usize| {
        let start = "GET / HTTP/1.1\r\nHost: web\r\nX: ";
        let value = "v".repeat(len - start.len() - 4);
        format!("{start}{value}\r\n\r\n")
    };
    assert_eq!(of_head(4096).len(), 4096);
    assert_eq!(status(of_head(4096)), fine);
    assert_eq!(status(of_head(4097)), (431, "head-too-large".into()));
    let of_fields = |n: usize| {
        let fields: String = (1..n).map(|n| format!("X-{n}: v\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n")
    };
    assert_eq!(status(of_fields(10)), fine);
    assert_eq!(status(of_fields(11)), (431, "too-many-fields".into()));
}

/// RFC 9112 §2.2: a server should ignore at least one empty line before a request.
fn blank_lines_before_a_request(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.ask("\r\nGET / HTTP/1.1\r\nHost: web\r\n\r\n");
        assert_eq!(response.status, 200);
    }
}

/// The good request before it is answered, the one after it is not.
fn nothing_after_a_refusal_is_read(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    let good = "GET /good HTTP/1.1\r\nHost: web\r\n\r\n";
    client.send(format!(
        "{good}GET / HTTP/1.1\r\nHost : web\r\n\r\n{good}{good}"
    ));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().why(), "space-before-colon");
    assert!(client.is_closed());
    assert_eq!(backend.requests().len(), 1);
    // Its connection to the backend is in order.
    assert_eq!(proxy.client().get("/").status, 200);
    assert_eq!(backend.accepts(), 1);
}
