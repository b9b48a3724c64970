//! Utility namers: the names below `/$/` that need to know nothing of the world.
//!
//! Two sorts. Address namers end delegation: the path spells the address out. Rewriting namers
//! take a segment of the name apart (a host with its port, a domain) and hand back a path that is
//! looked up again; what does not have the expected form does not exist (`Neg`), so that a table
//! can go on to the next alternative. What is no namer at all is an error, since going on would
//! hide a misspelt table.

use super::delegate::{Bound, Named};
use super::error::{BindError, Fault};
use super::inet::{Addr, Inet, decimal};
use super::path::Path;
use super::tree::NameTree;

/// Utility namers that ask a registry, which is not for this room.
const EXTERNAL: [&[u8]; 2] = [b"io.buoyant.namer.zk.leader", b"com.twitter.serverset"];

/// What a path below `/$/` stands for.
pub(super) enum Utility {
    Tree(NameTree<Named>),
    /// Somebody with a view of the world must be asked.
    Ask,
}

/// Looks up a path of which the first segment is `$`.
pub(super) fn lookup(path: &Path) -> Result<Utility, BindError> {
    let Some(kind) = path.get(1) else {
        return Ok(Utility::Tree(NameTree::Neg));
    };
    let tree = match kind {
        b"inet" | b"fixedinet" => NameTree::Leaf(Named::Bound(inet(path)?)),
        b"io.buoyant.rinet" => match path.get(3) {
            Some(_) => NameTree::Leaf(Named::Bound(at(path, 3, 2)?)),
            None => NameTree::Neg,
        },
        b"nil" => NameTree::Empty,
        b"fail" => NameTree::Fail,
        kind if EXTERNAL.contains(&kind) => return Ok(Utility::Ask),
        kind => match rewriter(kind) {
            Some((rewrite, arity)) => rewritten(path, rewrite, arity),
            None => return Err(BindError::UnknownNamer { path: path.clone() }),
        },
    };
    Ok(Utility::Tree(tree))
}

fn inet(path: &Path) -> Result<Bound, BindError> {
    match (path.get(2), path.get(3)) {
        (Some(_), Some(_)) => at(path, 2, 3),
        (Some(port), None) => Ok(Bound {
            id: path.clone(),
            addr: Addr::Inet(Inet {
                host: "127.0.0.1".to_owned(),
                port: port_of(path, port, 2)?,
            }),
            residual: Path::empty(),
        }),
        _ => Err(bad(path, "neither host nor port in the address", 1)),
    }
}

/// The address whose host and port are the segments at these places (2 and 3, or 3 and 2).
fn at(path: &Path, host: usize, port: usize) -> Result<Bound, BindError> {
    let port = port_of(path, path.get(port).unwrap_or_default(), port)?;
    let name = std::str::from_utf8(path.get(host).unwrap_or_default())
        .ok()
        .filter(|name| !name.contains(|c: char| c.is_whitespace() || c.is_control()))
        .ok_or_else(|| bad(path, "the host is not text", host))?;
    let addr = Addr::Inet(Inet {
        host: name.to_owned(),
        port,
    });
    Ok(Bound {
        id: path.take(4),
        addr,
        residual: path.skip(4),
    })
}

fn port_of(path: &Path, segment: &[u8], index: usize) -> Result<u16, BindError> {
    std::str::from_utf8(segment)
        .ok()
        .and_then(decimal)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port != 0)
        .ok_or_else(|| bad(path, "the port is not a number from 1 to 65535", index))
}

fn bad(path: &Path, why: &'static str, segment: usize) -> BindError {
    BindError::BadAddress {
        path: path.clone(),
        why,
        segment,
        fault: Fault::Proxy,
    }
}

/// What a rewriting namer makes of its arguments; `None` if they do not have its form.
type Rewrite = fn(&[&[u8]]) -> Option<Path>;

/// The rewriting namer of this name and the number of its arguments.
fn rewriter(kind: &[u8]) -> Option<(Rewrite, usize)> {
    Some(match kind {
        b"io.buoyant.hostportPfx" => (|a| hostport(a[0], a[1], false), 2),
        b"io.buoyant.porthostPfx" => (|a| hostport(a[0], a[1], true), 2),
        b"io.buoyant.http.anyMethod" => (|a| is_method(a[0]).then(Path::empty), 1),
        b"io.buoyant.http.anyMethodPfx" => (|a| is_method(a[1]).then(|| Path::of_segment(a[0])), 2),
        b"io.buoyant.http.anyHost" => (|a| is_host(a[0]).then(Path::empty), 1),
        b"io.buoyant.http.anyHostPfx" => (|a| is_host(a[1]).then(|| Path::of_segment(a[0])), 2),
        b"io.buoyant.http.subdomainOf" => (|a| subdomain(a[0], a[1]).map(Path::of_segment), 2),
        b"io.buoyant.http.subdomainOfPfx" => (
            |a| subdomain(a[0], a[2]).map(|sub| Path::from_segments([a[1], sub])),
            3,
        ),
        b"io.buoyant.http.domainToPath" => (|a| domain_to_path(a[0]), 1),
        b"io.buoyant.http.domainToPathPfx" => (
            |a| domain_to_path(a[1]).map(|path| Path::of_segment(a[0]).join(&path)),
            2,
        ),
        _ => return None,
    })
}

fn rewritten(path: &Path, rewrite: Rewrite, arity: usize) -> NameTree<Named> {
    let mut rest = path.after(2);
    let arguments: Vec<&[u8]> = rest.by_ref().take(arity).collect();
    if arguments.len() < arity {
        return NameTree::Neg;
    }
    match rewrite(&arguments) {
        Some(head) => NameTree::Leaf(Named::Path(head.join_segments(rest))),
        None => NameTree::Neg,
    }
}

/// `p`, `host:port` → `/p/host/port` or `/p/port/host`. A port may be a name, as in Kubernetes.
fn hostport(prefix: &[u8], pair: &[u8], swap: bool) -> Option<Path> {
    let mut parts = pair.split(|&byte| byte == b':');
    let (host, port) = (parts.next()?, parts.next()?);
    let good = parts.next().is_none() && !host.is_empty() && is_port(port);
    let (first, second) = if swap { (port, host) } else { (host, port) };
    good.then(|| Path::from_segments([prefix, first, second]))
}

/// A label of RFC 1123 in lower case.
fn is_port(port: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let edge = |byte: Option<&u8>| byte.is_some_and(|&byte| byte != b'-');
    port.len() <= 63 && port.iter().all(inner) && edge(port.first()) && edge(port.last())
}

fn is_method(segment: &[u8]) -> bool {
    !segment.is_empty() && segment.iter().all(u8::is_ascii_uppercase)
}

/// Coarse on purpose: DNS names and both sorts of literal, with or without a port.
fn is_host(segment: &[u8]) -> bool {
    let allowed = |&byte: &u8| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte);
    !segment.is_empty() && segment.iter().all(allowed)
}

/// What of a host stands before `.domain`, if anything does. A port of the host is ignored.
fn subdomain<'a>(domain: &[u8], host: &'a [u8]) -> Option<&'a [u8]> {
    if !is_host(domain) || !is_host(host) {
        return None;
    }
    let name = match host.iter().position(|&byte| byte == b':') {
        Some(colon) if colon > 0 => &host[..colon],
        _ => host,
    };
    let sub = name.strip_suffix(domain)?.strip_suffix(b".")?;
    (!sub.is_empty()).then_some(sub)
}

/// `www.example.com` → `/com/example/www`. One dot at the end, of a full name, is ignored; an empty
/// part elsewhere makes it no domain.
fn domain_to_path(host: &[u8]) -> Option<Path> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let parts: Vec<&[u8]> = host.split(|&byte| byte == b'.').collect();
    let good = is_host(host) && parts.iter().all(|part| !part.is_empty());
    good.then(|| Path::from_segments(parts.into_iter().rev()))
}
