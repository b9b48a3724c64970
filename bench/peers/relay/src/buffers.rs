//! The provided-buffer ring: many buffers, of which few are posted at a time.
//!
//! The kernel takes posted buffers in order, so posting all of them would walk through the whole
//! pool and find each one cold. Only as many are posted as one turn of the loop needs, and those
//! most recently freed first.
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

pub const GROUP: u16 = 0;
pub const NONE: u32 = u32::MAX;

const COUNT: u32 = 4096;
const SIZE: u32 = 16 * 1024;
/// Not a power of two, lest the first lines of all buffers share one set of the cache.
const STRIDE: usize = SIZE as usize + 7 * 64;
const POSTED_MIN: u32 = 32;
/// After this many turns in which half would have done, half as many are posted.
const TURNS: u32 = 4096;

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    next: u32,
}

pub struct Buffers {
    ring: *mut BufRingEntry,
    pool: *mut u8,
    tail: u16,
    posted: u32,
    target: u32,
    turns: u32,
    short: bool,
    free: Vec<u32>,
    spans: Vec<Span>,
}

fn map(length: usize) -> io::Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous mapping.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(address.cast())
    }
}

impl Buffers {
    pub fn register(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let ring = map(COUNT as usize * size_of::<BufRingEntry>())?;
        let pool = map(COUNT as usize * STRIDE)?;
        // SAFETY: the mapping is page-aligned, large enough, and never unmapped.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, COUNT as u16, GROUP, 0)? };
        Ok(Buffers {
            ring: ring.cast(),
            pool,
            tail: 0,
            posted: 0,
            target: POSTED_MIN,
            turns: 0,
            short: false,
            free: (0..COUNT).rev().collect(),
            spans: vec![
                Span {
                    start: 0,
                    end: 0,
                    next: NONE
                };
                COUNT as usize
            ],
        })
    }

    /// Brings the number of posted buffers to the target; once a turn.
    pub fn post(&mut self) {
        self.turns += 1;
        if self.short {
            self.short = false;
            self.turns = 0;
            self.target = (self.target * 2).min(COUNT);
        } else if self.posted < self.target / 2 {
            self.turns = 0;
        } else if self.turns == TURNS {
            self.turns = 0;
            self.target = (self.target / 2).max(POSTED_MIN);
        }
        if self.posted >= self.target {
            return;
        }
        while self.posted < self.target {
            let Some(b) = self.free.pop() else { break };
            let at = usize::from(self.tail) & (COUNT as usize - 1);
            // SAFETY: `at` is within the ring; the entry past the tail is ours to write.
            let entry = unsafe { &mut *self.ring.add(at) };
            entry.set_addr(self.at(b) as u64);
            entry.set_len(SIZE);
            entry.set_bid(b as u16);
            self.tail = self.tail.wrapping_add(1);
            self.posted += 1;
        }
        // SAFETY: the tail lies in the first entry, which is mapped and aligned.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Called when the kernel found none posted.
    pub fn want_more(&mut self) {
        self.short = true;
    }

    pub fn available(&self) -> bool {
        self.posted > 0
    }

    /// Takes back a buffer which the kernel picked.
    pub fn take(&mut self, id: u16) -> u32 {
        self.posted -= 1;
        u32::from(id)
    }

    pub fn fill(&mut self, b: u32, length: u32) {
        self.spans[b as usize] = Span {
            start: 0,
            end: length,
            next: NONE,
        };
    }

    pub fn recycle(&mut self, b: u32) {
        self.free.push(b);
    }

    pub fn chain(&mut self, b: u32, next: u32) {
        self.spans[b as usize].next = next;
    }

    pub fn next(&self, b: u32) -> u32 {
        self.spans[b as usize].next
    }

    /// What of a buffer is still to be sent.
    pub fn rest(&self, b: u32) -> (*const u8, u32) {
        let span = self.spans[b as usize];
        (
            self.at(b).wrapping_add(span.start as usize),
            span.end - span.start,
        )
    }

    /// Notes that the first `length` bytes of the rest were sent.
    pub fn advance(&mut self, b: u32, length: u32) {
        self.spans[b as usize].start += length;
    }

    fn at(&self, b: u32) -> *mut u8 {
        self.pool.wrapping_add(b as usize * STRIDE)
    }
}
