//! The ring of provided buffers that io_uring's receives draw from.
//!
//! The kernel consumes it in order and we refill it once per turn. Only `target` buffers are posted
//! at a time: the ring is a queue, and a queue as long as the whole pool would walk through all of
//! its memory however light the load. Running out under the kernel doubles the target.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::BufPool;

/// The buffer group of the shard's receive buffers.
pub(super) const GROUP: u16 = 0;
/// Buffers posted at first.
const POSTED_AT_FIRST: u16 = 64;

pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    /// Entries of the ring, a power of two.
    count: u16,
    tail: u16,
    /// Buffers that the kernel may still pick.
    posted: u16,
    target: u16,
}

impl BufferRing {
    /// Registers a ring of `count` entries (a power of two, at most 32768).
    pub(super) fn new(submitter: &Submitter<'_>, count: u16) -> io::Result<BufferRing> {
        assert!(
            count.is_power_of_two(),
            "a buffer ring holds a power of two"
        );
        let len = count as usize * size_of::<BufRingEntry>();
        // SAFETY: an anonymous private mapping touches no memory that anything else refers to.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: mmap succeeded, and never maps page zero.
        let entries = unsafe { NonNull::new_unchecked(memory.cast::<BufRingEntry>()) };
        let ring = BufferRing {
            entries,
            count,
            tail: 0,
            posted: 0,
            target: POSTED_AT_FIRST.min(count),
        };
        // SAFETY: the mapping is page-aligned, has room for `count` entries, and lives until
        // `unregister`, after which the kernel no longer looks at it.
        unsafe {
            submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, GROUP, 0)?;
        }
        Ok(ring)
    }

    /// The kernel picked a buffer.
    pub(super) fn consumed(&mut self) {
        self.posted -= 1;
    }

    /// The buffers ran out under the kernel: post more from now on.
    pub(super) fn widen(&mut self, pool: &BufPool) {
        if pool.free_count() > 0 {
            self.target = self.target.saturating_mul(2).min(self.count);
        }
    }

    /// Posts free buffers until the kernel has its fill.
    pub(super) fn replenish(&mut self, pool: &BufPool) {
        if self.posted >= self.target {
            return;
        }
        while self.posted < self.target {
            let Some(id) = pool.take() else { break };
            let index = self.tail & (self.count - 1);
            // SAFETY: `index` is within the ring; the kernel does not read entries at or past the
            // tail, which moves only below.
            let entry = unsafe { &mut *self.entries.as_ptr().add(index as usize) };
            entry.set_addr(pool.receive_area(id) as u64);
            entry.set_len(pool.capacity());
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            self.posted += 1;
        }
        // SAFETY: the tail lies in the first entry's spare bytes, is aligned, and only we write it.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// After a burst: posts fewer from now on, and returns the pages of those that are posted. The
    /// kernel must have nothing filled that was not reaped.
    pub(super) fn trim(&mut self, pool: &BufPool) {
        if self.target <= POSTED_AT_FIRST {
            return;
        }
        self.target = (self.target / 2).max(POSTED_AT_FIRST);
        for back in 1..=self.posted {
            let index = self.tail.wrapping_sub(back) & (self.count - 1);
            // SAFETY: `index` is within the ring, and the entry was written when it was posted.
            let id = unsafe { (*self.entries.as_ptr().add(index as usize)).bid() };
            pool.cool(id);
        }
    }

    /// Takes the ring back from the kernel and frees it. Posted buffers are the pool's again when
    /// the pool is dropped.
    pub(super) fn unregister(&mut self, submitter: &Submitter<'_>) {
        if submitter.unregister_buf_ring(GROUP).is_err() {
            // The kernel may still look at it: a leak is the safe way out.
            return;
        }
        // SAFETY: mapped by `new` with this length, and unregistered just now.
        unsafe {
            libc::munmap(
                self.entries.as_ptr().cast(),
                self.count as usize * size_of::<BufRingEntry>(),
            );
        }
    }
}
