//! What a route answers itself: redirects and fixed responses.
//!
//! These are no errors. They carry no `l5d-err` and count by their status, like a replica's.

use super::conditions::without_port;
use crate::config::resolved::{Action, Fixed, Format, Part};
use crate::engine::Shard;
use crate::http::{BodyLength, RequestHead, ResponseHead, Version};
use crate::router::edits::Edits;
use crate::router::h1::inbound::Request;

/// Answers a request by its route, which names no backend.
pub fn answer(
    shard: &Shard,
    action: &Action,
    edits: &Edits<'_>,
    head: &RequestHead,
    response: &mut ResponseHead,
    request: &mut Request<'_>,
    draining: bool,
) {
    response.clear();
    let body = match action {
        Action::Redirect { to, status } => {
            let mut location = shard.vector();
            write_target(to, head, &mut location);
            redirect(*status, &location, response);
            shard.recycle(location);
            &[][..]
        }
        Action::Respond(fixed) => respond(fixed, response),
        Action::Name { .. } => &[],
    };
    edits.answer(shard, head, response);
    request.answer(shard, response, body, draining);
}

fn redirect(status: u16, location: &[u8], response: &mut ResponseHead) {
    response.status = status;
    response.version = Version::Http11;
    // What it is made of was checked: the table's text when it was loaded, the client's when its
    // head was read. What could end the line would be refused here nevertheless.
    let pushed = response.fields.push(b"location", location);
    debug_assert!(pushed, "a checked target is a field");
    response.body = BodyLength::Exact(0);
}

fn respond<'f>(fixed: &'f Fixed, response: &mut ResponseHead) -> &'f [u8] {
    response.status = fixed.status;
    response.version = Version::Http11;
    let body = fixed.body.as_bytes();
    if matches!(fixed.status, 204 | 304) {
        return body;
    }
    response.body = BodyLength::Exact(body.len() as u64);
    if !body.is_empty() {
        let content_type = fixed.content_type.as_bytes();
        let pushed = response.fields.push(b"content-type", content_type);
        debug_assert!(pushed, "a checked media type is a field");
    }
    body
}

/// Where a redirect of this request leads.
pub fn write_target(to: &Format, head: &RequestHead, into: &mut Vec<u8>) {
    let (path, target) = (head.path(), head.target());
    for part in &to.parts {
        into.extend_from_slice(match part {
            Part::Text(text) => text.as_bytes(),
            // `OPTIONS *` has no path.
            Part::Path if !path.starts_with(b"/") => b"/",
            Part::Path => path,
            Part::Query => &target[path.len()..],
            Part::Host => without_port(head.authority()),
            // Not among the variables of a redirect.
            Part::ClientIp | Part::RequestId => b"",
        });
    }
}
