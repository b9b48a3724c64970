//! What was received of a request's body, kept so that it can be sent again.
//!
//! Nothing is copied: the buffers that the bytes arrived in are held a while longer. They are few and
//! belong to everybody on the shard, so what is kept is bounded in bytes and in buffers, and nothing
//! is kept while free buffers are scarce. A request of which something was not kept cannot be sent
//! again; one whose response has begun need not.

use crate::engine::Buf;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};

/// Buffers that one request holds at most.
const MOST: usize = 8;

/// See the module's head.
#[derive(Default)]
pub struct Kept {
    bufs: [Option<Buf>; MOST],
    count: usize,
    /// The one that is sent next, when the body is sent again.
    next: usize,
    bytes: usize,
    limit: usize,
    /// Nothing is kept any more.
    given_up: bool,
}

impl Kept {
    pub fn limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether all that came is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.given_up
    }

    /// Keeps what has just come.
    pub fn add(&mut self, data: &Buf) {
        if self.given_up {
            return;
        }
        self.bytes += data.len();
        if self.bytes > self.limit || self.count == MOST || !data.is_one_of_plenty() {
            return self.forget();
        }
        self.bufs[self.count] = Some(data.clone());
        self.count += 1;
        self.next = self.count;
    }

    /// The next piece of a body that is sent again.
    pub fn next(&mut self) -> Option<Buf> {
        if self.next == self.count {
            return None;
        }
        let piece = &mut self.bufs[self.next];
        self.next += 1;
        match self.given_up {
            true => piece.take(),
            false => piece.clone(),
        }
    }

    /// All of it, for somebody else; `None` if something was not kept.
    #[must_use]
    pub fn copy(&self) -> Option<Vec<Buf>> {
        let pieces = self.bufs[..self.count].iter().flatten().cloned();
        (!self.given_up).then(|| pieces.collect())
    }

    pub fn rewind(&mut self) {
        self.next = 0;
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::PieceLost) {
            self.next = self.count.min(1);
        }
    }

    /// Lets go of what was sent; what is still to be sent again goes when it was.
    pub fn forget(&mut self) {
        self.given_up = true;
        self.bufs[..self.next].fill_with(|| None);
    }
}
