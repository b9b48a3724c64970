//! What connections cost, and that a burst of them leaves nothing behind.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::{Client, Driver, Proxy, Setup, wait_for};

both_drivers!(a_burst_leaves_nothing, idle_connections_are_cheap);

/// User memory of one idle connection.
const PER_IDLE: f64 = 0.7 * 1024.0;

/// Connections that a backend's listener holds until they are accepted.
const BACKLOG: i32 = 4096;

/// One at a time: the figures are the proxy's alone, but descriptors are shared.
static ALONE: Mutex<()> = Mutex::new(());

/// Connections that the limit on descriptors has room for: here, and in the proxy.
fn connections(each: usize) -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let limits: Vec<&str> = line.expect("a limit").split_whitespace().collect();
    let soft: usize = limits[3].parse().unwrap_or(1_000_000);
    (soft.saturating_sub(500) / each).min(8000)
}

/// A backend with one thread for all its connections, since there are thousands: it answers once
/// `hold` lets it.
fn backend() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<TcpStream>) {
    // The standard library's backlog of 128 overflows under a burst, and the kernel then resets
    // connections whose SYN cookie it cannot make good.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(BACKLOG).unwrap();
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().unwrap();
    let (sender, accepted) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (addr, accepted)
}

/// Reads a request that fits a segment and answers it.
fn serve(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut bytes = [0; 4096];
    let mut filled = 0;
    while !bytes[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes[filled..]) {
            Ok(n @ 1..) => filled += n,
            _ => return,
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

fn settled(proxy: &Proxy, least: usize) {
    wait_for("the connections' end", || proxy.descriptors() <= least);
}

/// Every connection has a request at a backend at the same time; then all of them go.
fn a_burst_leaves_nothing(driver: Driver) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Here: the client's end and the backend's.
    let count = connections(2) / 16 * 16;
    let (addr, accepted) = backend();
    let proxy = Setup::to(driver, addr)
        .client("connectTimeoutMs: 20000, hostConnectionPool: {idleTimeMs: 500}")
        .start();
    let descriptors = proxy.descriptors();
    let burst = |count: usize| {
        let mut clients: Vec<Client> = (0..count).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        }
        let mut held: Vec<TcpStream> = Vec::new();
        while held.len() < count {
            let next = accepted.recv_timeout(support::PATIENCE);
            held.push(next.expect("as many connections to the backend"));
        }
        let at_most = proxy.rss();
        for stream in &mut held {
            serve(stream);
        }
        for client in &mut clients {
            let response = client.response();
            assert_eq!(response.status, 200, "{response:?}");
        }
        at_most
    };
    // What the first requests need for good is not the burst's.
    burst(count / 16);
    settled(&proxy, descriptors);
    let before = proxy.rss();
    let most = burst(count);
    settled(&proxy, descriptors);
    let mut after = 0;
    // Memory goes back in the allocator's own time.
    let back = (0..100).any(|_| {
        after = proxy.rss();
        std::thread::sleep(Duration::from_millis(100));
        after * 5 <= before * 6
    });
    println!(
        "{count} busy connections: {} KiB before, {} KiB with them, {} KiB after",
        before >> 10,
        most >> 10,
        after >> 10
    );
    assert!(
        back,
        "{} KiB stay, of {} KiB before",
        after >> 10,
        before >> 10
    );
}

fn idle_connections_are_cheap(driver: Driver) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = connections(1);
    let (addr, accepted) = backend();
    std::thread::spawn(move || {
        for mut stream in accepted {
            std::thread::spawn(move || {
                for _ in 0..1_000_000 {
                    serve(&mut stream);
                }
            });
        }
    });
    let proxy = Setup::to(driver, addr).start();
    let ask = |client: &mut Client| assert_eq!(client.get("/").text(), "ok");
    let mut warm: Vec<Client> = (0..100).map(|_| proxy.client()).collect();
    warm.iter_mut().for_each(ask);
    drop(warm);
    wait_for("the connections' end", || proxy.descriptors() < 100);
    let before = proxy.private();
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = proxy.client();
        ask(&mut client);
        clients.push(client);
    }
    let each = (proxy.private() as f64 - before as f64) / count as f64;
    println!("{count} idle connections: {each:.0} bytes each");
    // All of them still work.
    for client in clients.iter_mut().step_by(97) {
        ask(client);
    }
    if cfg!(debug_assertions) && std::env::var_os("RINGLINK_BIN").is_none() {
        println!("a debug build: its figure is not held against it");
    } else {
        assert!(
            each <= PER_IDLE,
            "{each:.0} bytes for each of {count} connections"
        );
    }
}
