//! The meaning of a message's head, free of protocol: what HTTP/1 and HTTP/2 both say.
//!
//! A head keeps apart what the proxy decides upon (method, target, authority, body length, the
//! protocol asked for by an upgrade) from what it passes on ([`Fields`]). Host, Content-Length,
//! Expect and every hop-by-hop field are read into the former and never stay in the latter, so a
//! head cannot contradict itself when it is written again.
//!
//! All its texts lie in the arena of its fields: clear the head, never only its fields. The setters refuse what could end a line, so that
//! no head, read or made, can be written as two.

use super::fields::{Fields, Span, is_value};
use super::method::{Method, Version};
use super::name::is_token;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyLength {
    /// No body, and nothing to be said of one: a request without content; a response that has none
    /// by rule (HEAD, 1xx, 204, 304, CONNECT's 2xx). An empty body that was declared, as by
    /// `content-length: 0`, is `Exact(0)`.
    #[default]
    Empty,
    /// This many bytes.
    Exact(u64),
    /// Delimited by the protocol itself: chunked coding, DATA frames.
    Streamed,
    /// Until the peer closes (responses only).
    UntilClose,
}

impl BodyLength {
    /// Whether it is certain that no byte follows.
    pub fn is_empty(self) -> bool {
        matches!(self, BodyLength::Empty | BodyLength::Exact(0))
    }
}

/// A request's head (RFC 9110 §6.2).
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    pub method: Method,
    /// The version that the client spoke.
    pub version: Version,
    /// End-to-end fields, without Host, Content-Length and Expect.
    pub fields: Fields,
    pub body: BodyLength,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// The client takes trailers: it said `te: trailers` (RFC 9110 §10.1.4).
    pub te_trailers: bool,
    method_text: Span,
    target: Span,
    authority: Span,
    received: Received,
    upgrade: Option<Span>,
}

/// What a request asked for before anything was rewritten.
#[derive(Debug, Clone, Copy, Default)]
struct Received {
    target: Span,
    authority: Span,
    /// Bytes at its target's start that were replaced, and bytes that stand in their place.
    replaced: Option<(usize, usize)>,
}

impl RequestHead {
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = RequestHead {
            fields,
            ..RequestHead::default()
        };
    }

    /// The method as the client wrote it.
    pub fn method_bytes(&self) -> &[u8] {
        match self.method {
            Method::Other => self.fields.text(self.method_text),
            known => known.as_str().as_bytes(),
        }
    }

    /// Sets the method from its text. False, and nothing changed, if that is no token.
    pub fn set_method(&mut self, text: &[u8]) -> bool {
        if !is_token(text) {
            return false;
        }
        self.method = Method::of(text);
        if self.method == Method::Other {
            self.method_text = self.fields.store(text);
        }
        true
    }

    /// The target in origin form, path and query; or `*` (OPTIONS); or for CONNECT the authority
    /// (RFC 9112 §3.2). An absolute-form target was split into authority and this.
    pub fn target(&self) -> &[u8] {
        self.fields.text(self.target)
    }

    /// The target without its query.
    pub fn path(&self) -> &[u8] {
        without_query(self.target())
    }

    /// The target as it was received.
    pub fn received_target(&self) -> &[u8] {
        self.fields.text(self.received.target)
    }

    /// The received target without its query.
    pub fn received_path(&self) -> &[u8] {
        without_query(self.received_target())
    }

    /// The authority as it was received.
    pub fn received_authority(&self) -> &[u8] {
        self.fields.text(self.received.authority)
    }

    /// What the start of the received path was replaced by: the one and the other. `None` as long
    /// as [`RequestHead::replace_start`] was not asked for.
    pub fn replaced_start(&self) -> Option<(&[u8], &[u8])> {
        let (old, new) = self.received.replaced?;
        Some((self.received_path().get(..old)?, self.path().get(..new)?))
    }

    /// Replaces the first `length` bytes of the path by `by`, and keeps the rest and the query. A
    /// path of which nothing is left becomes `/`. The new target is made at the end of `scratch`,
    /// which has its old length afterwards. False, and nothing changed, if `by` may not stand in a
    /// target.
    pub fn replace_start(&mut self, length: usize, by: &[u8], scratch: &mut Vec<u8>) -> bool {
        let start = scratch.len();
        let (path, target) = (self.path(), self.target());
        scratch.extend_from_slice(by);
        scratch.extend_from_slice(path.get(length..).unwrap_or_default());
        if scratch.len() == start {
            scratch.push(b'/');
        }
        scratch.extend_from_slice(&target[path.len()..]);
        let fits = self.set_target(&scratch[start..]);
        scratch.truncate(start);
        if fits {
            self.received.replaced = Some((length, by.len()));
        }
        fits
    }

    /// Sets the target. False, and nothing changed, if it is empty or has a byte that may not stand
    /// in a request line (RFC 9112 §3.2: visible ASCII without `#`).
    pub fn set_target(&mut self, target: &[u8]) -> bool {
        if target.is_empty() || !is_target(target) {
            return false;
        }
        self.target = self.fields.store(target);
        true
    }

    /// Who is asked: the value of Host, or the authority of an absolute-form or CONNECT target, which
    /// wins over Host (RFC 9112 §3.2.2). Empty if the client said that there is none: by an empty
    /// Host (RFC 9112 §3.2), or in HTTP/1.0 by none.
    pub fn authority(&self) -> &[u8] {
        self.fields.text(self.authority)
    }

    /// Sets the authority. False, and nothing changed, if it is no `host[:port]`.
    pub fn set_authority(&mut self, authority: &[u8]) -> bool {
        if !is_authority(authority) {
            return false;
        }
        self.authority = self.fields.store(authority);
        true
    }

    /// The protocols asked for with `connection: upgrade` (RFC 9110 §7.8), as the client listed
    /// them; never `h2c`, by which a client would get past the proxy's reading of the connection.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.fields.text(span))
    }

    /// Asks for another protocol, or with `None` for no other. False, and nothing changed, if the
    /// text cannot stand in a field.
    pub fn set_upgrade(&mut self, protocols: Option<&[u8]>) -> bool {
        set_upgrade(&mut self.fields, &mut self.upgrade, protocols)
    }

    pub(crate) fn set_spans(&mut self, method: Span, target: Span, authority: Span) {
        self.method_text = method;
        self.target = target;
        self.authority = authority;
        self.received = Received {
            target,
            authority,
            replaced: None,
        };
    }

    pub(crate) fn set_upgrade_span(&mut self, upgrade: Option<Span>) {
        self.upgrade = upgrade;
    }
}

/// A response's head (RFC 9110 §6.2).
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// 100..=999.
    pub status: u16,
    /// The version that the backend spoke.
    pub version: Version,
    /// End-to-end fields, without Content-Length.
    pub fields: Fields,
    pub body: BodyLength,
    /// The Content-Length of a response that has no body by rule, to be passed on: what a GET would
    /// have had (HEAD), or what is cached (304); RFC 9110 §8.6.
    pub declared_length: Option<u64>,
    reason: Span,
    upgrade: Option<Span>,
}

impl ResponseHead {
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = ResponseHead {
            fields,
            ..ResponseHead::default()
        };
    }

    /// Whether this is a 1xx other than 101, after which the final response still comes.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The reason phrase, perhaps empty; it means nothing (RFC 9112 §4).
    pub fn reason(&self) -> &[u8] {
        self.fields.text(self.reason)
    }

    /// Sets the reason phrase. False, and nothing changed, if it has a control character.
    pub fn set_reason(&mut self, reason: &[u8]) -> bool {
        if !is_value(reason) {
            return false;
        }
        self.reason = self.fields.store(reason);
        true
    }

    /// The protocols of an Upgrade field that `connection: upgrade` goes with: for a 101 the one
    /// switched to, for a 426 those required (RFC 9110 §7.8).
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.fields.text(span))
    }

    /// As [`RequestHead::set_upgrade`].
    pub fn set_upgrade(&mut self, protocols: Option<&[u8]>) -> bool {
        set_upgrade(&mut self.fields, &mut self.upgrade, protocols)
    }

    pub(crate) fn set_spans(&mut self, reason: Span, upgrade: Option<Span>) {
        self.reason = reason;
        self.upgrade = upgrade;
    }
}

fn set_upgrade(fields: &mut Fields, slot: &mut Option<Span>, protocols: Option<&[u8]>) -> bool {
    if protocols.is_some_and(|text| text.is_empty() || !is_value(text)) {
        return false;
    }
    *slot = protocols.map(|text| fields.store(text));
    true
}

fn without_query(target: &[u8]) -> &[u8] {
    &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
}

/// Whether every byte may stand in a request target: visible ASCII, and no fragment, which is never
/// sent (RFC 9112 §3.2, RFC 9110 §7.1). Branch-free per byte.
pub(crate) fn is_target(target: &[u8]) -> bool {
    !target.iter().fold(false, |bad, &b| {
        bad | (b <= b' ') | (b >= 0x7f) | (b == b'#')
    })
}

/// Whether `text` is a non-empty `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2), without
/// user information, and without the comma that joins two Host fields into one.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host_ok, rest) = match text.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = memchr::memchr(b']', literal) else {
                return false;
            };
            (is_ip_literal(&literal[..end]), &literal[end + 1..])
        }
        None => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            (is_reg_name(&text[..end]), &text[end..])
        }
    };
    host_ok && (rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port))
}

/// RFC 3986 §3.2.3 allows an empty port.
fn is_port(text: &[u8]) -> bool {
    let number = text.iter().try_fold(0u32, |n, &b| {
        let n = n * 10 + u32::from(b.is_ascii_digit().then(|| b - b'0')?);
        (n <= 65535).then_some(n)
    });
    number.is_some()
}

fn is_ip_literal(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b":.-_~".contains(b))
}

fn is_reg_name(text: &[u8]) -> bool {
    // Nearly every host is letters, digits, dots and hyphens.
    let plain = text
        .iter()
        .all(|&b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    !text.is_empty() && (plain || is_odd_reg_name(text))
}

/// The whole of RFC 3986 §3.2.2 but for the comma.
fn is_odd_reg_name(text: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(b);
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'%', [a, b, tail @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => tail,
            (byte, tail) if plain(byte) => tail,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in [
            "a",
            "a.example",
            "A_b-c.example:80",
            "10.0.0.1:65535",
            "a:",
            "[::1]",
            "[::1]:8080",
            "[v1.x]",
            "sub!$&'()*+;=delims",
            "a%20b",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "a b",
            "a,b",
            "user@a",
            "a/",
            "a?",
            "a#",
            "a\\b",
            "a:65536",
            "a:x",
            "a:1:2",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "a%2",
            "a%zz",
            "a\"",
            "é",
            "a\t",
            "a:99999999999999999999",
            "::1",
            "<a>",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_was_received_is_remembered() {
        let mut head = RequestHead::new();
        let texts = [&b"GET"[..], b"/api/x?q", b"h:80"];
        let [method, target, authority] = texts.map(|text| head.fields.store(text));
        head.set_spans(method, target, authority);
        assert_eq!(head.replaced_start(), None);
        let mut scratch = b"kept".to_vec();
        assert!(!head.replace_start(4, b"/ ", &mut scratch) && head.replaced_start().is_none());
        assert!(head.replace_start(4, b"/v2", &mut scratch) && head.set_authority(b"inner"));
        assert_eq!(
            (head.target(), head.authority()),
            (&b"/v2/x?q"[..], &b"inner"[..])
        );
        assert_eq!(
            (head.received_target(), head.received_path()),
            (&b"/api/x?q"[..], &b"/api/x"[..])
        );
        assert_eq!(head.received_authority(), b"h:80");
        assert_eq!(head.replaced_start(), Some((&b"/api"[..], &b"/v2"[..])));
        assert_eq!(scratch, b"kept");
        head.clear();
        assert_eq!(
            (head.received_target(), head.replaced_start()),
            (&b""[..], None)
        );
    }

    #[test]
    fn setters_refuse_what_could_end_a_line() {
        let mut head = RequestHead::new();
        assert!(head.set_method(b"PURGE") && head.set_target(b"/a?b") && head.set_authority(b"h"));
        assert!(!head.set_method(b"A B") && !head.set_method(b""));
        assert!(
            !head.set_target(b"/ HTTP/1.1") && !head.set_target(b"") && !head.set_target(b"/#")
        );
        assert!(!head.set_authority(b"a\r\nb"));
        assert!(!head.set_upgrade(Some(b"a\r\nb")) && !head.set_upgrade(Some(b"")));
        assert_eq!(
            (head.method, head.method_bytes()),
            (Method::Other, &b"PURGE"[..])
        );
        assert_eq!((head.target(), head.path()), (&b"/a?b"[..], &b"/a"[..]));
        assert_eq!((head.authority(), head.upgrade()), (&b"h"[..], None));
        head.clear();
        assert_eq!(
            (head.target(), head.method_bytes()),
            (&b""[..], &b"GET"[..])
        );

        let mut head = ResponseHead::new();
        assert!(head.set_reason(b"Fine then") && !head.set_reason(b"a\nb"));
        assert!(head.set_upgrade(Some(b"websocket")) && head.set_upgrade(None));
        assert_eq!((head.reason(), head.upgrade()), (&b"Fine then"[..], None));
    }
}
