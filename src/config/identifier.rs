//! How requests get their names: the identifiers of a router.

use super::cursor::{Cursor, open_kind};
use super::keys;
use super::resolved::{Identifier, Propagator};
use super::routes::routes;
use super::value::{Value, shown};

/// The identifiers of a router, in the order in which they are tried.
pub fn identifiers(given: Option<Value<'_>>, propagator: Propagator) -> Vec<Identifier> {
    let Some(value) = given else {
        return vec![Identifier::HeaderToken {
            header: "Host".to_owned(),
        }];
    };
    if !value.is_list() {
        return identifier(value, propagator).into_iter().collect();
    }
    let items = value.list().unwrap_or_default();
    if items.is_empty() {
        value.wrong_help("no identifiers", "leave it out for io.l5d.header.token");
    }
    let items = items.into_iter();
    items.filter_map(|v| identifier(v, propagator)).collect()
}

fn identifier(value: Value<'_>, propagator: Propagator) -> Option<Identifier> {
    let (kind, mut block) = open_kind(value, &keys::IDENTIFIERS, None)?;
    let identifier = match kind {
        "io.l5d.methodAndHost" => Some(Identifier::MethodAndHost {
            uri_in_dst: block.flag("httpUriInDst", false),
        }),
        "io.l5d.path" => Some(Identifier::Path {
            segments: block.int("segments", 1..=256, 1),
            consume: block.flag("consume", false),
        }),
        "io.l5d.static" => {
            let path = block.required("path", "the name of every request");
            let path = path.and_then(|v| v.path());
            path.map(|path| Identifier::Static { path })
        }
        "io.l5d.header" => Some(Identifier::Header {
            header: header_of(&mut block, "l5d-name"),
        }),
        "io.l5d.routes" => routes(&mut block, propagator).map(|routes| Identifier::Routes {
            routes: routes.into(),
        }),
        _ => Some(Identifier::HeaderToken {
            header: header_of(&mut block, "Host"),
        }),
    };
    block.finish();
    identifier
}

fn header_of(block: &mut Cursor<'_>, default: &str) -> String {
    let given = block.get("header").and_then(|v| header(&v));
    given.unwrap_or_else(|| default.to_owned())
}

/// A field name: RFC 9110 §5.1, a token.
pub fn header(value: &Value<'_>) -> Option<String> {
    token(value, "header")
}

/// A name that is a token (RFC 9110 §5.6.2).
pub fn token(value: &Value<'_>, what: &str) -> Option<String> {
    let name = value.text(&format!("the name of a {what}"))?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(token) {
        value.wrong(format!("`{}` is not the name of a {what}", shown(name)));
        return None;
    }
    Some(name.to_owned())
}

impl Identifier {
    /// The canonical name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Identifier::HeaderToken { .. } => "io.l5d.header.token",
            Identifier::Header { .. } => "io.l5d.header",
            Identifier::MethodAndHost { .. } => "io.l5d.methodAndHost",
            Identifier::Path { .. } => "io.l5d.path",
            Identifier::Static { .. } => "io.l5d.static",
            Identifier::Routes { .. } => "io.l5d.routes",
        }
    }
}
