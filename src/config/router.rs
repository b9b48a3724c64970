//! One router: its servers, how it names requests, and its policies for services and clients.
//!
//! Defaults differ from linkerd's in one direction only: where linkerd waits forever, ringlink has
//! a limit (idle connections, heads, bodies, the whole request), because a proxy that can hang for
//! good is a leak waiting for its day.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::clients;
use super::cursor::{Cursor, open_kind};
use super::decode::{Claims, LOOPBACK, listener};
use super::forwarded::{forwarded, x_forwarded};
use super::headers::{Side, field_name, rules};
use super::identifier::identifiers;
use super::keys;
use super::limits::limits;
use super::resolved::{BindingCache, HeadLimits, Propagator, Router, Server};
use super::service::{longest_total, services};
use super::transformers::transformers;
use super::value::{Spot, Value};
use crate::naming::Path;

pub fn router(value: Value<'_>, claims: &mut Claims) -> Option<Router> {
    let of = value.clone();
    let (protocol, mut block) = open_kind(value, &keys::PROTOCOLS, None)?;
    let label = label(&mut block, protocol, &of, claims);
    let propagator = propagator(&mut block);
    let of_router = Whole {
        label: &label,
        propagator,
    };
    let servers = servers(&mut block, &of_router, claims);
    let identifiers = identifiers(block.get("identifier"), propagator);
    let rules = rules(&mut block, propagator);
    let dtab = block.get("dtab").and_then(|v| v.dtab());
    let dst_prefix = block.get("dstPrefix").and_then(|v| v.path());
    let mut interpreter = block.kind("interpreter", &keys::INTERPRETERS, None);
    let transformers = transformers(interpreter.get("transformers"));
    interpreter.finish();
    let binding_timeout = block.ms("bindingTimeoutMs", 10_000);
    let binding_cache = binding_cache(block.block("bindingCache", &keys::BINDING_CACHE));
    let heads = heads(&mut block);
    let service = services(block.get("service"));
    let client = clients(block.get("client"), longest_total(&service));
    // Nothing of http is experimental: as in linkerd, the key is accepted and without effect.
    block.flag("experimental", false);
    block.finish();
    Some(Router {
        label,
        servers,
        identifiers,
        dtab: dtab.unwrap_or_default(),
        transformers,
        dst_prefix: dst_prefix.or_else(|| "/svc".parse::<Path>().ok())?,
        binding_timeout,
        binding_cache,
        client,
        service,
        heads,
        propagator,
        rules,
    })
}

/// What a server's keys need to know of its router.
struct Whole<'r> {
    label: &'r str,
    propagator: Propagator,
}

fn propagator(block: &mut Cursor<'_>) -> Propagator {
    let given = block.get("tracePropagator");
    let opened = given.and_then(|v| open_kind(v, &keys::headers::PROPAGATORS, None));
    let Some((kind, block)) = opened else {
        return Propagator::Linkerd;
    };
    block.finish();
    match kind {
        "io.l5d.zipkin" => Propagator::Zipkin,
        _ => Propagator::Linkerd,
    }
}

fn label(block: &mut Cursor<'_>, protocol: &str, of: &Value<'_>, claims: &mut Claims) -> String {
    let given = block.get("label");
    let spot = given.as_ref().map_or_else(|| of.spot(), Value::spot);
    let Some(label) = given.map_or(Some(protocol), |v| v.text("a label")) else {
        return String::new();
    };
    match claims.labels.iter().find(|(other, _)| other == label) {
        Some((_, first)) => {
            let message = format!("the label `{label}` is already {}'s", owner(&first.place));
            let help = "give each router its own `label`".to_owned();
            of.context.tell(spot.problem(message, Some(help)));
        }
        None => claims.labels.push((label.to_owned(), spot)),
    }
    label.to_owned()
}

/// `routers[0]` of `routers[0].label`.
fn owner(place: &str) -> &str {
    place.strip_suffix(".label").unwrap_or(place)
}

fn servers(block: &mut Cursor<'_>, of: &Whole<'_>, claims: &mut Claims) -> Vec<Server> {
    let help = "a router has at least one server";
    let Some(value) = block.required("servers", help) else {
        return Vec::new();
    };
    let items = value.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        value.wrong_help("no servers", help);
    }
    let items = items.unwrap_or_default().into_iter();
    items.map(|item| server(item, of, claims)).collect()
}

fn server(value: Value<'_>, of: &Whole<'_>, claims: &mut Claims) -> Server {
    let mut block = Cursor::open(value.clone(), &keys::SERVER);
    let addr = listener(&mut block, 4140);
    if let Some(addr) = addr {
        let spot = block.spot("port").unwrap_or_else(|| value.spot());
        claim(&value, addr, spot, claims);
    }
    let addr = addr.unwrap_or(SocketAddr::new(LOOPBACK, 0));
    let label = block.get("label").and_then(|v| v.text("a label"));
    let mut session = block.block("serverSession", &keys::SERVER_SESSION);
    let mut socket = block.block("socketOptions", &keys::SERVER_SOCKET);
    let timestamp = block.get("timestampHeader");
    let timestamp = timestamp.and_then(|v| field_name(&v, Side::Request, of.propagator));
    let told = block.get("addForwardedHeader");
    let told = told.and_then(|v| forwarded(v, of.label));
    let server = Server {
        label: label.map(str::to_owned),
        ip: addr.ip(),
        port: addr.port(),
        timeout: block.opt_ms("timeoutMs"),
        idle_timeout: session.ms("idleTimeMs", 65_000),
        head_timeout: block.ms("headerReadTimeoutMs", 10_000),
        body_timeout: block.ms("bodyTimeoutMs", 60_000),
        backlog: socket.int("backlog", 1..=65535, 4096),
        no_delay: socket.flag("noDelay", true),
        allow_connect: block.flag("allowConnect", false),
        limits: limits(&mut block),
        clear_context: block.flag("clearContext", false),
        max_call_depth: block.int("maxCallDepth", 1..=1_000_000, 1000),
        timestamp,
        forwarded: told,
        x_forwarded: block.get("xForwarded").and_then(x_forwarded),
    };
    session.finish();
    socket.finish();
    block.finish();
    server
}

/// Two listeners may not want one port of one address; a wildcard wants it of every address of its
/// family. Port 0 is a fresh port each time.
fn claim(value: &Value<'_>, addr: SocketAddr, spot: Spot, claims: &mut Claims) {
    let clash = |(other, _): &&(SocketAddr, Option<Spot>)| {
        let (a, b) = (addr.ip(), other.ip());
        let wildcard = a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified());
        addr.port() != 0 && addr.port() == other.port() && (a == b || wildcard)
    };
    if let Some((other, first)) = claims.listeners.iter().find(clash) {
        let whose = match first {
            Some(first) => format!("{} ({}:{})", first.place, first.at.line, first.at.column),
            None => "the admin server by default".to_owned(),
        };
        let message = match other == &addr {
            true => format!("{addr} is already taken by {whose}"),
            false => format!("{addr} overlaps {other}, taken by {whose}"),
        };
        value.context.tell(spot.problem(message, None));
    } else {
        claims.listeners.push((addr, Some(spot)));
    }
}

fn binding_cache(mut block: Cursor<'_>) -> BindingCache {
    let cache = BindingCache {
        paths: block.int("paths", 1..=1_000_000, 1000),
        idle_ttl: Duration::from_secs(block.int("idleTtlSecs", 1..=2_147_483, 600)),
    };
    block.finish();
    cache
}

fn heads(block: &mut Cursor<'_>) -> HeadLimits {
    let head_kb: usize = block.int("maxHeadersKB", 1..=1024, 64);
    let line_kb: usize = block.int("maxInitialLineKB", 1..=1024, head_kb.min(8));
    if line_kb > head_kb
        && let Some(value) = block.get("maxInitialLineKB")
    {
        value.wrong(format!(
            "{line_kb} is more than the whole head may have: `maxHeadersKB` is {head_kb}"
        ));
    }
    HeadLimits {
        head_bytes: head_kb * 1024,
        line_bytes: line_kb * 1024,
        fields: block.int("maxHeaderFields", 1..=10_000, 128),
    }
}
