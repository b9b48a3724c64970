//! What becomes of a request's heads besides being passed on: the rules of its router and of its
//! route, and the proxy's own mark.
//!
//! Identification sees the head as the client sent it, and a replica as the rules leave it; the
//! router's rules go first, so that a route has the last word. Whatever a value says of the request
//! (`$path`, `$host`) is what the client asked for, not what became of it. Nothing here allocates:
//! values are put together in a vector of the shard's.

use std::io::Write as _;
use std::net::IpAddr;

use super::h1::inbound::Request;
use super::identify::conditions::without_port;
use super::receive::Arrival;
use super::{cookies, location, trace, via};
use crate::config::resolved::{Format, HeaderRules, LocationRule, Part, Propagator, Rules};
use crate::engine::Shard;
use crate::http::{Fields, Method, Name, RequestHead, ResponseHead};
use crate::telemetry::Trace;
use crate::telemetry::trace::put_hex;

/// What is known of a request that its heads are changed by.
#[derive(Clone, Copy)]
pub struct Edits<'w> {
    router: &'w Rules,
    route: Option<&'w Rules>,
    client: Option<IpAddr>,
    trace: Trace,
}

impl<'w> Edits<'w> {
    /// Those of a router and of a request's route, if it took one. Who the client is will be found
    /// out now, if a rule is to say it: later it may be gone.
    #[must_use]
    pub fn new(
        router: &'w Rules,
        route: Option<&'w Rules>,
        arrival: Arrival,
        request: &Request<'_>,
    ) -> Edits<'w> {
        let mut edits = Edits {
            router,
            route,
            client: arrival.client,
            trace: arrival.trace,
        };
        if edits.client.is_none() && edits.rules().any(|rules| rules.client_ip) {
            let (ends, socket) = request.ends();
            edits.client = ends.peer(socket).map(|peer| peer.ip());
        }
        edits
    }

    fn rules(&self) -> impl Iterator<Item = &'w Rules> {
        std::iter::once(self.router).chain(self.route)
    }

    /// Changes a request on its way to the replica. Once for all its attempts.
    pub fn request(&self, shard: &Shard, head: &mut RequestHead) {
        via::append(&mut head.fields, head.version);
        if self.rules().all(|rules| rules.request.is_empty()) {
            return;
        }
        let mut scratch = shard.vector();
        for rules in self.rules() {
            self.change_request(&rules.request, head, &mut scratch);
        }
        shard.recycle(scratch);
    }

    /// Writes the lines that tell the replica which call this attempt is.
    pub fn put_lines(&self, propagator: Propagator, random: u64, out: &mut Vec<u8>) {
        trace::put_lines(self.trace.child(random), propagator, out);
    }

    /// Changes a replica's response on its way to the client.
    pub fn response(&self, shard: &Shard, head: &RequestHead, response: &mut ResponseHead) {
        via::append(&mut response.fields, response.version);
        let location = self.rules().filter_map(|rules| rules.location.as_ref());
        let location = location.last().filter(|rule| **rule != LocationRule::Off);
        let cookies = self.rules().filter_map(|rules| rules.cookies.as_ref());
        let cookies = cookies.last();
        if location.is_none() && cookies.is_none() && !self.changes_responses() {
            return;
        }
        let mut scratch = shard.vector();
        if let Some(rule) = location {
            let put = |format: &Format, out: &mut Vec<u8>| self.put(format, head, out);
            location::rewrite(rule, head, &mut response.fields, put, &mut scratch);
        }
        if let Some(rules) = cookies {
            cookies::rewrite(rules, &mut response.fields, &mut scratch);
        }
        for rules in self.rules() {
            self.change_response(&rules.response, head, &mut response.fields, &mut scratch);
        }
        shard.recycle(scratch);
    }

    /// Changes a response that a route gave.
    pub fn answer(&self, shard: &Shard, head: &RequestHead, response: &mut ResponseHead) {
        if !self.changes_responses() {
            return;
        }
        let mut scratch = shard.vector();
        for rules in self.rules() {
            self.change_response(&rules.response, head, &mut response.fields, &mut scratch);
        }
        shard.recycle(scratch);
    }

    fn changes_responses(&self) -> bool {
        self.rules().any(|rules| !rules.response.is_empty())
    }

    fn change_request(&self, rules: &HeaderRules, head: &mut RequestHead, scratch: &mut Vec<u8>) {
        remove(rules, &mut head.fields);
        for (name, format) in &rules.set {
            scratch.clear();
            self.put(format, head, scratch);
            if name.id == Name::Host {
                // From HTTP/1.0, `$host` may be nothing; then there is no other host either. The
                // target of a CONNECT is its host: the two must not differ (RFC 9112 §3.2.3).
                if head.method != Method::Connect {
                    head.set_authority(scratch);
                }
            } else {
                head.fields.set(name.text.as_bytes(), scratch);
            }
        }
        for (name, format) in &rules.add {
            scratch.clear();
            self.put(format, head, scratch);
            head.fields.push(name.text.as_bytes(), scratch);
        }
    }

    fn change_response(
        &self,
        rules: &HeaderRules,
        head: &RequestHead,
        fields: &mut Fields,
        scratch: &mut Vec<u8>,
    ) {
        remove(rules, fields);
        for (name, format) in &rules.set {
            scratch.clear();
            self.put(format, head, scratch);
            fields.set(name.text.as_bytes(), scratch);
        }
        for (name, format) in &rules.add {
            scratch.clear();
            self.put(format, head, scratch);
            fields.push(name.text.as_bytes(), scratch);
        }
    }

    /// Appends what a format says of a request.
    fn put(&self, format: &Format, head: &RequestHead, out: &mut Vec<u8>) {
        let path = head.received_path();
        for part in &format.parts {
            let text = match part {
                Part::Text(text) => text.as_bytes(),
                Part::Path => path,
                Part::Query => &head.received_target()[path.len()..],
                Part::Host => without_port(head.received_authority()),
                Part::ClientIp => match self.client {
                    Some(client) => {
                        // A vector takes everything.
                        let _ = write!(out, "{client}");
                        continue;
                    }
                    None => b"unknown",
                },
                Part::RequestId => {
                    put_hex(self.trace.id, out);
                    continue;
                }
            };
            out.extend_from_slice(text);
        }
    }
}

fn remove(rules: &HeaderRules, fields: &mut Fields) {
    for name in &rules.remove {
        match name.id {
            Name::Other => fields.remove_named(name.text.as_bytes()),
            known => fields.remove(known),
        }
    }
}
