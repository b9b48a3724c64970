//! What a server tells replicas of its clients: `Forwarded` (RFC 7239), as linkerd writes it, and
//! the `X-Forwarded-…` that came before it.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

use super::cursor::{Cursor, open_kind};
use super::keys;
use super::value::{Value, shown};

/// `addForwardedHeader`: who forwarded, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    pub by: Labeler,
    pub for_: Labeler,
}

/// How one end of a connection is called (RFC 7239 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labeler {
    Ip,
    IpPort,
    ConnectionRandom,
    RequestRandom,
    /// The router's label, with an underscore in front.
    Router(String),
    /// A text, with an underscore in front.
    Static(String),
}

/// `xForwarded`: which fields are written, and who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XForwarded {
    pub for_: ForMode,
    pub proto: bool,
    pub host: bool,
    pub port: bool,
    pub real_ip: bool,
    /// Clients whose own fields of this kind are believed.
    pub trusted: Vec<Network>,
}

/// What becomes of `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForMode {
    /// The address of the connection's other end joins what was believed.
    Append,
    /// The client's address alone.
    Replace,
    Off,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    bits: u32,
}

impl Network {
    /// Those that have the first `bits` bits of `addr`; `None` if it has fewer, or others are set,
    /// or it is an IPv4 address in IPv6's clothes.
    fn new(addr: IpAddr, bits: u32) -> Option<Network> {
        let rest = width(addr).checked_sub(bits)?;
        let clean = rest == 0 || number(addr).trailing_zeros() >= rest;
        let plain = addr.is_ipv4() == addr.to_canonical().is_ipv4();
        (clean && plain).then_some(Network { addr, bits })
    }

    /// Whether an address is one of these. An IPv4 address is the same in IPv6's clothes.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        let rest = width(self.addr) - self.bits;
        let differs = number(self.addr) ^ number(addr);
        addr.is_ipv4() == self.addr.is_ipv4() && differs.checked_shr(rest).unwrap_or(0) == 0
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bits == width(self.addr) {
            true => write!(out, "{}", self.addr),
            false => write!(out, "{}/{}", self.addr, self.bits),
        }
    }
}

fn width(addr: IpAddr) -> u32 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// `addForwardedHeader`: there, it is on.
pub fn forwarded(value: Value<'_>, router: &str) -> Option<Forwarded> {
    value.map()?;
    let mut block = Cursor::open(value, &keys::headers::FORWARDED);
    let mut of = |key| {
        let given = block.get(key);
        given.map_or(Some(Labeler::RequestRandom), |v| labeler(v, router))
    };
    let (by, for_) = (of("by"), of("for"));
    block.finish();
    Some(Forwarded {
        by: by?,
        for_: for_?,
    })
}

fn labeler(value: Value<'_>, router: &str) -> Option<Labeler> {
    let (kind, mut block) = open_kind(value.clone(), &keys::headers::LABELERS, None)?;
    let labeler = match kind {
        "ip" => Some(Labeler::Ip),
        "ip:port" => Some(Labeler::IpPort),
        "connectionRandom" => Some(Labeler::ConnectionRandom),
        "router" => obfuscated(&value, router).map(Labeler::Router),
        "static" => {
            let label = block.required("label", "what is to be said");
            label
                .and_then(|label| obfuscated(&label, label.text("a label")?))
                .map(Labeler::Static)
        }
        _ => Some(Labeler::RequestRandom),
    };
    block.finish();
    labeler
}

/// A label that is no address (RFC 7239 §6.3).
fn obfuscated(value: &Value<'_>, text: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text.is_empty() || !text.bytes().all(allowed) {
        value.wrong_help(
            format!("`{}` cannot stand in Forwarded", shown(text)),
            "letters, digits, dots, hyphens and underscores can",
        );
        return None;
    }
    Some(text.to_owned())
}

/// `xForwarded`: a flag or a map.
pub fn x_forwarded(value: Value<'_>) -> Option<XForwarded> {
    let mut block = match value.is_map() {
        true => Cursor::open(value, &keys::headers::X_FORWARDED),
        false if value.flag()? => Cursor::nowhere(&keys::headers::X_FORWARDED),
        false => return None,
    };
    let trusted = block.get("trusted").and_then(|v| v.list());
    let for_ = block.get("for").and_then(|v| mode(&v));
    let x_forwarded = XForwarded {
        for_: for_.unwrap_or(ForMode::Append),
        proto: block.flag("proto", true),
        host: block.flag("host", true),
        port: block.flag("port", true),
        real_ip: block.flag("realIp", true),
        trusted: trusted.iter().flatten().filter_map(network).collect(),
    };
    block.finish();
    Some(x_forwarded)
}

fn mode(value: &Value<'_>) -> Option<ForMode> {
    match value.text("append, replace or off")? {
        "append" => Some(ForMode::Append),
        "replace" => Some(ForMode::Replace),
        "off" => Some(ForMode::Off),
        other => {
            let message = format!("`{}` is none of append, replace and off", shown(other));
            value.wrong(message);
            None
        }
    }
}

fn network(value: &Value<'_>) -> Option<Network> {
    let text = value.text("an address or a network")?;
    let (addr, bits) = text.split_once('/').unwrap_or((text, ""));
    let addr = addr.parse::<IpAddr>().ok();
    let bits = match (bits, addr) {
        ("", Some(addr)) if !text.contains('/') => Some(width(addr)),
        (bits, _) => bits.parse::<u32>().ok(),
    };
    let network = addr.zip(bits).and_then(|(a, bits)| Network::new(a, bits));
    if network.is_none() {
        value.wrong_help(
            format!("`{}` is neither an address nor a network", shown(text)),
            "such as 10.1.2.3, 10.0.0.0/8 or fd00::/8, with no bit set beyond its length",
        );
    }
    network
}

impl Labeler {
    fn to_json(&self) -> Json {
        match self {
            Labeler::Ip => json!({ "kind": "ip" }),
            Labeler::IpPort => json!({ "kind": "ip:port" }),
            Labeler::ConnectionRandom => json!({ "kind": "connectionRandom" }),
            Labeler::RequestRandom => json!({ "kind": "requestRandom" }),
            Labeler::Router(_) => json!({ "kind": "router" }),
            Labeler::Static(label) => json!({ "kind": "static", "label": label }),
        }
    }
}

impl Forwarded {
    pub(super) fn to_json(&self) -> Json {
        json!({ "by": self.by.to_json(), "for": self.for_.to_json() })
    }
}

impl XForwarded {
    pub(super) fn to_json(&self) -> Json {
        let mode = match self.for_ {
            ForMode::Append => "append",
            ForMode::Replace => "replace",
            ForMode::Off => "off",
        };
        json!({
            "for": mode,
            "proto": self.proto,
            "host": self.host,
            "port": self.port,
            "realIp": self.real_ip,
            "trusted": self.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(addr: &str, bits: u32) -> Option<Network> {
        Network::new(addr.parse().unwrap(), bits)
    }

    #[test]
    fn networks_contain_what_begins_alike() {
        for (net, bits, inside, outside) in [
            ("10.0.0.0", 8, "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0", 8, "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.7", 32, "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0", 0, "255.1.1.1", "::1"),
            ("fd00::", 8, "fdff::1", "fe00::"),
            ("::", 0, "2001:db8::1", "1.2.3.4"),
            ("::1", 128, "::1", "::2"),
            ("128.0.0.0", 1, "255.0.0.0", "127.255.255.255"),
        ] {
            let net = network(net, bits).unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{net} {inside}");
            assert!(!net.contains(outside.parse().unwrap()), "{net} {outside}");
        }
        for (net, bits) in [
            ("10.0.0.1", 8),
            ("10.0.0.0", 33),
            ("::1", 127),
            ("::", 129),
            ("::ffff:1.2.3.4", 128),
        ] {
            assert_eq!(network(net, bits), None, "{net}/{bits}");
        }
        assert_eq!(network("10.0.0.0", 8).unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("10.0.0.0", 32).unwrap().to_string(), "10.0.0.0");
    }
}
