//! Load while backends die, come back and fall silent. What must hold all the while: no client gets
//! another's response, nothing hangs, and every failure says why.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::proxy::inet;
use support::{Backend, Client, Driver, Setup, free_port, pattern, wait_for};

both_drivers!(
    backends_come_and_go,
    silent_backends_are_given_up,
    clients_come_and_go
);

const RUN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Tally {
    good: AtomicUsize,
    failed: AtomicUsize,
    cut: AtomicUsize,
}

/// Answers with the request's id and a body that only this id has.
fn answer(id: &str, body: &[u8]) -> Vec<u8> {
    let chunked = id.len().is_multiple_of(2);
    let mut bytes = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\n").into_bytes();
    let text = format!("{id}:{}", body.len()).repeat(50);
    if chunked {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        bytes.extend(support::client::chunks(text.as_bytes(), 100));
    } else {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }
    bytes
}

fn backend(port: u16) -> Option<Backend> {
    let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
    Some(Backend::on(listener, |conn| {
        while let Some(request) = conn.next() {
            let id = request.field("x-id").expect("an id").to_owned();
            if conn.try_send(answer(&id, &request.body)).is_err() {
                return;
            }
        }
    }))
}

/// Asks until told to stop; every response must be the request's own.
fn load(addr: SocketAddr, worker: usize, stop: &AtomicBool, tally: &Tally) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::connect(addr);
        // A connection serves some requests and is then replaced, as clients do.
        for _ in 0..100 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            n += 1;
            let id = format!("{worker}-{n}");
            let body = pattern((n * 37) % 3000);
            let head = if n % 3 == 0 {
                format!(
                    "POST /{id} HTTP/1.1\r\nHost: web\r\nX-Id: {id}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )
            } else {
                format!("GET /{id} HTTP/1.1\r\nHost: web\r\nX-Id: {id}\r\n\r\n")
            };
            let body = if n % 3 == 0 { &body[..] } else { &[] };
            let mut bytes = head.into_bytes();
            bytes.extend_from_slice(body);
            if client.try_send(&bytes).is_err() {
                break;
            }
            let start = Instant::now();
            let response = client.response_to("GET");
            assert!(start.elapsed() < Duration::from_secs(20), "{id} hung");
            match response {
                Ok(response) if response.status == 200 => {
                    assert_eq!(response.field("x-id"), Some(id.as_str()));
                    let wanted = format!("{id}:{}", body.len()).repeat(50);
                    assert_eq!(response.text(), wanted);
                    tally.good.fetch_add(1, Ordering::Relaxed);
                }
                Ok(response) => {
                    assert!(matches!(response.status, 502..=504), "{}", response.status);
                    assert_ne!(response.why(), "", "{response:?}");
                    tally.failed.fetch_add(1, Ordering::Relaxed);
                    if response.closes() {
                        break;
                    }
                }
                // The response had begun when its backend died.
                Err(_) => {
                    tally.cut.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

/// Runs the load while `chaos` does its work; tells what came of it.
fn under_load(addr: SocketAddr, workers: usize, chaos: impl FnOnce()) -> Arc<Tally> {
    let stop = Arc::new(AtomicBool::new(false));
    let tally = Arc::new(Tally::default());
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
            std::thread::spawn(move || load(addr, worker, &stop, &tally))
        })
        .collect();
    chaos();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no wrong response");
    }
    let (good, failed) = (&tally.good, &tally.failed);
    println!("{good:?} good, {failed:?} failed, {:?} cut", tally.cut);
    tally
}

/// Asks until a request goes through.
fn recovers(addr: SocketAddr) {
    wait_for("a good response", || {
        Client::connect(addr)
            .ask("GET / HTTP/1.1\r\nHost: web\r\nX-Id: end\r\n\r\n")
            .status
            == 200
    });
}

fn backends_come_and_go(driver: Driver) {
    let ports = [free_port(), free_port(), free_port()];
    let addrs = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut backends = ports.map(backend);
    let dtab = addrs.map(inet).join(" & ");
    let proxy = Setup::dtab(driver, &format!("/svc => {dtab}"))
        .cores(2)
        .start();
    let tally = under_load(proxy.addr, 8, || {
        let end = Instant::now() + RUN;
        for turn in 0.. {
            if Instant::now() > end {
                break;
            }
            let which = turn % ports.len();
            match turn % 4 {
                // Its connections die, it stays.
                0 => backends[which].iter().for_each(Backend::cut_all),
                // It dies, and comes back later.
                1 | 2 => backends[which] = None,
                _ => {
                    for (slot, port) in backends.iter_mut().zip(ports) {
                        if slot.is_none() {
                            *slot = backend(port);
                        }
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(60));
        }
        for (slot, port) in backends.iter_mut().zip(ports) {
            wait_for("the port", || {
                if slot.is_none() {
                    *slot = backend(port);
                }
                slot.is_some()
            });
        }
    });
    assert!(tally.good.load(Ordering::Relaxed) > 500);
    assert!(
        tally.failed.load(Ordering::Relaxed) > 0,
        "there was no chaos"
    );
    recovers(proxy.addr);
}

/// A backend that reads and never answers, now and then.
fn silent_backends_are_given_up(driver: Driver) {
    let silent = Arc::new(AtomicBool::new(false));
    let of_backend = Arc::clone(&silent);
    let backend = Backend::start(move |conn| {
        while let Some(request) = conn.next() {
            if of_backend.load(Ordering::Relaxed) {
                let _ = conn.next();
                return;
            }
            let id = request.field("x-id").expect("an id").to_owned();
            if conn.try_send(answer(&id, &request.body)).is_err() {
                return;
            }
        }
    });
    let proxy = Setup::to(driver, backend.addr)
        .service("totalTimeoutMs: 200")
        .start();
    let tally = under_load(proxy.addr, 6, || {
        let end = Instant::now() + RUN;
        while Instant::now() < end {
            silent.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(300));
            silent.store(false, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    assert!(tally.good.load(Ordering::Relaxed) > 100);
    assert!(
        tally.failed.load(Ordering::Relaxed) > 0,
        "there was no chaos"
    );
    recovers(proxy.addr);
}

/// Clients that leave at any point of a request take nothing with them.
fn clients_come_and_go(driver: Driver) {
    let backend = backend(free_port()).expect("a free port");
    let proxy = Setup::to(driver, backend.addr).cores(2).start();
    let addr = proxy.addr;
    recovers(addr);
    let before = proxy.descriptors();
    let stop = Arc::new(AtomicBool::new(false));
    let leavers: Vec<_> = (0..3)
        .map(|worker: usize| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let request = format!(
                    "POST /l HTTP/1.1\r\nHost: web\r\nX-Id: leaver\r\nContent-Length: 2000\r\n\r\n{}",
                    "x".repeat(2000)
                );
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut client = Client::connect(addr);
                    let sent = (n * 131 + worker * 17) % (request.len() + 1);
                    let _ = client.try_send(&request[..sent]);
                    std::thread::sleep(Duration::from_millis(2));
                    if n % 2 == 0 && sent == request.len() {
                        let _ = client.line();
                    }
                }
            })
        })
        .collect();
    let tally = under_load(addr, 4, || std::thread::sleep(RUN));
    stop.store(true, Ordering::Relaxed);
    for leaver in leavers {
        leaver.join().unwrap();
    }
    // The others never noticed.
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
    assert_eq!(tally.cut.load(Ordering::Relaxed), 0);
    recovers(addr);
    // What is left are idle connections to the backend.
    wait_for("the end of what was left", || {
        proxy.descriptors() <= before + backend.open() + 1
    });
}
