//! Finds a head in the bytes as they come.
//!
//! Nearly always the whole head is in the input: then its lines are walked in place, spans are noted
//! as they are found, and the bytes are copied once, into the head's arena. Only when the input ends
//! inside a head is what there is kept aside, in the spill. From there the lines are judged one by
//! one as they complete, each byte is searched once, and no byte beyond the head is taken; when the
//! empty line comes, the spill is walked like an input. So a peer that sends a byte at a time costs
//! linear work, a wrong line is refused when it ends and not when the head does, and the spill's
//! memory, at most `head_bytes`, goes back at the end of the head.

use memchr::memchr;

use super::Limits;
use super::error::{HeadError, RequestError, ResponseError};
use super::line::{FieldLine, field_line, plain_line, without_crlf};
use super::{request, response};
use crate::http::fields::{Entry, Fields, Span};
use crate::http::{Method, RequestHead, ResponseHead};

/// What a call to the reader came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The head is not complete; all of the input was taken.
    Partial,
    /// The head is complete and ended after `used` bytes of this input.
    Complete { used: usize, connection: ConnInfo },
}

/// What a head says about the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnInfo {
    /// Whether another message may follow on the connection (RFC 9112 §9.3). Never after a body that
    /// lasts until the peer closes, nor when the connection becomes a tunnel.
    pub keep_alive: bool,
    /// Seconds after which the peer means to close the idle connection: `keep-alive: timeout=5`.
    pub idle_seconds: Option<u32>,
}

/// Reads the heads of one connection, one after the other.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// The head so far, if it began in an earlier input.
    spill: Vec<u8>,
    /// Where in the spill the line begins that is not complete yet.
    line_start: usize,
    walk: Walk,
}

/// What differs between requests and responses while lines are walked.
pub(super) trait Grammar {
    type Start: Copy;
    type Error: From<HeadError>;
    /// Empty lines that are skipped before the start line.
    const BLANK_LINES: u8;
    const TOO_MANY_BLANK_LINES: Self::Error;
    const START_TOO_LONG: Self::Error;
    /// Refuses a head by its first byte, if that is neither CR nor LF.
    fn first_byte(byte: u8) -> Result<(), Self::Error>;
    /// Reads the start line, without its CRLF.
    fn start(line: &[u8]) -> Result<Self::Start, Self::Error>;
}

/// How far into a head the lines have been walked.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    blank_lines: u8,
    started: bool,
    fields: usize,
}

enum Line<S> {
    Blank,
    Start(S),
    Field(FieldLine),
    End,
}

impl Walk {
    /// Judges one line. `through`: bytes of the head up to the end of this line.
    fn line<G: Grammar>(
        &mut self,
        line: &[u8],
        through: usize,
        limits: &Limits,
    ) -> Result<Line<G::Start>, G::Error> {
        self.within::<G>(line, through, limits)?;
        let text = without_crlf(line)?;
        if !self.started {
            return self.first_line::<G>(text);
        }
        if text.is_empty() {
            return Ok(Line::End);
        }
        self.count_field(limits)?;
        Ok(Line::Field(field_line(text)?))
    }

    fn count_field(&mut self, limits: &Limits) -> Result<(), HeadError> {
        self.fields += 1;
        match self.fields > limits.fields {
            true => Err(HeadError::TooManyFields),
            false => Ok(()),
        }
    }

    /// Notes the field lines from `at` on, as long as they are plain ones; where the first other line
    /// begins.
    fn plain_fields(
        &mut self,
        input: &[u8],
        mut at: usize,
        head_start: usize,
        limits: &Limits,
        fields: &mut Fields,
    ) -> Result<usize, HeadError> {
        while let Some((line, len)) = input.get(at..).and_then(plain_line) {
            if at + len - head_start > limits.head_bytes {
                return Err(HeadError::HeadTooLarge);
            }
            self.count_field(limits)?;
            fields.push_entry(entry(at - head_start, &line));
            at += len;
        }
        Ok(at)
    }

    fn first_line<G: Grammar>(&mut self, text: &[u8]) -> Result<Line<G::Start>, G::Error> {
        if text.is_empty() {
            self.blank_lines += 1;
            return match self.blank_lines > G::BLANK_LINES {
                true => Err(G::TOO_MANY_BLANK_LINES),
                false => Ok(Line::Blank),
            };
        }
        let start = G::start(text)?;
        self.started = true;
        Ok(Line::Start(start))
    }

    /// Refuses what has grown too large or begins wrong. `line` may still lack its end: a part of a
    /// line is refused only if the whole line would be, and for the same reason.
    fn within<G: Grammar>(
        &self,
        line: &[u8],
        through: usize,
        limits: &Limits,
    ) -> Result<(), G::Error> {
        if !self.started {
            match line.first() {
                None | Some(b'\r' | b'\n') => {}
                Some(&byte) => G::first_byte(byte)?,
            }
            let most = limits.line_bytes.saturating_add(2).min(limits.head_bytes);
            if line.len() > most {
                return Err(G::START_TOO_LONG);
            }
        }
        if through > limits.head_bytes {
            return Err(HeadError::HeadTooLarge.into());
        }
        Ok(())
    }
}

enum Whole<S> {
    Complete {
        start: S,
        head_start: usize,
        end: usize,
    },
    Partial {
        head_start: usize,
        line_start: usize,
    },
}

/// Walks the lines of `input`, noting fields, up to the end of the head or of the input.
fn whole<G: Grammar>(
    walk: &mut Walk,
    input: &[u8],
    limits: &Limits,
    fields: &mut Fields,
) -> Result<Whole<G::Start>, G::Error> {
    let (mut head_start, mut at) = (0, 0);
    let mut start = None;
    loop {
        if walk.started {
            at = walk.plain_fields(input, at, head_start, limits, fields)?;
        }
        let Some(lf) = memchr(b'\n', &input[at..]) else {
            break;
        };
        let next = at + lf + 1;
        match walk.line::<G>(&input[at..next], next - head_start, limits)? {
            Line::Blank => head_start = next,
            Line::Start(line) => start = Some(line),
            Line::Field(line) => fields.push_entry(entry(at - head_start, &line)),
            Line::End => {
                if let Some(start) = start {
                    return Ok(Whole::Complete {
                        start,
                        head_start,
                        end: next,
                    });
                }
            }
        }
        at = next;
    }
    walk.within::<G>(&input[at..], input.len() - head_start, limits)?;
    Ok(Whole::Partial {
        head_start,
        line_start: at,
    })
}

fn entry(at: usize, line: &FieldLine) -> Entry {
    Entry {
        name: Span::between(at, at + line.name_end),
        value: Span::between(at + line.value_start, at + line.value_end),
        id: line.id,
    }
}

impl HeadReader {
    pub const fn new() -> HeadReader {
        let walk = Walk {
            blank_lines: 0,
            started: false,
            fields: 0,
        };
        HeadReader {
            spill: Vec::new(),
            line_start: 0,
            walk,
        }
    }

    /// Whether no part of a head is held: a peer that goes away now interrupts nothing.
    pub fn is_idle(&self) -> bool {
        self.spill.is_empty()
    }

    /// Forgets a partial head.
    pub fn reset(&mut self) {
        *self = HeadReader::new();
    }

    /// Reads a request's head (RFC 9112 §2, §3, §5). `head` holds it once this says `Complete`, and
    /// is empty otherwise. The body follows in the input: see [`super::BodyDecoder`].
    pub fn request(
        &mut self,
        input: &[u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<Progress, RequestError> {
        head.clear();
        let read = self.read::<request::RequestGrammar>(input, limits, &mut head.fields);
        let finished = read.and_then(|read| match read {
            None => Ok(Progress::Partial),
            Some((start, used)) => {
                let connection = request::finish(&start, head)?;
                Ok(Progress::Complete { used, connection })
            }
        });
        finished.inspect_err(|_| head.clear())
    }

    /// Reads a response's head (RFC 9112 §2, §4, §5, §6.3). `request_method` is the method of the
    /// request that it answers, on which the length of its body depends. A 1xx response other than
    /// 101 is followed by another head. Otherwise as [`HeadReader::request`].
    pub fn response(
        &mut self,
        input: &[u8],
        limits: &Limits,
        request_method: Method,
        head: &mut ResponseHead,
    ) -> Result<Progress, ResponseError> {
        head.clear();
        let read = self.read::<response::ResponseGrammar>(input, limits, &mut head.fields);
        let finished = read.and_then(|read| match read {
            None => Ok(Progress::Partial),
            Some((start, used)) => {
                let connection = response::finish(&start, request_method, head)?;
                Ok(Progress::Complete { used, connection })
            }
        });
        finished.inspect_err(|_| head.clear())
    }

    /// Looks for the end of the head; once it is there, its bytes and spans are in `fields`.
    fn read<G: Grammar>(
        &mut self,
        input: &[u8],
        limits: &Limits,
        fields: &mut Fields,
    ) -> Result<Option<(G::Start, usize)>, G::Error> {
        if !self.spill.is_empty() {
            return self.read_on::<G>(input, limits, fields);
        }
        match whole::<G>(&mut self.walk, input, limits, fields)? {
            Whole::Complete {
                start,
                head_start,
                end,
            } => {
                self.walk = Walk::default();
                fields.store(&input[head_start..end]);
                Ok(Some((start, end)))
            }
            Whole::Partial {
                head_start,
                line_start,
            } => {
                fields.clear();
                self.spill.extend_from_slice(&input[head_start..]);
                self.line_start = line_start - head_start;
                Ok(None)
            }
        }
    }

    /// The same for a head that began in an earlier input.
    fn read_on<G: Grammar>(
        &mut self,
        input: &[u8],
        limits: &Limits,
        fields: &mut Fields,
    ) -> Result<Option<(G::Start, usize)>, G::Error> {
        let mut used = 0;
        while let Some(lf) = memchr(b'\n', &input[used..]) {
            self.take::<G>(&input[used..used + lf + 1], limits)?;
            used += lf + 1;
            let (line, through) = (&self.spill[self.line_start..], self.spill.len());
            match self.walk.line::<G>(line, through, limits)? {
                Line::End => return Ok(self.spilled::<G>(limits, fields)?.map(|s| (s, used))),
                Line::Blank => self.spill.clear(),
                Line::Start(_) | Line::Field(_) => {}
            }
            self.line_start = self.spill.len();
        }
        self.take::<G>(&input[used..], limits)?;
        let line = &self.spill[self.line_start..];
        self.walk.within::<G>(line, self.spill.len(), limits)?;
        Ok(None)
    }

    /// Adds to the spill, but never so much that it would exceed the head's limit by more than it
    /// takes to see that.
    fn take<G: Grammar>(&mut self, part: &[u8], limits: &Limits) -> Result<(), G::Error> {
        let room = limits
            .head_bytes
            .saturating_add(1)
            .saturating_sub(self.spill.len());
        self.spill.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            let line = &self.spill[self.line_start..];
            self.walk.within::<G>(line, self.spill.len(), limits)?;
            return Err(HeadError::HeadTooLarge.into());
        }
        Ok(())
    }

    /// Walks the complete head in the spill, and gives the spill's memory back.
    fn spilled<G: Grammar>(
        &mut self,
        limits: &Limits,
        fields: &mut Fields,
    ) -> Result<Option<G::Start>, G::Error> {
        let spill = std::mem::take(&mut self.spill);
        self.reset();
        match whole::<G>(&mut Walk::default(), &spill, limits, fields)? {
            Whole::Complete {
                start,
                head_start,
                end,
            } => {
                fields.store(&spill[head_start..end]);
                Ok(Some(start))
            }
            Whole::Partial { .. } => Ok(None),
        }
    }
}
