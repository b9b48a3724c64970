//! The contexts of traces, over the wire.

use std::collections::BTreeSet;

use super::{ask, seen};
use crate::both_drivers;
use crate::support::{Backend, Driver, Request, Setup};

both_drivers!(
    a_trace_begins,
    a_trace_goes_on,
    every_attempt_is_a_span,
    zipkins_traces,
);

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert_eq!(text.len() % 4, 0);
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().collect();
    let value = |b: &u8| DIGITS.iter().position(|digit| digit == b).expect("base64");
    let chunks = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().fold(0, |bits, b| bits << 6 | value(b)) << (6 * (4 - chunk.len()));
        (0..chunk.len() - 1)
            .map(move |at| u8::try_from(bits >> (16 - 8 * at) & 0xFF).expect("a byte"))
    });
    chunks.collect()
}

/// Span, parent, trace and flags.
fn context(request: &Request) -> [u64; 4] {
    let bytes = from_base64(request.field("l5d-ctx-trace").expect("a context"));
    assert_eq!(bytes.len(), 32);
    let word = |at: usize| u64::from_be_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("8"));
    [word(0), word(1), word(2), word(3)]
}

fn a_trace_begins(driver: Driver) {
    let backend = Backend::named("a");
    let proxy = Setup::to(driver, backend.addr).start();
    let mut ids = BTreeSet::new();
    for (fields, flags) in [
        ("", 0),
        ("l5d-ctx-trace: nonsense\r\nl5d-reqid: 1\r\n", 0),
        ("l5d-sample: 1\r\n", 6),
        ("l5d-sample: 0.0\r\n", 2),
    ] {
        ask(&proxy, fields);
        let request = seen(&backend);
        let [span, parent, id, found] = context(&request);
        assert!(
            span != parent && parent == id,
            "the root is the proxy's own call"
        );
        assert_eq!(found, flags);
        assert_eq!(
            request.field("l5d-reqid"),
            Some(format!("{id:016x}").as_str())
        );
        assert_eq!(request.field("l5d-sample"), None);
        ids.insert(id);
    }
    assert_eq!(ids.len(), 4);
    // Strangers have no trace to go on with.
    let proxy = Setup::to(driver, backend.addr)
        .server("clearContext: true")
        .start();
    ask(
        &proxy,
        "l5d-ctx-trace: AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAY=\r\nl5d-sample: 1\r\n",
    );
    let [_, _, id, flags] = context(&seen(&backend));
    assert!(id != 0x2122_2324_2526_2728 && flags == 0);
}

fn a_trace_goes_on(driver: Driver) {
    let backend = Backend::named("a");
    let second = Setup::to(driver, backend.addr).start();
    let first = Setup::to(driver, second.addr).start();
    let given = "AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAY=";
    ask(
        &second,
        &format!("L5d-Ctx-Trace: {given}\r\nl5d-sample: 0\r\n"),
    );
    let [span, parent, id, flags] = context(&seen(&backend));
    assert_eq!(
        (parent, id, flags),
        (0x0102_0304_0506_0708, 0x2122_2324_2526_2728, 6)
    );
    assert!(span != parent);
    ask(&first, &format!("L5d-Ctx-Trace: {given}\r\n"));
    let [_, between, id, _] = context(&seen(&backend));
    assert!(between != 0x0102_0304_0506_0708 && id == 0x2122_2324_2526_2728);
    // 128 bits.
    let wide = "AQIDBAUGBwgREhMUFRYXGCEiIyQlJicoAAAAAAAAAAbx8vP09fb3+A==";
    ask(&second, &format!("l5d-ctx-trace: {wide}\r\n"));
    let bytes = from_base64(seen(&backend).field("l5d-ctx-trace").expect("one"));
    assert_eq!(bytes.len(), 40);
    assert_eq!(bytes[8..16], from_base64(wide)[..8]);
    assert_eq!(bytes[16..], from_base64(wide)[16..]);
}

/// The first connection is closed under the request, which is repeated on another.
fn every_attempt_is_a_span(driver: Driver) {
    let backend = Backend::start(|conn| {
        let most = if conn.number == 0 { 1 } else { 9 };
        for _ in 0..most {
            if conn.next().is_some() {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
        conn.next();
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let mut client = proxy.client();
    assert_eq!((client.get("/").status, client.get("/").status), (200, 200));
    let requests = backend.requests();
    let [_, first, second] = &requests[..] else {
        panic!("{requests:?}");
    };
    let ([span, parent, id, _], [other, same_parent, same_id, _]) =
        (context(first), context(second));
    assert!(span != other && parent == same_parent && id == same_id);
    // The mark of this proxy stands there once all the same.
    assert_eq!(second.field("via"), Some("1.1 ringlink"));
}

fn zipkins_traces(driver: Driver) {
    let backend = Backend::named("a");
    let setup = Setup::to(driver, backend.addr);
    let proxy = setup
        .router("tracePropagator: {kind: io.l5d.zipkin}")
        .start();
    let given = "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n\
                 X-B3-ParentSpanId: 0020000000000001\r\nX-B3-Sampled: 1\r\n";
    ask(&proxy, given);
    let request = seen(&backend);
    assert_eq!(
        request.field("x-b3-traceid"),
        Some("463ac35c9f6413ad48485a3953bb6124")
    );
    assert_eq!(request.field("x-b3-parentspanid"), Some("a2fb4a1d1a96d312"));
    assert_eq!(request.field("x-b3-sampled"), Some("1"));
    assert_eq!(request.field("l5d-reqid"), Some("48485a3953bb6124"));
    assert_eq!(request.field("l5d-ctx-trace"), None);
    let span = request.field("x-b3-spanid").expect("one");
    assert!(span.len() == 16 && span != "a2fb4a1d1a96d312");
    ask(&proxy, "b3: 1-2-d\r\n");
    let request = seen(&backend);
    assert_eq!(request.field("x-b3-traceid"), Some("0000000000000001"));
    assert_eq!(request.field("x-b3-parentspanid"), Some("0000000000000002"));
    assert_eq!(
        (request.field("x-b3-flags"), request.field("x-b3-sampled")),
        (Some("1"), None)
    );
    assert_eq!(request.field("b3"), None);
    ask(&proxy, "l5d-sample: 1\r\n");
    let request = seen(&backend);
    assert_eq!(request.field("x-b3-sampled"), Some("1"));
    assert_eq!(
        request.field("x-b3-traceid"),
        request.field("x-b3-parentspanid")
    );
    // To linkerd's propagator, Zipkin's headers are like any other.
    let plain = Setup::to(driver, backend.addr).start();
    ask(&plain, given);
    assert_eq!(
        seen(&backend).field("x-b3-spanid"),
        Some("a2fb4a1d1a96d312")
    );
}
