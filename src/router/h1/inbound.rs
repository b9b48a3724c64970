//! HTTP/1.1 from a client: one connection, requests one after the other (pipelined ones wait).

use std::task::Poll;

use crate::engine::{Buf, Segment, Shard, Socket};
use crate::http::h1::{self, BodyDecoder, HeadReader, Limits, Progress, ResponseFraming};
use crate::http::{BodyLength, Fields, Method, RequestHead, ResponseHead, Version};

use super::kept::Kept;
use super::wire::{BodyEvent, BodyFault, BodyWriter, Wire};
use crate::router::ends::Ends;
use crate::router::refusal::Refusal;

/// A client's connection between requests.
pub struct Connection {
    wire: Wire,
    ends: Ends,
}

/// What reading a head came to.
pub enum HeadOutcome {
    Complete {
        keep_alive: bool,
    },
    /// The client closed the connection, before any byte of a head or within it.
    Closed,
    /// The head is refused; the connection cannot be used any further.
    Refused(Refusal),
}

impl Connection {
    #[must_use]
    pub fn new(socket: Socket) -> Connection {
        Connection {
            wire: Wire::new(socket),
            ends: Ends::default(),
        }
    }

    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.wire.socket
    }

    /// Ready when bytes of a request are there; false when the client is gone.
    pub fn poll_readable(&mut self) -> Poll<bool> {
        match self.wire.poll_bytes() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(buf))) => {
                self.wire.put_back(buf);
                Poll::Ready(true)
            }
            Poll::Ready(Ok(None) | Err(_)) => Poll::Ready(false),
        }
    }

    /// Reads a request's head. Pending after some bytes means that the rest is still to come.
    pub fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Poll<HeadOutcome> {
        loop {
            let mut buf = match self.wire.poll_bytes() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buf))) => buf,
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(HeadOutcome::Closed),
            };
            match reader.request(&buf, limits, head) {
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete { used, connection }) => {
                    buf.advance(used);
                    self.wire.put_back(buf);
                    return Poll::Ready(HeadOutcome::Complete {
                        keep_alive: connection.keep_alive,
                    });
                }
                Err(error) => {
                    let refusal =
                        Refusal::client(error.status(), error.reason(), error.to_string());
                    return Poll::Ready(HeadOutcome::Refused(refusal));
                }
            }
        }
    }

    /// Takes and drops whatever the client still sends; ready when it has closed.
    pub fn poll_discard(&mut self) -> Poll<()> {
        loop {
            match self.wire.poll_bytes() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(_dropped))) => {}
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
            }
        }
    }

    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// One request of a client and the response to it.
pub struct Request<'a> {
    connection: &'a mut Connection,
    decoder: BodyDecoder,
    writer: BodyWriter,
    method: Method,
    version: Version,
    keep_alive: bool,
    /// The head of the final response was written.
    pub responded: bool,
    /// When the head of a replica's response was written, on the shard's clock.
    pub answered_at: Option<u64>,
    /// Body bytes were taken.
    consumed: bool,
    kept: Kept,
    /// The response's length is unknown to this client but for the connection's end.
    until_close: bool,
}

impl<'a> Request<'a> {
    #[must_use]
    pub fn new(
        connection: &'a mut Connection,
        head: &RequestHead,
        keep_alive: bool,
        limits: &Limits,
    ) -> Request<'a> {
        Request {
            connection,
            decoder: BodyDecoder::new(head.body, limits),
            writer: BodyWriter::Plain,
            method: head.method,
            version: head.version,
            keep_alive,
            responded: false,
            answered_at: None,
            consumed: false,
            kept: Kept::default(),
            until_close: false,
        }
    }

    /// The next bytes of the request's body.
    pub fn poll_body(&mut self) -> Poll<Result<BodyEvent, BodyFault>> {
        if let Some(data) = self.kept.next() {
            return Poll::Ready(Ok(BodyEvent::Data(data)));
        }
        let event = self.connection.wire.poll_body(&mut self.decoder);
        if let Poll::Ready(Ok(BodyEvent::Data(data))) = &event {
            self.consumed = true;
            self.kept.add(data);
        }
        event
    }

    /// From here on so many bytes of the body are kept, so that it can be sent again.
    pub fn keep_up_to(&mut self, bytes: usize) {
        self.kept.limit(bytes);
    }

    /// Whether the request can be sent once more as it was.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        !self.consumed || self.kept.is_whole()
    }

    /// What was received of the body, if all of it was kept and nothing is to come.
    #[must_use]
    pub fn copy_body(&self) -> Option<Vec<Buf>> {
        self.kept.copy().filter(|_| self.is_received())
    }

    /// Begins the body anew, of which everything was kept.
    pub fn rewind(&mut self) {
        self.kept.rewind();
    }

    /// The body will not be needed again.
    pub fn forget(&mut self) {
        self.kept.forget();
    }

    /// Both ends of its connection, and the socket to ask for them.
    #[must_use]
    pub fn ends(&self) -> (&Ends, &Socket) {
        (&self.connection.ends, &self.connection.wire.socket)
    }

    /// Whether the whole request was received.
    #[must_use]
    pub fn is_received(&self) -> bool {
        self.decoder.is_done()
    }

    pub fn trailers(&mut self) -> Option<&mut Fields> {
        self.decoder.trailers()
    }

    /// How the body is received from here on: one buffer at a time, or as fast as it comes.
    pub fn receive_singly(&self, singly: bool) {
        self.connection.wire.socket.switch_receiving(singly);
    }

    /// Ready when the client has gone. Meaningful once the request was received: until then
    /// reading the body tells.
    pub fn poll_gone(&mut self) -> Poll<()> {
        if self.connection.wire.unread.is_some() {
            // A pipelined request waits; its client is watched again when it was taken.
            return Poll::Pending;
        }
        self.connection.wire.socket.poll_closed()
    }

    /// Ready when the client has ended its side or reset the connection, whatever of it waits
    /// unread: for a request that was not received whole, that is its end.
    pub fn poll_ended(&self) -> Poll<()> {
        self.connection.wire.socket.poll_ended()
    }

    /// Passes a 1xx response on (HTTP/1.0 knows none).
    pub fn send_interim(&mut self, shard: &Shard, head: &ResponseHead) {
        if self.version == Version::Http10 {
            return;
        }
        let mut bytes = shard.vector();
        h1::write_interim(&mut bytes, head);
        self.connection.wire.socket.write(Segment::Owned(bytes));
    }

    /// Writes the response's head, with the first bytes of its body if they are there.
    pub fn send_head(
        &mut self,
        shard: &Shard,
        head: &ResponseHead,
        draining: bool,
        data: Option<Buf>,
    ) {
        let length = match head.body {
            BodyLength::Streamed | BodyLength::UntilClose if self.version == Version::Http10 => {
                BodyLength::UntilClose
            }
            BodyLength::UntilClose => BodyLength::Streamed,
            other => other,
        };
        self.until_close = length == BodyLength::UntilClose;
        if draining || self.until_close || !self.decoder.is_done() {
            // An unread rest of the request would be taken for the next one.
            self.keep_alive = false;
        }
        let framing = ResponseFraming {
            version: self.version,
            body: length,
            keep_alive: self.keep_alive,
        };
        let mut bytes = shard.vector();
        h1::write_response(&mut bytes, head, &framing);
        self.responded = true;
        self.answered_at = Some(shard.now());
        self.writer = BodyWriter::new(length);
        let socket = &self.connection.wire.socket;
        match data {
            Some(data) => self.writer.write(shard, socket, Some(bytes), data),
            None => socket.write(Segment::Owned(bytes)),
        }
    }

    pub fn send_data(&mut self, shard: &Shard, data: Buf) {
        self.writer
            .write(shard, &self.connection.wire.socket, None, data);
    }

    pub fn send_end(&mut self, shard: &Shard, trailers: Option<&Fields>) {
        self.writer
            .finish(shard, &self.connection.wire.socket, trailers);
    }

    /// Writes a response of the proxy's own.
    pub fn refuse(&mut self, shard: &Shard, refusal: &Refusal, draining: bool) {
        self.keep_alive &= self.decoder.is_done() && !draining;
        let mut bytes = shard.vector();
        write_refusal(
            &mut bytes,
            refusal,
            self.version,
            self.keep_alive,
            self.method == Method::Head,
        );
        #[cfg(feature = "planted-bugs")]
        if crate::engine::planted::planted(crate::engine::planted::Bug::AnsweredTwice) {
            bytes.extend_from_within(..);
        }
        self.connection.wire.socket.write(Segment::Owned(bytes));
        self.responded = true;
    }

    /// Writes a whole response that the proxy makes itself and that is no refusal. To a HEAD the
    /// length of the body is declared, and nothing sent.
    pub fn answer(&mut self, shard: &Shard, head: &mut ResponseHead, body: &[u8], draining: bool) {
        self.keep_alive &= self.decoder.is_done() && !draining;
        let is_head = self.method == Method::Head;
        if let (true, BodyLength::Exact(length)) = (is_head, head.body) {
            head.declared_length = Some(length);
            head.body = BodyLength::Empty;
        }
        let framing = ResponseFraming {
            version: self.version,
            body: head.body,
            keep_alive: self.keep_alive,
        };
        let mut bytes = shard.vector();
        h1::write_response(&mut bytes, head, &framing);
        if !is_head {
            bytes.extend_from_slice(body);
        }
        self.connection.wire.socket.write(Segment::Owned(bytes));
        self.responded = true;
    }

    /// Ready when at most `limit` bytes wait to be sent to the client; an error when it is gone.
    pub fn poll_unsent(&self, limit: usize) -> Poll<Result<(), ()>> {
        self.connection
            .wire
            .socket
            .poll_unsent(limit)
            .map_err(|_| ())
    }

    /// Makes the coming end of the connection visible as a cut: to a client that reads until the
    /// connection closes, an orderly close would look like the end of the response.
    pub fn cut(&self) {
        self.connection.wire.socket.reset_on_drop();
    }

    /// The socket, for moving a body past this code, if the body goes to the client as it is.
    #[must_use]
    pub fn raw(&self) -> Option<&Socket> {
        (self.writer == BodyWriter::Plain).then_some(&self.connection.wire.socket)
    }

    /// Whether another request may follow on this connection.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive && self.decoder.is_done()
    }

    pub fn wire(&mut self) -> &mut Wire {
        &mut self.connection.wire
    }
}

/// Writes the whole response of a refusal.
pub fn write_refusal(
    bytes: &mut Vec<u8>,
    refusal: &Refusal,
    version: Version,
    keep_alive: bool,
    is_head: bool,
) {
    h1::write_error(
        bytes,
        refusal.status,
        refusal.reason,
        refusal.lines.as_str(),
        &refusal.text,
        version,
        keep_alive,
        is_head,
    );
}
