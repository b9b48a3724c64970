//! Connections, cancelling, waits and shares.

use std::io::Write;
use std::thread;

use super::*;

#[test]
fn nobody_listens() {
    let mut bench = Bench::new(1);
    // Bound, so that nobody else gets the port, but not listening.
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bound = stream_socket(&any).unwrap();
    bound.bind(&any.into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let fd = bench.driver.socket(&addr, true).unwrap();
    let op = bench.op();
    bench.driver.connect(op, fd, &addr);
    assert_eq!(bench.last(op), -libc::ECONNREFUSED);
    assert!(bench.driver.peer_addr(fd).is_err());
    // An error that accepting cannot skip ends it.
    let op = bench.op();
    bench.driver.accept(op, fd);
    assert_eq!(bench.last(op), -libc::EINVAL);
    bench.driver.close(fd);
}

#[test]
fn an_address_in_use_is_an_error_unless_the_port_is_shared() {
    let mut bench = Bench::new(1);
    let any = "[::1]:0".parse().unwrap();
    let shared = ListenOptions {
        reuse_port: true,
        ..OPTIONS
    };
    let (_, addr) = bench.driver.listen(any, shared).unwrap();
    assert!(bench.driver.listen(addr, shared).is_ok());
    let error = bench.driver.listen(addr, OPTIONS).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn cancelling_ends_what_is_pending_and_nothing_else() {
    let mut bench = Bench::new(4);
    let (fd, mut peer) = bench.pair();
    for turns_first in [false, true] {
        let op = bench.op();
        bench.driver.recv(op, fd, true);
        if turns_first {
            bench.nothing_comes();
        }
        bench.driver.cancel(op);
        bench.driver.cancel(op);
        assert_eq!(bench.last(op), -libc::ECANCELED);
        bench.driver.cancel(op);
        bench.nothing_comes();
    }
    // What was cancelled took no bytes, and its successor is another operation.
    let (old, new) = (bench.op(), bench.op());
    bench.driver.recv(old, fd, true);
    bench.driver.cancel(old);
    bench.driver.recv(new, fd, false);
    peer.write_all(b"for the new one").unwrap();
    assert_eq!(bench.last(old), -libc::ECANCELED);
    let received = bench.next();
    assert_eq!(received.op, new);
    assert_eq!(bench.bytes(received), b"for the new one");
    bench.driver.cancel(new);
    bench.driver.cancel(Key::NONE);
    bench.nothing_comes();
    // A connection attempt that nobody answers.
    let nowhere = "192.0.2.1:9".parse().unwrap();
    let socket = bench.driver.socket(&nowhere, true).unwrap();
    let op = bench.op();
    bench.driver.connect(op, socket, &nowhere);
    bench.driver.cancel(op);
    assert_eq!(bench.last(op), -libc::ECANCELED);
    bench.driver.close(socket);
}

#[test]
fn wakes_before_and_during_a_wait() {
    let mut bench = Bench::new(1);
    let handle = bench.driver.wake_handle();
    for _ in 0..3 {
        handle.wake();
        handle.wake();
        assert_eq!(bench.turn(Wait::Forever), []);
    }
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        handle.wake();
    });
    let start = bench.driver.now();
    assert_eq!(bench.turn(Wait::Forever), []);
    assert!(bench.driver.now() - start >= 25_000_000, "woke by itself");
    other.join().unwrap();
}

#[test]
fn waits_as_long_as_it_was_told() {
    let mut bench = Bench::new(1);
    for precise in [true, false] {
        bench.driver.precise_wait &= precise;
        let until = bench.driver.now() + 5_300_000;
        assert_eq!(bench.turn(Wait::Until(until)), []);
        assert!(bench.driver.now() >= until);
    }
    let enters = bench.driver.counters().enters;
    assert_eq!(bench.turn(Wait::Until(0)), []);
    assert_eq!(bench.turn(Wait::Poll), []);
    assert_eq!(bench.driver.counters().enters, enters + 2);
}

#[test]
fn the_event_of_a_registration_ends_no_wait() {
    let mut bench = Bench::new(1);
    let (fd, _peer) = bench.pair();
    let op = bench.op();
    bench.driver.recv(op, fd, true);
    let until = bench.driver.now() + 20_000_000;
    assert_eq!(bench.turn(Wait::Until(until)), []);
    assert!(bench.driver.now() >= until);
}

#[test]
fn a_busy_socket_leaves_the_others_their_turn() {
    let mut bench = Bench::new(64);
    let (busy, mut flood) = bench.pair();
    let (quiet, mut peer) = bench.pair();
    flood.write_all(&pattern(200_000)).unwrap();
    peer.write_all(b"me too").unwrap();
    let (first, second) = (bench.op(), bench.op());
    bench.driver.recv(first, busy, true);
    bench.driver.recv(second, quiet, true);
    let out = bench.turn(Wait::Poll);
    let share = out.iter().filter(|completion| completion.op == first);
    assert_eq!(share.count(), 8);
    assert_eq!(out.last().map(|completion| completion.op), Some(second));
    // Still readable without an edge: the next turn must not wait.
    let out = bench.turn(Wait::Forever);
    assert_eq!(out.len(), 8);
}

#[test]
fn accepts_a_crowd_in_batches() {
    let mut bench = Bench::new(1);
    let any = "127.0.0.1:0".parse().unwrap();
    let (listener, addr) = bench.driver.listen(any, OPTIONS).unwrap();
    let peers: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    let op = bench.op();
    bench.driver.accept(op, listener);
    let mut accepted = Vec::new();
    let first = bench.turn(Wait::Poll);
    assert_eq!(first.len(), 64);
    accepted.extend(first);
    while accepted.len() < peers.len() {
        accepted.push(bench.next());
    }
    for completion in accepted {
        assert!(completion.more && completion.op == op);
        bench.driver.close(Fd(completion.result));
    }
    bench.nothing_comes();
    bench.driver.cancel(op);
    assert_eq!(bench.last(op), -libc::ECANCELED);
}

#[test]
fn a_descriptor_used_again_starts_afresh() {
    let mut bench = Bench::new(4);
    for round in 0..20u8 {
        let (fd, mut peer) = bench.pair();
        let op = bench.op();
        bench.driver.recv(op, fd, true);
        bench.nothing_comes();
        peer.write_all(&[round]).unwrap();
        let received = bench.next();
        assert_eq!(bench.bytes(received), [round]);
        drop(peer);
        assert_eq!(bench.last(op), 0);
        bench.driver.close(fd);
    }
}
