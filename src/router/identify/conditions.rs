//! What a route asks of a request besides its path.

use crate::config::resolved::{Action, Route, Wanted};
use crate::http::{Method, RequestHead};

/// The longest name of a host.
const LONGEST: usize = 253;

/// The host of an authority as routes compare it: in lower case, without port and without the dot
/// at the end of a full name. Empty if there is none or it is longer than any name.
pub struct HostName {
    bytes: [u8; LONGEST],
    len: usize,
}

impl HostName {
    #[must_use]
    pub fn of(authority: &[u8]) -> HostName {
        let host = without_port(authority);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut name = HostName {
            bytes: [0; LONGEST],
            len: 0,
        };
        if let Some(bytes) = name.bytes.get_mut(..host.len()) {
            bytes.copy_from_slice(host);
            bytes.make_ascii_lowercase();
            name.len = host.len();
        }
        name
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An authority's host as it was written.
#[must_use]
pub fn without_port(authority: &[u8]) -> &[u8] {
    let end = if authority.first() == Some(&b'[') {
        memchr::memchr(b']', authority).map(|end| end + 1)
    } else {
        memchr::memchr(b':', authority)
    };
    &authority[..end.unwrap_or(authority.len())]
}

/// The query of a target, without its `?`.
fn query(head: &RequestHead) -> &[u8] {
    let (path, target) = (head.path(), head.target());
    target.get(path.len() + 1..).unwrap_or_default()
}

/// Whether a request has the method, headers and parameters that a route asks for.
#[must_use]
pub fn conditions_fit(route: &Route, head: &RequestHead) -> bool {
    // To a client that asked for a tunnel, a 200 would say that it has one.
    if head.method == Method::Connect && !matches!(route.action, Action::Name { .. }) {
        return false;
    }
    method_fits(&route.methods, head)
        && headers_fit(&route.headers, head)
        && route.query.iter().all(|(name, wanted)| {
            let mut parameters = query(head).split(|b| *b == b'&');
            parameters.any(|parameter| {
                let equals = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
                let value = parameter.get(equals + 1..).unwrap_or_default();
                parameter[..equals] == *name.as_bytes() && is_wanted(wanted, value)
            })
        })
}

/// Whether a request's method is one of these, or may be any.
#[must_use]
pub fn method_fits(methods: &[String], head: &RequestHead) -> bool {
    let method = head.method_bytes();
    methods.is_empty() || methods.iter().any(|one| one.as_bytes() == method)
}

/// Whether a request has each of these headers.
#[must_use]
pub fn headers_fit(headers: &[(String, Wanted)], head: &RequestHead) -> bool {
    headers.iter().all(|(name, wanted)| {
        let mut fields = head.fields.iter();
        fields.any(|(_, field, value)| {
            field.eq_ignore_ascii_case(name.as_bytes()) && is_wanted(wanted, value)
        })
    })
}

fn is_wanted(wanted: &Wanted, value: &[u8]) -> bool {
    match wanted {
        Wanted::Present => true,
        Wanted::Value(wanted) => wanted.as_bytes() == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_port_and_last_dot() {
        for (authority, host) in [
            ("Web.Example:8080", "web.example"),
            ("web.example.", "web.example"),
            ("web.example.:80", "web.example"),
            ("[::1]:80", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("", ""),
        ] {
            let name = HostName::of(authority.as_bytes());
            assert_eq!(name.as_bytes(), host.as_bytes(), "{authority}");
        }
        assert_eq!(HostName::of(&[b'a'; 253]).as_bytes().len(), 253);
        assert_eq!(HostName::of(&[b'a'; 254]).as_bytes(), b"");
    }
}
