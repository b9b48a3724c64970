//! Timers: one hierarchical wheel per shard, driven by the loop's own clock readings.
//!
//! Nearly every timer of a proxy is a deadline that moves later with each byte (idle) or goes away
//! before it comes (request), so `set` must cost next to nothing and firing may cost more. A heap
//! pays a logarithm per move; here a move later, or to never, is one store: the entry stays linked
//! where it was and is moved when that slot comes up. Six levels of 64 slots span 2^36 ticks of
//! about a millisecond (two years); what lies beyond waits in one list for the wheel to come round.
//! One bitmap per level makes the next expiry a matter of six loads.
//!
//! An entry lies on the level of the highest six-bit digit in which its tick differs from the
//! current one. Hence every slot in use is ahead of the current one, lower levels always come up
//! before higher ones, and time may jump by hours: only slots in use are visited, in order.

use super::slab::{Key, Slab};

/// The deadline of a timer that is not armed.
pub const NEVER: u64 = u64::MAX;

/// One tick is 2^20 ns, about a millisecond.
const TICK_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
/// Ticks are told apart by the wheel below this bit.
const SPAN_BITS: u32 = SLOT_BITS * LEVELS as u32;
/// The list of timers beyond the wheel's span.
const FAR: usize = LEVELS * SLOTS;
/// The list of timers that were due already when they were set.
const DUE: usize = FAR + 1;
/// `comes_up` of an entry that is in no list.
const UNLINKED: u64 = u64::MAX;

struct Entry {
    token: u64,
    deadline: u64,
    /// The tick at which the list that the entry is in is looked at.
    comes_up: u64,
    prev: Key,
    next: Key,
    list: u16,
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
pub struct TimerWheel {
    /// The current tick: whatever was due by then has fired.
    elapsed: u64,
    occupied: [u64; LEVELS],
    heads: Box<[Key; DUE + 1]>,
    entries: Slab<Entry>,
}

/// The first tick that does not begin before `deadline`.
fn due_tick(deadline: u64) -> u64 {
    (deadline >> TICK_BITS) + u64::from(deadline & ((1 << TICK_BITS) - 1) != 0)
}

/// When a tick begins; the end of time for those that the clock never reaches.
fn tick_start(tick: u64) -> u64 {
    if tick >> (u64::BITS - TICK_BITS) == 0 {
        tick << TICK_BITS
    } else {
        u64::MAX
    }
}

impl TimerWheel {
    #[must_use]
    pub fn new(now: u64) -> Self {
        TimerWheel {
            elapsed: now >> TICK_BITS,
            occupied: [0; LEVELS],
            heads: Box::new([Key::NONE; DUE + 1]),
            entries: Slab::default(),
        }
    }

    /// Timers there are, armed or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes a timer, not yet armed, that reports `token` when it fires.
    pub fn insert(&mut self, token: u64) -> Key {
        self.entries.insert(Entry {
            token,
            deadline: NEVER,
            comes_up: UNLINKED,
            prev: Key::NONE,
            next: Key::NONE,
            list: 0,
        })
    }

    /// Arms the timer, moves it, or disarms it ([`NEVER`]). A removed timer stays removed.
    #[inline]
    pub fn set(&mut self, key: Key, deadline: u64) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.deadline = deadline;
        if deadline != NEVER && due_tick(deadline) < entry.comes_up {
            self.relink(key);
        }
    }

    /// When the timer will fire; [`NEVER`] if it is not armed, has fired or was removed.
    #[must_use]
    pub fn deadline(&self, key: Key) -> u64 {
        self.entries.get(key).map_or(NEVER, |entry| entry.deadline)
    }

    pub fn remove(&mut self, key: Key) {
        self.unlink(key);
        self.entries.remove(key);
    }

    /// Fires (disarms and reports) every timer that is due: never one before its deadline, each at
    /// the latest one tick after it, in order of their ticks.
    pub fn advance(&mut self, now: u64, mut fired: impl FnMut(u64, Key)) {
        let target = (now >> TICK_BITS).max(self.elapsed);
        while let Some((list, tick)) = self.next_list() {
            if tick > target {
                break;
            }
            self.elapsed = tick;
            self.drain(list, &mut fired);
        }
        self.elapsed = target;
    }

    /// When to call [`TimerWheel::advance`] next: never later than a timer can fire, perhaps
    /// earlier, for entries must be moved now and then. `None` if no timer is armed.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.next_list().map(|(_, tick)| tick_start(tick))
    }

    /// The list that comes up next, and when.
    fn next_list(&self) -> Option<(usize, u64)> {
        if !self.heads[DUE].is_none() {
            return Some((DUE, self.elapsed));
        }
        for (level, bitmap) in self.occupied.iter().enumerate() {
            if *bitmap != 0 {
                let slot = bitmap.trailing_zeros();
                let shift = SLOT_BITS * level as u32;
                let above = self.elapsed >> (shift + SLOT_BITS) << SLOT_BITS;
                let tick = (above | u64::from(slot)) << shift;
                debug_assert!(tick > self.elapsed, "a slot was left behind");
                return Some((level * SLOTS + slot as usize, tick));
            }
        }
        if self.heads[FAR].is_none() {
            return None;
        }
        Some((FAR, ((self.elapsed >> SPAN_BITS) + 1) << SPAN_BITS))
    }

    /// Empties a list that came up: what is due fires, what was disarmed drops out, what lies
    /// further on is linked anew.
    fn drain(&mut self, list: usize, fired: &mut impl FnMut(u64, Key)) {
        let mut key = self.heads[list];
        self.heads[list] = Key::NONE;
        if list < FAR {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
        while let Some(entry) = self.entries.get_mut(key) {
            let next = entry.next;
            entry.comes_up = UNLINKED;
            if entry.deadline != NEVER {
                if due_tick(entry.deadline) <= self.elapsed {
                    entry.deadline = NEVER;
                    fired(entry.token, key);
                } else {
                    self.link(key);
                }
            }
            key = next;
        }
    }

    #[cold]
    fn relink(&mut self, key: Key) {
        self.unlink(key);
        self.link(key);
    }

    /// Which list a timer due at `tick` belongs into now, and when that list comes up.
    fn place(&self, tick: u64) -> (usize, u64) {
        if tick <= self.elapsed {
            return (DUE, 0);
        }
        let highest = (tick ^ self.elapsed).ilog2();
        if highest >= SPAN_BITS {
            return (FAR, ((self.elapsed >> SPAN_BITS) + 1) << SPAN_BITS);
        }
        let level = highest / SLOT_BITS;
        let shift = level * SLOT_BITS;
        let slot = (tick >> shift) as usize % SLOTS;
        (level as usize * SLOTS + slot, tick >> shift << shift)
    }

    fn link(&mut self, key: Key) {
        let Some(deadline) = self.entries.get(key).map(|entry| entry.deadline) else {
            return;
        };
        let (list, comes_up) = self.place(due_tick(deadline));
        let head = std::mem::replace(&mut self.heads[list], key);
        if list < FAR {
            self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
        }
        if let Some(second) = self.entries.get_mut(head) {
            second.prev = key;
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.list = list as u16;
            entry.comes_up = comes_up;
            entry.prev = Key::NONE;
            entry.next = head;
        }
    }

    fn unlink(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.comes_up == UNLINKED {
            return;
        }
        entry.comes_up = UNLINKED;
        let (list, prev, next) = (entry.list as usize, entry.prev, entry.next);
        match self.entries.get_mut(prev) {
            Some(before) => before.next = next,
            None => self.heads[list] = next,
        }
        if let Some(after) = self.entries.get_mut(next) {
            after.prev = prev;
        }
        if list < FAR && self.heads[list].is_none() {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }
}

#[cfg(test)]
mod tests;
