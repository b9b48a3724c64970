//! What a replica is told of the client: `X-Forwarded-…` and `Forwarded`.
//!
//! Anyone can write such fields, so what a request brings is worth as much as who brought it. With
//! `xForwarded`, a client that is not trusted begins anew: all its claims go, and the connection says
//! who it is. What a trusted one brings is kept and added to. In linkerd, which only adds a
//! `Forwarded`, nobody is asked; so it is here, too, as long as `xForwarded` is not set.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::config::resolved::{ForMode, Forwarded, Labeler, XForwarded};
use crate::http::name::is_token;
use crate::http::{Fields, Name, Names, RequestHead};

/// What only a trusted client may say.
const CLAIMS: Names = Names::of(&[
    Name::Forwarded,
    Name::XForwardedFor,
    Name::XForwardedProto,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XRealIp,
]);

/// Both ends of a connection, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}

/// Does what `xForwarded` says to a request. The address of the client, however many trusted proxies
/// it came through.
pub fn x_forwarded(
    config: &XForwarded,
    hop: &Hop,
    head: &mut RequestHead,
    scratch: &mut Vec<u8>,
) -> Option<IpAddr> {
    let peer = hop.peer.map(|peer| peer.ip());
    if !peer.is_some_and(|peer| is_trusted(config, peer)) {
        head.fields.remove_all(CLAIMS);
    }
    let peer = peer?;
    let client = first_stranger(config, &head.fields, peer);
    let start = scratch.len();
    let mut address = |addr: IpAddr, put: &mut dyn FnMut(&[u8]) -> bool| {
        // A vector takes everything.
        let _ = write!(scratch, "{addr}");
        let fits = put(&scratch[start..]);
        debug_assert!(fits, "an address is a value");
        scratch.truncate(start);
    };
    let fields = &mut head.fields;
    match config.for_ {
        ForMode::Append => address(peer, &mut |text| fields.append(Name::XForwardedFor, text)),
        ForMode::Replace => address(client, &mut |text| fields.set(b"x-forwarded-for", text)),
        ForMode::Off => {}
    }
    if config.real_ip {
        address(client, &mut |text| fields.set(b"x-real-ip", text));
    }
    let names = fields.names();
    if config.proto && !names.has(Name::XForwardedProto) {
        fields.push(b"x-forwarded-proto", b"http");
    }
    if config.host && !names.has(Name::XForwardedHost) && !head.authority().is_empty() {
        scratch.extend_from_slice(head.authority());
        head.fields.push(b"x-forwarded-host", &scratch[start..]);
        scratch.truncate(start);
    }
    if let Some(local) = hop.local
        && config.port
        && !names.has(Name::XForwardedPort)
    {
        let _ = write!(scratch, "{}", local.port());
        head.fields.push(b"x-forwarded-port", &scratch[start..]);
        scratch.truncate(start);
    }
    Some(client)
}

/// The client of a request that came from this peer, however many trusted proxies it came through:
/// the same before its claims were looked through and after.
#[must_use]
pub fn client(config: &XForwarded, fields: &Fields, peer: IpAddr) -> IpAddr {
    match is_trusted(config, peer) {
        true => first_stranger(config, fields, peer),
        false => peer,
    }
}

fn is_trusted(config: &XForwarded, addr: IpAddr) -> bool {
    config.trusted.iter().any(|network| network.contains(addr))
}

/// Whom the trusted proxies of a request say that it comes from: going back from the nearest, the
/// first address that is not one of theirs, or the last that can be read.
fn first_stranger(config: &XForwarded, fields: &Fields, peer: IpAddr) -> IpAddr {
    if fields.get(Name::XForwardedFor).is_none() {
        return fields.get(Name::XRealIp).and_then(address).unwrap_or(peer);
    }
    let lines = fields.iter().rev();
    let values = lines.filter(|(id, ..)| *id == Name::XForwardedFor);
    let mut hops = values.flat_map(|(_, _, value)| value.rsplit(|b| *b == b','));
    let mut found = peer;
    while is_trusted(config, found)
        && let Some(next) = hops.next().and_then(address)
    {
        found = next;
    }
    found
}

/// An address as proxies write it: some with a port, some in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let addr = bare.unwrap_or(text).parse::<IpAddr>();
    let addr = addr.or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip()));
    addr.ok().map(|addr| addr.to_canonical())
}

/// Adds the element of RFC 7239 for this hop. `random` is asked for the labels of one request;
/// `labels` are those of its connection.
pub fn add_forwarded(
    config: &Forwarded,
    hop: &Hop,
    labels: impl FnOnce() -> [u64; 2],
    random: impl Fn() -> u64,
    head: &mut RequestHead,
    scratch: &mut Vec<u8>,
) {
    let start = scratch.len();
    let fixed = [&config.by, &config.for_].contains(&&Labeler::ConnectionRandom);
    let [by, for_] = if fixed { labels() } else { [0; 2] };
    scratch.extend_from_slice(b"by=");
    put_label(&config.by, hop.local, by, &random, scratch);
    scratch.extend_from_slice(b";for=");
    put_label(&config.for_, hop.peer, for_, &random, scratch);
    let host = head.authority();
    if !host.is_empty() {
        scratch.extend_from_slice(b";host=");
        // A host has neither quotes nor backslashes.
        let quote: &[u8] = if is_token(host) { b"" } else { b"\"" };
        for part in [quote, host, quote] {
            scratch.extend_from_slice(part);
        }
    }
    scratch.extend_from_slice(b";proto=http");
    let fits = head.fields.append(Name::Forwarded, &scratch[start..]);
    debug_assert!(fits, "labels, addresses and a host are a value");
    scratch.truncate(start);
}

fn put_label(
    labeler: &Labeler,
    addr: Option<SocketAddr>,
    fixed: u64,
    random: &impl Fn() -> u64,
    out: &mut Vec<u8>,
) {
    let known = addr.filter(|addr| !addr.ip().is_unspecified());
    // A vector takes everything.
    let _ = match (labeler, known) {
        (Labeler::Ip | Labeler::IpPort, None) => write!(out, "unknown"),
        (Labeler::Ip, Some(SocketAddr::V4(addr))) => write!(out, "{}", addr.ip()),
        (Labeler::Ip, Some(SocketAddr::V6(addr))) => write!(out, "\"[{}]\"", addr.ip()),
        (Labeler::IpPort, Some(addr)) => write!(out, "\"{addr}\""),
        (Labeler::ConnectionRandom, _) => {
            put_random(fixed, out);
            Ok(())
        }
        (Labeler::RequestRandom, _) => {
            put_random(random(), out);
            Ok(())
        }
        (Labeler::Router(label) | Labeler::Static(label), _) => {
            let bar = if label.starts_with('_') { "" } else { "_" };
            write!(out, "{bar}{label}")
        }
    };
}

/// An underscore and six letters or digits.
fn put_random(mut random: u64, out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    out.push(b'_');
    for _ in 0..6 {
        out.push(ALPHABET[(random % 62) as usize]);
        random /= 62;
    }
}

#[cfg(test)]
mod tests;
