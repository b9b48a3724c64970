//! One HTTP/1.1 connection's bytes: the socket, the buffer being read, and the framing of what is
//! written. Both sides of the proxy (the server's connections and the clients') are built on it.

use std::io;
use std::task::Poll;

#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{Buf, Segment, Shard, Socket};
use crate::http::h1::{self, BodyDecoder, BodyError, Step};
use crate::http::{BodyLength, Fields};

/// A connection with what was received on it and not consumed.
pub struct Wire {
    pub socket: Socket,
    /// Received bytes that the codec has not consumed.
    pub unread: Option<Buf>,
}

/// Why a body ended before its end.
#[derive(Debug)]
pub enum BodyFault {
    /// The peer's framing is wrong.
    Framing(BodyError),
    /// The peer closed or reset the connection.
    Lost(Option<io::Error>),
}

/// What a body gives next.
pub enum BodyEvent {
    Data(Buf),
    End,
}

impl Wire {
    #[must_use]
    pub fn new(socket: Socket) -> Wire {
        Wire {
            socket,
            unread: None,
        }
    }

    /// The next unconsumed bytes: what is left of the present buffer, or a received one. `None` is
    /// the end of the stream. The caller puts back what it does not consume.
    pub fn poll_bytes(&mut self) -> Poll<io::Result<Option<Buf>>> {
        match self.unread.take() {
            Some(buf) if !buf.is_empty() => Poll::Ready(Ok(Some(buf))),
            _ => self.socket.poll_recv(),
        }
    }

    /// Keeps what is left of a buffer for later.
    pub fn put_back(&mut self, buf: Buf) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::BufferLeaked) && buf.is_empty() {
            return std::mem::forget(buf);
        }
        if !buf.is_empty() {
            self.unread = Some(buf);
        }
    }

    /// Whether nothing waits unread and the peer has neither sent nor closed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.unread.as_ref().is_none_or(|buf| buf.is_empty()) && self.socket.is_quiet()
    }

    /// The next bytes of a body. The range that comes back lies where it was received; when it is
    /// all that was left of its buffer, the handle is the only one, so that framing can be put in
    /// front of it.
    pub fn poll_body(&mut self, decoder: &mut BodyDecoder) -> Poll<Result<BodyEvent, BodyFault>> {
        loop {
            if decoder.is_done() {
                return Poll::Ready(Ok(BodyEvent::End));
            }
            let mut buf = match self.poll_bytes() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buf))) => buf,
                Poll::Ready(Ok(None)) => {
                    return Poll::Ready(match decoder.at_eof() {
                        Ok(()) => Ok(BodyEvent::End),
                        Err(_) => Err(BodyFault::Lost(None)),
                    });
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(BodyFault::Lost(Some(error)))),
            };
            match decoder.decode(&buf).map_err(BodyFault::Framing) {
                Err(fault) => return Poll::Ready(Err(fault)),
                Ok(Step::More { used } | Step::Done { used }) => {
                    buf.advance(used);
                    self.put_back(buf);
                }
                Ok(Step::Data { start, end }) => {
                    if end == buf.len() {
                        buf.advance(start);
                        return Poll::Ready(Ok(BodyEvent::Data(buf)));
                    }
                    let data = buf.slice(start, end);
                    buf.advance(end);
                    self.put_back(buf);
                    return Poll::Ready(Ok(BodyEvent::Data(data)));
                }
            }
        }
    }
}

/// How the body that is being written is delimited, and how far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyWriter {
    /// By its length or by the connection's end: the bytes go as they are.
    Plain,
    Chunked {
        /// No chunk was written yet.
        first: bool,
    },
}

impl BodyWriter {
    #[must_use]
    pub fn new(length: BodyLength) -> BodyWriter {
        match length {
            BodyLength::Streamed => BodyWriter::Chunked { first: true },
            BodyLength::Empty | BodyLength::Exact(_) | BodyLength::UntilClose => BodyWriter::Plain,
        }
    }

    /// Writes body bytes, after `head` if there is one. Head and framing are put in front of the
    /// bytes where they lie, if there is room; so that one plain send carries all.
    pub fn write(&mut self, shard: &Shard, socket: &Socket, head: Option<Vec<u8>>, mut data: Buf) {
        let mut front = [0u8; 24];
        let chunk: &[u8] = match self {
            BodyWriter::Plain => &[],
            BodyWriter::Chunked { first } => {
                let head = h1::chunk_head(*first, data.len(), &mut front);
                *first = false;
                head
            }
        };
        if !chunk.is_empty() && !data.prepend(chunk) {
            let mut vector = head.unwrap_or_else(|| shard.vector());
            vector.extend_from_slice(chunk);
            socket.write(Segment::Owned(vector));
            socket.write(Segment::Buf(data));
            return;
        }
        if let Some(head) = head {
            if data.prepend(&head) {
                shard.recycle(head);
            } else {
                socket.write(Segment::Owned(head));
            }
        }
        socket.write(Segment::Buf(data));
    }

    /// Writes what ends the body.
    pub fn finish(&mut self, shard: &Shard, socket: &Socket, trailers: Option<&Fields>) {
        let BodyWriter::Chunked { first } = *self else {
            return;
        };
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::EndLost) {
            return;
        }
        if let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty()) {
            let mut vector = shard.vector();
            h1::write_trailers_end(&mut vector, !first, trailers);
            socket.write(Segment::Owned(vector));
        } else if first {
            socket.write(Segment::Static(h1::LAST_CHUNK));
        } else {
            socket.write(Segment::Static(h1::LAST_CHUNK_AFTER_DATA));
        }
        *self = BodyWriter::Plain;
    }
}
