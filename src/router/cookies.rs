//! `Set-Cookie`: the domain and the path that a replica gives a cookie, as the client knows them.
//!
//! A cookie for a path that only the replica knows would never be sent back. Attributes are taken
//! apart as browsers do (RFC 6265 §5.2), which is by semicolons whatever stands in quotes; all but
//! the value that is replaced stays as it was written.

use super::location::begins;
use crate::config::resolved::CookieRules;
use crate::http::{Fields, Name};

/// Rewrites a response's cookies.
pub fn rewrite(rules: &CookieRules, fields: &mut Fields, scratch: &mut Vec<u8>) {
    fields.edit(Name::SetCookie, scratch, |cookie, out| {
        let mut changed = false;
        for (at, part) in cookie.split(|b| *b == b';').enumerate() {
            if at > 0 {
                out.push(b';');
            }
            match replaced(rules, part).filter(|_| at > 0) {
                Some((before, to, rest)) => {
                    changed = true;
                    for text in [before, to, rest] {
                        out.extend_from_slice(text);
                    }
                }
                None => out.extend_from_slice(part),
            }
        }
        changed
    });
}

/// An attribute up to its value, what the start of the value is replaced by, and what follows.
fn replaced<'c>(
    rules: &'c CookieRules,
    attribute: &'c [u8],
) -> Option<(&'c [u8], &'c [u8], &'c [u8])> {
    let equals = memchr::memchr(b'=', attribute)?;
    let name = attribute[..equals].trim_ascii();
    let value = attribute[equals + 1..].trim_ascii_start();
    let before = &attribute[..attribute.len() - value.len()];
    let value = value.trim_ascii_end();
    if name.eq_ignore_ascii_case(b"domain") {
        let domain = value.strip_prefix(b".").unwrap_or(value);
        let mut pairs = rules.domain.iter();
        let fits = |(from, _): &&(String, String)| domain.eq_ignore_ascii_case(from.as_bytes());
        let (_, to) = pairs.find(fits)?;
        return Some((before, to.as_bytes(), b""));
    }
    if !name.eq_ignore_ascii_case(b"path") {
        return None;
    }
    let fits = |(from, _): &&(String, String)| begins(value, from.as_bytes());
    let (from, to) = rules.path.iter().find(fits)?;
    Some((before, to.as_bytes(), &value[from.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(cookie: &str) -> Option<String> {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let rules = CookieRules {
            domain: vec![pair("inner", "www.example"), pair("b.inner", "b.example")],
            path: vec![
                pair("/two/x", "/x"),
                pair("/two", "/api/two"),
                pair("/", "/site/"),
            ],
        };
        let mut fields = Fields::new();
        assert!(fields.push(b"Set-Cookie", cookie.as_bytes()));
        rewrite(&rules, &mut fields, &mut Vec::new());
        let text = String::from_utf8_lossy(fields.get(Name::SetCookie)?).into_owned();
        (text != cookie).then_some(text)
    }

    #[test]
    fn attributes_are_replaced_and_nothing_else() {
        for (cookie, expected) in [
            ("a=b; Domain=inner", "a=b; Domain=www.example"),
            (
                "a=b; domain = .B.Inner ; Secure",
                "a=b; domain = b.example; Secure",
            ),
            ("a=b;path=/two;HttpOnly", "a=b;path=/api/two;HttpOnly"),
            ("a=b; Path=/two/y", "a=b; Path=/api/two/y"),
            ("a=b; Path=/two/x/z", "a=b; Path=/x/z"),
            ("a=b; Path=/twofold", "a=b; Path=/site/twofold"),
            ("a=b; Path=/", "a=b; Path=/site/"),
            (
                "path=/two; Path=/two; Domain=inner; Max-Age=1",
                "path=/two; Path=/api/two; Domain=www.example; Max-Age=1",
            ),
            // Quotes hold nothing together.
            ("a=\"x; Path=/two\"", "a=\"x; Path=/site/two\""),
        ] {
            assert_eq!(rewritten(cookie).as_deref(), Some(expected), "{cookie}");
        }
    }

    #[test]
    fn what_does_not_fit_stays() {
        for cookie in [
            "a=b",
            "domain=inner",
            "a=b; Domain=outer",
            "a=b; Domain=x.inner",
            "a=b; Domain",
            "a=b; Path=two",
            "a=b; Path=",
            "",
            ";",
        ] {
            assert_eq!(rewritten(cookie), None, "{cookie}");
        }
    }
}
