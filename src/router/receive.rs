//! What is done to a request's head when it has come, before anybody asks for its name.
//!
//! What a client must not say is taken off here, and what the connection knows is written down, so
//! that everything after it, identification included, sees one head that can be believed.

use std::io::Write as _;
use std::net::IpAddr;

use super::connection::By;
use super::forwarded::{Hop, add_forwarded, x_forwarded};
use super::h1::inbound::Request;
use super::refusal::Refusal;
use super::{context, deadline, trace, via};
use crate::http::{Name, RequestHead};
use crate::telemetry::Trace;

/// What was found out about a request.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub trace: Trace,
    /// The client's address, where somebody had to ask for it.
    pub client: Option<IpAddr>,
    /// When its time is over, on the shard's clock, by the deadline that it brought.
    pub due: u64,
}

/// Receives a request: takes its context off it, its own dtab into `dtab`.
///
/// # Errors
/// 400 if it came by too many proxies.
pub fn receive(
    by: &By<'_>,
    request: &Request<'_>,
    head: &mut RequestHead,
    dtab: &mut Vec<u8>,
) -> Result<Arrival, Refusal> {
    let (router, server) = (by.router, by.server);
    let names = head.fields.names();
    if names.has(Name::Via) {
        via::check(&head.fields, server.max_call_depth)?;
    }
    // Whose certificate it was is for us to say.
    if names.has(Name::XForwardedClientCert) {
        head.fields.remove(Name::XForwardedClientCert);
    }
    let believed = !server.clear_context;
    let trace = trace::take(
        &mut head.fields,
        names,
        by.settings.config.propagator,
        believed,
        || router.random(),
    );
    let due = deadline::take(&mut head.fields, names, &router.shard, believed);
    if believed {
        context::take(&mut head.fields, names, dtab);
    } else {
        context::clear(&mut head.fields);
    }
    if let Some(name) = &server.timestamp {
        let mut text = router.shard.vector();
        // A vector takes everything.
        let _ = write!(text, "{}", router.shard.wall_clock_ms());
        head.fields.set(name.text.as_bytes(), &text);
        router.shard.recycle(text);
    }
    let client = forwarded(by, request, head);
    Ok(Arrival { trace, client, due })
}

/// Writes down who is asking, where the server is told to.
fn forwarded(by: &By<'_>, request: &Request<'_>, head: &mut RequestHead) -> Option<IpAddr> {
    let (router, server) = (by.router, by.server);
    if server.forwarded.is_none() && server.x_forwarded.is_none() {
        return None;
    }
    let (ends, socket) = request.ends();
    let hop = Hop {
        peer: ends.peer(socket),
        local: ends.local(socket, server),
    };
    let mut scratch = router.shard.vector();
    let told = server.x_forwarded.as_ref();
    let client = told.and_then(|config| x_forwarded(config, &hop, head, &mut scratch));
    if let Some(config) = &server.forwarded {
        let random = || router.random();
        let labels = || ends.labels(random);
        add_forwarded(config, &hop, labels, random, head, &mut scratch);
    }
    router.shard.recycle(scratch);
    client
}
