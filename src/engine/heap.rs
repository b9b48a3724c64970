//! Giving freed memory back.
//!
//! The allocator keeps what is freed for the next allocation, which after a burst of thousands of
//! connections is memory that nobody else on the host can use. A shard that has become much emptier
//! than it was tells the allocator so, then and a few times after; in steady traffic it never does.

/// Tasks at the height of a burst, from which on its end is worth a collection.
const WORTH: usize = 256;

/// Looks after a fall at which freed memory is returned once more: idle connections to the backends
/// and what the pools keep are let go of only with time.
const AFTERMATH: u8 = 8;

/// The height of the present burst, and what is left to do after the last one.
#[derive(Default)]
pub(super) struct Tide {
    high: usize,
    aftermath: u8,
}

impl Tide {
    /// Looks, now and then, at the number of tasks: how many at most since the last look, and how
    /// many now. Tells whether freed memory is to be returned: when the number has fallen to less
    /// than half.
    pub(super) fn look(&mut self, peak: usize, now: usize) -> bool {
        self.high = self.high.max(peak);
        if self.high >= WORTH && now < self.high / 2 {
            self.high = now;
            self.aftermath = AFTERMATH;
        }
        let due = self.aftermath > 0;
        self.aftermath = self.aftermath.saturating_sub(1);
        due
    }
}

/// Gives the pages that the calling thread has freed back to the system.
pub(super) fn return_freed() {
    // SAFETY: the call has no preconditions; it works on the calling thread's heap. Where another
    // allocator is in use it finds nothing to do.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_between_two_looks_is_seen() {
        let mut tide = Tide::default();
        assert!(!tide.look(3, 3));
        for look in 0..AFTERMATH {
            let peak = if look == 0 { 8000 } else { 3 };
            assert!(tide.look(peak, 3), "look {look}");
        }
        assert!(!tide.look(3, 3));
    }

    #[test]
    fn steady_traffic_and_small_bursts_are_left_alone() {
        let mut tide = Tide::default();
        for now in [1000, 600, 900, 510] {
            assert!(!tide.look(1000, now));
        }
        let mut tide = Tide::default();
        assert!(!tide.look(WORTH - 1, 0));
    }
}
