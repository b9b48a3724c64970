//! Internet addresses as names spell them.
//!
//! Resolving a host is not this room's to do; telling a host from a literal address is, because
//! the name language has its own idea of literals: the old short numeric forms (`127.1`), always
//! decimal, and `localhost`, none of which should cost a DNS query.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::path::Path;

/// A host, to be resolved unless it is a literal, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inet {
    /// A DNS name or a literal address, without brackets.
    pub host: String,
    /// The TCP port; never 0.
    pub port: u16,
}

/// Where a bound name is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addr {
    /// At a host and port.
    Inet(Inet),
    /// Where the namer of this number says; it is asked by the bound name's id.
    Namer(usize),
    /// Where another name is, after a transformer.
    Through(Box<Through>),
}

/// A name before a transformer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Through {
    pub id: Path,
    pub addr: Addr,
    pub by: Transform,
}

/// What a transformer does to addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transform {
    /// Nothing: the name is called otherwise.
    Same,
    /// Replaces their port.
    Port(u16),
    /// Keeps those of this machine.
    Localhost,
    /// Keeps those of this host.
    Host(IpAddr),
}

impl fmt::Display for Addr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Inet(inet) => inet.fmt(out),
            Addr::Namer(_) => out.write_str("where its namer says"),
            Addr::Through(through) => through.addr.fmt(out),
        }
    }
}

impl Inet {
    /// The address, if the host is a literal and no DNS is needed: IPv6, dotted IPv4, IPv4 with
    /// fewer parts of which the last fills what is missing (`127.1`), or `localhost`.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        if self.host.eq_ignore_ascii_case("localhost") {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        if let Ok(ip) = self.host.parse::<Ipv6Addr>() {
            return Some(IpAddr::V6(ip));
        }
        short_v4(&self.host).map(IpAddr::V4)
    }
}

impl fmt::Display for Inet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// One to four decimal parts. The last takes as many bytes as are left.
fn short_v4(host: &str) -> Option<Ipv4Addr> {
    let parts = host.split('.').map(decimal).collect::<Option<Vec<u32>>>()?;
    let (&last, heads) = parts.split_last()?;
    if heads.len() > 3 || heads.iter().any(|&part| part > 255) {
        return None;
    }
    let limit = u32::MAX >> (8 * heads.len());
    if last > limit {
        return None;
    }
    let high = (0u32..)
        .zip(heads)
        .fold(0, |sum, (i, &part)| sum | part << (24 - 8 * i));
    Some(Ipv4Addr::from_bits(high | last))
}

/// Digits only, unlike [`str::parse`], which takes a sign.
pub(super) fn decimal(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}
