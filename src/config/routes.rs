//! `io.l5d.routes` from the file: an ordered table for people who think in locations.
//!
//! Everything that could surprise at run time is refused here: conditions on headers that a head
//! does not keep, rewrites without a prefix to replace, redirects that leave it to the client which
//! host they lead to.

use std::net::Ipv6Addr;
use std::rc::Rc;

use super::cursor::Cursor;
use super::format::{self, Format};
use super::headers::rules;
use super::identifier::header;
use super::keys;
use super::resolved::{Action, Fixed, HostPattern, PathPattern, Propagator, Route, Wanted};
use super::value::{Value, shown};
use super::yaml::Node;

/// Bytes of the program that one regular expression may become.
const REGEX_BYTES: usize = 64 * 1024;
/// Bytes of a fixed response, which every shard copies for each request.
const MOST_BODY: usize = 64 * 1024;

/// Fields that a head reads into its meaning and does not keep: no condition on them can hold.
const NOT_KEPT: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The `routes` of an `io.l5d.routes`.
pub fn routes(block: &mut Cursor<'_>, propagator: Propagator) -> Option<Vec<Route>> {
    let value = block.required("routes", "an ordered list: the first that fits wins")?;
    let items = value.list()?;
    if items.is_empty() {
        value.wrong_help("no routes", "the table has at least one");
    }
    let items = items.into_iter();
    Some(items.filter_map(|v| route(v, propagator)).collect())
}

fn route(value: Value<'_>, propagator: Propagator) -> Option<Route> {
    let mut block = Cursor::open(value.clone(), &keys::ROUTE);
    let hosts = block.get("host").map_or_else(Vec::new, |v| hosts(&v));
    let path = path(&mut block);
    let methods = block.get("methods").map_or_else(Vec::new, |v| methods(&v));
    let headers = block.get("headers").map_or_else(Vec::new, |v| headers(&v));
    let query = block.get("query").map_or_else(Vec::new, |v| query(&v));
    let action = action(&value, &mut block, &path);
    let rules = rules(&mut block, propagator);
    let goes_on = matches!(action, None | Some(Action::Name { .. }));
    for key in ["requestHeaders", "rewriteLocation", "rewriteCookies"] {
        if let (false, Some(given)) = (goes_on, block.get(key)) {
            given.wrong("it is about requests that go to a `name`");
        }
    }
    block.finish();
    let action = action?;
    if !goes_on && methods.iter().any(|m| m == "CONNECT") {
        value.wrong("a tunnel cannot be redirected or answered: CONNECT needs a `name`");
    }
    Some(Route {
        hosts,
        path,
        methods,
        headers,
        query,
        action,
        rules,
    })
}

/// One text or a list of them.
fn texts<'a>(value: &Value<'a>, what: &str) -> Vec<(Value<'a>, &'a str)> {
    let items = match value.is_list() {
        true => value.list().unwrap_or_default(),
        false => vec![value.clone()],
    };
    if items.is_empty() {
        value.wrong_help("the list is empty", "leave it out for any");
    }
    let text = |item: Value<'a>| item.text(what).map(|text| (item, text));
    items.into_iter().filter_map(text).collect()
}

fn hosts(value: &Value<'_>) -> Vec<HostPattern> {
    let one = |(item, text): (Value<'_>, &str)| {
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let literal = !below && inner.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let label = |label: &str| !label.is_empty();
        let plain = name.bytes().all(allowed) && name.split('.').all(label);
        if name.len() > 253 || !(literal || plain) {
            item.wrong_help(
                format!("`{}` is not a host", shown(text)),
                "a name without port, such as www.example.com or *.example.com",
            );
            return None;
        }
        Some(match below {
            true => HostPattern::Below(name.to_owned()),
            false => HostPattern::Exact(name.to_owned()),
        })
    };
    texts(value, "a host").into_iter().filter_map(one).collect()
}

pub fn methods(value: &Value<'_>) -> Vec<String> {
    let one = |(item, text): (Value<'_>, &str)| {
        let good = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if !good {
            let message = format!("`{}` is not a method", shown(text));
            item.wrong_help(message, "methods are upper case, such as GET");
        }
        good.then(|| text.to_owned())
    };
    let found = texts(value, "a method").into_iter();
    found.filter_map(one).collect()
}

pub fn headers(value: &Value<'_>) -> Vec<(String, Wanted)> {
    let mut found: Vec<(String, Wanted)> = Vec::new();
    for (key, wanted) in conditions(value) {
        let Some(name) = header(&key) else { continue };
        let lower = name.to_ascii_lowercase();
        if NOT_KEPT.contains(&lower.as_str()) {
            let help = if lower == "host" {
                "use `host` of the route"
            } else {
                "it says how the message is framed, not what is asked for"
            };
            key.wrong_help(format!("no condition can be put on `{name}`"), help);
        } else if found.iter().any(|(other, _)| *other == lower) {
            key.wrong(format!("duplicate header `{}`", shown(&name)));
        } else {
            found.push((lower, wanted));
        }
    }
    found
}

fn query(value: &Value<'_>) -> Vec<(String, Wanted)> {
    let mut found: Vec<(String, Wanted)> = Vec::new();
    for (key, wanted) in conditions(value) {
        let Some(name) = key.text("the name of a parameter") else {
            continue;
        };
        let plain = |text: &str| {
            let bad = |b: u8| b <= b' ' || b >= 0x7f || b"&#".contains(&b);
            !text.bytes().any(bad)
        };
        let value_fits = match &wanted {
            Wanted::Value(value) => plain(value),
            Wanted::Present => true,
        };
        if !plain(name) || name.contains('=') || !value_fits {
            key.wrong_help(
                format!("`{}` can never be in a query", shown(name)),
                "write it as it is sent, percent-encoded",
            );
        } else if found.iter().any(|(other, _)| other == name) {
            key.wrong(format!("duplicate parameter `{}`", shown(name)));
        } else {
            found.push((name.to_owned(), wanted));
        }
    }
    found
}

/// A map from names to what they must be; `*` is "there, whatever its value".
fn conditions<'a>(value: &Value<'a>) -> Vec<(Value<'a>, Wanted)> {
    let pairs = value.map().unwrap_or_default();
    let one = |(key, node): &'a (Rc<Node>, Rc<Node>)| {
        let at = |node: &'a Rc<Node>| Value {
            context: value.context,
            node,
            place: value.place.clone(),
        };
        let text = at(node).text("a value, or \"*\" for any")?;
        let wanted = match text {
            "*" => Wanted::Present,
            text => Wanted::Value(text.to_owned()),
        };
        Some((at(key), wanted))
    };
    pairs.iter().filter_map(one).collect()
}

fn path(block: &mut Cursor<'_>) -> PathPattern {
    let (prefix, exact, regex) = (block.get("path"), block.get("exact"), block.get("regex"));
    let given = [&prefix, &exact, &regex];
    if let Some(second) = given.into_iter().flatten().nth(1) {
        second.wrong("a route has one of `path`, `exact` and `regex`");
    }
    if let Some(value) = prefix {
        let text = path_text(&value).unwrap_or_default();
        return PathPattern::Prefix(text.trim_end_matches('/').to_owned());
    }
    if let Some(value) = exact {
        return PathPattern::Exact(path_text(&value).unwrap_or_default().to_owned());
    }
    regex
        .and_then(|v| self::regex(&v))
        .map_or(PathPattern::Any, PathPattern::Regex)
}

pub fn path_text<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.text("a path")?;
    let bad = |b: u8| b <= b' ' || b >= 0x7f || b"?#".contains(&b);
    if !text.starts_with('/') || text.bytes().any(bad) {
        value.wrong_help(
            format!("`{}` is not the path of a URI", shown(text)),
            "it begins with `/` and is written as it is sent, percent-encoded, without query",
        );
        return None;
    }
    Some(text)
}

fn regex(value: &Value<'_>) -> Option<regex::bytes::Regex> {
    let text = value.text("a regular expression")?;
    let built = regex::bytes::RegexBuilder::new(text)
        // Paths are ASCII; Unicode's classes would only be large.
        .unicode(false)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(4 * REGEX_BYTES)
        .build();
    match built {
        Ok(regex) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            value.wrong("the regular expression is too large: use fewer repetitions");
            None
        }
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            let why = last.trim_start_matches("error: ");
            value.wrong(format!("not a regular expression: {why}"));
            None
        }
    }
}

fn action(value: &Value<'_>, block: &mut Cursor<'_>, path: &PathPattern) -> Option<Action> {
    let name = block.get("name");
    let redirect = block.get("redirect");
    let respond = block.get("respond");
    let rewrite = block.get("rewritePrefix");
    let given = [&name, &redirect, &respond];
    if given.iter().filter(|given| given.is_some()).count() != 1 {
        value.wrong("a route has one of `name`, `redirect` and `respond`");
        return None;
    }
    if let (None, Some(rewrite)) = (&name, &rewrite) {
        rewrite.wrong("only a request that goes to a `name` is rewritten");
    }
    if let Some(value) = redirect {
        return self::redirect(value);
    }
    if let Some(value) = respond {
        return self::respond(value);
    }
    let replaceable = matches!(path, PathPattern::Prefix(_) | PathPattern::Exact(_));
    if let (Some(rewrite), false) = (&rewrite, replaceable) {
        rewrite.wrong_help("there is no prefix to replace", "give the route a `path`");
    }
    let rewrite = rewrite.and_then(|v| path_text(&v));
    Some(Action::Name {
        name: name?.path()?,
        rewrite: rewrite.map(|text| text.trim_end_matches('/').to_owned()),
    })
}

fn redirect(value: Value<'_>) -> Option<Action> {
    let mut block = Cursor::open(value, &keys::REDIRECT);
    let to = block.required("to", "where the client shall go");
    let status = match block.get("status") {
        None => Some(302),
        Some(given) => redirect_status(&given),
    };
    block.finish();
    let to = target(&to?)?;
    Some(Action::Redirect {
        to,
        status: status?,
    })
}

fn redirect_status(value: &Value<'_>) -> Option<u16> {
    let status = value.int(300..=399)?;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{status} redirects nowhere");
        value.wrong_help(message, "one of: 301, 302, 303, 307, 308");
        return None;
    }
    u16::try_from(status).ok()
}

fn target(value: &Value<'_>) -> Option<Format> {
    let text = value.text("a URL")?;
    if text.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        value.wrong_help(
            format!("`{}` is not a URL", shown(text)),
            "write it percent-encoded",
        );
        return None;
    }
    let target = format::format(value, text, format::PLACE)?;
    leads_somewhere(value, text)?;
    Some(target)
}

/// `//host` is another host to a browser, so what comes before a client's path must end that
/// possibility.
fn leads_somewhere(value: &Value<'_>, text: &str) -> Option<()> {
    let authority = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let good = match authority {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let authority = rest[..end].split("$path").next().unwrap_or_default();
            let authority = authority.split("$query").next().unwrap_or_default();
            !authority.is_empty()
        }
        None => {
            let rest = text.strip_prefix('/');
            rest.is_some_and(|rest| !rest.starts_with(['/', '\\', '$']))
        }
    };
    if !good {
        value.wrong_help(
            "the client's path would decide which host it leads to",
            "begin with http://host, https://host, or `/` and the first letters of a path",
        );
    }
    good.then_some(())
}

fn respond(value: Value<'_>) -> Option<Action> {
    let mut block = Cursor::open(value, &keys::RESPOND);
    let status: u16 = block.int("status", 200..=599, 200);
    let body = match block.get("body") {
        None => "",
        Some(given) => given.any_text("the body")?,
    };
    if !body.is_empty() && matches!(status, 204 | 205 | 304) {
        if let Some(given) = block.get("body") {
            given.wrong(format!("a response with status {status} has no body"));
        }
    } else if body.len() > MOST_BODY
        && let Some(given) = block.get("body")
    {
        given.wrong(format!("the body has more than {MOST_BODY} bytes"));
    }
    let content_type = match block.get("contentType") {
        None => "text/plain; charset=utf-8",
        Some(given) => {
            let text = given.text("a media type")?;
            if text.bytes().any(|b| !(b' '..0x7f).contains(&b)) || !text.contains('/') {
                given.wrong(format!("`{}` is not a media type", shown(text)));
            }
            text
        }
    };
    block.finish();
    Some(Action::Respond(Fixed {
        status,
        body: body.to_owned(),
        content_type: content_type.to_owned(),
    }))
}
