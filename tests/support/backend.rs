//! Backends: a listener and a thread for every connection, which runs a script of the test.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{Request, Wire};

/// One accepted connection.
pub struct Conn {
    wire: Wire,
    /// Counts from 0.
    pub number: usize,
    shared: Arc<Shared>,
}

impl Deref for Conn {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    accepts: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    streams: Mutex<HashMap<usize, TcpStream>>,
}

/// A running backend; dropping it closes its listener and all its connections.
pub struct Backend {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Backend {
    /// Every connection runs `script` on its own thread and is closed after it.
    pub fn start(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        Backend::on(listener, script)
    }

    pub fn on(
        listener: TcpListener,
        script: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> Backend {
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let script = Arc::new(script);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = of_thread.accepts.fetch_add(1, Ordering::SeqCst);
                of_thread.open.fetch_add(1, Ordering::SeqCst);
                if let Ok(clone) = stream.try_clone() {
                    let mut streams = of_thread.streams.lock().expect("no panic");
                    streams.insert(number, clone);
                }
                let (shared, script) = (Arc::clone(&of_thread), Arc::clone(&script));
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn(move || {
                        let mut conn = Conn {
                            wire: Wire::new(stream),
                            number,
                            shared,
                        };
                        script(&mut conn);
                        conn.shared
                            .streams
                            .lock()
                            .expect("no panic")
                            .remove(&number);
                        conn.shared.open.fetch_sub(1, Ordering::SeqCst);
                    })
                    .expect("a thread");
            }
        });
        Backend {
            addr,
            shared,
            thread: Some(thread),
        }
    }

    /// Answers every request with its own body and tells what it saw in headers.
    pub fn echo() -> Backend {
        Backend::answering(|request| {
            let body = &request.body;
            let mut response = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Line: {}\r\n",
                body.len(),
                request.line
            );
            if let Some(id) = request.field("x-id") {
                response.push_str(&format!("X-Id: {id}\r\n"));
            }
            response.push_str("\r\n");
            let mut response = response.into_bytes();
            if request.method() != "HEAD" {
                response.extend_from_slice(body);
            }
            response
        })
    }

    /// Answers every request with a word that tells this backend from others.
    pub fn named(name: &'static str) -> Backend {
        Backend::answering(move |_| ok(name))
    }

    /// Answers every request with what `answer` makes of it.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        Backend::start(move |conn| {
            while let Some(request) = conn.next() {
                if conn.try_send(answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// Sends fixed bytes in answer to the first request, then closes.
    pub fn closing(answer: impl Into<Vec<u8>>) -> Backend {
        let answer = answer.into();
        Backend::start(move |conn| {
            if conn.next().is_some() {
                let _ = conn.try_send(&answer);
            }
        })
    }

    /// Sends fixed bytes in answer to every request.
    pub fn fixed(answer: impl Into<Vec<u8>>) -> Backend {
        let answer = answer.into();
        Backend::answering(move |_| answer.clone())
    }

    /// Connections accepted so far.
    pub fn accepts(&self) -> usize {
        self.shared.accepts.load(Ordering::SeqCst)
    }

    /// Connections whose script still runs.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The requests seen so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// Closes every open connection, and keeps listening.
    pub fn cut_all(&self) {
        for (_, stream) in self.shared.streams.lock().expect("no panic").drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; its listener closes with it.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.cut_all();
    }
}

impl Conn {
    /// The next whole request; `None` when the connection ended.
    pub fn next(&mut self) -> Option<Request> {
        let request = self.wire.request().ok()??;
        self.note(&request);
        Some(request)
    }

    /// The next request's head only.
    pub fn next_head(&mut self) -> Option<Request> {
        let request = self.wire.request_head().ok()??;
        self.note(&request);
        Some(request)
    }

    fn note(&self, request: &Request) {
        let mut seen = self.shared.requests.lock().expect("no panic");
        // Load tests would keep millions.
        if seen.len() < 1000 {
            seen.push(request.clone());
        }
    }
}

/// A 200 with a short body.
pub fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
