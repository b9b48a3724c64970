//! What only requests have: the request line, the forms of its target, Host and Expect.
//!
//! The three parts of the line are split at exactly one space each. The target's form is then fixed
//! by the method and its first byte (RFC 9112 §3.2), and is brought to authority and origin form, so
//! that nothing after this file knows that a client may write `http://host/path` as well.

use memchr::memchr;

use super::error::RequestError;
use super::framing::Framing;
use super::line::control;
use super::reader::{ConnInfo, Grammar};
use crate::http::fields::Span;
use crate::http::message::{is_authority, is_target};
use crate::http::name::TOKEN;
use crate::http::{BodyLength, Method, RequestHead, Version};

/// A request line: `method SP target SP version`, beginning at 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine {
    method: Method,
    method_end: usize,
    target_end: usize,
    version: Version,
}

pub(super) struct RequestGrammar;

impl Grammar for RequestGrammar {
    type Start = RequestLine;
    type Error = RequestError;
    /// A client may have sent one too many after a body (RFC 9112 §2.2).
    const BLANK_LINES: u8 = 2;
    const TOO_MANY_BLANK_LINES: RequestError = RequestError::TooManyBlankLines;
    const START_TOO_LONG: RequestError = RequestError::LineTooLong;

    fn first_byte(byte: u8) -> Result<(), RequestError> {
        match byte {
            0x16 => Err(RequestError::TlsRecord),
            _ if TOKEN[byte as usize] == 0 => Err(RequestError::BadMethod),
            _ => Ok(()),
        }
    }

    fn start(line: &[u8]) -> Result<RequestLine, RequestError> {
        request_line(line).map_err(|error| match control(line) {
            Some(control) => control.into(),
            None if line.iter().any(|b| *b < b' ' || *b == 0x7f) => RequestError::ControlInLine,
            None => error,
        })
    }
}

fn request_line(line: &[u8]) -> Result<RequestLine, RequestError> {
    let method_end = memchr(b' ', line).ok_or(RequestError::BadRequestLine)?;
    let method = &line[..method_end];
    if method.is_empty() || method.iter().any(|&b| TOKEN[b as usize] == 0) {
        return Err(RequestError::BadMethod);
    }
    let rest = &line[method_end + 1..];
    let target_len = memchr(b' ', rest).ok_or(RequestError::BadRequestLine)?;
    let target_end = method_end + 1 + target_len;
    if target_len == 0 || line.get(target_end + 1) == Some(&b' ') {
        return Err(RequestError::ExtraSpace);
    }
    if !is_target(&rest[..target_len]) {
        return Err(RequestError::BadTarget);
    }
    let version = version(&line[target_end + 1..])?;
    Ok(RequestLine {
        method: Method::of(method),
        method_end,
        target_end,
        version,
    })
}

/// RFC 9112 §2.3. An HTTP/1.2 that some day might be sent is refused as well: what it would frame is
/// not known.
fn version(text: &[u8]) -> Result<Version, RequestError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit() => {
            Err(RequestError::UnsupportedVersion)
        }
        _ => Err(RequestError::BadRequestLine),
    }
}

/// Makes the head's meaning of its lines, whose bytes and spans are in `head.fields`.
pub(super) fn finish(line: &RequestLine, head: &mut RequestHead) -> Result<ConnInfo, RequestError> {
    let mut framing = Framing::default();
    framing.read(&head.fields, line.version)?;
    let host = host(&framing, line.version, head)?;
    let (target, authority) = target(line, head, host)?;
    head.method = line.method;
    head.version = line.version;
    head.set_spans(
        Span::between(0, line.method_end),
        target,
        authority.unwrap_or_default(),
    );
    head.body = match (framing.chunked, framing.length) {
        (true, _) => BodyLength::Streamed,
        (false, Some(length)) => BodyLength::Exact(length),
        (false, None) => BodyLength::Empty,
    };
    if line.method == Method::Connect && !head.body.is_empty() {
        return Err(RequestError::ConnectBody);
    }
    head.expect_continue = expects_continue(&framing, head)?;
    head.te_trailers = framing.te_trailers;
    head.set_upgrade_span(framing.upgrade);
    framing.strip(&mut head.fields);
    Ok(ConnInfo {
        keep_alive: framing.keep_alive(line.version),
        idle_seconds: None,
    })
}

/// The one Host (RFC 9112 §3.2).
fn host(
    framing: &Framing,
    version: Version,
    head: &RequestHead,
) -> Result<Option<Span>, RequestError> {
    if framing.hosts > 1 {
        return Err(RequestError::RepeatedHost);
    }
    match framing.host {
        None if version == Version::Http10 => Ok(None),
        None => Err(RequestError::MissingHost),
        // "There is none": so the next hop is told of a request of HTTP/1.0 that named no host.
        Some(host) if head.fields.text(host).is_empty() => Ok(None),
        Some(host) if !is_authority(head.fields.text(host)) => Err(RequestError::BadHost),
        host => Ok(host),
    }
}

/// The target in origin form, or `*`, or CONNECT's authority; and the authority, which the target
/// wins from Host (RFC 9112 §3.2.1 to §3.2.4, §3.3).
fn target(
    line: &RequestLine,
    head: &mut RequestHead,
    host: Option<Span>,
) -> Result<(Span, Option<Span>), RequestError> {
    let span = Span::between(line.method_end + 1, line.target_end);
    let text = head.fields.text(span);
    match (line.method, text) {
        (Method::Connect, text) => match is_authority(text) && has_port(text) {
            true => Ok((span, Some(span))),
            false => Err(RequestError::BadTarget),
        },
        (_, [b'/', ..]) => Ok((span, host)),
        (Method::Options, b"*") => Ok((span, host)),
        (method, text) => {
            let (authority_at, path_at) = absolute(text).ok_or(RequestError::BadTarget)?;
            let start = span.start as usize;
            let authority = Span::between(start + authority_at, start + path_at);
            let target = match text.get(path_at) {
                Some(b'/') => Span::between(start + path_at, line.target_end),
                Some(_) => {
                    let query = [b"/", &text[path_at..]].concat();
                    head.fields.store(&query)
                }
                None if method == Method::Options => head.fields.store(b"*"),
                None => head.fields.store(b"/"),
            };
            Ok((target, Some(authority)))
        }
    }
}

/// Where authority and path begin in an absolute-form target with a scheme of HTTP's.
fn absolute(text: &[u8]) -> Option<(usize, usize)> {
    let scheme = |scheme: &[u8]| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let at = match () {
        () if scheme(b"http://") => 7,
        () if scheme(b"https://") => 8,
        () => return None,
    };
    let rest = &text[at..];
    let len = rest
        .iter()
        .position(|b| *b == b'/' || *b == b'?')
        .unwrap_or(rest.len());
    is_authority(&rest[..len]).then_some((at, at + len))
}

/// CONNECT names a port, always (RFC 9112 §3.2.3).
fn has_port(authority: &[u8]) -> bool {
    let digits = authority
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    digits > 0 && authority[..authority.len() - digits].ends_with(b":")
}

/// RFC 9110 §10.1.1: meaningless without content, and ignored from HTTP/1.0.
fn expects_continue(framing: &Framing, head: &RequestHead) -> Result<bool, RequestError> {
    let Some(expect) = framing.expect else {
        return Ok(false);
    };
    let known = head
        .fields
        .text(expect)
        .eq_ignore_ascii_case(b"100-continue");
    if !known || framing.expects > 1 {
        return Err(RequestError::UnknownExpectation);
    }
    Ok(head.version == Version::Http11 && !head.body.is_empty())
}
