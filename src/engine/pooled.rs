//! Pooled memory for futures that come and go with every request.
//!
//! A connection that waits for its next request should be small, and a request in progress is not:
//! its future is kept apart, in a block that returns to the pool when the request ends. So an idle
//! connection pays nothing for it, and a request costs no allocation in steady state.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Blocks kept for reuse; more are freed.
const KEPT: usize = 256;

/// A stock of blocks. Clones share it.
#[derive(Clone, Default)]
pub struct FuturePool(Rc<Stock>);

#[derive(Default)]
struct Stock(RefCell<Vec<(Layout, NonNull<u8>)>>);

impl FuturePool {
    /// Makes a future in a block. It gets a closure that makes it, and not the future, which is large
    /// and would be moved: what the closure captures is small, and the future is made in its place.
    pub fn pin<F: Future>(&self, make: impl FnOnce() -> F) -> PooledFuture<F> {
        let layout = Layout::new::<F>();
        assert!(layout.size() > 0, "a pooled future has a size");
        let block = self.0.take(layout).cast::<F>();
        // SAFETY: the block has F's layout and nobody else refers to it.
        unsafe { block.write(make()) };
        PooledFuture {
            block,
            home: self.clone(),
        }
    }
}

impl FuturePool {
    /// Keeps only `keep` spare blocks.
    pub fn trim(&self, keep: usize) {
        let mut free = self.0.0.borrow_mut();
        while free.len() > keep {
            if let Some((layout, block)) = free.pop() {
                // SAFETY: allocated by `take` with this layout, and in stock: nobody uses it.
                unsafe { dealloc(block.as_ptr(), layout) };
            }
        }
        free.shrink_to(keep);
    }
}

impl Stock {
    fn take(&self, layout: Layout) -> NonNull<u8> {
        let mut free = self.0.borrow_mut();
        if let Some(place) = free.iter().rposition(|(of, _)| *of == layout) {
            return free.swap_remove(place).1;
        }
        // SAFETY: the layout has a size, as `pin` checked.
        let block = unsafe { alloc(layout) };
        NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
    }

    fn give_back(&self, layout: Layout, block: NonNull<u8>) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT {
            free.push((layout, block));
        } else {
            // SAFETY: allocated by `take` with this layout, and given up by its only owner.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        for (layout, block) in self.0.get_mut().drain(..) {
            // SAFETY: as in `give_back`.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
    }
}

/// A future in a pooled block. It never moves: the block is its home until it is dropped.
pub struct PooledFuture<F: Future> {
    block: NonNull<F>,
    home: FuturePool,
}

impl<F: Future> Future for PooledFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the block holds a live F that this handle alone refers to, and it does not move
        // before it is dropped in place.
        unsafe { Pin::new_unchecked(self.get_mut().block.as_mut()) }.poll(context)
    }
}

impl<F: Future> Drop for PooledFuture<F> {
    fn drop(&mut self) {
        // SAFETY: the block holds a live F, dropped once, here.
        unsafe { self.block.drop_in_place() };
        self.home.0.give_back(Layout::new::<F>(), self.block.cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn blocks_are_used_again() {
        let pool = FuturePool::default();
        let owned = Rc::new(());
        for _ in 0..3 {
            let held = Rc::clone(&owned);
            let mut future = pool.pin(|| async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut future).poll(&mut context).is_pending());
            assert_eq!(Rc::strong_count(&owned), 2);
            drop(future);
            assert_eq!(
                Rc::strong_count(&owned),
                1,
                "the future's state was dropped"
            );
            assert_eq!(pool.0.0.borrow().len(), 1, "and its block kept");
        }
    }
}
