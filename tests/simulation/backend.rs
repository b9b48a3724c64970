//! Simulated backends: they answer what the request's id demands, in any framing, and misbehave as
//! often as their world wants.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;

use ringlink::engine::driver::Fd;
use ringlink::engine::{Listener, Shard, Socket};

use crate::chance::{Direction, Rng, belongs, body, mix};
use crate::ledger::{Arrival, Ledger, Unseen};
use crate::rules;
use crate::wire::{Conn, Event, Framing, Head, Step, chunk};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// What an answer needs from here to the proxy at most, in a world without faults.
const ON_ITS_WAY: u64 = 50 * MILLI;

/// How backends behave in a world.
pub struct Manners {
    pub seed: u64,
    /// Percent of exchanges with a mishap.
    pub mishaps: Cell<u64>,
    /// Percent of responses that are failures.
    pub failing: Cell<u64>,
    /// Backends that fail nearly always, by their bits.
    pub sick: Cell<u64>,
    /// They close idle connections when they like, and after responses without notice.
    pub closes: Cell<bool>,
    /// Percent of responses that begin before the request's body was read.
    pub early: u64,
    /// Percent of responses that their connection's end delimits.
    pub until_close: u64,
    /// Percent of responses that come in pieces.
    pub slow: u64,
    /// Most milliseconds before a response.
    pub think_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mishap {
    None,
    /// Closes within the response's body.
    Truncate,
    /// Closes within the response's head.
    HalfHead,
    Garbage,
    /// Never answers.
    Stall,
    /// Stops within the response.
    StallInBody,
    CloseUnanswered,
    /// Bytes after the response.
    Junk,
    /// A chunk size that is none.
    BadChunk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    Length,
    Chunked,
    Close,
}

/// Failures: the status, lines of the head, and whether that says that nobody looked.
const FAILURES: &[(u16, &str, Option<Unseen>)] = &[
    (500, "", None),
    (502, "", None),
    (503, "", None),
    (503, "Retry-After: 5\r\n", None),
    (503, "finagle-http-nonretryable-nack: true\r\n", None),
    (503, "finagle-http-nack: true\r\n", Some(Unseen::Nack)),
    (503, "Retry-After: 0\r\n", Some(Unseen::Nack)),
    (502, "l5d-retryable: true\r\n", Some(Unseen::Retryable)),
];

/// Accepts until its task is cancelled.
pub async fn listen(shard: Shard, listener: Listener, ledger: Rc<Ledger>, manners: Rc<Manners>) {
    let mut count = 0;
    loop {
        let Ok(fd) = poll_fn(|_| listener.poll_accept()).await else {
            continue;
        };
        count += 1;
        let seed = mix(manners.seed ^ mix(u64::from(listener.addr().port()) << 32 | count));
        shard.spawn(serve(
            shard.clone(),
            fd,
            Rc::clone(&ledger),
            Rc::clone(&manners),
            seed,
            bit(&listener),
        ));
    }
}

/// The bit of [`Manners::sick`] that is this backend's, by the last byte of its address.
fn bit(listener: &Listener) -> u64 {
    match listener.addr().ip() {
        IpAddr::V4(ip) => 1 << (ip.octets()[3] % 64),
        IpAddr::V6(_) => 0,
    }
}

struct Backend {
    conn: Conn,
    ledger: Rc<Ledger>,
    manners: Rc<Manners>,
    rng: Rng,
    acc: Vec<u8>,
    /// Its bit of [`Manners::sick`].
    bit: u64,
}

struct Request {
    id: u64,
    index: usize,
    framing: Framing,
    got: usize,
    is_head: bool,
    status: u16,
    /// Lines of its response's head.
    lines: &'static str,
    unseen: Option<Unseen>,
    /// Until when the proxy waits for its response, by the wall clock in ns.
    due: u64,
}

async fn serve(
    shard: Shard,
    fd: Fd,
    ledger: Rc<Ledger>,
    manners: Rc<Manners>,
    seed: u64,
    bit: u64,
) {
    let socket = Socket::adopt(&shard, fd);
    let mut backend = Backend {
        conn: Conn::new(&shard, socket),
        ledger,
        manners,
        rng: Rng::new(seed),
        acc: Vec::new(),
        bit,
    };
    let mut reused = false;
    while let Some(request) = backend.read_head(reused).await {
        if !backend.exchange(request).await {
            return;
        }
        reused = true;
    }
}

impl Backend {
    /// The next request's head; none when the connection ends.
    async fn read_head(&mut self, reused: bool) -> Option<Request> {
        let idle = match self.manners.closes.get() {
            true => self.rng.between(1, 4000) * MILLI,
            false => 3600 * SECOND,
        };
        let until = self.conn.shard.now() + idle;
        loop {
            match Head::take(&mut self.acc) {
                Ok(Some(head)) => return self.begin(&head, reused),
                Ok(None) => {}
                Err(wrong) => {
                    self.ledger.violation(format!("a backend got {wrong}"));
                    return None;
                }
            }
            match self.conn.next(true, None, until).await {
                Event::Data(bytes) => self.acc.extend_from_slice(&bytes),
                _ => return None,
            }
        }
    }

    fn begin(&mut self, head: &Head, reused: bool) -> Option<Request> {
        let mut words = head.start.split(' ');
        let (method, target) = (words.next()?, words.next().unwrap_or_default());
        let Some(id) = head.number("x-id") else {
            self.ledger
                .violation(format!("a backend got a head without id: {head:?}"));
            return None;
        };
        if !target.ends_with(&format!("/r/{id}")) {
            self.ledger
                .violation(format!("request {id} arrived for {target}"));
        }
        let index = self.ledger.arrive(id, method, reused)?;
        let asked = self.ledger.get(id).unwrap_or_default();
        if let Some(wrong) = rules::overdue(head, &asked, self.ledger.bounds.get()) {
            self.ledger.violation(format!("request {id} {wrong}"));
        }
        let framing = match head.framing(Framing::Length(0)) {
            Ok(framing) => framing,
            Err(wrong) => {
                self.ledger
                    .violation(format!("request {id} arrived with {wrong}"));
                return None;
            }
        };
        Some(Request {
            id,
            index,
            framing,
            got: 0,
            is_head: method == "HEAD",
            status: head.number("x-answer").unwrap_or(200) as u16,
            lines: "",
            unseen: None,
            due: rules::told(head).map_or(0, |(_, due)| due),
        })
    }

    /// Reads what is left of a request's body; false when it does not come.
    async fn read_body(&mut self, request: &mut Request, until: u64) -> bool {
        loop {
            match request.framing.step(&mut self.acc) {
                Ok(Step::Data(data)) => {
                    if !belongs(&data, request.id, Direction::Request, request.got) {
                        let (id, at) = (request.id, request.got);
                        self.ledger.violation(format!(
                            "request {id}: bytes at {at} of the body that arrived are not its"
                        ));
                        return false;
                    }
                    request.got += data.len();
                }
                Ok(Step::End) => break,
                Ok(Step::More) => match self.conn.next(true, None, until).await {
                    Event::Data(bytes) => self.acc.extend_from_slice(&bytes),
                    _ => return false,
                },
                Err(wrong) => {
                    self.ledger
                        .violation(format!("request {}: {wrong}", request.id));
                    return false;
                }
            }
        }
        let asked = self.ledger.get(request.id).unwrap_or_default();
        if asked.body_len != request.got {
            self.ledger.violation(format!(
                "request {}: a body of {} bytes looks complete, {} were sent",
                request.id, request.got, asked.body_len
            ));
        }
        self.arrival(request, |arrival| arrival.whole = true);
        true
    }

    /// Makes a failure of the response, as often as it is due.
    fn fail(&mut self, request: &mut Request) {
        let is_sick = self.manners.sick.get() & self.bit != 0;
        let percent = if is_sick {
            90
        } else {
            self.manners.failing.get()
        };
        if self.rng.percent(percent) {
            (request.status, request.lines, request.unseen) = self.rng.pick(FAILURES);
        }
    }

    fn mishap(&mut self) -> Mishap {
        if !self.rng.percent(self.manners.mishaps.get()) {
            return Mishap::None;
        }
        self.rng.pick(&[
            Mishap::Truncate,
            Mishap::Truncate,
            Mishap::HalfHead,
            Mishap::Garbage,
            Mishap::Stall,
            Mishap::StallInBody,
            Mishap::CloseUnanswered,
            Mishap::Junk,
            Mishap::BadChunk,
        ])
    }

    /// One request and its response; false when the connection is over.
    async fn exchange(&mut self, mut request: Request) -> bool {
        self.fail(&mut request);
        let mishap = self.mishap();
        let early = self.rng.percent(self.manners.early);
        let frame = match self.rng.next() % 10 {
            _ if self.rng.percent(self.manners.until_close) => Frame::Close,
            0..6 => Frame::Length,
            _ => Frame::Chunked,
        };
        let frame = if mishap == Mishap::BadChunk {
            Frame::Chunked
        } else {
            frame
        };
        let (id, status) = (request.id, request.status);
        self.ledger
            .tell(|| format!("request {id}: {status} {frame:?} {mishap:?} early {early}"));
        let patience = self.conn.shard.now() + 30 * SECOND;
        if !early && !self.read_body(&mut request, patience).await {
            return false;
        }
        let think = self.rng.next() % (self.manners.think_ms * MILLI + 1);
        self.conn.sleep(think).await;
        match mishap {
            Mishap::CloseUnanswered => return false,
            Mishap::Stall => return self.stall().await,
            Mishap::Garbage => {
                self.arrival(&request, |arrival| arrival.began = true);
                let junk = b"\x16\x03\x01 this is no response\r\n\r\n".to_vec();
                self.conn.send(junk, 0, patience).await;
                return false;
            }
            _ => {}
        }
        let going = self.respond(&request, frame, mishap).await;
        if !going || (frame == Frame::Close && self.manners.closes.get()) {
            return false;
        }
        if frame == Frame::Close {
            // Closed with bytes unread, the response could be lost to a reset.
            self.conn.socket.shutdown_write();
        }
        if early && !self.read_body(&mut request, patience).await {
            return false;
        }
        if frame == Frame::Close {
            return false;
        }
        if mishap == Mishap::Junk {
            self.conn.send(b"junk".to_vec(), 0, patience).await;
            return self.stall().await;
        }
        if self.manners.closes.get() && self.rng.percent(10) {
            let after = if self.rng.percent(50) {
                0
            } else {
                self.rng.between(0, 50) * MILLI
            };
            self.conn.sleep(after).await;
            return false;
        }
        true
    }

    fn arrival(&self, request: &Request, change: impl FnOnce(&mut Arrival)) {
        self.ledger.arrival(request.id, request.index, change);
    }

    /// Notes that a response which only its connection's end delimits is ended early.
    fn cut_softly(&self, request: &Request) {
        self.arrival(request, |arrival| arrival.soft_cut = true);
    }

    /// Waits for the peer to give up.
    async fn stall(&mut self) -> bool {
        let until = self.conn.shard.now() + 40 * SECOND;
        while let Event::Data(_) = self.conn.next(true, None, until).await {}
        false
    }

    async fn respond(&mut self, request: &Request, frame: Frame, mishap: Mishap) -> bool {
        let id = request.id;
        let asked = self.ledger.get(id).unwrap_or_default();
        let len = asked.response_len;
        let status = request.status;
        let mut bytes = Vec::new();
        if self.rng.percent(10) {
            let status = self.rng.pick(&[100, 102, 103]);
            bytes.extend_from_slice(
                format!("HTTP/1.1 {status} Wait\r\nx-id: {id}\r\n\r\n").as_bytes(),
            );
        }
        let lines = request.lines;
        let mut head = format!("HTTP/1.1 {status} Yes\r\nx-id: {id}\r\n{lines}");
        let bodiless = request.is_head || matches!(status, 204 | 304);
        match frame {
            Frame::Length if status == 204 => {}
            Frame::Length => head.push_str(&format!("Content-Length: {len}\r\n")),
            Frame::Chunked if status == 204 => {}
            Frame::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Frame::Close => head.push_str("Connection: close\r\n"),
        }
        head.push_str("\r\n");
        bytes.extend_from_slice(head.as_bytes());
        let head_len = bytes.len();
        self.arrival(request, |arrival| arrival.began = true);
        let patience = self.conn.shard.now() + 60 * SECOND;
        if mishap == Mishap::HalfHead {
            bytes.truncate(self.rng.index(bytes.len() - 1) + 1);
            self.conn.send(bytes, 0, patience).await;
            return false;
        }
        if !bodiless {
            let content = body(id, Direction::Response, 0, len);
            if frame == Frame::Chunked {
                let mut rest = content.as_slice();
                while !rest.is_empty() {
                    let most = self.rng.between(1, rest.len() as u64) as usize;
                    let (piece, after) = rest.split_at(most);
                    bytes.extend_from_slice(&chunk(piece));
                    rest = after;
                }
                bytes.extend_from_slice(match mishap {
                    Mishap::BadChunk => b"what?\r\n".as_slice(),
                    _ if self.rng.percent(20) => b"0\r\nx-trailer: yes\r\n\r\n",
                    _ => b"0\r\n\r\n",
                });
            } else {
                bytes.extend_from_slice(&content);
            }
            if matches!(mishap, Mishap::Truncate | Mishap::StallInBody) {
                let cut = self.rng.between(1, bytes.len() as u64 - 1) as usize;
                bytes.truncate(cut);
                if frame == Frame::Close {
                    self.cut_softly(request);
                }
            }
        }
        if bytes.len() >= head_len {
            let (status, unseen) = (Some(status), request.unseen);
            self.arrival(request, |arrival| {
                (arrival.status, arrival.unseen) = (status, unseen);
            });
        }
        let slow = self.rng.percent(self.manners.slow);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = match slow {
                true => self.rng.between(1, rest.len() as u64) as usize,
                false => rest.len(),
            };
            let (piece, after) = rest.split_at(most);
            if !self.conn.send(piece.to_vec(), 0, patience).await {
                // The client takes too long, and what it got ends like a whole response.
                if frame == Frame::Close {
                    self.cut_softly(request);
                }
                return false;
            }
            rest = after;
            if slow {
                let pause = self.rng.between(0, 20) * MILLI;
                self.conn.sleep(pause).await;
            }
        }
        let in_time = self.conn.shard.wall_clock_ns() + ON_ITS_WAY < request.due;
        self.arrival(request, |arrival| arrival.in_time = in_time);
        match mishap {
            Mishap::Truncate | Mishap::BadChunk => false,
            Mishap::StallInBody => self.stall().await,
            _ => true,
        }
    }
}
