//! What happened in a simulated world: the last events in words, all of them as one number.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEntry {
    /// Nanoseconds of the virtual clock.
    pub at: u64,
    pub what: &'static str,
    /// A driver, for what drivers do; a connection, for what the network does.
    pub who: u64,
    /// The socket or the side of the connection.
    pub place: i64,
    /// A result or a length.
    pub value: i64,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.at / 1_000_000_000, self.at % 1_000_000_000);
        let TraceEntry {
            what,
            who,
            place,
            value,
            ..
        } = self;
        write!(f, "{secs}.{nanos:09} {what} #{who} at {place}: {value}")
    }
}

#[derive(Default)]
pub(super) struct Trace {
    kept: usize,
    entries: VecDeque<TraceEntry>,
    pub(super) hash: u64,
}

impl Trace {
    pub(super) fn keep(&mut self, entries: usize) {
        self.kept = entries;
        self.entries.truncate(entries);
    }

    pub(super) fn note(&mut self, entry: TraceEntry) {
        let mut hasher = foldhash::fast::FixedState::with_seed(self.hash).build_hasher();
        hasher.write(entry.what.as_bytes());
        hasher.write_u64(entry.at);
        hasher.write_u64(entry.who);
        hasher.write_i64(entry.place);
        hasher.write_i64(entry.value);
        self.hash = hasher.finish();
        if self.kept > 0 {
            if self.entries.len() == self.kept {
                self.entries.pop_front();
            }
            self.entries.push_back(entry);
        }
    }

    pub(super) fn entries(&self) -> Vec<TraceEntry> {
        self.entries.iter().copied().collect()
    }
}
