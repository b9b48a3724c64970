//! Finds the end of a body (RFC 9112 §6.3) without touching its bytes.
//!
//! The decoder looks at an input and says which range of it is data. What it does not return as data
//! is framing, and consumed. It holds a few words of state; only trailers, which are rare, make it
//! allocate.
//!
//! ```text
//!   let mut at = 0;
//!   loop {
//!       match decoder.decode(&input[at..])? {
//!           Step::Data { start, end } => { pass_on(at + start..at + end); at += end }
//!           Step::More { used } => { at += used; break }    // the input is used up
//!           Step::Done { used } => { at += used; break }    // the rest is the next message's
//!       }
//!   }
//! ```

use super::Limits;
use super::chunked::Chunked;
use super::error::BodyError;
use crate::http::{BodyLength, Fields};

/// What the decoder found in an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The input is used up, and the body goes on.
    More { used: usize },
    /// `input[start..end]` is data, never empty; what is before `start` is framing. `end` bytes are
    /// consumed. The body may be done with it: see [`BodyDecoder::is_done`].
    Data { start: usize, end: usize },
    /// The body ended after `used` bytes; what follows is not its.
    Done { used: usize },
}

/// Reads one body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Done,
    /// Bytes still to come, at least 1.
    Exact(u64),
    Chunked(Chunked),
    UntilClose,
    /// The peer closed, as it should.
    Closed,
}

impl BodyDecoder {
    /// For a body of this length; `limits` bounds the trailers.
    pub fn new(length: BodyLength, limits: &Limits) -> BodyDecoder {
        let state = match length {
            BodyLength::Empty | BodyLength::Exact(0) => State::Done,
            BodyLength::Exact(length) => State::Exact(length),
            BodyLength::Streamed => State::Chunked(Chunked::new(limits)),
            BodyLength::UntilClose => State::UntilClose,
        };
        BodyDecoder { state }
    }

    /// Whether the last byte of the body, and of its framing, was seen.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Done | State::Closed => true,
            State::Chunked(chunked) => chunked.is_done(),
            State::Exact(_) | State::UntilClose => false,
        }
    }

    /// Looks for data in `input`: the bytes that come after those consumed. Call it again with what
    /// follows until it says `More` or `Done`. After an error the body is lost.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        match &mut self.state {
            State::Done | State::Closed => Ok(Step::Done { used: 0 }),
            _ if input.is_empty() => Ok(Step::More { used: 0 }),
            State::UntilClose => Ok(Step::Data {
                start: 0,
                end: input.len(),
            }),
            State::Chunked(chunked) => chunked.decode(input),
            State::Exact(left) => {
                let end = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= end as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(Step::Data { start: 0, end })
            }
        }
    }

    /// The peer closed its side: right only at the end of the body, or where that is what ends it.
    /// A message cut short must not pass for a whole one (RFC 9112 §8).
    pub fn at_eof(&mut self) -> Result<(), BodyError> {
        if let State::UntilClose = self.state {
            self.state = State::Closed;
        }
        match self.is_done() {
            true => Ok(()),
            false => Err(BodyError::Truncated),
        }
    }

    /// The trailers, once the body is done and if there are any (RFC 9110 §6.5). Those that may not
    /// come after a body (§6.5.1) are dropped already.
    pub fn trailers(&mut self) -> Option<&mut Fields> {
        match &mut self.state {
            State::Chunked(chunked) => chunked.trailers(),
            _ => None,
        }
    }
}
