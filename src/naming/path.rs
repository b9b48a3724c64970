//! Paths: hierarchical names, each a sequence of byte strings.
//!
//! A path is one shared allocation, not a list of strings: every segment lies behind its length
//! (four bytes, big endian) in one `Arc<[u8]>`. Cloning is a counter, equality and hashing are one
//! pass over contiguous bytes, and because [`Path`] borrows as those bytes, the data path can
//! [`encode`](Path::encode) the name of a request into scratch memory and look it up in a map keyed
//! by paths without allocating. A list of shared strings was rejected: it pays a pointer chase and
//! a counter per segment on the one thing that is looked up for every request.
//!
//! Segments are bytes because they come from requests (a Host header, a URI). What is not plain is
//! escaped when shown and never refused.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use super::error::ParseError;
use super::parse;

const PREFIX: usize = size_of::<u32>();

/// A hierarchical name: `/seg/seg/…`. `/` is the empty path. No segment is empty.
///
/// The order is total but not alphabetic: it compares lengths of segments before their bytes
/// (it is the order of the encoded form, as [`Borrow`] demands).
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    encoded: Arc<[u8]>,
}

impl Path {
    /// The empty path, `/`.
    #[must_use]
    pub fn empty() -> Path {
        Path::default()
    }

    /// The path with this one segment; the empty path if the segment is empty.
    #[must_use]
    pub fn of_segment(segment: &[u8]) -> Path {
        Path::from_segments([segment])
    }

    /// The path with these segments, of which empty ones are left out.
    pub fn from_segments<S: AsRef<[u8]>>(segments: impl IntoIterator<Item = S>) -> Path {
        let mut encoded = Vec::new();
        for segment in segments {
            Path::encode(segment.as_ref(), &mut encoded);
        }
        Path {
            encoded: encoded.into(),
        }
    }

    /// Appends a segment in the form in which paths keep, hash and compare them. Maps keyed by
    /// `Path` can be searched for the bytes so made. An empty segment appends nothing; one of
    /// 4 GiB or more is cut.
    pub fn encode(segment: &[u8], into: &mut Vec<u8>) {
        let len = u32::try_from(segment.len()).unwrap_or(u32::MAX);
        if len > 0 {
            into.extend_from_slice(&len.to_be_bytes());
            into.extend_from_slice(&segment[..len as usize]);
        }
    }

    /// The path that [`Path::encode`], called for each segment, wrote.
    #[must_use]
    pub fn from_encoded(encoded: &[u8]) -> Path {
        Segments { rest: encoded }.to_path()
    }

    /// The encoded form of the whole path (see [`Path::encode`]).
    #[must_use]
    pub fn as_encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The segments in order.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments {
            rest: &self.encoded,
        }
    }

    /// The number of segments. Walks the path.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments().count()
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// The first segment.
    #[must_use]
    pub fn first(&self) -> Option<&[u8]> {
        self.segments().next()
    }

    /// The segment at an index from 0. Walks the path.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.segments().nth(index)
    }

    /// This path followed by another.
    #[must_use]
    pub fn join(&self, tail: &Path) -> Path {
        self.join_segments(tail.segments())
    }

    /// This path followed by one more segment.
    #[must_use]
    pub fn push(&self, segment: &[u8]) -> Path {
        let mut encoded = self.encoded.to_vec();
        Path::encode(segment, &mut encoded);
        Path {
            encoded: encoded.into(),
        }
    }

    /// This path followed by what an iterator over another has left. Shares the allocation when
    /// either side is all of a path.
    #[must_use]
    pub fn join_segments(&self, tail: Segments<'_>) -> Path {
        if tail.rest.is_empty() {
            return self.clone();
        }
        Path {
            encoded: [&self.encoded, tail.rest].concat().into(),
        }
    }

    /// The first `n` segments (all, if there are fewer).
    #[must_use]
    pub fn take(&self, n: usize) -> Path {
        let rest = self.after(n).rest.len();
        if rest == 0 {
            return self.clone();
        }
        Path {
            encoded: self.encoded[..self.encoded.len() - rest].into(),
        }
    }

    /// Without the first `n` segments (empty, if there are fewer).
    #[must_use]
    pub fn skip(&self, n: usize) -> Path {
        if n == 0 {
            self.clone()
        } else {
            self.after(n).to_path()
        }
    }

    /// The segments after the first `n`.
    #[must_use]
    pub fn after(&self, n: usize) -> Segments<'_> {
        let mut segments = self.segments();
        for _ in 0..n {
            if segments.next().is_none() {
                break;
            }
        }
        segments
    }

    /// Whether the first segments of this path are those of `prefix`.
    #[must_use]
    pub fn starts_with(&self, prefix: &Path) -> bool {
        // Encodings are prefix-free per segment, so the bytes decide.
        self.encoded.starts_with(&prefix.encoded)
    }

    /// What follows `prefix`, if the path starts with it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &Path) -> Option<Path> {
        let rest = self.encoded.strip_prefix(&*prefix.encoded)?;
        Some(Segments { rest }.to_path())
    }
}

/// Equal and hashed as the encoded bytes (see [`Path::encode`]).
impl Borrow<[u8]> for Path {
    fn borrow(&self) -> &[u8] {
        &self.encoded
    }
}

/// The segments of a path, from some point on.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    rest: &'a [u8],
}

impl Segments<'_> {
    /// The path of the segments that are left.
    #[must_use]
    pub fn to_path(&self) -> Path {
        Path {
            encoded: self.rest.into(),
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk::<PREFIX>()?;
        let (segment, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        self.rest = rest;
        Some(segment)
    }
}

/// Whether a byte stands for itself in the text of a segment.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_:.#$%-".contains(&byte)
}

/// Writes one segment: as it is if all its bytes are plain, else every byte as `\xHH`.
pub(super) fn show_segment(segment: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if segment.iter().all(|&b| is_plain(b)) {
        segment
            .iter()
            .try_for_each(|&b| out.write_char(char::from(b)))
    } else {
        segment.iter().try_for_each(|b| write!(out, "\\x{b:02x}"))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_char('/');
        }
        self.segments().try_for_each(|segment| {
            out.write_char('/')?;
            show_segment(segment, out)
        })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Path {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Path, ParseError> {
        parse::path(text)
    }
}
