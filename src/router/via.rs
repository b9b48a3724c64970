//! `Via`: by which proxies a message came (RFC 9110 §7.6.3), and what it says of circles.
//!
//! Tables that lead from proxy to proxy can be wrong in a way that leads back. Then a request goes
//! round until something breaks; counting the proxies that it came by ends it sooner.

use super::refusal::Refusal;
use crate::http::{Element, Fields, Name, Version};

/// # Errors
/// 400 if a request came by more than `limit` proxies.
pub fn check(fields: &Fields, limit: usize) -> Result<(), Refusal> {
    let lines = fields.iter().filter(|(id, ..)| *id == Name::Via);
    let elements = |value: &[u8]| match value.is_empty() {
        true => 0,
        false => memchr::memchr_iter(b',', value).count() + 1,
    };
    let depth: usize = lines.map(|(_, _, value)| elements(value)).sum();
    if depth > limit {
        let text = format!("the request came by {depth} proxies, more than {limit}: a circle?");
        return Err(Refusal::client(400, "max-call-depth", text));
    }
    Ok(())
}

/// Adds this proxy to those by which a message came, which was received in `version`.
pub fn append(fields: &mut Fields, version: Version) {
    const HTTP_10: Element = Element::new("1.0 ringlink");
    const HTTP_11: Element = Element::new("1.1 ringlink");
    const HTTP_2: Element = Element::new("2.0 ringlink");
    let element = match version {
        Version::Http10 => HTTP_10,
        Version::Http11 => HTTP_11,
        Version::Http2 => HTTP_2,
    };
    fields.append_element(Name::Via, element);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_all_lines_count() {
        let mut fields = Fields::new();
        assert!(check(&fields, 0).is_ok());
        for (value, depth) in [("1.1 a", 1), ("1.0 b, 1.1 c", 3), ("", 3), (",", 5)] {
            assert!(fields.push(b"VIA", value.as_bytes()));
            assert!(check(&fields, depth).is_ok(), "{value}");
            let refusal = check(&fields, depth - 1).unwrap_err();
            assert_eq!((refusal.status, refusal.reason), (400, "max-call-depth"));
        }
    }

    #[test]
    fn the_list_goes_on() {
        let mut fields = Fields::new();
        append(&mut fields, Version::Http10);
        append(&mut fields, Version::Http11);
        assert_eq!(
            fields.get(Name::Via),
            Some(&b"1.0 ringlink, 1.1 ringlink"[..])
        );
    }
}
