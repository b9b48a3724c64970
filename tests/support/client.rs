//! A client of the proxy.

use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use super::{PATIENCE, Response, Wire};

pub struct Client(pub Wire);

impl Deref for Client {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client(Wire::new(
            TcpStream::connect_timeout(&addr, PATIENCE).expect("connect"),
        ))
    }

    /// A response to anything but HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET").expect("a response")
    }

    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: web\r\n\r\n"))
    }

    /// A POST whose body comes with a length.
    pub fn post(&mut self, body: &[u8]) -> Response {
        self.send(post_head(body.len()));
        self.send(body);
        self.response()
    }
}

pub fn post_head(len: usize) -> String {
    format!("POST /p HTTP/1.1\r\nHost: web\r\nContent-Length: {len}\r\n\r\n")
}

/// A body in chunks of the given size.
pub fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size.max(1)) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
