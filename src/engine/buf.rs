//! Receive buffers: one pool per shard, borrowed by the kernel, handed out by count.
//!
//! An idle connection owns no buffer: the kernel picks one from the pool when bytes arrive
//! (io_uring's provided buffers; the other drivers imitate it). What it picked travels as a [`Buf`],
//! a counted handle on a range; the last handle to drop gives the buffer back. Body bytes are sent
//! from the buffer they arrived in.
//!
//! Free buffers are kept as a stack, so that the same few cache-warm ones serve a light load and
//! the rest is never touched; [`BufPool::trim`] returns the pages of those that a burst touched.
//! Every buffer starts with [`HEADROOM`] spare bytes, so that a re-serialised head (or a chunk's
//! size line) can be put in front of the body bytes and both leave in one plain send.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

/// Spare bytes before the received ones in every buffer.
pub const HEADROOM: u32 = 512;

/// "No buffer", at the end of a queue of buffers.
pub(super) const NO_BUF: u16 = u16::MAX;

struct Meta {
    refs: Cell<u32>,
    /// Received bytes, while the buffer waits in a socket's queue.
    len: Cell<u32>,
    next: Cell<u16>,
    touched: Cell<bool>,
}

/// The receive buffers of one shard.
pub struct BufPool {
    base: NonNull<u8>,
    size: u32,
    meta: Box<[Meta]>,
    free: RefCell<Vec<u16>>,
}

impl BufPool {
    /// Reserves address space for `count` buffers of `size` bytes; pages are taken when touched.
    ///
    /// # Errors
    /// What `mmap` says, if the address space is refused.
    pub fn new(count: u16, size: u32) -> io::Result<Rc<BufPool>> {
        assert!(
            size > HEADROOM * 2,
            "a buffer must have room beyond its headroom"
        );
        let len = count as usize * size as usize;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no
        // memory that anything else refers to.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let meta = (0..count)
            .map(|_| Meta {
                refs: Cell::new(0),
                len: Cell::new(0),
                next: Cell::new(NO_BUF),
                touched: Cell::new(false),
            })
            .collect();
        Ok(Rc::new(BufPool {
            // SAFETY: mmap succeeded, and never maps page zero.
            base: unsafe { NonNull::new_unchecked(base.cast()) },
            size,
            meta,
            free: RefCell::new((0..count).rev().collect()),
        }))
    }

    /// Buffers in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.meta.len()
    }

    /// Buffers that nobody holds.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.free.borrow().len()
    }

    /// Most bytes that one receive can put into a buffer.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.size - HEADROOM
    }

    /// Takes a free buffer for a driver: from here until [`BufPool::release`] or
    /// [`BufPool::adopt`] the driver owns it.
    pub(super) fn take(&self) -> Option<u16> {
        let id = self.free.borrow_mut().pop()?;
        self.meta[id as usize].touched.set(true);
        Some(id)
    }

    /// Gives back a buffer that a driver took and nobody adopted.
    pub(super) fn release(&self, id: u16) {
        debug_assert_eq!(self.meta[id as usize].refs.get(), 0);
        self.free.borrow_mut().push(id);
    }

    /// Where received bytes go in buffer `id`.
    pub(super) fn receive_area(&self, id: u16) -> *mut u8 {
        assert!((id as usize) < self.meta.len());
        // SAFETY: `id` is in range, so the address lies within the mapping.
        unsafe {
            self.base
                .as_ptr()
                .add(id as usize * self.size as usize + HEADROOM as usize)
        }
    }

    /// Makes the handle of a buffer that a driver filled with `len` bytes.
    pub(super) fn adopt(self: &Rc<Self>, id: u16, len: u32) -> Buf {
        let meta = &self.meta[id as usize];
        assert_eq!(meta.refs.get(), 0, "a buffer was given out twice");
        assert!(len <= self.capacity());
        meta.refs.set(1);
        meta.touched.set(true);
        Buf {
            pool: Rc::clone(self),
            id,
            start: HEADROOM,
            end: HEADROOM + len,
        }
    }

    pub(super) fn set_queued(&self, id: u16, len: u32) {
        let meta = &self.meta[id as usize];
        meta.len.set(len);
        meta.next.set(NO_BUF);
    }

    pub(super) fn link(&self, id: u16, next: u16) {
        self.meta[id as usize].next.set(next);
    }

    /// Length and successor of a queued buffer.
    pub(super) fn queued(&self, id: u16) -> (u32, u16) {
        let meta = &self.meta[id as usize];
        (meta.len.get(), meta.next.get())
    }

    /// Returns the pages of free buffers that were touched, but for the `keep` next to be used.
    pub fn trim(&self, keep: usize) {
        let free = self.free.borrow();
        let cold = free.len().saturating_sub(keep);
        for id in &free[..cold] {
            self.cool(*id);
        }
    }

    /// Returns the pages of a buffer that was touched. It is free, or a driver's own and empty:
    /// it reads as zeroes afterwards.
    pub(super) fn cool(&self, id: u16) {
        let meta = &self.meta[id as usize];
        assert_eq!(meta.refs.get(), 0, "pages of a buffer in use");
        if meta.touched.replace(false) {
            // SAFETY: no handle refers to the buffer, no receive has put bytes into it that are
            // still to be read, and its range lies within the mapping.
            unsafe {
                let start = self.base.as_ptr().add(id as usize * self.size as usize);
                libc::madvise(start.cast(), self.size as usize, libc::MADV_DONTNEED);
            }
        }
    }
}

impl Drop for BufPool {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length; every `Buf` holds the pool by
        // `Rc` and every driver is dropped before the pool, so nothing refers to it any more.
        unsafe {
            libc::munmap(
                self.base.as_ptr().cast(),
                self.meta.len() * self.size as usize,
            );
        }
    }
}

/// A counted handle on a range of received bytes. Cloning shares the bytes; the last drop gives the
/// buffer back to its shard's pool.
pub struct Buf {
    pool: Rc<BufPool>,
    id: u16,
    start: u32,
    end: u32,
}

impl Buf {
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn ptr(&self) -> *mut u8 {
        // SAFETY: `id` and `start` are in range by construction.
        unsafe {
            self.pool
                .base
                .as_ptr()
                .add(self.id as usize * self.pool.size as usize + self.start as usize)
        }
    }

    /// Drops the first `n` bytes from the range.
    ///
    /// # Panics
    /// If the range is shorter: the caller's mistake.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance past the end of a buffer");
        self.start += n as u32;
    }

    /// Cuts the range to its first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.end = self.start + n as u32;
        }
    }

    /// A second handle on the part `from..to` of this range.
    ///
    /// # Panics
    /// If `from..to` is not within the range: the caller's mistake.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Buf {
        assert!(from <= to && to <= self.len(), "slice outside a buffer");
        let meta = &self.pool.meta[self.id as usize];
        meta.refs.set(meta.refs.get() + 1);
        Buf {
            pool: Rc::clone(&self.pool),
            id: self.id,
            start: self.start + from as u32,
            end: self.start + to as u32,
        }
    }

    /// Whether so many buffers are free that this one may be held for a while.
    #[must_use]
    pub fn is_one_of_plenty(&self) -> bool {
        self.pool.free_count() * 2 > self.pool.count()
    }

    /// Writes `bytes` just before the range and extends it to cover them, if nobody else holds the
    /// buffer and there is room; otherwise changes nothing and returns false.
    #[must_use]
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        if self.pool.meta[self.id as usize].refs.get() != 1 || bytes.len() > self.start as usize {
            return false;
        }
        self.start -= bytes.len() as u32;
        // SAFETY: this is the only handle (so no slice of the buffer is borrowed and no op in
        // flight reads it: an op holds a handle of its own), and the range was checked above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.ptr(), bytes.len()) }
        true
    }
}

#[cfg(feature = "planted-bugs")]
impl Buf {
    /// Changes the first byte, as a receive would into a buffer that was given back too early.
    pub(super) fn overwrite(&self) {
        if !self.is_empty() {
            // SAFETY: none, and that is the bug: the byte lies in the mapping, which is all that
            // keeps this harmless.
            unsafe { *self.ptr() ^= 0xFF }
        }
    }
}

impl std::ops::Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies within the mapping and was written by the receive that filled it;
        // bytes of a buffer change only through `prepend`, which needs the only handle mutably.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.len()) }
    }
}

impl Clone for Buf {
    fn clone(&self) -> Buf {
        self.slice(0, self.len())
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        let meta = &self.pool.meta[self.id as usize];
        let refs = meta.refs.get();
        debug_assert!(refs > 0);
        meta.refs.set(refs - 1);
        if refs == 1 {
            self.pool.free.borrow_mut().push(self.id);
        }
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf #{} [{}..{}]", self.id, self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &Rc<BufPool>, bytes: &[u8]) -> Buf {
        let id = pool.take().unwrap();
        // SAFETY: the buffer was just taken, and the tests' bytes fit its capacity.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), pool.receive_area(id), bytes.len());
        }
        pool.adopt(id, bytes.len() as u32)
    }

    #[test]
    fn the_last_handle_gives_the_buffer_back() {
        let pool = BufPool::new(4, 4096).unwrap();
        let buf = filled(&pool, b"hello");
        let part = buf.slice(1, 3);
        assert_eq!(&*part, b"el");
        drop(buf);
        assert_eq!(pool.free_count(), 3);
        drop(part);
        assert_eq!(pool.free_count(), 4);
    }

    #[test]
    fn prepend_needs_the_only_handle_and_room() {
        let pool = BufPool::new(1, 4096).unwrap();
        let mut buf = filled(&pool, b"head body");
        buf.advance(5);
        let other = buf.slice(0, 1);
        assert!(!buf.prepend(b"x"));
        drop(other);
        assert!(buf.prepend(b"HEAD2 "));
        assert_eq!(&*buf, b"HEAD2 body");
        assert!(!buf.prepend(&[b'x'; 4096]));
    }
}
