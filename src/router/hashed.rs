//! What like requests have in common, as a number for a hashing balancer.
//!
//! The number is the same in every proxy of a fleet and after a restart, so that like requests meet
//! at one replica whoever carries them: FNV-1a (RFC 9923), mixed, since the high bits of FNV hardly
//! tell short texts apart and a ring is divided by them.

use crate::balance::rng::mix;
use crate::config::resolved::HashKey;
use crate::http::{Name, RequestHead};

use super::h1::inbound::Request;

/// The hash of a request; `None` if it has nothing to hash, and is balanced by load.
#[must_use]
pub fn hash(key: &HashKey, head: &RequestHead, request: &Request<'_>) -> Option<u64> {
    let hash = match key {
        HashKey::Header(name) if name.eq_ignore_ascii_case("host") => Some(fnv(head.authority())),
        HashKey::Header(name) => head.fields.get_named(name.as_bytes()).map(fnv),
        HashKey::Cookie(name) => cookie(head, name.as_bytes()).map(fnv),
        HashKey::Path => Some(fnv(head.path())),
        HashKey::Client => {
            let (ends, socket) = request.ends();
            match ends.peer(socket)?.ip() {
                std::net::IpAddr::V4(ip) => Some(fnv(&ip.octets())),
                std::net::IpAddr::V6(ip) => Some(fnv(&ip.octets())),
            }
        }
    };
    hash.map(mix)
}

/// The value of a cookie (RFC 6265 §4.2.1).
fn cookie<'h>(head: &'h RequestHead, name: &[u8]) -> Option<&'h [u8]> {
    let cookies = head.fields.iter().filter(|(id, ..)| *id == Name::Cookie);
    let mut pairs = cookies.flat_map(|(_, _, value)| value.split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let rest = pair.strip_prefix(name)?;
        rest.strip_prefix(b"=")
    })
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_algorithm() {
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut head = RequestHead::new();
        for value in [&b"a=1; session=x"[..], b"b=2;sess=y ; sess2=z"] {
            assert!(head.fields.push(b"Cookie", value));
        }
        for (name, value) in [
            ("a", Some("1")),
            ("sess", Some("y")),
            ("session", Some("x")),
            ("ses", None),
        ] {
            let found = cookie(&head, name.as_bytes());
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
    }
}
