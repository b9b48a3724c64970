//! Bytes in and out.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use super::*;

#[test]
fn echoes_between_two_of_its_sockets() {
    let mut bench = Bench::new(8);
    let any = "127.0.0.1:0".parse().unwrap();
    let (listener, addr) = bench.driver.listen(any, OPTIONS).unwrap();
    let (accept, connect) = (bench.op(), bench.op());
    bench.driver.accept(accept, listener);
    let client = bench.driver.socket(&addr, true).unwrap();
    bench.driver.connect(connect, client, &addr);
    let mut server = None;
    let mut connected = false;
    while server.is_none() || !connected {
        let completion = bench.next();
        if completion.op == accept {
            server = Some(Fd(completion.result));
        } else {
            assert_eq!((completion.op, completion.result), (connect, 0));
            connected = true;
        }
    }
    let server = server.unwrap();
    assert_eq!(bench.driver.peer_addr(client).unwrap(), addr);
    let local = crate::engine::driver::kernel::local_addr(server);
    assert_eq!(local.unwrap(), addr);
    let sock = sys::borrow(server.0);
    assert!(SockRef::from(&sock).tcp_nodelay().unwrap());
    let receives = [(bench.op(), server), (bench.op(), client)];
    for (op, fd) in receives {
        bench.driver.recv(op, fd, true);
    }
    for (from, to) in [(client, 0), (server, 1), (client, 0)] {
        let send = bench.op();
        let mut hello = job(&[b"hel", b"lo"]);
        bench.driver.send(send, from, &mut hello);
        assert_eq!(bench.last(send), 5);
        let received = bench.next();
        assert_eq!((received.op, received.more), (receives[to].0, true));
        assert_eq!(bench.bytes(received), b"hello");
    }
    let counters = bench.driver.counters();
    assert_eq!((counters.submissions, counters.completions), (7, 8));
    assert_eq!(bench.bufs.free_count(), 8);
}

#[test]
fn a_multishot_receive_brings_everything_and_the_end() {
    let mut bench = Bench::new(16);
    let (fd, mut peer) = bench.pair();
    let op = bench.op();
    bench.driver.recv(op, fd, true);
    let data = pattern(3_000_000);
    let copy = data.clone();
    let writer = thread::spawn(move || peer.write_all(&copy).unwrap());
    let mut got = Vec::new();
    loop {
        let completion = bench.next();
        assert_eq!(completion.op, op);
        if !completion.more {
            assert_eq!((completion.result, completion.buf), (0, None));
            break;
        }
        got.extend(bench.bytes(completion));
    }
    writer.join().unwrap();
    assert!(got == data);
    assert_eq!(bench.bufs.free_count(), 16);
    // The stream stays ended.
    let op = bench.op();
    bench.driver.recv(op, fd, false);
    assert_eq!(bench.last(op), 0);
    bench.nothing_comes();
}

#[test]
fn a_single_shot_receive_takes_one_buffer_and_remembers_the_rest() {
    let mut bench = Bench::new(4);
    let (fd, mut peer) = bench.pair();
    let data = pattern(10_000);
    peer.write_all(&data).unwrap();
    let mut got = Vec::new();
    while got.len() < data.len() {
        let op = bench.op();
        bench.driver.recv(op, fd, false);
        let completion = bench.next();
        assert_eq!((completion.op, completion.more), (op, false));
        got.extend(bench.bytes(completion));
        bench.nothing_comes();
    }
    assert!(got == data);
}

#[test]
fn bytes_and_the_end_that_were_there_first() {
    let mut bench = Bench::new(4);
    let (fd, mut peer) = bench.pair();
    for multishot in [true, false] {
        // Registers the socket, so that all edges come while nobody receives.
        let op = bench.op();
        bench.driver.recv(op, fd, multishot);
        bench.nothing_comes();
        bench.driver.cancel(op);
        assert_eq!(bench.last(op), -libc::ECANCELED);
    }
    peer.write_all(b"bye").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    bench.nothing_comes();
    let op = bench.op();
    bench.driver.recv(op, fd, true);
    let completion = bench.next();
    assert_eq!(bench.bytes(completion), b"bye");
    assert_eq!(bench.last(op), 0);
}

#[test]
fn a_peer_that_resets() {
    let mut bench = Bench::new(4);
    let (fd, peer) = bench.pair();
    let op = bench.op();
    bench.driver.recv(op, fd, true);
    bench.nothing_comes();
    reset(peer);
    assert_eq!(bench.last(op), -libc::ECONNRESET);
    let send = bench.op();
    bench.driver.send(send, fd, &mut job(&[b"too late"]));
    assert_eq!(bench.last(send), -libc::EPIPE);
    assert_eq!(bench.bufs.free_count(), 4);
    bench.driver.close(fd);
}

#[test]
fn no_buffers_ends_a_receive_and_loses_nothing() {
    let mut bench = Bench::new(1);
    let (fd, mut peer) = bench.pair();
    let room = bench.bufs.capacity() as usize;
    let data = pattern(room + 100);
    peer.write_all(&data).unwrap();
    let first = bench.op();
    bench.driver.recv(first, fd, true);
    let held = bench.next();
    assert_eq!((held.op, held.more), (first, true));
    assert_eq!(bench.last(first), -libc::ENOBUFS);
    assert_eq!(bench.driver.counters().no_buffers, 1);
    let mut got = bench.bytes(held);
    let second = bench.op();
    bench.driver.recv(second, fd, true);
    let rest = bench.next();
    got.extend(bench.bytes(rest));
    assert!(got == data);
    bench.nothing_comes();
}

#[test]
fn a_blocked_send_goes_on_until_all_is_sent() {
    let mut bench = Bench::new(4);
    let (fd, mut peer) = bench.pair();
    let data = pattern(24_000_000);
    let mut job = TxJob::new();
    for (index, part) in data.chunks(data.len() / 10 + 7).enumerate() {
        if index % 3 == 0 {
            job.push(Segment::Static(b""));
        }
        job.push(Segment::Owned(part.to_vec()));
    }
    let op = bench.op();
    bench.driver.send(op, fd, &mut job);
    bench.nothing_comes();
    let len = data.len();
    let reader = thread::spawn(move || {
        let mut got = vec![0; len];
        peer.read_exact(&mut got).unwrap();
        (got, peer)
    });
    assert_eq!(bench.last(op) as usize, len);
    let (got, mut peer) = reader.join().unwrap();
    assert!(got == data);
    // One range takes the other way through the view.
    let data = pattern(12_000_000);
    let mut job = TxJob::new();
    job.push(Segment::Owned(data.clone()));
    let op = bench.op();
    bench.driver.send(op, fd, &mut job);
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    assert_eq!(bench.last(op) as usize, data.len());
    bench.driver.shutdown_write(fd);
    assert!(reader.join().unwrap() == data);
    bench.nothing_comes();
    bench.driver.close(fd);
}

#[test]
fn more_segments_than_a_view_holds_are_a_short_send() {
    let mut bench = Bench::new(4);
    let (fd, mut peer) = bench.pair();
    let mut job = job(&[b"ab".as_slice(); 20]);
    let mut sent = 0;
    while job.left() > 0 {
        let op = bench.op();
        bench.driver.send(op, fd, &mut job);
        let count = bench.last(op) as usize;
        job.advance(count, |_| {});
        sent += count;
    }
    assert_eq!(sent, 40);
    let mut got = [0; 40];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(got, *b"ab".repeat(20));
}

#[test]
fn a_send_that_ends_half_way_tells_how_far_it_came() {
    for cancelled in [true, false] {
        let mut bench = Bench::new(4);
        let (fd, peer) = bench.pair();
        let mut job = TxJob::new();
        job.push(Segment::Owned(pattern(24_000_000)));
        let op = bench.op();
        bench.driver.send(op, fd, &mut job);
        bench.nothing_comes();
        if cancelled {
            bench.driver.cancel(op);
        } else {
            reset(peer);
        }
        let sent = bench.last(op);
        assert!(sent > 0 && sent < 24_000_000, "{sent}");
        bench.driver.close(fd);
    }
}
