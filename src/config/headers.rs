//! Rules about headers from the file.
//!
//! What ringlink writes itself cannot be the subject of a rule: two writers of one field are how a
//! message comes to mean two things. That is refused here, with the key that does what was meant
//! where there is one.

use super::cursor::Cursor;
use super::format::{self, Format, Part};
use super::identifier::header;
use super::keys;
use super::resolved::Propagator;
use super::rules::{CookieRules, FieldName, HeaderRules, LocationRule, Rules};
use super::value::{Value, shown};
use crate::http::Name;
use crate::http::fields::is_value;
use crate::http::message::is_authority;

/// Bytes of a value as written.
const MOST_VALUE: usize = 8 * 1024;

/// Whose head a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// The rules of a router or a route: four keys that both have.
pub fn rules(block: &mut Cursor<'_>, propagator: Propagator) -> Rules {
    let mut of = |key, side| {
        let value = block.get(key);
        value.map_or_else(HeaderRules::default, |v| header_rules(v, side, propagator))
    };
    let request = of("requestHeaders", Side::Request);
    let response = of("responseHeaders", Side::Response);
    let location = block.get("rewriteLocation").and_then(|v| location(&v));
    let cookies = block.get("rewriteCookies").map(cookies);
    let in_location = match &location {
        Some(LocationRule::Prefixes(pairs)) => pairs.iter().any(|(_, to)| to.has(&Part::ClientIp)),
        _ => false,
    };
    let client_ip = [&request, &response].map(|rules| rules.has(&Part::ClientIp));
    Rules {
        client_ip: in_location || client_ip.contains(&true),
        request,
        response,
        location,
        cookies,
    }
}

/// The name of a field that may be written by somebody else than ringlink.
pub fn field_name(value: &Value<'_>, side: Side, propagator: Propagator) -> Option<FieldName> {
    let text = header(value)?;
    let id = Name::of(text.as_bytes());
    let problem = |help: &str| {
        let message = format!("`{}` is written by ringlink itself", shown(&text));
        value.wrong_help(message, help);
        None
    };
    if id == Name::Host && side == Side::Request {
        return problem("it can be `set`, and nothing else");
    }
    if id.is_hop_by_hop() || id.is_carried_apart() {
        return problem("it says how a message is framed, or is about one connection");
    }
    let lower = text.to_ascii_lowercase();
    let is_context = lower.starts_with("l5d-ctx-")
        || lower.starts_with("l5d-dst-")
        || lower == "l5d-reqid"
        || (propagator == Propagator::Zipkin && (lower == "b3" || lower.starts_with("x-b3-")));
    if side == Side::Request && is_context {
        return problem("it tells the replica of the request's context");
    }
    Some(FieldName { text, id })
}

fn header_rules(value: Value<'_>, side: Side, propagator: Propagator) -> HeaderRules {
    let mut block = Cursor::open(value, &keys::headers::RULES);
    let mut rules = HeaderRules::default();
    if let Some(remove) = block.get("remove") {
        for item in items(&remove) {
            let name = field_name(&item, side, propagator);
            add(&item, name, &mut rules.remove, same_name);
        }
    }
    let same = |one: &(FieldName, Format), other: &(FieldName, Format)| same_name(&one.0, &other.0);
    for (key, given) in block.get("set").map_or_else(Vec::new, |v| v.entries()) {
        let is_host = side == Side::Request
            && key
                .any_text("the name of a header")
                .is_some_and(|text| text.eq_ignore_ascii_case("host"));
        let name = match is_host {
            true => key.text("Host").map(|text| FieldName {
                text: text.to_owned(),
                id: Name::Host,
            }),
            false => field_name(&key, side, propagator),
        };
        let format = match is_host {
            true => host(&given),
            false => self::value(&given),
        };
        let removed = name.as_ref().is_some_and(|name| has(&rules.remove, name));
        if removed {
            key.wrong("it is both removed and set");
        }
        add(&key, name.zip(format), &mut rules.set, same);
    }
    for (key, given) in block.get("add").map_or_else(Vec::new, |v| v.entries()) {
        let Some(name) = field_name(&key, side, propagator) else {
            continue;
        };
        if rules.add.iter().any(|(other, _)| same_name(other, &name)) {
            key.wrong(format!("duplicate header `{}`", shown(&name.text)));
        }
        let values = items(&given).into_iter();
        let formats = values.filter_map(|item| self::value(&item));
        rules
            .add
            .extend(formats.map(|format| (name.clone(), format)));
    }
    block.finish();
    rules
}

fn same_name(one: &FieldName, other: &FieldName) -> bool {
    one.text.eq_ignore_ascii_case(&other.text)
}

fn has(names: &[FieldName], name: &FieldName) -> bool {
    names.iter().any(|other| same_name(other, name))
}

/// One value or a list of them.
fn items<'a>(value: &Value<'a>) -> Vec<Value<'a>> {
    if !value.is_list() {
        return vec![value.clone()];
    }
    let items = value.list().unwrap_or_default();
    if items.is_empty() {
        value.wrong_help("the list is empty", "leave it out");
    }
    items
}

/// What a field is to say.
fn value(given: &Value<'_>) -> Option<Format> {
    let text = given.any_text("the value of a header")?;
    if !is_value(text.as_bytes()) {
        given.wrong(format!("`{}` cannot stand in a header", shown(text)));
        return None;
    }
    if text.trim() != text {
        given.wrong("white space around a value does not arrive");
    }
    if text.len() > MOST_VALUE {
        given.wrong(format!("the value has more than {MOST_VALUE} bytes"));
    }
    format::format(given, text, format::REQUEST)
}

/// What Host is to say: `host[:port]`, of which a part may be the host that was asked for.
fn host(given: &Value<'_>) -> Option<Format> {
    let text = given.text("a host")?;
    let format = format::format(given, text, &[("host", Part::Host)])?;
    let sample: String = format.parts.iter().map(in_host).collect();
    if !is_authority(sample.as_bytes()) {
        let message = format!("`{}` is not a host", shown(text));
        given.wrong_help(message, "a name or an address, and perhaps a port");
        return None;
    }
    Some(format)
}

fn in_host(part: &Part) -> &str {
    match part {
        Part::Text(text) => text,
        _ => "h",
    }
}

fn location(value: &Value<'_>) -> Option<LocationRule> {
    if !value.is_map() {
        return match value.text("auto, off or a map")? {
            "auto" => Some(LocationRule::Auto),
            "off" => Some(LocationRule::Off),
            other => {
                let message = format!("`{}` is neither auto nor off nor a map", shown(other));
                value.wrong(message);
                None
            }
        };
    }
    let mut pairs = Vec::new();
    for (key, given) in value.entries() {
        let from = key.text("how a Location begins");
        let to = given.text("how it is to begin");
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        let (good, slashes) = (is_start(&key, from), same_end(&given, from, to));
        let format = format::format(&given, to, format::REQUEST);
        let fits = is_start(&given, to) && good && slashes;
        let pair = format.map(|format| (from.to_owned(), format));
        add(&key, pair.filter(|_| fits), &mut pairs, |a, b| a.0 == b.0);
    }
    pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    Some(LocationRule::Prefixes(pairs))
}

/// Whether a Location can begin like that.
fn is_start(value: &Value<'_>, text: &str) -> bool {
    let begins = ["/", "http://", "https://"].iter();
    let begins = begins.clone().any(|start| text.starts_with(start));
    let plain = text.bytes().all(|b| b > b' ' && b < 0x7f);
    if !(begins && plain) {
        let message = format!("`{}` is not how a Location begins", shown(text));
        value.wrong_help(
            message,
            "with `/`, `http://` or `https://`, percent-encoded",
        );
    }
    begins && plain
}

/// `/one/` replaced by `/two` would run two segments together.
fn same_end(value: &Value<'_>, from: &str, to: &str) -> bool {
    let same = from.ends_with('/') == to.ends_with('/');
    if !same {
        let message = format!("`{}` and `{}` end differently", shown(from), shown(to));
        value.wrong_help(message, "end both with a slash, or neither");
    }
    same
}

fn cookies(value: Value<'_>) -> CookieRules {
    let mut block = Cursor::open(value, &keys::headers::COOKIES);
    let mut rules = CookieRules::default();
    for (key, given) in block.get("domain").map_or_else(Vec::new, |v| v.entries()) {
        let pair = domain(&key).zip(domain(&given));
        add(&key, pair, &mut rules.domain, |a, b| a.0 == b.0);
    }
    for (key, given) in block.get("path").map_or_else(Vec::new, |v| v.entries()) {
        let pair = cookie_path(&key).zip(cookie_path(&given));
        let pair = pair.filter(|(from, to)| same_end(&given, from, to));
        add(&key, pair, &mut rules.path, |a, b| a.0 == b.0);
    }
    rules
        .path
        .sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    block.finish();
    rules
}

/// A domain as cookies compare it: in lower case, without the dot at its start (RFC 6265 §5.2.3).
fn domain(value: &Value<'_>) -> Option<String> {
    let text = value.text("a domain")?;
    let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let plain = name.bytes().all(allowed) && name.split('.').all(|label| !label.is_empty());
    if !plain {
        let message = format!("`{}` is not the domain of a cookie", shown(text));
        value.wrong_help(message, "a name such as example.com");
        return None;
    }
    Some(name)
}

fn cookie_path(value: &Value<'_>) -> Option<String> {
    let text = value.text("a path")?;
    let good = |b: u8| b > b' ' && b < 0x7f && b != b';';
    if !text.starts_with('/') || !text.bytes().all(good) {
        let message = format!("`{}` is not the path of a cookie", shown(text));
        value.wrong_help(message, "it begins with `/` and has no `;`");
        return None;
    }
    Some(text.to_owned())
}

/// Adds what was read, unless its like is there.
fn add<T>(at: &Value<'_>, given: Option<T>, to: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    let Some(given) = given else { return };
    if to.iter().any(|other| same(other, &given)) {
        at.wrong("it is there twice");
    } else {
        to.push(given);
    }
}
