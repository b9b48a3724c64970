//! A field line: `name ":" OWS value OWS CRLF`, and nothing that is nearly one (RFC 9112 §5).
//!
//! The good case is decided first and fast; which rule a bad line breaks is found out afterwards, in
//! a function of its own that only bad lines pay for.

use super::error::HeadError;
use crate::http::fields::is_value;
use crate::http::name::{Name, leading_token, name_before_colon};

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

/// Reads the field line that `input` begins with, if it is of the plain kind that nearly all are:
/// one space at most after the colon, none at the end, no tab. Tells also how long it is, with its
/// CRLF. What is not plain, or not all there, [`field_line`] judges.
#[inline(always)]
pub(super) fn plain_line(input: &[u8]) -> Option<(FieldLine, usize)> {
    let (name_end, id) = name_before_colon(input)?;
    let lead = usize::from(input.get(name_end + 1) == Some(&b' '));
    let value_start = name_end + 1 + lead;
    let value_end = first_control(input, value_start)?;
    if input.get(value_end..value_end + 2) != Some(b"\r\n") {
        return None;
    }
    let value = &input[value_start..value_end];
    if value.first() == Some(&b' ') || value.last() == Some(&b' ') {
        return None;
    }
    let line = FieldLine {
        name_end,
        value_start,
        value_end,
        id,
    };
    Some((line, value_end + 2))
}

/// Where the first control byte at or after `from` is, HTAB being one here. Eight bytes at a time.
#[inline]
fn first_control(input: &[u8], from: usize) -> Option<usize> {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = LOWEST << 7;
    let mut at = from;
    while let Some(bytes) = input.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*bytes);
        let low = word.wrapping_sub(LOWEST * 0x20) & !word;
        let not_del = word ^ (LOWEST * 0x7f);
        let del = not_del.wrapping_sub(LOWEST) & !not_del;
        // Borrows mislead only behind the first hit.
        let hits = (low | del) & HIGHEST;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = input.get(at..)?;
    let found = rest.iter().position(|b| *b < 0x20 || *b == 0x7f);
    Some(at + found?)
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

    /// What is plain is read as by the way that judges everything.
    #[test]
    fn plain_lines_are_lines() {
        let rest = "next: one\r\nand more after it\r\n\r\n";
        let mut plain = 0;
        for name in ["Host", "x-mine", "l5d-ctx-trace", "a b", "", "caf\u{e9}"] {
            for gap in [":", ": ", ":\t", ":  ", " :", " "] {
                for value in [
                    "", "a", "a\tb", "a b", "a ", "0123456", "01234567", "a\u{7f}b", "\u{e9}",
                ] {
                    for end in ["\r\n", "\n", "\r", "\0\r\n", "\r\r\n"] {
                        let line = format!("{name}{gap}{value}");
                        let input = format!("{line}{end}{rest}");
                        let Some((found, len)) = plain_line(input.as_bytes()) else {
                            continue;
                        };
                        plain += 1;
                        assert_eq!(len, line.len() + 2, "{input:?}");
                        assert_eq!(Ok(found), field_line(line.as_bytes()), "{input:?}");
                    }
                }
            }
        }
        assert_eq!(plain, 3 * 2 * 6, "names, gaps and values that are plain");
    }

    #[test]
    fn every_control_byte_ends_a_plain_value() {
        for byte in 0..=255u8 {
            for at in 0..19 {
                for other in [b'a', b' ', 0xff, 0x80] {
                    let mut text = [other; 19];
                    text[at] = byte;
                    let is_control = byte < 0x20 || byte == 0x7f;
                    let expected = is_control.then_some(at);
                    assert_eq!(first_control(&text, 0), expected, "{byte} at {at}");
                }
            }
        }
    }
}
