//! HTTP/1.0 and 1.1 (RFC 9112): heads and bodies in, heads and chunk frames out.
//!
//! ```text
//!   bytes ──► HeadReader ──► head ──► BodyDecoder ──► ranges of the input, trailers
//!   head  ──► write_request / write_response ──► bytes, then body bytes as they are,
//!                                                between chunk_head and LAST_CHUNK if streamed
//! ```
//!
//! **One grammar, a line at a time.** The verdict on a message depends on its bytes only, never on
//! how the network cut them: every check belongs to a line, runs once the line is complete, and the
//! first line at fault decides; what spans lines (Host, framing) is judged when the head is complete.
//! Limits are counted in bytes from the start of the head, and so are independent of the cuts too.
//!
//! **Why not httparse.** It takes bare LF for a line end anywhere, any number of empty lines first,
//! and bytes beyond ASCII in targets; it names its errors too coarsely to say which rule was broken;
//! and it starts over with every fragment. Closing those gaps around it needs a second walk over the
//! same lines, and a second grammar that must agree with the first; that two grammars disagree is
//! what this room exists to prevent. httparse splits a head into fields faster than the walk here
//! does. But splitting is the smaller part of reading a head, and the whole of it stays within the
//! budget of 400 ns for a head of 200 bytes: a search for each line end, one table look-up per byte
//! of a name, vector compares over each value, and one copy.
//!
//! **What is refused** stands in [`HeadError`], [`RequestError`], [`ResponseError`] and
//! [`BodyError`], one variant and one word for each rule.

mod body;
mod chunked;
mod error;
mod framing;
mod line;
mod reader;
mod request;
mod response;
mod trailers;
mod write;
mod write_chunk;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Step};
pub use error::{BodyError, HeadError, RequestError, ResponseError};
pub use reader::{ConnInfo, HeadReader, Progress};
pub use write::{
    RequestOptions, ResponseFraming, write_error, write_interim, write_request, write_request_with,
    write_response,
};
pub use write_chunk::{LAST_CHUNK, LAST_CHUNK_AFTER_DATA, chunk_head, write_trailers_end};

/// What one message may cost. Relations: a start line counts towards `head_bytes`, so `line_bytes`
/// beyond it has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head, with its line ends.
    pub head_bytes: usize,
    /// Bytes of a request line or status line, without its line end.
    pub line_bytes: usize,
    /// Field lines in a head, and again in the trailers.
    pub fields: usize,
    /// Bytes of all trailers, with their line ends.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes: 65536,
            line_bytes: 8192,
            fields: 128,
            trailer_bytes: 8192,
        }
    }
}
