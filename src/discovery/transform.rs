//! Transformers at work: on the trees of bound names, and on the addresses behind them.
//!
//! A name that went through a transformer is another name (`/%/io.l5d.port/4141/#/io.l5d.fs/web`):
//! it has its own clients, and what it was before is kept in its address, for whoever follows it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::naming::{Addr, Bound, NameTree, Path, Through, Transform};

/// The name after a transformer, and where it is.
pub(super) fn through(bound: Bound, prefix: &Path, by: Transform) -> Bound {
    let Bound { id, addr, residual } = bound;
    Bound {
        id: Path::of_segment(b"%").join(prefix).join(&id),
        addr: Addr::Through(Box::new(Through { id, addr, by })),
        residual,
    }
}

/// A tree with another one in the place of each of its leaves.
pub(super) fn replaced(tree: NameTree<Bound>, by: &NameTree<Bound>) -> NameTree<Bound> {
    match tree {
        NameTree::Leaf(_) => by.clone(),
        // A branch that leads nowhere would still be drawn.
        NameTree::Union(_) if !matches!(by, NameTree::Leaf(_) | NameTree::Union(_)) => by.clone(),
        NameTree::Union(mut branches) => {
            for branch in &mut branches {
                let before = std::mem::replace(&mut branch.tree, NameTree::Neg);
                branch.tree = replaced(before, by);
            }
            NameTree::Union(branches)
        }
        other => other,
    }
}

/// What a bound name was before any transformer, and the transformers that it went through, in
/// their order.
pub(super) fn origin<'a>(id: &'a Path, addr: &'a Addr) -> (&'a Path, &'a Addr, Vec<Transform>) {
    let (mut id, mut addr, mut by) = (id, addr, Vec::new());
    while let Addr::Through(through) = addr {
        by.push(through.by);
        (id, addr) = (&through.id, &through.addr);
    }
    by.reverse();
    (id, addr, by)
}

/// What transformers make of an address; `None` if it does not stay.
pub(super) fn address(addr: SocketAddr, by: &[Transform]) -> Option<SocketAddr> {
    by.iter().try_fold(addr, |addr, by| match by {
        Transform::Same => Some(addr),
        Transform::Port(port) => Some(SocketAddr::new(addr.ip(), *port)),
        Transform::Host(host) => (addr.ip() == *host).then_some(addr),
        Transform::Localhost => is_local(addr.ip()).then_some(addr),
    })
}

/// Whether an address is one of this machine's: only those can be bound.
fn is_local(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        let other = SocketAddr::from(([192, 0, 2, 7], 80));
        let on = |addr: SocketAddr, port| SocketAddr::new(addr.ip(), port);
        for (addr, by, expected) in [
            (other, &[][..], Some(other)),
            (other, &[Transform::Same], Some(other)),
            (other, &[Transform::Port(81)], Some(on(other, 81))),
            (
                other,
                &[Transform::Port(81), Transform::Port(82)],
                Some(on(other, 82)),
            ),
            (local, &[Transform::Localhost], Some(local)),
            (other, &[Transform::Localhost], None),
            (other, &[Transform::Host(other.ip())], Some(other)),
            (local, &[Transform::Host(other.ip())], None),
            (
                other,
                &[Transform::Host(other.ip()), Transform::Localhost],
                None,
            ),
        ] {
            assert_eq!(address(addr, by), expected, "{addr} {by:?}");
        }
    }
}
