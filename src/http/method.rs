//! Methods and versions.
//!
//! The method is kept twice in a head: as one byte, for the questions that the proxy asks of every
//! request (may it be sent again? does its response have a body?), and as the peer's text, because
//! methods are an open set and case-sensitive.

/// A request method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other method: neither safe nor idempotent as far as the proxy knows.
    Other,
}

impl Method {
    /// The method that `text` spells; methods are case-sensitive (RFC 9110 §9.1).
    pub fn of(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// The method's text; empty for [`Method::Other`], whose text only its head knows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => "",
        }
    }

    /// Whether the client asks for no change of state (RFC 9110 §9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(
            self,
            Method::Get | Method::Head | Method::Options | Method::Trace
        )
    }

    /// Whether asking twice has the effect of asking once (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// Whether a request with this method is expected to have content, so that its absence is said
    /// with `content-length: 0` (RFC 9110 §8.6).
    pub fn expects_content(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

/// The protocol version that a peer spoke (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// As written in logs and in HTTP/1 start lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_and_idempotent_as_in_rfc_9110() {
        let table = [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", true, true),
            ("TRACE", true, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("POST", false, false),
            ("PATCH", false, false),
            ("CONNECT", false, false),
            ("get", false, false),
            ("PURGE", false, false),
        ];
        for (text, safe, idempotent) in table {
            let method = Method::of(text.as_bytes());
            assert_eq!(
                (method.is_safe(), method.is_idempotent()),
                (safe, idempotent),
                "{text}"
            );
            assert!(method == Method::Other || method.as_str() == text);
        }
    }
}
