//! Scripted clients: what they send is drawn before the run, what they get is checked byte by byte.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use ringlink::engine::{Shard, Socket, Timer};

use crate::chance::{Direction, Rng, belongs, body};
use crate::ledger::{Asked, Ledger, Outcome};
use crate::wire::{Conn, Event, Framing, Head, Step, chunk};

const MILLI: u64 = 1_000_000;
const NEVER: u64 = u64::MAX / 2;

/// One request as it will be written: pieces, each after a pause.
pub struct Item {
    id: u64,
    pieces: VecDeque<(u64, Vec<u8>)>,
    is_head: bool,
    http10: bool,
    malformed: bool,
}

/// When a client leaves without waiting for an end.
#[derive(Clone, Copy)]
pub enum Leave {
    Never,
    At(u64),
    Sent(usize),
    Received(usize),
}

pub struct Script {
    pub remote: SocketAddr,
    pub start: u64,
    pub items: Vec<Item>,
    pub pipelined: bool,
    /// Pause after each read.
    pub read_pause: u64,
    pub leave: Leave,
    /// Waits for the proxy to close the connection at the end.
    pub stays: bool,
}

/// What the requests of a connection are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// A byte at a time.
    SlowWriter,
    HalfHead,
    Malformed,
    /// A good head before a chunked body that is not.
    BadBody,
}

const MALFORMED: &[&str] = &[
    "GET\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nx-id: {id}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "POST / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\nx-id: {id}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\n folded: yes\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\nx-id: {id}\n\n",
    "GET / HTTP/3.1\r\nHost: a\r\nx-id: {id}\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\u{0}tls",
];

/// What a request is to be like.
pub struct Wish {
    pub service: &'static str,
    pub style: Style,
    pub must_succeed: bool,
    pub is_alone: bool,
    /// When it is sent and when its time is over, by the wall clock in ns.
    pub deadline: Option<(u64, u64)>,
}

/// Draws one request and enters it into the ledger.
pub fn item(rng: &mut Rng, ledger: &Ledger, wish: &Wish) -> Item {
    let (service, style) = (wish.service, wish.style);
    if matches!(style, Style::HalfHead | Style::Malformed) {
        return malformed(rng, ledger, service, style);
    }
    let http10 = style == Style::Plain && rng.percent(8);
    let (method, mut upload) = match rng.next() % 20 {
        0..9 => ("GET", false),
        9..11 => ("HEAD", false),
        11..16 => ("POST", true),
        16..18 => ("PUT", true),
        18 => ("DELETE", false),
        _ => ("PURGE", false),
    };
    let method = if style == Style::BadBody {
        "POST"
    } else {
        method
    };
    upload |= style == Style::BadBody;
    let mut body_len = if upload { rng.size() } else { 0 };
    let mut response_len = rng.size();
    if style == Style::SlowWriter {
        body_len = body_len.min(60);
    }
    let status = status_of(response_len);
    if matches!(status, 204 | 304) {
        response_len = 0;
    }
    let chunked = style == Style::BadBody || (upload && !http10 && rng.percent(40));
    let id = ledger.ask(Asked {
        service: service.to_owned(),
        method,
        idempotent: !matches!(method, "POST" | "PURGE"),
        body_len: if style == Style::BadBody {
            usize::MAX
        } else {
            body_len
        },
        response_len,
        wanted: status,
        must_succeed: wish.must_succeed && style != Style::BadBody,
        is_alone: wish.is_alone,
        deadline: wish.deadline.map(|(_, due)| due),
        ..Asked::default()
    });
    let version = if http10 { "1.0" } else { "1.1" };
    let mut head = format!(
        "{method} /{service}/r/{id} HTTP/{version}\r\nHost: {service}\r\nx-svc: {service}\r\n\
         x-id: {id}\r\nx-answer: {status}\r\n"
    );
    if let Some((sent, due)) = wish.deadline {
        head.push_str(&format!("l5d-ctx-deadline: {sent} {due}\r\n"));
    }
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if upload {
        head.push_str(&format!("Content-Length: {body_len}\r\n"));
    }
    if http10 && rng.percent(50) {
        head.push_str("Connection: keep-alive\r\n");
    } else if rng.percent(3) {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    let content = body(id, Direction::Request, 0, body_len);
    if chunked {
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rng.between(1, rest.len() as u64) as usize);
            bytes.extend_from_slice(&chunk(piece));
            rest = after;
        }
        bytes.extend_from_slice(match style {
            Style::BadBody => b"xyz\r\n".as_slice(),
            _ if rng.percent(20) => b"0\r\nx-trailer: 1\r\n\r\n",
            _ => b"0\r\n\r\n",
        });
    } else {
        bytes.extend_from_slice(&content);
    }
    Item {
        id,
        pieces: cut(rng, bytes, style),
        is_head: method == "HEAD",
        http10,
        malformed: false,
    }
}

/// The status that a backend is asked for follows from the length, so that it is known here too.
fn status_of(response_len: usize) -> u16 {
    match response_len % 16 {
        0 if response_len < 10 => 204,
        1 => 304,
        2 => 404,
        3 => 503,
        _ => 200,
    }
}

fn malformed(rng: &mut Rng, ledger: &Ledger, service: &str, style: Style) -> Item {
    let id = ledger.ask(Asked {
        method: "?",
        malformed: true,
        ..Asked::default()
    });
    let bytes = if style == Style::HalfHead {
        let whole = format!("GET /r/{id} HTTP/1.1\r\nHost: {service}\r\nx-id: {id}\r\n\r\n");
        whole.as_bytes()[..rng.between(1, whole.len() as u64 - 1) as usize].to_vec()
    } else if rng.percent(10) {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nx: {}\r\n\r\n",
            "y".repeat(20_000)
        )
        .into_bytes()
    } else {
        rng.pick(MALFORMED)
            .replace("{id}", &id.to_string())
            .into_bytes()
    };
    Item {
        id,
        pieces: cut(rng, bytes, style),
        is_head: false,
        http10: false,
        malformed: true,
    }
}

fn cut(rng: &mut Rng, bytes: Vec<u8>, style: Style) -> VecDeque<(u64, Vec<u8>)> {
    let mut pieces = VecDeque::new();
    if style == Style::SlowWriter {
        let pause = rng.between(0, 4) * MILLI;
        pieces.extend(bytes.into_iter().map(|byte| (pause, vec![byte])));
        return pieces;
    }
    let first = if rng.percent(30) {
        rng.between(0, 300) * MILLI
    } else {
        0
    };
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let most = if rng.percent(70) {
            rest.len()
        } else {
            rng.between(1, rest.len() as u64) as usize
        };
        let (piece, after) = rest.split_at(most);
        let pause = match pieces.is_empty() {
            true => first,
            false => rng.between(0, 20) * MILLI,
        };
        pieces.push_back((pause, piece.to_vec()));
        rest = after;
    }
    pieces
}

/// A response being read.
enum Reading {
    Head,
    Body {
        head: Head,
        framing: Framing,
        got: usize,
    },
}

struct Client {
    ledger: Rc<Ledger>,
    conn: Conn,
    /// Requests begun and not answered, oldest first.
    open: VecDeque<Item>,
    acc: Vec<u8>,
    reading: Reading,
    /// The proxy said that this connection ends.
    told_close: bool,
    /// What still comes is no response: the proxy could not know that a HEAD was meant.
    deaf: bool,
}

/// Plays a script to its end. Every request of it gets its outcome.
pub async fn play(shard: Shard, ledger: Rc<Ledger>, script: Script) {
    shard.sleep_until(script.start).await;
    let mut waiting: VecDeque<Item> = script.items.into();
    let (pipelined, read_pause, leave) = (script.pipelined, script.read_pause, script.leave);
    let socket = Socket::connect(&shard, &script.remote, true).expect("a simulated socket");
    let patience = Timer::new(&shard);
    patience.set(shard.now() + 5_000 * MILLI);
    let connected = poll_fn(|_| match patience.poll_expired() {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        Poll::Pending => socket.poll_connected(),
    })
    .await;
    let mut client = Client {
        ledger: Rc::clone(&ledger),
        conn: Conn::new(&shard, socket),
        open: VecDeque::new(),
        acc: Vec::new(),
        reading: Reading::Head,
        told_close: false,
        deaf: false,
    };
    if connected.is_err() {
        client.cut(waiting, &Outcome::Cut);
        return;
    }
    let mut due: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut piece_at = 0;
    let mut read_at = 0;
    let (mut sent, mut received) = (0, 0);
    let mut sendable = true;
    loop {
        let now = shard.now();
        let leaves = match leave {
            Leave::Never => false,
            Leave::At(time) => now >= time,
            Leave::Sent(bytes) => sent >= bytes,
            Leave::Received(bytes) => received >= bytes,
        };
        if leaves {
            ledger.tell(|| "a client leaves".to_owned());
            client.cut(waiting, &Outcome::Left);
            return;
        }
        let may_ask = pipelined || client.open.is_empty();
        if due.is_empty()
            && may_ask
            && sendable
            && !client.told_close
            && let Some(mut item) = waiting.pop_front()
        {
            due = std::mem::take(&mut item.pieces);
            piece_at = now + due.front().map_or(0, |(pause, _)| *pause);
            client.open.push_back(item);
        }
        let done = client.open.is_empty() && due.is_empty() && waiting.is_empty();
        if done && !script.stays && !client.told_close {
            client.expect_nothing();
            return;
        }
        let piece_due = !due.is_empty() && sendable && now >= piece_at;
        if piece_due
            && client.conn.socket.unsent() <= 4096
            && let Some((_, bytes)) = due.pop_front()
        {
            sent += bytes.len();
            client.conn.write(bytes);
            piece_at = now + due.front().map_or(0, |(pause, _)| *pause);
            continue;
        }
        let mut until = NEVER;
        if !due.is_empty() && !piece_due {
            until = until.min(piece_at);
        }
        if now < read_at {
            until = until.min(read_at);
        }
        if let Leave::At(time) = leave {
            until = until.min(time);
        }
        let room = piece_due.then_some(4096);
        match client.conn.next(now >= read_at, room, until).await {
            Event::Data(bytes) => {
                received += bytes.len();
                client.acc.extend_from_slice(&bytes);
                if let Err(wrong) = client.read() {
                    ledger.violation(wrong);
                    client.cut(waiting, &Outcome::Cut);
                    return;
                }
                read_at = shard.now() + read_pause;
            }
            Event::Ended => {
                client.at_end();
                client.cut(waiting, &Outcome::Cut);
                return;
            }
            Event::Broken => {
                client.cut(waiting, &Outcome::Cut);
                return;
            }
            Event::Unsendable => {
                sendable = false;
                due.clear();
            }
            Event::Room | Event::Time => {}
        }
    }
}

impl Client {
    /// The connection is over: what is open ends so.
    fn cut(&mut self, waiting: VecDeque<Item>, outcome: &Outcome) {
        let reading = matches!(self.reading, Reading::Body { .. });
        for (index, item) in self.open.drain(..).enumerate() {
            let cut = !self.told_close || (index == 0 && reading);
            let outcome = if cut {
                outcome.clone()
            } else {
                Outcome::Unasked
            };
            self.ledger.end(item.id, outcome);
        }
        for item in waiting {
            let outcome = if self.told_close {
                Outcome::Unasked
            } else {
                Outcome::Left
            };
            self.ledger.end(item.id, outcome);
        }
    }

    fn expect_nothing(&self) {
        if !self.acc.is_empty() {
            let text = String::from_utf8_lossy(&self.acc[..self.acc.len().min(80)]).into_owned();
            self.ledger
                .violation(format!("bytes that nobody asked for: {text:?}"));
        }
    }

    /// Reads as many responses as there are.
    fn read(&mut self) -> Result<(), String> {
        loop {
            if self.open.is_empty() {
                if !self.deaf {
                    self.expect_nothing();
                }
                self.acc.clear();
                return Ok(());
            }
            match &mut self.reading {
                Reading::Head => {
                    let Some(head) = Head::take(&mut self.acc)? else {
                        return Ok(());
                    };
                    self.head(head)?;
                }
                Reading::Body { head, framing, got } => match framing.step(&mut self.acc)? {
                    Step::More => return Ok(()),
                    Step::Data(data) => {
                        let item = &self.open[0];
                        let own = head.get("l5d-err").is_some();
                        if !own && !belongs(&data, item.id, Direction::Response, *got) {
                            return Err(format!(
                                "request {}: {} bytes at {got} of its response's body are not its",
                                item.id,
                                data.len()
                            ));
                        }
                        *got += data.len();
                    }
                    Step::End => self.finish(true)?,
                },
            }
        }
    }

    fn head(&mut self, head: Head) -> Result<(), String> {
        let item = &self.open[0];
        let id = item.id;
        let status: u16 = match head
            .start
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
        {
            Some(status) if head.start.starts_with("HTTP/1.1 ") => status,
            _ => {
                return Err(format!(
                    "request {id}: a response that begins {:?}",
                    head.start
                ));
            }
        };
        if (100..200).contains(&status) {
            if item.http10 || status == 101 {
                return Err(format!("request {id}: a {status} that it must not get"));
            }
            return match head.number("x-id") {
                Some(of) if of != id => Err(format!("request {id}: an interim response to {of}")),
                _ => Ok(()),
            };
        }
        self.told_close |= head.get("connection") == Some("close")
            || (item.http10 && head.get("connection") != Some("keep-alive"));
        if head.get("l5d-err").is_none() {
            if item.malformed {
                return Err(format!("request {id} is malformed and got a {status}"));
            }
            if head.number("x-id") != Some(id) {
                return Err(format!(
                    "request {id} got the response to {:?}",
                    head.get("x-id")
                ));
            }
        } else if status < 400 {
            return Err(format!("request {id}: the proxy itself says {status}"));
        }
        let bodiless = item.is_head || matches!(status, 204 | 304);
        let framing = match head.framing(Framing::UntilClose)? {
            _ if bodiless => Framing::Length(0),
            Framing::Chunk if item.http10 => {
                return Err(format!("request {id}: chunks to HTTP/1.0"));
            }
            Framing::UntilClose if !item.http10 => {
                return Err(format!("request {id}: no framing for HTTP/1.1"));
            }
            framing => framing,
        };
        self.reading = Reading::Body {
            head,
            framing,
            got: 0,
        };
        Ok(())
    }

    /// A response looks complete. `framed`: its own framing says so.
    fn finish(&mut self, framed: bool) -> Result<(), String> {
        let Reading::Body { head, got, .. } = std::mem::replace(&mut self.reading, Reading::Head)
        else {
            return Ok(());
        };
        let Some(item) = self.open.pop_front() else {
            return Ok(());
        };
        let status: u16 = head.start[9..12]
            .parse()
            .map_err(|_| "a status".to_owned())?;
        if let Some(reason) = head.get("l5d-err") {
            self.deaf = item.is_head && self.told_close;
            self.ledger
                .end(item.id, Outcome::Refused(status, reason.to_owned()));
            return Ok(());
        }
        let asked = self.ledger.get(item.id).unwrap_or_default();
        let expected = if item.is_head { 0 } else { asked.response_len };
        let wanted = status_of_asked(&asked);
        let failed = asked.arrivals.iter().any(|one| one.status == Some(status));
        if wanted != status && !matches!(wanted, 204 | 304) && !failed {
            self.ledger
                .violation(format!("request {} got a {status} for a {wanted}", item.id));
        }
        // An end that no framing marks may come early: by the backend's will, or by HTTP/1.0's.
        let soft = !framed || asked.arrivals.iter().any(|arrival| arrival.soft_cut);
        let outcome = match got == expected {
            true => Outcome::Answered(status),
            false if soft && got < expected => Outcome::Cut,
            false => {
                let id = item.id;
                self.ledger.violation(format!(
                    "request {id}: a response of {got} bytes looks complete, {expected} were sent"
                ));
                Outcome::Cut
            }
        };
        self.ledger.end(item.id, outcome);
        Ok(())
    }

    /// The proxy closed.
    fn at_end(&mut self) {
        if let Reading::Body {
            framing: Framing::UntilClose,
            ..
        } = self.reading
            && let Err(wrong) = self.finish(false)
        {
            self.ledger.violation(wrong);
        }
    }
}

fn status_of_asked(asked: &Asked) -> u16 {
    match asked.response_len {
        0 => 204,
        len => status_of(len),
    }
}
