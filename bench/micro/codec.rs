//! The HTTP/1.1 codec: reading and writing the heads that small requests have.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlink::http::h1::{self, BodyDecoder, HeadReader, Limits, ResponseFraming};
use ringlink::http::{BodyLength, Method, RequestHead, ResponseHead, Version};

const REQUEST: &[u8] = b"GET /users/7?full=1 HTTP/1.1\r\nHost: web.example\r\nUser-Agent: \
    bench/1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nX-Request-Id: 0123456789\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 20:00:00 \
    GMT\r\nContent-Type: text/plain\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n";

fn heads(c: &mut Criterion) {
    let limits = Limits::default();
    let mut request = RequestHead::new();
    let mut reader = HeadReader::new();
    c.bench_function("read a request's head", |b| {
        b.iter(|| {
            reader
                .request(black_box(REQUEST), &limits, &mut request)
                .is_ok()
        });
    });
    let mut response = ResponseHead::new();
    c.bench_function("read a response's head", |b| {
        b.iter(|| {
            let read = reader.response(black_box(RESPONSE), &limits, Method::Get, &mut response);
            read.is_ok()
        });
    });
    let mut out = Vec::with_capacity(1024);
    c.bench_function("write a request's head", |b| {
        b.iter(|| {
            out.clear();
            h1::write_request(&mut out, black_box(&request), BodyLength::Empty);
        });
    });
    let framing = ResponseFraming {
        version: Version::Http11,
        body: BodyLength::Exact(100),
        keep_alive: true,
    };
    c.bench_function("write a response's head", |b| {
        b.iter(|| {
            out.clear();
            h1::write_response(&mut out, black_box(&response), &framing);
        });
    });
}

fn chunks(c: &mut Criterion) {
    let mut body = Vec::new();
    for _ in 0..16 {
        body.extend_from_slice(b"400\r\n");
        body.extend_from_slice(&[b'x'; 1024]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let limits = Limits::default();
    c.bench_function("decode 16 chunks of 1 KiB", |b| {
        b.iter(|| {
            let mut decoder = BodyDecoder::new(BodyLength::Streamed, &limits);
            let mut rest = black_box(&body[..]);
            while !decoder.is_done() {
                match decoder.decode(rest) {
                    Ok(h1::Step::Data { end, .. }) => rest = &rest[end..],
                    Ok(h1::Step::More { used } | h1::Step::Done { used }) => rest = &rest[used..],
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
}

criterion_group!(benches, heads, chunks);
criterion_main!(benches);
