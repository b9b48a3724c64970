//! Large bodies to and from peers that stall: byte-exact, in bounded memory.
//!
//! `RINGLINK_LARGE_BODY` is the size in MiB (256 unless told; 1024 for the full run), and
//! `RINGLINK_LARGE_RATE` limits the slow side to so many MiB/s after its stall.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::client::post_head;
use support::{Backend, Driver, PATIENCE, Proxy, Setup, Sum, wait_for};

both_drivers!(
    download_to_a_slow_client,
    upload_to_a_slow_backend,
    chunked_both_ways_at_once,
);

const STALL: Duration = Duration::from_secs(2);
const PIECE: usize = 64 * 1024;
/// What the proxy may grow by while a body stalls on it.
const GROWTH: u64 = 4 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect(name))
}

/// Whole pieces of a body.
fn size() -> u64 {
    number("RINGLINK_LARGE_BODY").unwrap_or(256) << 20
}

/// Piece `n` of a body: no two alike, so that none can be lost, doubled or swapped.
fn piece(n: u64, bytes: &mut [u8]) {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in bytes.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

/// Writes a body; gives its sum.
fn write_body(to: &mut impl Write, size: u64) -> Sum {
    let mut sum = Sum::default();
    let mut bytes = vec![0; PIECE];
    for n in 0..size / PIECE as u64 {
        piece(n, &mut bytes);
        sum.add(&bytes);
        to.write_all(&bytes).expect("the body's sink");
    }
    sum
}

/// Reads a body in whole pieces, stalling once within it.
fn read_body(from: &mut impl Read, size: u64, first: &[u8], read: &AtomicU64) -> Sum {
    let mut sum = Sum::default();
    let mut bytes = vec![0; PIECE];
    let mut filled = first.len();
    bytes[..filled].copy_from_slice(first);
    let start = Instant::now();
    for n in 0..size / PIECE as u64 {
        from.read_exact(&mut bytes[filled..])
            .expect("the whole body");
        filled = 0;
        sum.add(&bytes);
        let so_far = read.fetch_add(PIECE as u64, Ordering::SeqCst);
        if n == 16 {
            std::thread::sleep(STALL);
        }
        if let Some(rate) = number("RINGLINK_LARGE_RATE") {
            let due = Duration::from_secs_f64(so_far as f64 / (rate << 20) as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    sum
}

/// The most that the proxy was resident with while `busy`.
fn peak(proxy: &Proxy, busy: impl Fn() -> bool) -> u64 {
    let mut most = 0;
    while busy() {
        most = most.max(proxy.rss());
        std::thread::sleep(Duration::from_millis(5));
    }
    most
}

/// Touches what the proxy allocates once, before its size is taken.
fn warm(proxy: &Proxy) {
    for _ in 0..20 {
        let mut client = proxy.client();
        assert_eq!(client.get("/warm").status, 200);
    }
}

fn assert_bounded(before: u64, most: u64) {
    let grown = most.saturating_sub(before);
    println!(
        "resident: {} KiB before, at most {} KiB more",
        before >> 10,
        grown >> 10
    );
    assert!(grown < GROWTH, "{} KiB more than before", grown >> 10);
}

fn download_to_a_slow_client(driver: Driver) {
    let size = size();
    let sum = Arc::new(Mutex::new(None));
    let of_backend = Arc::clone(&sum);
    let backend = Backend::start(move |conn| {
        while let Some(request) = conn.next() {
            if request.target() == "/warm" {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
            let sent = write_body(&mut conn.stream, size);
            *of_backend.lock().unwrap() = Some(sent);
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    warm(&proxy);
    let before = proxy.rss();
    let mut client = proxy.client();
    client.send("GET /large HTTP/1.1\r\nHost: web\r\n\r\n");
    assert_eq!(client.response_head().unwrap().status, 200);
    let first = client.rest(PIECE);
    let read = Arc::new(AtomicU64::new(0));
    let mut stream = client.stream.try_clone().unwrap();
    let counter = Arc::clone(&read);
    let reading = std::thread::spawn(move || read_body(&mut stream, size, &first, &counter));
    let most = peak(&proxy, || !reading.is_finished());
    let got = reading.join().unwrap();
    wait_for("the sender", || sum.lock().unwrap().is_some());
    assert_eq!(Some(got), *sum.lock().unwrap());
    assert_bounded(before, most);
    // The connections are as good as before.
    assert_eq!(client.get("/warm").status, 200);
}

fn upload_to_a_slow_backend(driver: Driver) {
    let size = size();
    let sum = Arc::new(Mutex::new(None));
    let of_backend = Arc::clone(&sum);
    let backend = Backend::start(move |conn| {
        while let Some(request) = conn.next_head() {
            if request.method() == "POST" {
                let first = conn.rest(PIECE);
                let got = read_body(&mut conn.stream, size, &first, &AtomicU64::new(0));
                *of_backend.lock().unwrap() = Some(got);
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    warm(&proxy);
    let before = proxy.rss();
    let mut client = proxy.client();
    client.send(post_head(usize::try_from(size).unwrap()));
    let mut stream = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || write_body(&mut stream, size));
    let most = peak(&proxy, || !writing.is_finished());
    let sent = writing.join().unwrap();
    assert_eq!(client.response().status, 200);
    assert_eq!(*sum.lock().unwrap(), Some(sent));
    assert_bounded(before, most);
    assert_eq!(client.get("/warm").status, 200);
}

/// An echo that answers while it still reads: both directions at once, many at a time.
fn chunked_both_ways_at_once(driver: Driver) {
    let backend = Backend::start(|conn| {
        if conn.next_head().is_none() {
            return;
        }
        // A client that comes late must not be given the connection that this one is about to close.
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let line = conn.line().unwrap();
            let size = usize::from_str_radix(&line, 16).unwrap();
            let chunk = conn.take(size + 2).unwrap();
            conn.send(format!("{size:x}\r\n"));
            conn.send(&chunk);
            if size == 0 {
                return;
            }
        }
    });
    let proxy = Setup::to(driver, backend.addr).cores(2).start();
    let clients = (0..8).map(|number: usize| {
        let mut client = proxy.client();
        std::thread::spawn(move || {
            let body: Vec<u8> = support::pattern(2_000_000 + number * 1111);
            let coded = support::client::chunks(&body, 5_000 + number * 3_000);
            let mut stream = client.stream.try_clone().unwrap();
            let sending = std::thread::spawn(move || {
                let head = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&coded).unwrap();
            });
            let response = client.response();
            sending.join().unwrap();
            support::assert_same(&response.body, &body, "echo");
        })
    });
    let clients: Vec<_> = clients.collect();
    let start = Instant::now();
    for client in clients {
        client.join().unwrap();
    }
    assert!(start.elapsed() < PATIENCE);
}
