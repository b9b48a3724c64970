//! The identifiers that take a name from one place of the head.

use super::Missed;
use crate::config::resolved::Identifier;
use crate::http::{RequestHead, Version};
use crate::naming::Path;

/// Appends the name that an identifier finds.
pub fn identify<'i>(
    identifier: &'i Identifier,
    head: &mut RequestHead,
    name: &mut Vec<u8>,
) -> Result<(), Missed<'i>> {
    match identifier {
        Identifier::HeaderToken { header } => {
            Path::encode(value_of(head, header)?, name);
            Ok(())
        }
        Identifier::Header { header } => {
            let value = value_of(head, header)?;
            let path = std::str::from_utf8(value).ok().map(str::parse::<Path>);
            match path {
                Some(Ok(path)) => name.extend_from_slice(path.as_encoded()),
                Some(Err(error)) => return Err(Missed::Path(header, Some(error))),
                None => return Err(Missed::Path(header, None)),
            }
            Ok(())
        }
        Identifier::MethodAndHost { uri_in_dst } => {
            if head.version == Version::Http10 {
                Path::encode(b"1.0", name);
                Path::encode(head.method_bytes(), name);
            } else {
                if head.authority().is_empty() {
                    return Err(Missed::Header("Host"));
                }
                Path::encode(b"1.1", name);
                Path::encode(head.method_bytes(), name);
                let host = head.authority();
                Path::encode(host, name);
                let start = name.len() - host.len();
                name[start..].make_ascii_lowercase();
            }
            if *uri_in_dst {
                for segment in segments(head.path()) {
                    Path::encode(segment, name);
                }
            }
            Ok(())
        }
        Identifier::Path {
            segments: n,
            consume,
        } => {
            let found = segments(head.path()).take(*n).fold(0, |count, segment| {
                Path::encode(segment, name);
                count + 1
            });
            if found < *n {
                return Err(Missed::Segments(*n));
            }
            if *consume {
                let consumed = length_of(head.path(), *n);
                let fits = head.replace_start(consumed, b"", name);
                debug_assert!(fits, "a part of a target is a target");
            }
            Ok(())
        }
        Identifier::Static { path } => {
            name.extend_from_slice(path.as_encoded());
            Ok(())
        }
        // Indexed, they are a way of their own.
        Identifier::Routes { .. } => Err(Missed::Route),
    }
}

/// The value of a header; the authority for `Host`, which a head keeps apart.
fn value_of<'h, 'i>(head: &'h RequestHead, header: &'i str) -> Result<&'h [u8], Missed<'i>> {
    let value = if header.eq_ignore_ascii_case("host") {
        Some(head.authority())
    } else {
        head.fields.get_named(header.as_bytes())
    };
    value
        .filter(|value| !value.is_empty())
        .ok_or(Missed::Header(header))
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
}

/// Bytes of a path's first `n` segments, with the slashes before them.
fn length_of(path: &[u8], n: usize) -> usize {
    let mut rest = path;
    for _ in 0..n {
        let start = rest.iter().position(|byte| *byte != b'/');
        rest = &rest[start.unwrap_or(rest.len())..];
        rest = &rest[memchr::memchr(b'/', rest).unwrap_or(rest.len())..];
    }
    path.len() - rest.len()
}
