//! Field names that the proxy knows, as one byte each.
//!
//! The data path asks for a handful of fields on every message. Comparing their text each time would
//! be the larger part of the work, so a name is recognised once, while it is read: it is lowered
//! into a small array and found by one `match` on that array, which the compiler turns into a jump
//! on the length and a few word compares. Names that nobody asks for stay [`Name::Other`] and keep
//! only their text. The case in which a peer wrote a name is kept: some backends care.

mod words;
pub(crate) use words::name_before_colon;

/// Bytes of the longest name in the table; a longer one is [`Name::Other`] without a look.
pub(crate) const LONGEST: usize = 24;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// A field name, if it is one that the proxy knows (RFC 9110 §5.1, §16.3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[repr(u8)]
        pub enum Name {
            /// Any name that is not in the table.
            #[default]
            Other,
            $($(#[$doc])* #[doc = concat!("`", $text, "`")] $variant,)+
        }

        impl Name {
            /// Every known name with its lower-case text.
            pub const KNOWN: &'static [(Name, &'static str)] = &[$((Name::$variant, $text)),+];

            /// The known name with this lower-case text.
            pub(super) fn of_lower(lower: &[u8]) -> Name {
                $(const $variant: &[u8] = $text.as_bytes();)+
                match lower {
                    $($variant => Name::$variant,)+
                    _ => Name::Other,
                }
            }

            /// The name in lower case; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    Name::Other => "",
                    $(Name::$variant => $text,)+
                }
            }
        }
    };
}

#[allow(non_upper_case_globals)]
mod table {
    names! {
        // What frames, routes or describes the connection.
        Host = "host",
        Connection = "connection",
        ContentLength = "content-length",
        TransferEncoding = "transfer-encoding",
        Te = "te",
        Trailer = "trailer",
        Upgrade = "upgrade",
        KeepAlive = "keep-alive",
        ProxyConnection = "proxy-connection",
        ProxyAuthenticate = "proxy-authenticate",
        ProxyAuthorization = "proxy-authorization",
        Http2Settings = "http2-settings",
        Expect = "expect",
        // What a proxy reads or adds.
        Via = "via",
        MaxForwards = "max-forwards",
        Forwarded = "forwarded",
        XForwardedFor = "x-forwarded-for",
        XForwardedProto = "x-forwarded-proto",
        XForwardedHost = "x-forwarded-host",
        XForwardedPort = "x-forwarded-port",
        XForwardedClientCert = "x-forwarded-client-cert",
        XRealIp = "x-real-ip",
        XRequestId = "x-request-id",
        Date = "date",
        Server = "server",
        Location = "location",
        Refresh = "refresh",
        RetryAfter = "retry-after",
        // Who asks, and what may be kept.
        Authorization = "authorization",
        WwwAuthenticate = "www-authenticate",
        Cookie = "cookie",
        SetCookie = "set-cookie",
        UserAgent = "user-agent",
        Accept = "accept",
        AcceptEncoding = "accept-encoding",
        CacheControl = "cache-control",
        Age = "age",
        Expires = "expires",
        Vary = "vary",
        Etag = "etag",
        LastModified = "last-modified",
        IfMatch = "if-match",
        IfNoneMatch = "if-none-match",
        IfModifiedSince = "if-modified-since",
        IfUnmodifiedSince = "if-unmodified-since",
        IfRange = "if-range",
        Range = "range",
        ContentType = "content-type",
        ContentEncoding = "content-encoding",
        ContentRange = "content-range",
        ContentLocation = "content-location",
        // gRPC and tracing.
        GrpcStatus = "grpc-status",
        GrpcMessage = "grpc-message",
        GrpcTimeout = "grpc-timeout",
        Traceparent = "traceparent",
        Tracestate = "tracestate",
        B3 = "b3",
        XB3TraceId = "x-b3-traceid",
        XB3SpanId = "x-b3-spanid",
        XB3ParentSpanId = "x-b3-parentspanid",
        XB3Sampled = "x-b3-sampled",
        XB3Flags = "x-b3-flags",
        // The linker's own.
        L5dErr = "l5d-err",
        L5dRetryable = "l5d-retryable",
        L5dSuccessClass = "l5d-success-class",
        L5dDtab = "l5d-dtab",
        DtabLocal = "dtab-local",
        L5dName = "l5d-name",
        L5dCtxDtab = "l5d-ctx-dtab",
        L5dCtxTrace = "l5d-ctx-trace",
        L5dCtxDeadline = "l5d-ctx-deadline",
        L5dDstService = "l5d-dst-service",
        L5dDstClient = "l5d-dst-client",
        L5dDstResidual = "l5d-dst-residual",
        L5dDstLogical = "l5d-dst-logical",
        L5dDstConcrete = "l5d-dst-concrete",
        L5dReqid = "l5d-reqid",
        L5dSample = "l5d-sample",
    }
}
pub use table::Name;

/// Lower case of each byte that may stand in a token (RFC 9110 §5.6.2), 0 for every other byte.
pub(crate) static TOKEN: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || in_set(b, b"!#$%&'*+-.^_`|~") {
            table[byte] = b.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

const fn in_set(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether `text` is a token (RFC 9110 §5.6.2): not empty, and made of token bytes.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| TOKEN[b as usize] != 0)
}

/// How many token bytes `text` begins with, and which known name they spell.
pub(crate) fn leading_token(text: &[u8]) -> (usize, Name) {
    let mut lower = [0u8; LONGEST];
    let mut len = 0;
    for &byte in text {
        let low = TOKEN[byte as usize];
        if low == 0 {
            break;
        }
        if let Some(slot) = lower.get_mut(len) {
            *slot = low;
        }
        len += 1;
    }
    (len, lower.get(..len).map_or(Name::Other, Name::of_lower))
}

impl Name {
    /// The known name that `text` spells, in any case; [`Name::Other`] if there is none.
    pub fn of(text: &[u8]) -> Name {
        match leading_token(text) {
            (len, name) if len == text.len() => name,
            _ => Name::Other,
        }
    }

    /// Whether the field is about one connection only and so never crosses a proxy, named by
    /// `Connection` or not (RFC 9110 §7.6.1, and the two of §11.7 as linkerd does).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::ProxyAuthenticate
                | Name::ProxyAuthorization
                | Name::Te
                | Name::Trailer
                | Name::TransferEncoding
                | Name::Upgrade
                | Name::Http2Settings
        )
    }

    /// Whether the field is carried by a typed part of a head and so never stays among its fields:
    /// Host by the authority, Content-Length by the body's length, Expect by a flag.
    pub fn is_carried_apart(self) -> bool {
        matches!(self, Name::Host | Name::ContentLength | Name::Expect)
    }

    /// Whether the field may come after the body (RFC 9110 §6.5.1). What frames, routes,
    /// authenticates, conditions or describes the content is not: a recipient that merges it into
    /// the head would be told late, and behind every check, what it already acted upon.
    pub fn is_allowed_in_trailers(self) -> bool {
        matches!(
            self,
            Name::Other
                | Name::GrpcStatus
                | Name::GrpcMessage
                | Name::Etag
                | Name::L5dErr
                | Name::L5dSuccessClass
        )
    }
}

/// A set of known names: which of them a message has is found in one pass over its fields, and
/// then costs a bit test each. [`Name::Other`] stands for every name that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names(u128);

const _: () = assert!(Name::KNOWN.len() < 128, "a set of names has 128 bits");

impl Names {
    /// The set of these.
    #[must_use]
    pub const fn of(names: &[Name]) -> Names {
        let mut set = 0;
        let mut at = 0;
        while at < names.len() {
            set |= 1 << names[at] as u8;
            at += 1;
        }
        Names(set)
    }

    /// With the members of another set.
    #[must_use]
    pub const fn and(self, others: Names) -> Names {
        Names(self.0 | others.0)
    }

    #[must_use]
    pub const fn has(self, name: Name) -> bool {
        self.0 >> name as u8 & 1 != 0
    }

    /// Whether the sets have a member in common.
    #[must_use]
    pub const fn meets(self, others: Names) -> bool {
        self.0 & others.0 != 0
    }
}

impl FromIterator<Name> for Names {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Names {
        let with = |set: u128, name: Name| set | 1 << name as u8;
        Names(names.into_iter().fold(0, with))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_names() {
        for (at, &(name, _)) in Name::KNOWN.iter().enumerate() {
            let (one, rest) = (Names::of(&[name]), Name::KNOWN.iter().skip(at + 1));
            let rest: Names = rest.map(|(name, _)| *name).collect();
            assert!(one.has(name) && !rest.has(name) && !one.meets(rest));
            assert!(one.and(rest).has(name) && one.and(rest).meets(one));
        }
        assert_eq!(Names::default(), Names::of(&[]));
        assert!(!Names::of(&[Name::Host]).has(Name::Other));
    }

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for &(name, text) in Name::KNOWN {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
            assert_eq!(
                Name::of(text.to_ascii_uppercase().as_bytes()),
                name,
                "{text}"
            );
            assert_eq!(name.as_str(), text);
            assert!(is_token(text.as_bytes()) && text.len() <= LONGEST, "{text}");
        }
    }

    #[test]
    fn near_misses_are_other() {
        for text in [
            "",
            "hos",
            "hostt",
            "ho st",
            "host ",
            "content_length",
            "l5d-err\0",
        ] {
            assert_eq!(Name::of(text.as_bytes()), Name::Other, "{text:?}");
        }
        assert_eq!(Name::of(&[b'a'; 300]), Name::Other);
    }

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let tokens = (0..=255u8).filter(|b| is_token(&[*b])).count();
        assert_eq!(tokens, 26 + 26 + 10 + 15);
        assert!(!is_token(b""));
    }
}
