//! Identification: from a request's head to its logical name.
//!
//! A name is written as [`Path::encode`] keeps it, into a vector of the request, so that looking a
//! known name up costs no allocation.

pub mod answer;
pub mod conditions;
pub mod routes;

use crate::config::resolved::{Action, Identifier, PathPattern, Route};
use crate::http::{RequestHead, Version};
use crate::naming::Path;

use super::refusal::Refusal;
use routes::Table;

/// The identifiers of one router on one shard, in the order in which they are tried.
pub struct Identifiers(Vec<Way>);

enum Way {
    Plain(Identifier),
    Routes(Table),
}

/// What identification came to.
pub enum Identified<'i> {
    /// The request has a name.
    Named,
    /// Its route answers it.
    Answer(&'i Action),
}

impl Identifiers {
    #[must_use]
    pub fn new(identifiers: &[Identifier]) -> Identifiers {
        let way = |identifier: &Identifier| match identifier {
            Identifier::Routes { routes } => Way::Routes(Table::new(routes)),
            plain => Way::Plain(plain.clone()),
        };
        Identifiers(identifiers.iter().map(way).collect())
    }

    /// Writes the logical name of `head` into `name`: the first identifier that finds one wins.
    ///
    /// # Errors
    /// 400 with what each identifier missed.
    pub fn identify(
        &self,
        prefix: &Path,
        head: &mut RequestHead,
        name: &mut Vec<u8>,
    ) -> Result<Identified<'_>, Refusal> {
        let mut missed = Vec::new();
        for way in &self.0 {
            name.clear();
            name.extend_from_slice(prefix.as_encoded());
            let found = match way {
                Way::Plain(identifier) => apply(identifier, head, name).map(|()| Identified::Named),
                Way::Routes(table) => match table.find(head) {
                    Some(route) => Ok(take(route, head, name)),
                    None => Err("no route fits".to_owned()),
                },
            };
            match found {
                Ok(found) => return Ok(found),
                Err(why) => missed.push(why),
            }
        }
        Err(Refusal::client(
            400,
            "unidentified",
            format!("the request has no name: {}", missed.join("; ")),
        ))
    }
}

/// Does to a request what its route says.
fn take<'r>(route: &'r Route, head: &mut RequestHead, name: &mut Vec<u8>) -> Identified<'r> {
    let Action::Name { name: own, rewrite } = &route.action else {
        return Identified::Answer(&route.action);
    };
    name.extend_from_slice(own.as_encoded());
    if let Some(rewrite) = rewrite {
        let matched = match &route.path {
            PathPattern::Prefix(matched) | PathPattern::Exact(matched) => matched.len(),
            PathPattern::Any | PathPattern::Regex(_) => 0,
        };
        // The name's vector is at hand and has room: nothing is allocated.
        let start = name.len();
        let rest = head.path().get(matched..).unwrap_or_default();
        name.extend_from_slice(rewrite.as_bytes());
        name.extend_from_slice(rest);
        if name.len() == start {
            name.push(b'/');
        }
        name.extend_from_slice(&head.target()[head.path().len()..]);
        let fits = head.set_target(&name[start..]);
        debug_assert!(fits, "parts of checked targets are a target");
        name.truncate(start);
    }
    Identified::Named
}

fn apply(
    identifier: &Identifier,
    head: &mut RequestHead,
    name: &mut Vec<u8>,
) -> Result<(), String> {
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
                Some(Err(error)) => return Err(format!("{header} header is no path: {error}")),
                None => return Err(format!("{header} header is no path: it is not text")),
            }
            Ok(())
        }
        Identifier::MethodAndHost { uri_in_dst } => {
            if head.version == Version::Http10 {
                Path::encode(b"1.0", name);
                Path::encode(head.method_bytes(), name);
            } else {
                if head.authority().is_empty() {
                    return Err("Host header is absent".to_owned());
                }
                Path::encode(b"1.1", name);
                Path::encode(head.method_bytes(), name);
                Path::encode(&head.authority().to_ascii_lowercase(), name);
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
                return Err(format!("the path has fewer than {n} segments"));
            }
            if *consume {
                consume_segments(head, *n);
            }
            Ok(())
        }
        Identifier::Static { path } => {
            name.extend_from_slice(path.as_encoded());
            Ok(())
        }
        // Indexed, they are a way of their own.
        Identifier::Routes { .. } => Err("no route fits".to_owned()),
    }
}

/// The value of a header; the authority for `Host`, which a head keeps apart.
fn value_of<'h>(head: &'h RequestHead, header: &str) -> Result<&'h [u8], String> {
    let value = if header.eq_ignore_ascii_case("host") {
        Some(head.authority())
    } else {
        head.fields.get_named(header.as_bytes())
    };
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("{header} header is absent"))
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
}

/// Removes the first `n` segments of the path, keeping the query and a trailing slash.
fn consume_segments(head: &mut RequestHead, n: usize) {
    let path_len = head.path().len();
    let mut rest = head.path();
    for _ in 0..n {
        let start = rest
            .iter()
            .position(|byte| *byte != b'/')
            .unwrap_or(rest.len());
        rest = &rest[start..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(rest.len());
        rest = &rest[end..];
    }
    let mut target = if rest.is_empty() {
        b"/".to_vec()
    } else {
        rest.to_vec()
    };
    target.extend_from_slice(&head.target()[path_len..]);
    let fits = head.set_target(&target);
    debug_assert!(fits, "part of a checked target is a target");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::{HeadReader, Limits};

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::new();
        HeadReader::new()
            .request(text.as_bytes(), &Limits::default(), &mut head)
            .expect("a valid request");
        head
    }

    fn name_of(identifier: Identifier, text: &str) -> Result<(String, RequestHead), String> {
        let mut head = head(text);
        let mut name = Vec::new();
        let prefix: Path = "/svc".parse().unwrap();
        let found = Identifiers::new(&[identifier])
            .identify(&prefix, &mut head, &mut name)
            .map(|_| ());
        found.map_err(|refusal| refusal.text.into_owned())?;
        Ok((Path::from_encoded(&name).to_string(), head))
    }

    #[test]
    fn each_kind_finds_its_name() {
        let token = Identifier::HeaderToken {
            header: "Host".into(),
        };
        let get = "GET /users/7/x?q=1 HTTP/1.1\r\nHost: Web:8080\r\nx-to: red\r\n\r\n";
        assert_eq!(name_of(token, get).unwrap().0, "/svc/Web:8080");
        let token = Identifier::HeaderToken {
            header: "X-To".into(),
        };
        assert_eq!(name_of(token, get).unwrap().0, "/svc/red");
        let named = |value: &str| {
            let header = "l5d-name".to_owned();
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nL5d-Name: {value}\r\n\r\n");
            name_of(Identifier::Header { header }, &request).map(|(name, _)| name)
        };
        assert_eq!(named("/web/v2").unwrap(), "/svc/web/v2");
        assert_eq!(named("/").unwrap(), "/svc");
        assert!(named("web").unwrap_err().contains("is no path"));
        assert!(named("/a b").unwrap_err().contains("is no path"));
        assert!(named("/\u{e9}").unwrap_err().contains("is no path"));
        assert!(named("").unwrap_err().contains("absent"));
        let host = Identifier::MethodAndHost { uri_in_dst: false };
        assert_eq!(name_of(host, get).unwrap().0, "/svc/1.1/GET/web:8080");
        let host = Identifier::MethodAndHost { uri_in_dst: true };
        assert_eq!(
            name_of(host, get).unwrap().0,
            "/svc/1.1/GET/web:8080/users/7/x"
        );
        let path = Identifier::Path {
            segments: 2,
            consume: true,
        };
        let (name, head) = name_of(path, get).unwrap();
        assert_eq!(name, "/svc/users/7");
        assert_eq!(head.target(), b"/x?q=1");
        let path = Identifier::Path {
            segments: 3,
            consume: true,
        };
        assert_eq!(name_of(path, get).unwrap().1.target(), b"/?q=1");
        let path = Identifier::Path {
            segments: 4,
            consume: false,
        };
        assert!(name_of(path, get).unwrap_err().contains("fewer than 4"));
        let fixed = Identifier::Static {
            path: "/a/b".parse().unwrap(),
        };
        assert_eq!(name_of(fixed, get).unwrap().0, "/svc/a/b");
    }
}
