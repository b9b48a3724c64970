//! Operations in flight: what an engine asked for and has not been told the end of.
//!
//! What may let an operation go on (a packet, room in a pipe, a cancel) puts it in its driver's
//! queue, which the next turn works off.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher};

use super::clock::{Event, MILLI};
use super::faults::{Fault, Faults};
use super::network::{Body, Net};
use super::{Role, SimWake};
use crate::engine::driver::DriverCounters;
use crate::engine::slab::Key;
use crate::engine::tx::{TxJob, TxView};

/// The memory of a send, which must not change until its completion.
pub(super) struct Pinned {
    view: TxView,
    pub(super) sum: u64,
}

impl Pinned {
    pub(super) fn new(job: &mut TxJob) -> Pinned {
        let view = job.view();
        let mut pinned = Pinned { view, sum: 0 };
        pinned.sum = pinned.checksum();
        pinned
    }

    fn each(&self, mut visit: impl FnMut(&[u8])) {
        let one;
        let ranges: &[libc::iovec] = match self.view {
            TxView::One(base, len) => {
                one = [libc::iovec {
                    iov_base: base.cast_mut().cast(),
                    iov_len: len,
                }];
                &one
            }
            // SAFETY: the header and its iovecs lie in the job, which stays where it is and as it
            // is until the send's final completion (rule 2 of the driver).
            TxView::Many(header) => unsafe {
                std::slice::from_raw_parts((*header).msg_iov, (*header).msg_iovlen as _)
            },
        };
        for range in ranges.iter().filter(|range| range.iov_len > 0) {
            // SAFETY: the same rule holds for the bytes of the job's segments.
            visit(unsafe { std::slice::from_raw_parts(range.iov_base.cast(), range.iov_len) });
        }
    }

    pub(super) fn checksum(&self) -> u64 {
        let mut hasher = foldhash::fast::FixedState::with_seed(1).build_hasher();
        self.each(|bytes| hasher.write(bytes));
        hasher.finish()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        self.each(|bytes| all.extend_from_slice(bytes));
        all
    }
}

pub(super) enum Kind {
    Accept,
    Connect { result: Option<i32> },
    Recv { multishot: bool },
    Send { pinned: Pinned, taken: Option<i32> },
}

pub(super) struct Op {
    pub(super) socket: u64,
    pub(super) kind: Kind,
    /// Not asked yet.
    pub(super) fresh: bool,
    pub(super) queued: bool,
    pub(super) cancelled: bool,
}

pub(super) struct DriverState {
    pub(super) role: Role,
    pub(super) wake: SimWake,
    pub(super) counters: DriverCounters,
    /// By [`Key::to_u64`].
    pub(super) ops: BTreeMap<u64, Op>,
    pub(super) queue: VecDeque<u64>,
}

impl DriverState {
    pub(super) fn new(role: Role) -> DriverState {
        DriverState {
            role,
            wake: SimWake::default(),
            counters: DriverCounters::default(),
            ops: BTreeMap::new(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn ready(&self) -> bool {
        self.wake.is_set() || !self.queue.is_empty()
    }

    pub(super) fn kick(&mut self, op: Key) {
        self.kick_word(op.to_u64());
    }

    pub(super) fn kick_word(&mut self, word: u64) {
        if let Some(op) = self.ops.get_mut(&word)
            && !std::mem::replace(&mut op.queued, true)
        {
            self.queue.push_back(word);
        }
    }

    pub(super) fn cancel(&mut self, word: u64) {
        if let Some(op) = self.ops.get_mut(&word) {
            op.cancelled = true;
            self.kick_word(word);
        }
    }

    pub(super) fn forget(&mut self) {
        self.ops.clear();
        self.queue.clear();
    }
}

impl Net {
    /// A fault that only the proxy's drivers suffer.
    pub(super) fn proxy_fault(
        &mut self,
        driver: usize,
        fault: Fault,
        of: fn(&Faults) -> f64,
    ) -> bool {
        let probability = of(&self.faults);
        self.drivers[driver].role == Role::Proxy && self.fault(fault, probability)
    }

    pub(super) fn submit(&mut self, driver: usize, key: Key, socket: u64, kind: Kind) {
        let state = &mut self.drivers[driver];
        state.counters.submissions += 1;
        let op = Op {
            socket,
            kind,
            fresh: true,
            queued: false,
            cancelled: false,
        };
        if state.ops.insert(key.to_u64(), op).is_some() {
            self.violation(format!(
                "{key:?} names an operation that is still in flight"
            ));
        }
    }

    /// The network may reset a connection while an operation is in flight on it.
    pub(super) fn maybe_reset(&mut self, socket: u64) {
        if let Body::Stream { conn, .. } = self.sockets[&socket].body
            && self.fault(Fault::Reset, self.faults.reset)
        {
            let after = self.rng.below(2 * MILLI);
            self.schedule(after, Event::Reset { conn });
        }
    }

    pub(super) fn cancel(&mut self, driver: usize, key: Key) {
        let op = key.to_u64();
        if !self.drivers[driver].ops.contains_key(&op) {
            return;
        }
        self.note("cancel", driver as u64, i64::from(key.index), 0);
        if self.proxy_fault(driver, Fault::LateCancel, |faults| faults.late_cancel) {
            let after = self.rng.below(20 * MILLI);
            self.schedule(after, Event::Cancel { driver, op });
        } else {
            self.drivers[driver].cancel(op);
        }
    }
}
