//! Tests of the HTTP/1 core: tables of single rules, and properties of the whole.

mod bodies;
mod properties;
mod requests;
mod responses;
mod writing;

use super::*;
use crate::http::{Fields, Method, RequestHead, ResponseHead};

/// The limits of the tables: small enough to be reached by short messages.
const SMALL: Limits = Limits {
    head_bytes: 200,
    line_bytes: 40,
    fields: 5,
    trailer_bytes: 64,
};

type Read<H, E> = Result<(H, usize, ConnInfo), E>;

/// Reads a request that must be all there.
fn request(bytes: &[u8], limits: &Limits) -> Read<RequestHead, RequestError> {
    let mut head = RequestHead::new();
    match HeadReader::new().request(bytes, limits, &mut head)? {
        Progress::Complete { used, connection } => Ok((head, used, connection)),
        Progress::Partial => panic!("partial: {:?}", String::from_utf8_lossy(bytes)),
    }
}

fn response(bytes: &[u8], method: Method) -> Read<ResponseHead, ResponseError> {
    let mut head = ResponseHead::new();
    match HeadReader::new().response(bytes, &Limits::default(), method, &mut head)? {
        Progress::Complete { used, connection } => Ok((head, used, connection)),
        Progress::Partial => panic!("partial: {:?}", String::from_utf8_lossy(bytes)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fields as `name: value` lines.
fn lines(fields: &Fields) -> String {
    fields
        .iter()
        .map(|(_, name, value)| format!("{}: {}\n", text(name), text(value)))
        .collect()
}
