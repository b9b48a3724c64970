//! A client as small as a client can be: one request per connection, read to its end.
//!
//! Small on purpose: it sends exactly the bytes it is given, which is what testing a proxy takes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// A response that was read to its end.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A request without a body that asks for the connection's end.
pub fn request(method: &str, host: &str, path: &str) -> String {
    let length = if method == "POST" {
        "Content-Length: 0\r\n"
    } else {
        ""
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: close\r\n\r\n")
}

/// Sends bytes and reads the response to them.
pub fn exchange(addr: SocketAddr, bytes: &[u8]) -> io::Result<Response> {
    parse(&exchange_raw(addr, bytes)?)
}

/// Sends bytes and reads whatever comes until the other side closes.
pub fn exchange_raw(addr: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

pub fn get(addr: SocketAddr, host: &str) -> io::Result<Response> {
    exchange(addr, request("GET", host, "/").as_bytes())
}

/// Reads a whole response. Only a plain body is understood, not a chunked one.
pub fn parse(bytes: &[u8]) -> io::Result<Response> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
    let length = 4 + end.ok_or_else(|| bad("the response's head is cut short"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let head = text(&bytes[..length]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)?.parse().ok());
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let response = Response {
        status: status.ok_or_else(|| bad("the response is no HTTP"))?,
        fields: lines.filter_map(field).collect(),
        body: text(&bytes[length..]),
    };
    let told = response
        .field("content-length")
        .and_then(|told| told.parse().ok());
    let came = bytes.len() - length;
    match told {
        Some(told) if came < told => Err(bad("the response's body is cut short")),
        Some(told) if came > told => Err(bad("there is a surplus after the response")),
        _ if response.field("transfer-encoding").is_some() => Err(bad("a chunked body")),
        _ => Ok(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_cut_responses() {
        let whole =
            parse(b"HTTP/1.1 502 Bad\r\nL5d-Err: x\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!((whole.status, whole.body.as_str()), (502, "no"));
        assert_eq!(whole.field("l5d-err"), Some("x"));
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nn").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Le").is_err());
    }
}
