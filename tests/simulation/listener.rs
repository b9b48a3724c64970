//! A listener that is resumed before the cancel of its pause has come to its end.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;

use ringlink::engine::driver::sim::{Faults, Role, SimNetwork};
use ringlink::engine::driver::{Driver, ListenOptions};
use ringlink::engine::{BufPool, Listener, Shard, Socket};

const MILLI: u64 = 1_000_000;

fn shard(net: &SimNetwork, role: Role) -> Shard {
    let pool = BufPool::new(16, 4096).expect("address space");
    Shard::new(0, Driver::Sim(Box::new(net.driver(role))), pool)
}

#[test]
fn a_listener_resumed_at_once_accepts_on() {
    let faults = Faults {
        late_cancel: 1.0,
        ..Faults::none()
    };
    let net = SimNetwork::new(1, faults);
    let (proxy, peer) = (shard(&net, Role::Proxy), shard(&net, Role::Peer));
    let addr = SocketAddr::from(([10, 0, 1, 1], 80));
    let options = ListenOptions {
        backlog: 8,
        reuse_port: false,
        no_delay: true,
    };
    let listener = Listener::bind(&proxy, addr, options).expect("a free address");
    let accepted = Rc::new(Cell::new(false));
    let seen = Rc::clone(&accepted);
    let proxy_shard = proxy.clone();
    proxy.spawn(async move {
        listener.pause();
        listener.resume();
        let fd = poll_fn(|_| listener.poll_accept())
            .await
            .expect("a connection");
        seen.set(true);
        drop(Socket::adopt(&proxy_shard, fd));
    });
    let peer_shard = peer.clone();
    peer.spawn(async move {
        peer_shard.sleep_until(peer_shard.now() + 100 * MILLI).await;
        let socket = Socket::connect(&peer_shard, &addr, true).expect("a simulated socket");
        // However it ends: what counts is the other side.
        let _ = poll_fn(|_| socket.poll_connected()).await;
        let _ = socket.recv().await;
    });
    let end = net.now() + 1000 * MILLI;
    while net.now() < end && !accepted.get() {
        let turned = [&proxy, &peer].map(|shard| shard.turn(false).expect("never fails"));
        if turned == [false, false] {
            let timers = [&proxy, &peer].into_iter().filter_map(Shard::next_timer);
            let next = timers.chain(net.next_event()).min().unwrap_or(end);
            net.advance_to(next.max(net.now() + 1));
        }
    }
    assert!(accepted.get());
    // Whatever a shard calls the time of day follows from the seed, too.
    let begin = 1_000_000_000_000;
    assert_eq!(proxy.wall_clock_ms(), begin + proxy.now() / MILLI);
}
