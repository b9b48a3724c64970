//! The fields after a chunked body (RFC 9112 §7.1.2).
//!
//! They are read with the grammar of a head's fields, a line at a time, and come too late to frame,
//! route or authorise anything: those that would are dropped, since a recipient may merge trailers
//! into the head (RFC 9110 §6.5.1). Most bodies have none and cost nothing here.

use memchr::memchr;

use super::Limits;
use super::error::{BodyError, HeadError};
use super::line::{field_line, without_crlf};
use crate::http::Fields;

#[derive(Debug)]
pub(super) struct Trailers {
    read: Option<Box<Read>>,
    bytes_left: usize,
    lines_left: usize,
}

#[derive(Debug, Default)]
struct Read {
    fields: Fields,
    /// The line that is not complete yet.
    line: Vec<u8>,
}

impl Trailers {
    pub fn new(limits: &Limits) -> Trailers {
        Trailers {
            read: None,
            bytes_left: limits.trailer_bytes,
            lines_left: limits.fields,
        }
    }

    pub fn fields(&mut self) -> Option<&mut Fields> {
        self.read
            .as_mut()
            .map(|read| &mut read.fields)
            .filter(|fields| !fields.is_empty())
    }

    /// Takes bytes up to the end of the line or of the input; says how many, and whether the line
    /// ended.
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, bool), BodyError> {
        let end = memchr(b'\n', input);
        let used = end.map_or(input.len(), |lf| lf + 1);
        self.bytes_left = self
            .bytes_left
            .checked_sub(used)
            .ok_or(BodyError::TrailersTooLarge)?;
        let read = self.read.get_or_insert_default();
        read.line.extend_from_slice(&input[..used]);
        if end.is_some() {
            self.lines_left = self
                .lines_left
                .checked_sub(1)
                .ok_or(BodyError::TrailersTooLarge)?;
            read.line_done().map_err(|error| match error {
                HeadError::BareLf => BodyError::BareLf,
                HeadError::BareCr => BodyError::BareCr,
                _ => BodyError::BadTrailer,
            })?;
        }
        Ok((used, end.is_some()))
    }
}

impl Read {
    fn line_done(&mut self) -> Result<(), HeadError> {
        let line = without_crlf(&self.line)?;
        let field = field_line(line)?;
        if field.id.is_allowed_in_trailers() {
            self.fields.push(
                &line[..field.name_end],
                &line[field.value_start..field.value_end],
            );
        }
        self.line.clear();
        Ok(())
    }
}
