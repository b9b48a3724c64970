//! The two ends of a client's connection: their addresses, and names for them that say nothing.
//!
//! Nobody needs them unless the configuration does, so nothing is asked of the kernel until then,
//! nothing twice, and a connection without such a wish costs one word.

use std::cell::OnceCell;
use std::net::SocketAddr;

use crate::config::resolved::Server;
use crate::engine::Socket;

#[derive(Default)]
pub struct Ends(OnceCell<Box<Known>>);

#[derive(Default)]
struct Known {
    peer: OnceCell<Option<SocketAddr>>,
    local: OnceCell<Option<SocketAddr>>,
    labels: OnceCell<[u64; 2]>,
}

impl Ends {
    fn known(&self) -> &Known {
        self.0.get_or_init(Box::default)
    }

    /// The client's address; `None` if it was gone before anybody asked.
    pub fn peer(&self, socket: &Socket) -> Option<SocketAddr> {
        let ask = || socket.peer_addr().ok().map(plain);
        *self.known().peer.get_or_init(ask)
    }

    /// The address that the client connected to.
    pub fn local(&self, socket: &Socket, server: &Server) -> Option<SocketAddr> {
        let ask = || match server.ip.is_unspecified() || server.port == 0 {
            true => socket.local_addr().ok().map(plain),
            false => Some(SocketAddr::new(server.ip, server.port)),
        };
        *self.known().local.get_or_init(ask)
    }

    /// Two random numbers, the same for the whole connection.
    pub fn labels(&self, random: impl Fn() -> u64) -> [u64; 2] {
        let draw = || [random(), random()];
        *self.known().labels.get_or_init(draw)
    }
}

/// An IPv4 address that came to a socket of IPv6 is one of IPv4.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
