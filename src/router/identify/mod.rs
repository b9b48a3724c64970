//! Identification: from a request's head to its logical name.
//!
//! A name is written as [`Path::encode`] keeps it, into a vector of the request, so that looking a
//! known name up costs no allocation. Nor does an identifier that finds none, as long as another
//! does: what each missed is put into words only when all of them failed.

pub mod answer;
pub mod conditions;
mod plain;
pub mod routes;

use std::fmt;

use crate::config::resolved::{Action, Identifier, PathPattern, Route};
use crate::http::RequestHead;
use crate::naming::{ParseError, Path};

use super::refusal::Refusal;
use routes::Table;

/// The identifiers of one router on one shard, in the order in which they are tried.
pub struct Identifiers(Vec<Way>);

enum Way {
    Plain(Identifier),
    Routes(Box<Table>),
}

/// What identification came to.
pub enum Identified<'i> {
    /// The request has a name, by a route or otherwise.
    Named(Option<&'i Route>),
    /// Its route answers it.
    Answer(&'i Route),
}

impl Identifiers {
    #[must_use]
    pub fn new(identifiers: &[Identifier]) -> Identifiers {
        let way = |identifier: &Identifier| match identifier {
            Identifier::Routes { routes } => Way::Routes(Box::new(Table::new(routes))),
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
        for way in &self.0 {
            name.clear();
            name.extend_from_slice(prefix.as_encoded());
            if let Ok(found) = way.identify(head, name) {
                return Ok(found);
            }
        }
        let missed = self
            .0
            .iter()
            .filter_map(|way| way.identify(head, name).err());
        let missed: Vec<_> = missed.map(|missed| missed.to_string()).collect();
        Err(Refusal::client(
            400,
            "unidentified",
            format!("the request has no name: {}", missed.join("; ")),
        ))
    }
}

impl Way {
    /// Appends the name of a request, below the prefix that is there.
    fn identify(
        &self,
        head: &mut RequestHead,
        name: &mut Vec<u8>,
    ) -> Result<Identified<'_>, Missed<'_>> {
        match self {
            Way::Plain(identifier) => {
                plain::identify(identifier, head, name).map(|()| Identified::Named(None))
            }
            Way::Routes(table) => match table.find(head) {
                Some(route) => Ok(take(route, head, name)),
                None => Err(Missed::Route),
            },
        }
    }
}

/// Why an identifier found no name.
enum Missed<'i> {
    /// There is no header of this name, or nothing in it.
    Header(&'i str),
    /// The header of this name holds no path.
    Path(&'i str, Option<ParseError>),
    /// The path has fewer segments than this.
    Segments(usize),
    Route,
}

impl fmt::Display for Missed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Header(header) => write!(out, "{header} header is absent"),
            Missed::Path(header, Some(error)) => write!(out, "{header} header is no path: {error}"),
            Missed::Path(header, None) => write!(out, "{header} header is no path: it is not text"),
            Missed::Segments(n) => write!(out, "the path has fewer than {n} segments"),
            Missed::Route => out.write_str("no route fits"),
        }
    }
}

/// Does to a request what its route says.
fn take<'r>(route: &'r Route, head: &mut RequestHead, name: &mut Vec<u8>) -> Identified<'r> {
    let Action::Name { name: own, rewrite } = &route.action else {
        return Identified::Answer(route);
    };
    name.extend_from_slice(own.as_encoded());
    if let Some(rewrite) = rewrite {
        let matched = match &route.path {
            PathPattern::Prefix(matched) | PathPattern::Exact(matched) => matched.len(),
            PathPattern::Any | PathPattern::Regex(_) => 0,
        };
        let fits = head.replace_start(matched, rewrite.as_bytes(), name);
        debug_assert!(fits, "parts of checked targets are a target");
    }
    Identified::Named(Some(route))
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
        found.map_err(|refusal| refusal.text.to_string())?;
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
