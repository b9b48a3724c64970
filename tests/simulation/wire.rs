//! HTTP/1.1 as clients and backends of the simulation speak it: strict, slow, and written without
//! a look at `src/http`, so that the same mistake is not made twice.

use std::future::poll_fn;
use std::task::Poll;

use ringlink::engine::{Segment, Shard, Socket, Timer};

/// What a connection does next.
pub enum Event {
    Data(Vec<u8>),
    /// The peer ended its side.
    Ended,
    /// A reset.
    Broken,
    /// What was written has left, as far as was asked.
    Room,
    /// Sending failed.
    Unsendable,
    Time,
}

/// A connection of a simulated client or backend.
pub struct Conn {
    pub shard: Shard,
    pub socket: Socket,
    timer: Timer,
}

impl Conn {
    pub fn new(shard: &Shard, socket: Socket) -> Conn {
        Conn {
            shard: shard.clone(),
            socket,
            timer: Timer::new(shard),
        }
    }

    /// Waits for the first of: bytes (if `read`), at most `room` unsent bytes, the time.
    pub async fn next(&self, read: bool, room: Option<usize>, until: u64) -> Event {
        self.timer.set(until);
        poll_fn(|_| {
            if read {
                match self.socket.poll_recv() {
                    Poll::Ready(Ok(Some(buf))) => return Poll::Ready(Event::Data(buf.to_vec())),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Event::Ended),
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::Broken),
                    Poll::Pending => {}
                }
            }
            if let Some(room) = room {
                match self.socket.poll_unsent(room) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Event::Room),
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::Unsendable),
                    Poll::Pending => {}
                }
            }
            self.timer.poll_expired().map(|()| Event::Time)
        })
        .await
    }

    pub fn write(&self, bytes: Vec<u8>) {
        self.socket.write(Segment::Owned(bytes));
    }

    /// Writes, and waits until at most `room` bytes wait; false when it failed or took too long.
    pub async fn send(&self, bytes: Vec<u8>, room: usize, until: u64) -> bool {
        self.write(bytes);
        matches!(self.next(false, Some(room), until).await, Event::Room)
    }

    pub async fn sleep(&self, ns: u64) {
        if ns > 0 {
            self.next(false, None, self.shard.now() + ns).await;
        }
    }
}

/// A head, its names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// Takes a head from the front of `bytes`, once it is complete.
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Head>, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match bytes.len() > 100_000 {
                true => Err("a head without end".to_owned()),
                false => Ok(None),
            };
        };
        let text: Vec<u8> = bytes.drain(..end + 4).collect();
        let text = String::from_utf8(text).map_err(|_| "a head that is no text".to_owned())?;
        let mut lines = text[..end].split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(format!("a field line without colon: {line:?}"));
            };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(Head { start, fields }))
    }

    /// How the body after this head is delimited.
    pub fn framing(&self, otherwise: Framing) -> Result<Framing, String> {
        let all = |name| self.fields.iter().filter(move |(field, _)| field == name);
        let lengths = all("content-length").count();
        let codings = all("transfer-encoding").count();
        match (lengths, codings) {
            (0, 0) => Ok(otherwise),
            (1, 0) => match self.number("content-length") {
                Some(length) => Ok(Framing::Length(length as usize)),
                None => Err("a content-length that is no number".to_owned()),
            },
            (0, 1) if self.get("transfer-encoding") == Some("chunked") => Ok(Framing::Chunk),
            _ => Err(format!("ambiguous framing: {self:?}")),
        }
    }
}

/// What is still to come of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Length(usize),
    /// A chunk's size line comes next.
    Chunk,
    /// Bytes of a chunk, then its CRLF.
    InChunk(usize),
    /// The lines after the last chunk.
    Trailers,
    UntilClose,
}

pub enum Step {
    Data(Vec<u8>),
    End,
    /// More bytes are needed.
    More,
}

impl Framing {
    /// Takes what it can from the front of `bytes`.
    pub fn step(&mut self, bytes: &mut Vec<u8>) -> Result<Step, String> {
        loop {
            match *self {
                Framing::Length(0) => return Ok(Step::End),
                Framing::Length(_) | Framing::UntilClose if bytes.is_empty() => {
                    return Ok(Step::More);
                }
                Framing::Length(left) => {
                    let data: Vec<u8> = bytes.drain(..left.min(bytes.len())).collect();
                    *self = Framing::Length(left - data.len());
                    return Ok(Step::Data(data));
                }
                Framing::UntilClose => return Ok(Step::Data(std::mem::take(bytes))),
                Framing::Chunk => {
                    let Some(line) = take_line(bytes)? else {
                        return Ok(Step::More);
                    };
                    let size = usize::from_str_radix(&line, 16)
                        .map_err(|_| format!("a chunk size of {line:?}"))?;
                    *self = match size {
                        0 => Framing::Trailers,
                        size => Framing::InChunk(size),
                    };
                }
                Framing::InChunk(0) => {
                    if bytes.len() < 2 {
                        return Ok(Step::More);
                    }
                    if bytes.drain(..2).as_slice() != b"\r\n" {
                        return Err("a chunk without CRLF at its end".to_owned());
                    }
                    *self = Framing::Chunk;
                }
                Framing::InChunk(_) if bytes.is_empty() => return Ok(Step::More),
                Framing::InChunk(left) => {
                    let data: Vec<u8> = bytes.drain(..left.min(bytes.len())).collect();
                    *self = Framing::InChunk(left - data.len());
                    return Ok(Step::Data(data));
                }
                Framing::Trailers => {
                    let Some(line) = take_line(bytes)? else {
                        return Ok(Step::More);
                    };
                    if line.is_empty() {
                        *self = Framing::Length(0);
                    }
                }
            }
        }
    }
}

fn take_line(bytes: &mut Vec<u8>) -> Result<Option<String>, String> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return match bytes.len() > 1000 {
            true => Err("a line without end".to_owned()),
            false => Ok(None),
        };
    };
    let line: Vec<u8> = bytes.drain(..end + 2).collect();
    match String::from_utf8(line[..end].to_vec()) {
        Ok(line) => Ok(Some(line)),
        Err(_) => Err("a line that is no text".to_owned()),
    }
}

/// `data` as one chunk.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
