//! A generational slab with stable addresses.
//!
//! Kernel operations point into slab entries while they are in flight, so an entry must not move
//! when the slab grows: entries live in chunks that are never reallocated, and an empty chunk gives
//! its memory back once another one has room. A key carries the generation it was made with, so a
//! completion that arrives after its slot was freed and reused finds nobody instead of a stranger.

/// Entries in one chunk.
const CHUNK: usize = 128;
const NIL: u32 = u32::MAX;

/// Names one entry of a [`Slab`] for the entry's whole life, and nothing after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

impl Key {
    /// A key that never names anything.
    pub const NONE: Key = Key {
        index: NIL,
        generation: 0,
    };

    #[must_use]
    pub fn is_none(self) -> bool {
        self.index == NIL
    }

    /// The key as one word, as a kernel operation's `user_data` carries it.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`Key::to_u64`].
    #[must_use]
    pub fn from_u64(word: u64) -> Key {
        Key {
            index: word as u32,
            generation: (word >> 32) as u32,
        }
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
    next_free: u32,
}

struct Chunk<T> {
    slots: Option<Box<[Slot<T>]>>,
    free: u32,
    used: u32,
}

/// See the module's head.
pub struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks that have a free slot (or none allocated yet), most recently touched last.
    open: Vec<u32>,
    generation: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            open: Vec::new(),
            generation: 0,
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn insert(&mut self, value: T) -> Key {
        let chunk_index = match self.open.last() {
            Some(index) => *index,
            None => self.add_chunk(),
        };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let chunk = &mut self.chunks[chunk_index as usize];
        let base = chunk_index * CHUNK as u32;
        let slots = chunk.slots.get_or_insert_with(|| {
            chunk.free = base;
            fresh_slots(base)
        });
        let index = chunk.free;
        let slot = &mut slots[(index - base) as usize];
        chunk.free = slot.next_free;
        slot.generation = generation;
        slot.value = Some(value);
        chunk.used += 1;
        if chunk.free == NIL {
            self.open.pop();
        }
        self.len += 1;
        Key { index, generation }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let chunk_index = key.index as usize / CHUNK;
        let chunk = self.chunks.get_mut(chunk_index)?;
        let slots = chunk.slots.as_mut()?;
        let slot = &mut slots[key.index as usize % CHUNK];
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        let was_full = chunk.free == NIL;
        slot.next_free = chunk.free;
        chunk.free = key.index;
        chunk.used -= 1;
        self.len -= 1;
        if was_full {
            self.open.push(chunk_index as u32);
        } else if chunk.used == 0 && self.open.len() > 1 {
            self.close_chunk(chunk_index);
        }
        Some(value)
    }

    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slots = self
            .chunks
            .get_mut(key.index as usize / CHUNK)?
            .slots
            .as_mut()?;
        let slot = &mut slots[key.index as usize % CHUNK];
        if slot.generation == key.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let slots = self
            .chunks
            .get(key.index as usize / CHUNK)?
            .slots
            .as_ref()?;
        let slot = &slots[key.index as usize % CHUNK];
        if slot.generation == key.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    /// The keys of all entries, in order of their slots.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.len);
        for (chunk_index, chunk) in self.chunks.iter().enumerate() {
            for (offset, slot) in chunk
                .slots
                .iter()
                .flat_map(|slots| slots.iter())
                .enumerate()
            {
                if slot.value.is_some() {
                    keys.push(Key {
                        index: (chunk_index * CHUNK + offset) as u32,
                        generation: slot.generation,
                    });
                }
            }
        }
        keys
    }

    fn add_chunk(&mut self) -> u32 {
        let index = self.chunks.len() as u32;
        self.chunks.push(Chunk {
            slots: None,
            free: NIL,
            used: 0,
        });
        self.open.push(index);
        index
    }

    /// Gives back the memory of an empty chunk and moves it to the end of the queue, so that others
    /// fill up first.
    fn close_chunk(&mut self, chunk_index: usize) {
        self.chunks[chunk_index].slots = None;
        if let Some(place) = self
            .open
            .iter()
            .position(|open| *open as usize == chunk_index)
        {
            let chunk = self.open.remove(place);
            self.open.insert(0, chunk);
        }
    }
}

fn fresh_slots<T>(base: u32) -> Box<[Slot<T>]> {
    (0..CHUNK as u32)
        .map(|offset| Slot {
            generation: 0,
            value: None,
            next_free: if offset as usize + 1 == CHUNK {
                NIL
            } else {
                base + offset + 1
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nobody() {
        let mut slab = Slab::default();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(first.index, second.index, "the slot is reused");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"b"));
    }

    #[test]
    fn memory_of_empty_chunks_goes_back() {
        let mut slab = Slab::default();
        let keys: Vec<Key> = (0..CHUNK * 10).map(|n| slab.insert(n)).collect();
        for key in &keys {
            assert!(slab.remove(*key).is_some());
        }
        let held = slab
            .chunks
            .iter()
            .filter(|chunk| chunk.slots.is_some())
            .count();
        assert!(held <= 1, "{held} chunks held by an empty slab");
        let again: Vec<Key> = (0..CHUNK * 10).map(|n| slab.insert(n)).collect();
        for (n, key) in again.iter().enumerate() {
            assert_eq!(slab.get(*key), Some(&n));
        }
        for key in keys {
            assert_eq!(slab.get(key), None);
        }
    }

    #[test]
    fn a_key_survives_the_trip_through_user_data() {
        let key = Key {
            index: 7,
            generation: u32::MAX,
        };
        assert_eq!(Key::from_u64(key.to_u64()), key);
    }
}
