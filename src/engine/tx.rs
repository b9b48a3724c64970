//! What one send puts on the wire, pinned for as long as the kernel may read it.
//!
//! A socket has at most one send in flight; what is written meanwhile gathers in the next job. A
//! job is boxed, so that its iovecs and message header stay where the kernel was told they are, and
//! it owns the bytes of every segment until the operation's final completion.

use std::collections::VecDeque;

use super::buf::Buf;

/// Segments in one vectored send.
pub const SEGMENTS: usize = 16;

/// A piece of output.
#[derive(Debug)]
pub enum Segment {
    /// Received bytes, sent from where they arrived.
    Buf(Buf),
    /// Serialised bytes (a head, chunk framing); the vector is recycled by the shard.
    Owned(Vec<u8>),
    Static(&'static [u8]),
}

impl Segment {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Segment::Buf(buf) => buf,
            Segment::Owned(bytes) => bytes,
            Segment::Static(bytes) => bytes,
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The segments of one send, in order. Bytes already sent are skipped, so a short send goes on
/// where it stopped.
pub struct TxJob {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that were sent already.
    skip: usize,
    /// Bytes left to send.
    left: usize,
    iov: [libc::iovec; SEGMENTS],
    header: libc::msghdr,
}

/// How a driver reads a job: one range, or a message header over several.
pub enum TxView {
    One(*const u8, usize),
    Many(*const libc::msghdr),
}

impl TxJob {
    #[must_use]
    pub fn new() -> Box<TxJob> {
        Box::new(TxJob {
            segments: VecDeque::with_capacity(4),
            skip: 0,
            left: 0,
            iov: [libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 0,
            }; SEGMENTS],
            // SAFETY: a msghdr of zeroes is a valid one: no name, no iovecs, no control data.
            header: unsafe { std::mem::zeroed() },
        })
    }

    pub fn push(&mut self, segment: Segment) {
        self.left += segment.len();
        self.segments.push_back(segment);
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn overwrite(&self) {
        for segment in &self.segments {
            if let Segment::Buf(buf) = segment {
                buf.overwrite();
            }
        }
    }

    /// Bytes left to send.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Fills in the iovecs for what is left (at most [`SEGMENTS`] segments) and tells where it
    /// lies. The view holds while the job is neither moved out of its box nor changed.
    pub fn view(&mut self) -> TxView {
        if self.segments.len() == 1 {
            let bytes = &self.segments[0].bytes()[self.skip..];
            return TxView::One(bytes.as_ptr(), bytes.len());
        }
        let mut used = 0;
        for (segment, iov) in self.segments.iter().zip(self.iov.iter_mut()) {
            let bytes = segment.bytes();
            let bytes = if used == 0 {
                &bytes[self.skip..]
            } else {
                bytes
            };
            iov.iov_base = bytes.as_ptr().cast_mut().cast();
            iov.iov_len = bytes.len();
            used += 1;
        }
        self.header.msg_iov = self.iov.as_mut_ptr();
        self.header.msg_iovlen = used as _;
        TxView::Many(&raw const self.header)
    }

    /// The ranges left to send, in order (for drivers without vectored kernel sends).
    pub fn ranges(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().enumerate().map(|(index, segment)| {
            let bytes = segment.bytes();
            if index == 0 {
                &bytes[self.skip..]
            } else {
                bytes
            }
        })
    }

    /// Notes that `n` bytes were sent and drops the segments they finished; `recycle` gets the
    /// owned vectors.
    ///
    /// # Panics
    /// If more was sent than the job holds, which no kernel does.
    pub fn advance(&mut self, n: usize, mut recycle: impl FnMut(Vec<u8>)) {
        assert!(
            n <= self.left,
            "a send completed with more bytes than it had"
        );
        self.left -= n;
        let mut n = n + self.skip;
        while let Some(first) = self.segments.front() {
            let len = first.len();
            if n < len {
                break;
            }
            n -= len;
            if let Some(Segment::Owned(bytes)) = self.segments.pop_front() {
                recycle(bytes);
            }
        }
        self.skip = n;
    }

    /// Makes the job empty for its next use.
    pub fn clear(&mut self, mut recycle: impl FnMut(Vec<u8>)) {
        for segment in self.segments.drain(..) {
            if let Segment::Owned(bytes) = segment {
                recycle(bytes);
            }
        }
        if self.segments.capacity() > 4 * SEGMENTS {
            self.segments.shrink_to(SEGMENTS);
        }
        self.skip = 0;
        self.left = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_send_goes_on_where_it_stopped() {
        let mut job = TxJob::new();
        job.push(Segment::Owned(b"head".to_vec()));
        job.push(Segment::Static(b"body"));
        job.advance(2, |_| panic!("nothing is finished yet"));
        let left: Vec<u8> = job.ranges().flatten().copied().collect();
        assert_eq!(left, b"adbody");
        let mut recycled = 0;
        job.advance(3, |_| recycled += 1);
        assert_eq!(recycled, 1);
        let left: Vec<u8> = job.ranges().flatten().copied().collect();
        assert_eq!(left, b"ody");
        assert!(matches!(job.view(), TxView::One(_, 3)));
        job.advance(3, |_| {});
        assert_eq!(job.left(), 0);
    }

    #[test]
    fn a_view_covers_every_segment() {
        let mut job = TxJob::new();
        for _ in 0..SEGMENTS + 3 {
            job.push(Segment::Static(b"ab"));
        }
        let TxView::Many(header) = job.view() else {
            panic!("several segments need a header")
        };
        // SAFETY: the job was not touched since `view`.
        let header = unsafe { &*header };
        assert_eq!(header.msg_iovlen, SEGMENTS);
    }
}
