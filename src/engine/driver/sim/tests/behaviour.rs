use super::*;

#[test]
fn bytes_arrive_in_order_and_then_the_end() {
    let mut world = World::new(1, Faults::none());
    let (client, backend) = world.pair();
    let read = world.recv(PEER, backend, true);
    world.send_all(PROXY, client, b"hello ");
    world.send_all(PROXY, client, b"world");
    world.driver(PROXY).shutdown_write(client);
    world.run();
    assert_eq!(world.received(PEER, read), b"hello world");
    assert_eq!(world.ended(PEER, read), Some(0));
    let late = world.send(PROXY, client, b"late");
    world.run();
    assert_eq!(world.ended(PROXY, late), Some(-libc::EPIPE));
    // The other direction is still open.
    let read = world.recv(PROXY, client, false);
    world.send_all(PEER, backend, b"answer");
    assert_eq!(world.received(PROXY, read), b"answer");
    assert_eq!(world.ended(PROXY, read), Some(6));
}

#[test]
fn nothing_arrives_before_its_time() {
    let mut world = World::new(2, Faults::none());
    let (client, backend) = world.pair();
    let read = world.recv(PEER, backend, true);
    let start = world.net.now();
    world.send(PROXY, client, b"x");
    world.run_until(start);
    assert!(world.results(PEER, read).is_empty());
    assert!(world.net.next_event().unwrap() > start);
    world.run();
    assert_eq!(world.results(PEER, read), [1]);
}

#[test]
fn a_sender_waits_for_its_reader() {
    let mut world = World::new(3, Faults::none());
    let (client, backend) = world.pair();
    let bytes: Vec<u8> = (0..400_000u32).map(|n| n as u8).collect();
    let mut sent = 0;
    let blocked = loop {
        let op = world.send(PROXY, client, &bytes[sent..]);
        world.run();
        match world.ended(PROXY, op) {
            Some(result) => sent += result as usize,
            None => break op,
        }
    };
    assert!(
        (600..64 * 1024).contains(&sent),
        "{sent} bytes without a reader"
    );
    let read = world.recv(PEER, backend, true);
    world.run();
    sent += world.ended(PROXY, blocked).unwrap() as usize;
    world.send_all(PROXY, client, &bytes[sent..]);
    assert_eq!(world.received(PEER, read), bytes);
}

#[test]
fn nobody_there_refuses() {
    let mut world = World::new(4, Faults::none());
    let (fd, op) = world.connect(PROXY, server());
    let start = world.net.now();
    world.run();
    assert_eq!(world.ended(PROXY, op), Some(-libc::ECONNREFUSED));
    assert!(world.net.now() > start);
    world.listen(PEER, server());
    world.net.refuse(server(), true);
    let op = world.key();
    world.driver(PROXY).connect(op, fd, &server());
    world.run();
    assert_eq!(world.ended(PROXY, op), Some(-libc::ECONNREFUSED));
}

#[test]
fn connections_spread_over_the_listeners() {
    let mut world = World::new(5, Faults::none());
    let (_, one) = world.listen(PEER, server());
    let (_, other) = world.listen(PEER, server());
    let exclusive = ListenOptions {
        reuse_port: false,
        ..LISTEN
    };
    assert!(world.driver(PEER).listen(server(), exclusive).is_err());
    for _ in 0..32 {
        world.connect(PROXY, server());
    }
    world.run();
    let (one, other) = (world.results(PEER, one), world.results(PEER, other));
    assert_eq!(one.len() + other.len(), 32);
    assert!(one.len() > 4 && other.len() > 4);
    let peer = world.driver(PEER).peer_addr(Fd(one[0])).unwrap();
    assert_eq!(peer.ip().to_string(), "10.0.0.1");
    let local = world.driver(PEER).local_addr(Fd(one[0])).unwrap();
    assert_eq!(local, server());
    assert_eq!(world.net.open_sockets(Role::Peer), 34);
}

#[test]
fn a_full_backlog_makes_the_client_try_again() {
    let mut world = World::new(6, Faults::none());
    let options = ListenOptions {
        backlog: 1,
        ..LISTEN
    };
    let (fd, _) = world.driver(PEER).listen(server(), options).unwrap();
    let (_, first) = world.connect(PROXY, server());
    world.run();
    let (_, second) = world.connect(PROXY, server());
    world.run();
    assert_eq!(world.ended(PROXY, first), Some(0));
    assert_eq!(world.ended(PROXY, second), None);
    let accept = world.key();
    world.driver(PEER).accept(accept, fd);
    world.run();
    assert_eq!(world.ended(PROXY, second), Some(0));
}

#[test]
fn a_black_hole_holds_everything_back() {
    let faults = Faults {
        fin_when_picked: 1.0,
        ..Faults::none()
    };
    let mut world = World::new(7, faults);
    let (client, backend) = world.pair();
    let read = world.recv(PEER, backend, true);
    let answer = world.recv(PROXY, client, true);
    world.net.blackhole(server(), true);
    world.driver(PEER).shutdown_write(backend);
    let (_, connect) = world.connect(PROXY, server());
    for part in [b"one ", b"two "] {
        world.send_all(PROXY, client, part);
    }
    world.run();
    assert!(world.results(PEER, read).is_empty());
    assert_eq!(world.ended(PROXY, connect), None);
    assert_eq!(world.ended(PROXY, answer), None);
    world.driver(PROXY).cancel(connect);
    world.run();
    assert_eq!(world.ended(PROXY, connect), Some(-libc::ECANCELED));
    world.net.blackhole(server(), false);
    world.send_all(PROXY, client, b"three");
    assert_eq!(world.ended(PROXY, answer), Some(0));
    assert_eq!(world.received(PEER, read), b"one two three");
}

#[test]
fn a_reset_is_told_once() {
    let mut world = World::new(8, Faults::none());
    let (client, _) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.net.reset_peer(server());
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(-libc::ECONNRESET));
    assert!(world.driver(PROXY).peer_addr(client).is_err());
    let (read, write) = (
        world.recv(PROXY, client, true),
        world.send(PROXY, client, b"x"),
    );
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(0));
    assert_eq!(world.ended(PROXY, write), Some(-libc::EPIPE));
}

#[test]
fn closing_with_unread_bytes_resets() {
    let mut world = World::new(9, Faults::none());
    let (client, backend) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.send_all(PROXY, client, b"never read");
    world.driver(PEER).close(backend);
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(-libc::ECONNRESET));
}

#[test]
fn sending_to_a_closed_peer_resets() {
    let mut world = World::new(10, Faults::none());
    let (client, backend) = world.pair();
    world.driver(PEER).close(backend);
    let read = world.recv(PROXY, client, true);
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(0));
    world.send_all(PROXY, client, b"into the void");
    world.run();
    let late = world.send(PROXY, client, b"x");
    world.run();
    assert_eq!(world.ended(PROXY, late), Some(-libc::EPIPE));
    world.driver(PROXY).close(client);
    assert_eq!(world.net.open_sockets(Role::Proxy), 0);
    assert!(world.net.0.borrow().conns.is_empty());
}

#[test]
fn a_closed_listener_resets_its_backlog() {
    let mut world = World::new(11, Faults::none());
    let (listener, _) = world.driver(PEER).listen(server(), LISTEN).unwrap();
    let (client, _) = world.connect(PROXY, server());
    world.run();
    world.driver(PEER).close(listener);
    let read = world.recv(PROXY, client, true);
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(-libc::ECONNRESET));
}

#[test]
fn without_buffers_nothing_is_consumed() {
    let mut world = World::new(12, Faults::none());
    let (client, backend) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.run();
    let pool = Rc::clone(&world.hosts[PROXY].pool);
    let held: Vec<u16> = std::iter::from_fn(|| pool.take()).collect();
    world.send_all(PEER, backend, b"kept");
    assert_eq!(world.ended(PROXY, read), Some(-libc::ENOBUFS));
    for id in held {
        pool.release(id);
    }
    let read = world.recv(PROXY, client, false);
    world.run();
    assert_eq!(world.received(PROXY, read), b"kept");
    assert_eq!(world.driver(PROXY).counters().no_buffers, 1);
}

#[test]
fn a_cancel_ends_what_it_names() {
    let mut world = World::new(13, Faults::none());
    let (client, backend) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.run();
    world.driver(PROXY).cancel(read);
    world.driver(PROXY).cancel(read);
    world.send_all(PEER, backend, b"for the next");
    assert_eq!(world.results(PROXY, read), [-libc::ECANCELED]);
    world.driver(PROXY).cancel(read);
    let next = world.recv(PROXY, client, false);
    world.run();
    assert_eq!(world.received(PROXY, next), b"for the next");
}

#[test]
fn a_wake_up_from_another_thread_makes_ready() {
    let mut world = World::new(14, Faults::none());
    let wake = world.driver(PROXY).wake_handle();
    assert!(!world.driver(PROXY).ready());
    std::thread::spawn(move || wake.wake()).join().unwrap();
    assert!(world.driver(PROXY).woken() && world.net.has_ready(PROXY));
    world.turn(PROXY);
    assert!(!world.driver(PROXY).ready());
}

#[test]
fn half_of_the_seeds_reuse_descriptors() {
    let reuses = |seed| {
        let mut world = World::new(seed, Faults::none());
        let first = world.driver(PROXY).socket(&server(), true).unwrap();
        world.driver(PROXY).close(first);
        world.driver(PROXY).socket(&server(), true).unwrap() == first
    };
    let count = (0..64).filter(|seed| reuses(*seed)).count();
    assert!((16..48).contains(&count), "{count} of 64");
}

#[test]
fn a_dropped_driver_hangs_up() {
    let mut world = World::new(15, Faults::none());
    let (client, _) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.hosts.truncate(1);
    world.run();
    assert_eq!(world.ended(PROXY, read), Some(0));
    assert_eq!(world.net.open_sockets(Role::Peer), 0);
}
