//! HTTP/1.1 towards a backend: one connection, one exchange at a time.

use std::net::SocketAddr;
use std::task::Poll;

use crate::engine::{Buf, Key, Segment, Shard, Socket};
use crate::http::h1::{self, BodyDecoder, HeadReader, Limits, Progress};
use crate::http::{BodyLength, Fields, Method, RequestHead, ResponseHead};

use super::wire::{BodyEvent, BodyFault, BodyWriter, Wire};
use crate::router::refusal::{Refusal, Retry};

/// A connection to a backend, between exchanges.
pub struct Connection {
    wire: Wire,
    /// When it was made, for its age limit.
    pub made_at: u64,
}

impl Connection {
    #[must_use]
    pub fn new(socket: Socket, made_at: u64) -> Connection {
        Connection {
            wire: Wire::new(socket),
            made_at,
        }
    }

    /// Whether nothing came and nothing ended since the last response.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.wire.is_quiet()
    }

    /// How the next response is received: one buffer at a time, if it is expected to be large.
    pub fn receive_singly(&self, singly: bool) {
        self.wire.socket.receive_singly(singly);
    }

    /// Arms a receive and has `task` woken by whatever it brings.
    pub fn watch(&self, task: Key) {
        self.wire.socket.watch(task);
    }
}

/// What comes before a response's body.
pub enum HeadEvent {
    /// A 1xx response; the final one is still to come.
    Interim,
    Final,
}

/// One request and its response on a connection.
pub struct Exchange {
    connection: Connection,
    /// The connection served other requests before.
    reused: bool,
    method: Method,
    reader: HeadReader,
    writer: BodyWriter,
    decoder: Option<BodyDecoder>,
    got_bytes: bool,
    keep_alive: bool,
    /// The request was written to its end.
    sent_all: bool,
    received_all: bool,
}

impl Exchange {
    #[must_use]
    pub fn new(connection: Connection, reused: bool) -> Exchange {
        Exchange {
            connection,
            reused,
            method: Method::Get,
            reader: HeadReader::new(),
            writer: BodyWriter::Plain,
            decoder: None,
            got_bytes: false,
            keep_alive: false,
            sent_all: false,
            received_all: false,
        }
    }

    fn socket(&self) -> &Socket {
        &self.connection.wire.socket
    }

    /// Writes the request's head, with more lines to it.
    pub fn send_head(&mut self, shard: &Shard, head: &RequestHead, lines: &[&[u8]]) {
        let mut bytes = shard.vector();
        let options = h1::RequestOptions {
            // The backend's own 100 (Continue) is passed on.
            expect_continue: head.expect_continue,
            te_trailers: false,
            lines,
        };
        h1::write_request_with(&mut bytes, head, head.body, options);
        self.socket().write(Segment::Owned(bytes));
        self.method = head.method;
        self.writer = BodyWriter::new(head.body);
        self.sent_all = head.body == BodyLength::Empty;
    }

    pub fn send_data(&mut self, shard: &Shard, data: Buf) {
        self.writer
            .write(shard, &self.connection.wire.socket, None, data);
    }

    pub fn send_end(&mut self, shard: &Shard, trailers: Option<&Fields>) {
        self.writer
            .finish(shard, &self.connection.wire.socket, trailers);
        self.sent_all = true;
    }

    /// Ready when at most `limit` bytes wait to be sent. A send that fails leaves it pending: the
    /// backend may have answered before it stopped reading, so reading decides.
    pub fn poll_unsent(&self, limit: usize) -> Poll<()> {
        match self.socket().poll_unsent(limit) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Reads the next head into `head`.
    pub fn poll_head(
        &mut self,
        limits: &Limits,
        head: &mut ResponseHead,
    ) -> Poll<Result<HeadEvent, Refusal>> {
        loop {
            let mut buf = match self.connection.wire.poll_bytes() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buf))) => buf,
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(self.lost("closed"))),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.lost(&error.to_string())));
                }
            };
            self.got_bytes = true;
            match self.reader.response(&buf, limits, self.method, head) {
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete { used, connection }) => {
                    buf.advance(used);
                    self.connection.wire.put_back(buf);
                    if head.is_interim() {
                        return Poll::Ready(Ok(HeadEvent::Interim));
                    }
                    self.keep_alive = connection.keep_alive;
                    let decoder = BodyDecoder::new(head.body, limits);
                    self.received_all = decoder.is_done();
                    self.decoder = Some(decoder);
                    return Poll::Ready(Ok(HeadEvent::Final));
                }
                Err(error) => {
                    let text = format!("the backend's response is not valid: {error}");
                    return Poll::Ready(Err(Refusal::backend(502, error.reason(), text)));
                }
            }
        }
    }

    fn lost(&self, how: &str) -> Refusal {
        if self.got_bytes {
            let text = format!("the backend's connection broke within the response's head: {how}");
            return Refusal::backend(502, "truncated-response", text);
        }
        let text = format!("the backend's connection broke before a response: {how}");
        let refusal = Refusal::backend(502, "backend-reset", text);
        if self.reused {
            refusal.retry(Retry::IfReused)
        } else {
            refusal
        }
    }

    /// The next bytes of the response's body.
    pub fn poll_body(&mut self) -> Poll<Result<BodyEvent, BodyFault>> {
        let Some(decoder) = self.decoder.as_mut() else {
            return Poll::Ready(Ok(BodyEvent::End));
        };
        let event = self.connection.wire.poll_body(decoder);
        if let Poll::Ready(Ok(BodyEvent::End)) = event {
            self.received_all = true;
        }
        if decoder.is_done() {
            self.received_all = true;
        }
        event
    }

    /// The socket, for moving the body past this code; [`Exchange::skip_body`] afterwards.
    #[must_use]
    pub fn raw(&self) -> &Socket {
        &self.connection.wire.socket
    }

    /// Whether everything received was handed out.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.connection.wire.unread.is_none() && self.socket().recv_rests()
    }

    /// The rest of the body was moved by other means.
    pub fn skip_body(&mut self) {
        self.decoder = None;
        self.received_all = true;
    }

    /// Takes what has come of a response that nobody wants: if that was all, the connection can be used
    /// again.
    pub fn skip_what_came(&mut self) {
        while let Poll::Ready(Ok(BodyEvent::Data(_dropped))) = self.poll_body() {}
    }

    pub fn trailers(&mut self) -> Option<&mut Fields> {
        self.decoder.as_mut().and_then(BodyDecoder::trailers)
    }

    /// Whether the whole response was received.
    #[must_use]
    pub fn is_received(&self) -> bool {
        self.received_all
    }

    /// The connection, if it can carry another request: both messages ended cleanly, the backend
    /// keeps it open, and nothing follows the response.
    #[must_use]
    pub fn into_idle(self) -> Option<Connection> {
        let clean = self.sent_all
            && self.received_all
            && self.keep_alive
            && self.connection.wire.is_quiet()
            && self.socket().unsent() == 0;
        #[cfg(feature = "planted-bugs")]
        let clean =
            clean || crate::engine::planted::planted(crate::engine::planted::Bug::PooledEarly);
        clean.then_some(self.connection)
    }

    /// The raw connection, for a tunnel.
    #[must_use]
    pub fn into_wire(self) -> Wire {
        self.connection.wire
    }
}

/// A connection being made.
pub struct Connecting {
    socket: Socket,
    pub addr: SocketAddr,
}

impl Connecting {
    /// # Errors
    /// 503 when there is no descriptor left for it.
    pub fn start(shard: &Shard, addr: SocketAddr, no_delay: bool) -> Result<Connecting, Refusal> {
        match Socket::connect(shard, &addr, no_delay) {
            Ok(socket) => Ok(Connecting { socket, addr }),
            Err(error) => Err(Refusal::proxy(
                503,
                "no-descriptors",
                format!("no socket for a connection to {addr}: {error}"),
            )),
        }
    }

    pub fn poll(&self) -> Poll<Result<(), Refusal>> {
        self.socket.poll_connected().map_err(|error| {
            let text = format!("cannot connect to {}: {error}", self.addr);
            Refusal::backend(502, "connect-failed", text).retry(Retry::Always)
        })
    }

    #[must_use]
    pub fn into_connection(self, now: u64) -> Connection {
        Connection::new(self.socket, now)
    }
}
