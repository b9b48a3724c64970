//! One TCP connection of a test, and a strict reader of HTTP/1.1 messages on it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A connection with what was read and not used.
pub struct Wire {
    pub stream: TcpStream,
    unused: Vec<u8>,
}

/// Fields in order, names in lower case.
pub type Fields = Vec<(String, String)>;

#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub raw_head: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Status and fields of the 1xx responses before it.
    pub interim: Vec<(u16, Fields)>,
}

pub fn field<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let mut found = fields.iter().filter(|(n, _)| n == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice: {fields:?}");
    value
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().expect("a method")
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).expect("a target")
    }
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn why(&self) -> &str {
        self.field("l5d-err").unwrap_or("")
    }

    /// Whether it says that the connection ends.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| {
            value
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case("close"))
        })
    }
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        Wire {
            stream,
            unused: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("send");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    pub fn end_writing(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 65536];
        let n = loop {
            match self.stream.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.unused.extend_from_slice(&bytes[..n]);
        Ok(n > 0)
    }

    fn must_fill(&mut self) -> io::Result<()> {
        match self.fill()? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// What was received so far and not used, after reading until at least `n` bytes are there.
    pub fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.unused.len() < n {
            self.must_fill()?;
        }
        let rest = self.unused.split_off(n);
        Ok(std::mem::replace(&mut self.unused, rest))
    }

    /// What was received beyond what was used, at most `n` bytes, without reading.
    pub fn rest(&mut self, n: usize) -> Vec<u8> {
        assert!(self.unused.len() <= n, "more was read ahead");
        std::mem::take(&mut self.unused)
    }

    /// Everything to the end of the stream.
    pub fn take_all(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.unused))
    }

    /// Whether the other side has closed, by FIN or by reset, with nothing before it.
    pub fn is_closed(&mut self) -> bool {
        match self.take_all() {
            Ok(rest) => {
                assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
                true
            }
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether nothing at all comes for a while.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if !self.unused.is_empty() {
            return false;
        }
        self.stream.set_read_timeout(Some(time)).expect("timeout");
        let silent = matches!(self.fill(), Err(e) if matches!(
            e.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ));
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("timeout");
        silent
    }

    /// One line without its CRLF.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unused.windows(2).position(|w| w == b"\r\n") {
                let line = self.take(end + 2)?;
                return String::from_utf8(line[..end].to_vec()).map_err(|_| bad("not UTF-8"));
            }
            self.must_fill()?;
        }
    }

    fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(line.clone()))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn exact(&mut self, fields: &Fields) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = field(fields, "content-length") else {
            return Ok(None);
        };
        let length = length.parse().map_err(|_| bad("content-length"))?;
        self.take(length).map(Some)
    }

    /// A chunked body and its trailers.
    pub fn chunked(&mut self) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|_| bad(line))?;
            if size == 0 {
                return Ok((body, self.fields()?));
            }
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(bad("no CRLF after a chunk"));
            }
        }
    }

    /// A request's head; `None` when the stream ends before it.
    pub fn request_head(&mut self) -> io::Result<Option<Request>> {
        while self.unused.is_empty() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        let raw_head = self.unused.clone();
        Ok(Some(Request {
            line: self.line()?,
            fields: self.fields()?,
            body: Vec::new(),
            raw_head,
        }))
    }

    /// Reads the body that belongs to a request's head.
    pub fn request_body(&mut self, request: &mut Request) -> io::Result<()> {
        if request.field("transfer-encoding").is_some() {
            let (body, trailers) = self.chunked()?;
            assert!(trailers.is_empty(), "trailers of a request");
            request.body = body;
        } else if let Some(body) = self.exact(&request.fields)? {
            request.body = body;
        }
        Ok(())
    }

    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.request_head()? else {
            return Ok(None);
        };
        self.request_body(&mut request)?;
        Ok(Some(request))
    }

    /// A response's head, with the interim ones before it.
    pub fn response_head(&mut self) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let line = self.line()?;
            let mut parts = line.splitn(3, ' ');
            let version = parts.next().unwrap_or("").to_owned();
            let status = parts.next().and_then(|status| status.parse().ok());
            let status: u16 = status.ok_or_else(|| bad(line.clone()))?;
            let fields = self.fields()?;
            if (100..200).contains(&status) && status != 101 {
                interim.push((status, fields));
                continue;
            }
            return Ok(Response {
                version,
                status,
                fields,
                body: Vec::new(),
                trailers: Vec::new(),
                interim,
            });
        }
    }

    /// The response to a request with this method.
    pub fn response_to(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.response_head()?;
        let bodiless = matches!(response.status, 101 | 204 | 304) || method == "HEAD";
        if bodiless {
            return Ok(response);
        }
        if response.field("transfer-encoding").is_some() {
            assert_eq!(response.field("content-length"), None);
            (response.body, response.trailers) = self.chunked()?;
        } else if let Some(body) = self.exact(&response.fields)? {
            response.body = body;
        } else {
            response.body = self.take_all()?;
        }
        Ok(response)
    }
}
