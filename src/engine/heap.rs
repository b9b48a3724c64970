//! Giving freed memory back.
//!
//! The allocator keeps what is freed for the next allocation, which after a burst of thousands of
//! connections is memory that nobody else on the host can use. A shard that has become much emptier
//! than it was tells the allocator so; in steady traffic it never does.

/// Tasks at the height of a burst, from which on its end is worth a collection.
const WORTH: usize = 256;

/// The height of the present burst.
#[derive(Default)]
pub(super) struct Tide {
    high: usize,
}

impl Tide {
    /// Looks at the number of tasks, now and then; returns freed memory when it has fallen to less
    /// than half.
    pub(super) fn look(&mut self, tasks: usize) {
        self.high = self.high.max(tasks);
        if self.high >= WORTH && tasks < self.high / 2 {
            self.high = tasks;
            return_freed();
        }
    }
}

fn return_freed() {
    // SAFETY: the call has no preconditions; it works on the calling thread's heap. Where another
    // allocator is in use it finds nothing to do.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
