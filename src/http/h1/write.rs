//! Writes heads (RFC 9112 §3, §4, §6).
//!
//! A head is written from its meaning: start line, who is asked, the fields, then how the body is
//! framed and what becomes of the connection, each exactly once and by this file alone. A field that
//! would say any of that again is left out even if someone put it among the fields, so that no code
//! above can make a message that two readers understand differently. No text can end a line early:
//! [`Fields::push`] and the heads' setters refuse such texts, and so does the reader.

use crate::http::fields::is_value;
use crate::http::name::is_token;
use crate::http::{BodyLength, Fields, Method, Name, RequestHead, ResponseHead, Version};

/// What a request says only if the proxy wants it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestOptions<'l> {
    /// `expect: 100-continue`: the body is held back until the backend asks for it.
    pub expect_continue: bool,
    /// `te: trailers`: trailers of the response will be passed on.
    pub te_trailers: bool,
    /// Whole field lines, each with its end: the caller answers for their form.
    pub lines: &'l [&'l [u8]],
}

/// How a response is framed for the client that gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFraming {
    /// The client's version.
    pub version: Version,
    pub body: BodyLength,
    pub keep_alive: bool,
}

impl ResponseFraming {
    /// The framing that this client understands for a body that came with `body`: one of unknown
    /// length is chunked, except for HTTP/1.0, where closing ends it (RFC 9112 §6.1, §9.3).
    pub fn choose(version: Version, body: BodyLength, keep_alive: bool) -> ResponseFraming {
        let body = match (version, body) {
            (Version::Http10, BodyLength::Streamed) => BodyLength::UntilClose,
            (Version::Http11 | Version::Http2, BodyLength::UntilClose) => BodyLength::Streamed,
            (_, body) => body,
        };
        let keep_alive = keep_alive && body != BodyLength::UntilClose;
        ResponseFraming {
            version,
            body,
            keep_alive,
        }
    }
}

/// Writes a request as HTTP/1.1 with this body, and no [`RequestOptions`].
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead, body: BodyLength) {
    write_request_with(out, head, body, RequestOptions::default());
}

/// Writes a request as HTTP/1.1. `body` may differ from what the head came with, as when a body was
/// read whole; of unknown length, it is to be sent chunked.
pub fn write_request_with(
    out: &mut Vec<u8>,
    head: &RequestHead,
    body: BodyLength,
    options: RequestOptions<'_>,
) {
    let target = match head.target() {
        b"" => b"/",
        target => target,
    };
    put(
        out,
        &[
            head.method_bytes(),
            b" ",
            target,
            b" HTTP/1.1\r\nhost: ",
            head.authority(),
        ],
    );
    out.extend_from_slice(b"\r\n");
    put_fields(out, &head.fields, is_end_to_end);
    put(out, options.lines);
    match body {
        BodyLength::Empty if head.method.expects_content() => put_length(out, 0),
        BodyLength::Empty => {}
        BodyLength::Exact(0) if head.method == Method::Connect => {}
        BodyLength::Exact(length) => put_length(out, length),
        BodyLength::Streamed | BodyLength::UntilClose => put_chunked(out),
    }
    if options.expect_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    if options.te_trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    if let Some(protocols) = head.upgrade() {
        put(out, &[b"upgrade: ", protocols, b"\r\n"]);
    }
    put_connection(
        out,
        &[
            (head.upgrade().is_some(), b"upgrade"),
            (options.te_trailers, b"te"),
        ],
    );
    out.extend_from_slice(b"\r\n");
}

/// Writes a final response, or a 101, as HTTP/1.1 to a client of `framing.version`, with the
/// `connection` that such a client needs to be told (RFC 9112 §9.3, RFC 9110 §7.8).
pub fn write_response(out: &mut Vec<u8>, head: &ResponseHead, framing: &ResponseFraming) {
    let framing = match framing.body {
        BodyLength::UntilClose => ResponseFraming {
            keep_alive: false,
            ..*framing
        },
        body => ResponseFraming::choose(framing.version, body, framing.keep_alive),
    };
    put_status_line(out, head.status, head.reason());
    put_fields(out, &head.fields, is_end_to_end);
    match (head.status, framing.body) {
        (100..=199 | 204, _) => {}
        (_, BodyLength::Exact(length)) => put_length(out, length),
        (_, BodyLength::Streamed) => put_chunked(out),
        (_, BodyLength::UntilClose) => {}
        (_, BodyLength::Empty) => {
            if let Some(length) = head.declared_length {
                put_length(out, length);
            }
        }
    }
    let upgrade = head.upgrade().filter(|_| matches!(head.status, 101 | 426));
    if let Some(protocols) = upgrade {
        put(out, &[b"upgrade: ", protocols, b"\r\n"]);
    }
    let persists = framing.keep_alive || head.status == 101;
    put_connection(
        out,
        &[
            (upgrade.is_some(), b"upgrade"),
            (!persists && framing.version != Version::Http10, b"close"),
            (
                framing.keep_alive && framing.version == Version::Http10,
                b"keep-alive",
            ),
        ],
    );
    out.extend_from_slice(b"\r\n");
}

/// Writes a 1xx response other than 101, which says nothing of body or connection (RFC 9110 §15.2).
/// Not for HTTP/1.0 clients, which know no 1xx.
pub fn write_interim(out: &mut Vec<u8>, head: &ResponseHead) {
    put_status_line(out, head.status, head.reason());
    put_fields(out, &head.fields, is_end_to_end);
    out.extend_from_slice(b"\r\n");
}

/// Writes a whole response that the proxy makes itself. `reason` is the word for `l5d-err`, which
/// is left out without one, `lines` whole field lines with their ends, `text` the body; to a HEAD it is declared and not sent.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one part of one response"
)]
pub fn write_error(
    out: &mut Vec<u8>,
    status: u16,
    reason: &str,
    lines: &str,
    text: &str,
    version: Version,
    keep_alive: bool,
    is_head: bool,
) {
    put_status_line(out, status, b"");
    if !reason.is_empty() && is_value(reason.as_bytes()) {
        put(out, &[b"l5d-err: ", reason.as_bytes(), b"\r\n"]);
    }
    out.extend_from_slice(lines.as_bytes());
    out.extend_from_slice(b"content-type: text/plain; charset=utf-8\r\n");
    put_length(out, text.len() as u64);
    put_connection(
        out,
        &[
            (!keep_alive && version != Version::Http10, b"close"),
            (keep_alive && version == Version::Http10, b"keep-alive"),
        ],
    );
    out.extend_from_slice(b"\r\n");
    if !is_head {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Writes the fields whose names `goes` lets through.
pub(super) fn put_fields(out: &mut Vec<u8>, fields: &Fields, goes: impl Fn(Name) -> bool) {
    for entry in fields.entries().iter().filter(|entry| goes(entry.id)) {
        let parts = || (fields.text(entry.name), fields.text(entry.value));
        debug_assert!(
            is_token(parts().0) && is_value(parts().1),
            "an unchecked field"
        );
        if let Some(line) = fields.line(entry) {
            out.extend_from_slice(line);
        } else {
            let (name, value) = parts();
            put(out, &[name, b": ", value, b"\r\n"]);
        }
    }
}

fn is_end_to_end(id: Name) -> bool {
    !id.is_hop_by_hop() && !id.is_carried_apart()
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.reserve(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..=999).contains(&status) && is_value(reason));
    let reason = match reason {
        b"" => reason_of(status).as_bytes(),
        reason => reason,
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    put_number(out, u64::from(status));
    put(out, &[b" ", reason, b"\r\n"]);
}

fn put_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    put_number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn put_chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// One Connection field with the options that hold, if any does.
fn put_connection(out: &mut Vec<u8>, options: &[(bool, &[u8])]) {
    let mut separator: &[u8] = b"connection: ";
    for (_, option) in options.iter().filter(|(holds, _)| *holds) {
        put(out, &[separator, option]);
        separator = b", ";
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The phrase of RFC 9110 §15 and RFC 6585, for where the backend gave none.
fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
