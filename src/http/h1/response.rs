//! What only responses have: the status line, and a body length that depends on the request.

use super::error::ResponseError;
use super::framing::Framing;
use super::line::control;
use super::reader::{ConnInfo, Grammar};
use crate::http::fields::{Span, is_value};
use crate::http::{BodyLength, Method, ResponseHead, Version};

/// A status line: `version SP status [SP reason]`, beginning at 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusLine {
    version: Version,
    status: u16,
    reason: Span,
}

pub(super) struct ResponseGrammar;

impl Grammar for ResponseGrammar {
    type Start = StatusLine;
    type Error = ResponseError;
    const BLANK_LINES: u8 = 0;
    const TOO_MANY_BLANK_LINES: ResponseError = ResponseError::BadStatusLine;
    const START_TOO_LONG: ResponseError = ResponseError::LineTooLong;

    fn first_byte(byte: u8) -> Result<(), ResponseError> {
        match byte {
            b'H' => Ok(()),
            _ => Err(ResponseError::BadStatusLine),
        }
    }

    fn start(line: &[u8]) -> Result<StatusLine, ResponseError> {
        status_line(line).map_err(|error| match control(line) {
            Some(control) => control.into(),
            None => error,
        })
    }
}

/// RFC 9112 §4. The space after the status may be missing with the reason: many servers leave it
/// out, and nothing can be hidden there.
fn status_line(line: &[u8]) -> Result<StatusLine, ResponseError> {
    let (version, rest) = match line.split_at_checked(9) {
        Some((b"HTTP/1.1 ", rest)) => (Version::Http11, rest),
        Some((b"HTTP/1.0 ", rest)) => (Version::Http10, rest),
        Some(([b'H', b'T', b'T', b'P', b'/', a, b'.', b, b' '], _))
            if a.is_ascii_digit() && b.is_ascii_digit() =>
        {
            return Err(ResponseError::UnsupportedVersion);
        }
        _ => return Err(ResponseError::BadStatusLine),
    };
    let (digits, rest) = rest
        .split_at_checked(3)
        .ok_or(ResponseError::BadStatusLine)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ResponseError::BadStatusLine);
    }
    let status = digits
        .iter()
        .fold(0u16, |n, b| n * 10 + u16::from(b - b'0'));
    let reason_ok = rest.is_empty() || (rest[0] == b' ' && is_value(rest));
    if !reason_ok {
        return Err(ResponseError::BadStatusLine);
    }
    if status < 100 {
        return Err(ResponseError::BadStatus);
    }
    let reason = Span::between(line.len().min(13), line.len());
    Ok(StatusLine {
        version,
        status,
        reason,
    })
}

/// Makes the head's meaning of its lines, whose bytes and spans are in `head.fields`.
pub(super) fn finish(
    line: &StatusLine,
    request_method: Method,
    head: &mut ResponseHead,
) -> Result<ConnInfo, ResponseError> {
    let mut framing = Framing::default();
    framing.read(&head.fields, line.version)?;
    head.status = line.status;
    head.version = line.version;
    let declares_body = framing.chunked || framing.length.is_some_and(|length| length > 0);
    if line.status < 200 && declares_body {
        return Err(ResponseError::InterimWithBody);
    }
    head.body = body_length(line.status, request_method, &framing);
    if matches!(line.status, 304)
        || (request_method == Method::Head && line.status >= 200 && line.status != 204)
    {
        head.declared_length = framing.length;
    }
    let upgrade = framing.upgrade.filter(|_| matches!(line.status, 101 | 426));
    head.set_spans(line.reason, upgrade);
    framing.strip(&mut head.fields);
    // A 204 that declares a body may well send one: its connection is not to be trusted again.
    let lasts = line.status != 101
        && !is_tunnel(line.status, request_method)
        && !(line.status == 204 && declares_body)
        && head.body != BodyLength::UntilClose;
    Ok(ConnInfo {
        keep_alive: lasts && framing.keep_alive(line.version),
        idle_seconds: framing.idle_seconds,
    })
}

fn is_tunnel(status: u16, request_method: Method) -> bool {
    request_method == Method::Connect && (200..300).contains(&status)
}

/// RFC 9112 §6.3, in its order. (Both framings at once were refused before.)
fn body_length(status: u16, request_method: Method, framing: &Framing) -> BodyLength {
    let none_by_rule = request_method == Method::Head
        || matches!(status, 100..=199 | 204 | 304)
        || is_tunnel(status, request_method);
    match (framing.chunked, framing.length) {
        _ if none_by_rule => BodyLength::Empty,
        (true, _) => BodyLength::Streamed,
        (false, Some(length)) => BodyLength::Exact(length),
        (false, None) => BodyLength::UntilClose,
    }
}
