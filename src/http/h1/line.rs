//! A field line: `name ":" OWS value OWS CRLF`, and nothing that is nearly one (RFC 9112 §5).
//!
//! The good case is decided first and fast; which rule a bad line breaks is found out afterwards, in
//! a function of its own that only bad lines pay for.

use super::error::HeadError;
use crate::http::fields::is_value;
use crate::http::name::{Name, leading_token};

/// Where the parts of a field line are, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldLine {
    pub name_end: usize,
    pub value_start: usize,
    pub value_end: usize,
    pub id: Name,
}

/// Takes the CRLF off a line that ends in LF (RFC 9112 §2.2).
pub(super) fn without_crlf(line: &[u8]) -> Result<&[u8], HeadError> {
    line.strip_suffix(b"\r\n").ok_or(HeadError::BareLf)
}

/// Reads a field line without its CRLF.
pub(super) fn field_line(line: &[u8]) -> Result<FieldLine, HeadError> {
    let (name_end, id) = leading_token(line);
    if name_end == 0 || line.get(name_end) != Some(&b':') {
        return Err(bad_name(line, name_end));
    }
    let is_space = |b: &u8| *b == b' ' || *b == b'\t';
    let after = &line[name_end + 1..];
    let lead = after
        .iter()
        .position(|b| !is_space(b))
        .unwrap_or(after.len());
    let trail = after[lead..]
        .iter()
        .rev()
        .take_while(|b| is_space(b))
        .count();
    let (value_start, value_end) = (name_end + 1 + lead, line.len() - trail);
    let value = &line[value_start..value_end];
    if !is_value(value) {
        return Err(control(value).unwrap_or(HeadError::BadValue));
    }
    Ok(FieldLine {
        name_end,
        value_start,
        value_end,
        id,
    })
}

/// The first CR or NUL decides, if there is one.
#[cold]
pub(super) fn control(text: &[u8]) -> Option<HeadError> {
    text.iter().find_map(|b| match b {
        b'\r' => Some(HeadError::BareCr),
        0 => Some(HeadError::Nul),
        _ => None,
    })
}

#[cold]
fn bad_name(line: &[u8], name_end: usize) -> HeadError {
    let rest = &line[name_end..];
    match rest.first() {
        Some(b' ' | b'\t') if name_end == 0 => HeadError::ObsFold,
        Some(b' ' | b'\t') => match rest.iter().find(|b| **b != b' ' && **b != b'\t') {
            Some(b':') => HeadError::SpaceBeforeColon,
            _ => HeadError::BadName,
        },
        Some(b':') => HeadError::EmptyName,
        Some(b'\r') => HeadError::BareCr,
        Some(0) => HeadError::Nul,
        Some(_) => HeadError::BadName,
        None => HeadError::MissingColon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (line, name, value) in [
            ("Host: a", "Host", "a"),
            ("a:b", "a", "b"),
            ("a:", "a", ""),
            ("a: \t ", "a", ""),
            ("a: \tb c\t ", "a", "b c"),
            ("a::", "a", ":"),
        ] {
            let field = field_line(line.as_bytes()).unwrap();
            assert_eq!(&line[..field.name_end], name, "{line:?}");
            assert_eq!(&line[field.value_start..field.value_end], value, "{line:?}");
        }
    }
}
