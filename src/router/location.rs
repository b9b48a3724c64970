//! `Location` and `Refresh`: where a replica sends the client, in words that the client understands.
//!
//! A replica that was asked for another path or by another host than the client asked for names, in
//! its redirects, what it was asked for; the client would go astray. What was changed on the way is
//! changed back (`auto`), or prefixes are replaced as they are written down.

use crate::config::resolved::{Format, LocationRule};
use crate::http::{Fields, Name, RequestHead};

/// Rewrites a response's fields by a rule. `put` writes what a rule's replacement says.
pub fn rewrite(
    rule: &LocationRule,
    head: &RequestHead,
    fields: &mut Fields,
    put: impl Fn(&Format, &mut Vec<u8>),
    scratch: &mut Vec<u8>,
) {
    let url = |url: &[u8], out: &mut Vec<u8>| match rule {
        LocationRule::Off => false,
        LocationRule::Auto => lead_back(head, url, out),
        LocationRule::Prefixes(pairs) => {
            let fits = |(from, _): &&(String, Format)| begins(url, from.as_bytes());
            let Some((from, to)) = pairs.iter().find(fits) else {
                return false;
            };
            put(to, out);
            out.extend_from_slice(&url[from.len()..]);
            true
        }
    };
    fields.edit(Name::Location, scratch, url);
    fields.edit(Name::Refresh, scratch, |value, out| {
        let Some((start, end)) = url_of_refresh(value) else {
            return false;
        };
        out.extend_from_slice(&value[..start]);
        let changed = url(&value[start..end], out);
        out.extend_from_slice(&value[end..]);
        changed
    });
}

/// Whether a URL begins like that, by whole segments.
pub fn begins(url: &[u8], prefix: &[u8]) -> bool {
    let Some(rest) = url.strip_prefix(prefix) else {
        return false;
    };
    prefix.ends_with(b"/") || matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))
}

/// Undoes what became of the request: the authority that it was asked under, and the start of its
/// path. Only for a URL of the place that was asked.
fn lead_back(head: &RequestHead, url: &[u8], out: &mut Vec<u8>) -> bool {
    let (received, asked) = (head.received_authority(), head.authority());
    let (scheme, authority, path) = take_apart(url);
    // Without an authority, `//host` is one after all, and what does not begin with a slash is
    // relative to what the client asked for.
    let is_of_asked = match authority {
        [] => path.starts_with(b"/") && !path.starts_with(b"//"),
        named => named.eq_ignore_ascii_case(asked),
    };
    let other_host = !authority.is_empty() && !received.is_empty() && received != asked;
    let moved = head.replaced_start().filter(|(_, new)| begins(path, new));
    if !is_of_asked || !(other_host || moved.is_some()) {
        return false;
    }
    out.extend_from_slice(scheme);
    out.extend_from_slice(if other_host { received } else { authority });
    let (old, new) = moved.unwrap_or_default();
    out.extend_from_slice(old);
    out.extend_from_slice(&path[new.len()..]);
    true
}

/// Scheme with `://`, authority, and the rest: path, query and fragment. The first two are empty for
/// a reference without them.
fn take_apart(url: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        let start = url.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let (scheme, rest) = url.split_at(scheme.map_or(0, <[u8]>::len));
    if scheme.is_empty() {
        return (scheme, &[], rest);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    (scheme, authority, path)
}

/// Where the URL of a `Refresh` stands: `5; url=/there`, perhaps in quotes.
fn url_of_refresh(value: &[u8]) -> Option<(usize, usize)> {
    let after = memchr::memchr2(b';', b',', value)? + 1;
    let spaces = |from: usize| {
        let rest = value[from..].iter();
        from + rest.take_while(|b| matches!(b, b' ' | b'\t')).count()
    };
    let name = spaces(after);
    let is_url = value.get(name..name + 3)?.eq_ignore_ascii_case(b"url");
    let equals = spaces(name + 3);
    (is_url && value.get(equals) == Some(&b'=')).then_some(())?;
    let start = spaces(equals + 1);
    match value.get(start) {
        Some(quote @ (b'"' | b'\'')) => {
            let rest = &value[start + 1..];
            let len = memchr::memchr(*quote, rest).unwrap_or(rest.len());
            Some((start + 1, start + 1 + len))
        }
        _ => Some((start, value.len())),
    }
}

#[cfg(test)]
mod tests;
