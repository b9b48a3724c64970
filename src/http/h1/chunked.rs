//! The chunked transfer coding, read strictly (RFC 9112 §7.1).
//!
//! ```text
//!        hex ;… or CR         LF            size bytes        CR           LF
//!   Size ────────────► SizeEnd ──► Data ───────────────► DataCr ──► DataLf ──► Size
//!    ▲ └─; Extension ──CR──┘└─ size 0 ──► LineStart ─CR► LastLf ─LF► Done
//!                                          │    ▲
//!                                          └────┘ a trailer
//! ```
//!
//! A chunk's size decides where the next message starts, so there is one way to write it: hex digits
//! and CRLF. No sign, no `0x`, no white space, no bare LF, nothing between data and CRLF. Extensions
//! are allowed, since clients that sign their chunks use them, and ignored. They are bounded per
//! chunk and, beyond what the data pays for, in total: without that, a peer gets the proxy to read
//! without end for a body that never grows (CVE-2023-39326).

use super::Limits;
use super::body::Step;
use super::error::BodyError;
use super::trailers::Trailers;
use crate::http::Fields;

/// Bytes of extensions on one chunk.
const EXTENSION_MAX: u32 = 256;
/// Bytes of extensions that a body may have beyond its bytes of data.
const EXTENSION_DEBT_MAX: u64 = 16 * 1024;
/// Hex digits of a chunk's size.
const DIGITS_MAX: u8 = 16;
/// No chunk is larger: what follows counts in signed numbers somewhere.
const CHUNK_MAX: u64 = i64::MAX as u64;

#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of extensions not paid for by data.
    debt: u64,
    trailers: Trailers,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64, len: u32 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    LineStart,
    Trailer,
    LastLf,
    Done,
}

const SIZE: State = State::Size { digits: 0, size: 0 };

impl Chunked {
    pub fn new(limits: &Limits) -> Chunked {
        Chunked {
            state: SIZE,
            debt: 0,
            trailers: Trailers::new(limits),
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn trailers(&mut self) -> Option<&mut Fields> {
        match self.state {
            State::Done => self.trailers.fields(),
            _ => None,
        }
    }

    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Done => break,
                State::Data { left } => return Ok(self.data(left, at, input.len())),
                State::Trailer => {
                    let (used, ended) = self.trailers.take(&input[at..])?;
                    at += used;
                    if ended {
                        self.state = State::LineStart;
                    }
                }
                state => {
                    self.state = self.after(state, byte)?;
                    // A trailer's first byte is the trailer's.
                    at += usize::from(!matches!(self.state, State::Trailer));
                }
            }
        }
        Ok(match self.state {
            State::Done => Step::Done { used: at },
            _ => Step::More { used: at },
        })
    }

    fn data(&mut self, left: u64, start: usize, input_len: usize) -> Step {
        let len = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(input_len - start);
        self.debt = self.debt.saturating_sub(len as u64);
        self.state = match left - len as u64 {
            0 => State::DataCr,
            left => State::Data { left },
        };
        Step::Data {
            start,
            end: start + len,
        }
    }

    /// The state that one byte of framing leads to.
    fn after(&mut self, state: State, byte: u8) -> Result<State, BodyError> {
        match (state, byte) {
            (State::Size { digits, size }, _) => after_size(digits, size, byte),
            (State::Extension { size, .. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { size, len }, _) => self.after_extension(size, len, byte),
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::LineStart),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataCr, b'\n') => Err(BodyError::BareLf),
            (State::DataCr, _) => Err(BodyError::JunkAfterChunk),
            (State::DataLf, b'\n') => Ok(SIZE),
            (State::LineStart, b'\r') => Ok(State::LastLf),
            (State::LineStart, b'\n') => Err(BodyError::BareLf),
            (State::LineStart, _) => Ok(State::Trailer),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::SizeEnd { .. } | State::DataLf | State::LastLf, _) => Err(BodyError::BareCr),
            (state @ (State::Data { .. } | State::Trailer | State::Done), _) => Ok(state),
        }
    }

    fn after_extension(&mut self, size: u64, len: u32, byte: u8) -> Result<State, BodyError> {
        self.debt += 1;
        match byte {
            b'\n' => Err(BodyError::BareLf),
            0..=8 | 11..=31 | 127 => Err(BodyError::BadChunkExtension),
            _ if len >= EXTENSION_MAX || self.debt > EXTENSION_DEBT_MAX => {
                Err(BodyError::ChunkExtensionTooLong)
            }
            _ => Ok(State::Extension { size, len: len + 1 }),
        }
    }
}

fn after_size(digits: u8, size: u64, byte: u8) -> Result<State, BodyError> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ if digits == 0 => return Err(BodyError::BadChunkSize),
        b'\r' => return Ok(State::SizeEnd { size }),
        b';' => return Ok(State::Extension { size, len: 0 }),
        b'\n' => return Err(BodyError::BareLf),
        _ => return Err(BodyError::BadChunkSize),
    };
    if digits == DIGITS_MAX || size > CHUNK_MAX >> 4 {
        return Err(BodyError::ChunkTooLarge);
    }
    Ok(State::Size {
        digits: digits + 1,
        size: size << 4 | u64::from(digit),
    })
}
