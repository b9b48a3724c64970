//! What is in force: a configuration, with numbers for its routers and servers.
//!
//! A router is known over reloads by its label, a server by its address (one on port 0 by its place
//! among those of its router). What is known keeps its number, and with it, on every shard, its
//! connections, pools and counts. What is new gets the next number; none is ever used again, so that
//! news which come late for something that is gone reach nobody.
//!
//! The listening sockets are made here, one for each shard, before anything is told to anybody: an
//! address that cannot be had is an error that changes nothing. A handle on each stays here, so that
//! a reload can change the options of a socket that a shard accepts from.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::resolved::{self, Config, Limits};
use crate::engine::Bound;
use crate::engine::driver::ListenOptions;
use crate::router::door::Bounds;
use crate::router::rate::Rates;
use crate::router::settings::Settings;

use super::StartError;
use super::start::is_free;

/// See the module's head.
pub struct Generation {
    /// From 1, one more with each reload.
    pub number: u64,
    pub config: Arc<Config>,
    /// In the order of the configuration.
    pub routers: Vec<RouterAt>,
    next: usize,
}

/// A router and its number.
pub struct RouterAt {
    pub number: usize,
    pub config: Arc<resolved::Router>,
    /// In the order of the configuration.
    pub servers: Vec<ServerAt>,
}

/// A server, its number, and where it listens.
#[derive(Clone)]
pub struct ServerAt {
    pub number: usize,
    pub addr: SocketAddr,
    /// One for each shard.
    sockets: Arc<[Bound]>,
    /// What the shards share of its limits.
    pub bounds: Bounds,
    options: ListenOptions,
}

/// What one shard has to do to be in a generation.
pub struct Change {
    pub generation: u64,
    /// Every router: its number, and its settings if they are others than before.
    pub routers: Vec<(usize, Option<Settings>)>,
    /// Every server.
    pub servers: Vec<ServerChange>,
}

pub struct ServerChange {
    pub number: usize,
    pub router: usize,
    pub settings: resolved::Server,
    /// What the shards share of its limits.
    pub bounds: Bounds,
    /// The socket of this shard, if the server is new.
    pub socket: Option<Bound>,
}

/// By what a server is found again.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Addr(SocketAddr),
    /// The n-th of its router that asks for any port of this address.
    Fresh(String, IpAddr, usize),
}

impl Generation {
    /// The generation of a configuration, after another or as the first. Listens where nothing
    /// listened before.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn of(
        config: Arc<Config>,
        before: Option<&Generation>,
        shards: usize,
    ) -> Result<Generation, StartError> {
        let mut next = before.map_or(0, |before| before.next);
        let mut number = || {
            next += 1;
            next - 1
        };
        let known = before.map(Generation::servers).unwrap_or_default();
        let numbers = before.map(Generation::numbers).unwrap_or_default();
        let mut routers = Vec::new();
        for router in &config.routers {
            let mut servers = Vec::new();
            for (key, server) in keys(router).zip(&router.servers) {
                servers.push(match known.get(&key) {
                    Some(same) => same.limited_by(&server.limits),
                    None => {
                        let ours = known.values().any(|one| one.addr.port() == server.port);
                        let number = number();
                        listen(number, &router.label, server, shards, ours)?
                    }
                });
            }
            routers.push(RouterAt {
                number: numbers
                    .get(router.label.as_str())
                    .copied()
                    .unwrap_or_else(&mut number),
                config: Arc::new(router.clone()),
                servers,
            });
        }
        Ok(Generation {
            number: before.map_or(1, |before| before.number + 1),
            config,
            routers,
            next,
        })
    }

    /// Gives the sockets that stay the options that they have now.
    pub fn configure(&mut self) {
        for router in &mut self.routers {
            for (server, settings) in router.servers.iter_mut().zip(&router.config.servers) {
                let options = options(settings);
                if options == server.options {
                    continue;
                }
                server.options = options;
                let sockets = server.sockets.iter();
                let failed = sockets
                    .filter_map(|socket| socket.configure(options).err())
                    .next();
                if let Some(error) = failed {
                    let addr = server.addr;
                    tracing::warn!("the options of the socket on {addr} stay: {error}");
                }
            }
        }
    }

    /// What one shard has to do.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn change(&self, before: Option<&Generation>, shard: usize) -> io::Result<Change> {
        let known = before.map(Generation::servers).unwrap_or_default();
        let known: Vec<usize> = known.values().map(|server| server.number).collect();
        let mut change = Change {
            generation: self.number,
            routers: Vec::new(),
            servers: Vec::new(),
        };
        for router in &self.routers {
            let old = before.and_then(|before| before.router(router.number));
            let same = old.is_some_and(|old| old.config.is_like(&router.config));
            let settings = (!same).then(|| Settings::new(Arc::clone(&router.config)));
            change.routers.push((router.number, settings));
            for (server, settings) in router.servers.iter().zip(&router.config.servers) {
                let fresh = !known.contains(&server.number);
                let socket = fresh.then(|| server.sockets[shard].try_clone());
                change.servers.push(ServerChange {
                    number: server.number,
                    router: router.number,
                    settings: settings.clone(),
                    bounds: server.bounds.clone(),
                    socket: socket.transpose()?,
                });
            }
        }
        Ok(change)
    }

    #[must_use]
    pub fn router(&self, number: usize) -> Option<&RouterAt> {
        self.routers.iter().find(|router| router.number == number)
    }

    fn servers(&self) -> HashMap<Key, &ServerAt> {
        let of_router = |router: &'_ RouterAt| keys(&router.config).collect::<Vec<_>>();
        let routers = self.routers.iter();
        let pairs = routers.flat_map(|router| of_router(router).into_iter().zip(&router.servers));
        pairs.collect()
    }

    fn numbers(&self) -> HashMap<&str, usize> {
        let routers = self.routers.iter();
        routers
            .map(|router| (router.config.label.as_str(), router.number))
            .collect()
    }
}

impl ServerAt {
    /// The same server, with what other limits need.
    fn limited_by(&self, limits: &Limits) -> ServerAt {
        ServerAt {
            bounds: Bounds::after(Some(&self.bounds), limits, Rates::new),
            ..self.clone()
        }
    }
}

/// By what the servers of a router are found again.
fn keys(router: &resolved::Router) -> impl Iterator<Item = Key> {
    router
        .servers
        .iter()
        .enumerate()
        .map(|(index, server)| match server.port {
            0 => {
                let before = &router.servers[..index];
                let same = |other: &&resolved::Server| other.port == 0 && other.ip == server.ip;
                let nth = before.iter().filter(same).count();
                Key::Fresh(router.label.clone(), server.ip, nth)
            }
            port => Key::Addr(SocketAddr::new(server.ip, port)),
        })
}

fn options(server: &resolved::Server) -> ListenOptions {
    ListenOptions {
        backlog: server.backlog,
        // Not only between shards: with it a listener can take over from another on its port.
        reuse_port: true,
        no_delay: server.no_delay,
    }
}

/// Listens, once for each shard. `ours`: this process has the port already, on another address.
fn listen(
    number: usize,
    router: &str,
    server: &resolved::Server,
    shards: usize,
    ours: bool,
) -> Result<ServerAt, StartError> {
    let mut addr = SocketAddr::new(server.ip, server.port);
    let failed = |addr| {
        let router = router.to_owned();
        move |error| StartError::Listen {
            router,
            addr,
            error,
        }
    };
    if !ours {
        is_free(addr).map_err(failed(addr))?;
    }
    let options = options(server);
    let mut sockets = Vec::new();
    for _ in 0..shards {
        let socket = Bound::listen(addr, options).map_err(failed(addr))?;
        // The first settles the port.
        addr = socket.addr();
        sockets.push(socket);
    }
    Ok(ServerAt {
        number,
        addr,
        sockets: sockets.into(),
        bounds: Bounds::after(None, &server.limits, Rates::new),
        options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(routers: &[(&str, &str)]) -> Arc<Config> {
        let router = |(label, servers): &(&str, &str)| {
            format!("- {{protocol: http, label: {label}, servers: [{servers}]}}\n")
        };
        let routers: String = routers.iter().map(router).collect();
        Arc::new(config::load(&format!("routers:\n{routers}")).unwrap())
    }

    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    fn numbers(of: &Generation) -> Vec<(usize, Vec<usize>)> {
        let servers = |router: &RouterAt| router.servers.iter().map(|s| s.number).collect();
        of.routers
            .iter()
            .map(|router| (router.number, servers(router)))
            .collect()
    }

    #[test]
    fn what_is_known_keeps_its_number_and_its_sockets() {
        let port = free_port();
        let fixed = format!("{{port: {port}}}, {{port: 0}}");
        let first = config(&[("a", &fixed), ("b", "{port: 0}")]);
        let first = Generation::of(first, None, 2).unwrap();
        assert_eq!(numbers(&first), [(2, vec![0, 1]), (4, vec![3])]);
        let change = first.change(None, 1).unwrap();
        assert!(
            change
                .routers
                .iter()
                .all(|(_, settings)| settings.is_some())
        );
        assert!(change.servers.iter().all(|server| server.socket.is_some()));

        // `a` is gone, and its fixed server with it is `c`'s now; `b` has one more.
        let moved = format!("{{port: {port}}}");
        let second = config(&[("b", "{port: 0}, {port: 0}"), ("c", &moved)]);
        let second = Generation::of(second, Some(&first), 2).unwrap();
        assert_eq!(numbers(&second), [(4, vec![3, 5]), (6, vec![0])]);
        assert_eq!(second.number, 2);
        assert_eq!(
            second.routers[1].servers[0].addr,
            first.routers[0].servers[0].addr
        );
        let change = second.change(Some(&first), 0).unwrap();
        let told: Vec<_> = change
            .servers
            .iter()
            .map(|s| (s.number, s.socket.is_some()))
            .collect();
        assert_eq!(told, [(3, false), (5, true), (0, false)]);
        assert!(
            change
                .routers
                .iter()
                .all(|(_, settings)| settings.is_some())
        );

        let third = Generation::of(Arc::clone(&second.config), Some(&second), 2).unwrap();
        let change = third.change(Some(&second), 0).unwrap();
        assert!(
            change
                .routers
                .iter()
                .all(|(_, settings)| settings.is_none())
        );
        assert!(change.servers.iter().all(|server| server.socket.is_none()));
    }

    #[test]
    fn a_wider_address_takes_over_its_port() {
        let port = free_port();
        let narrow = config(&[("a", &format!("{{port: {port}}}"))]);
        let narrow = Generation::of(narrow, None, 1).unwrap();
        let wide = config(&[("a", &format!("{{port: {port}, ip: 0.0.0.0}}"))]);
        let wide = Generation::of(wide, Some(&narrow), 1).unwrap();
        assert_eq!(numbers(&wide), [(1, vec![2])]);
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let wanted = config(&[("a", &format!("{{port: {port}}}"))]);
        let error = Generation::of(wanted, None, 1).err().unwrap();
        assert!(matches!(error, StartError::Listen { addr, .. } if addr.port() == port));
    }
}
