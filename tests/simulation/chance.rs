//! The one source of chance of a scenario, and the contents of bodies.
//!
//! A body's bytes follow from the id of its request, its direction and the position, so whoever
//! receives a byte can tell whether it belongs there without having seen it sent.

/// SplitMix64.
#[derive(Clone)]
pub struct Rng {
    state: u64,
    /// Bodies are large more often than not.
    pub large: bool,
}

pub fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng {
            state: mix(seed),
            large: false,
        }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        (self.next() % len as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// The size of a body: mostly small, sometimes many times what a pipe holds.
    pub fn size(&mut self) -> usize {
        let most = match self.next() % 100 {
            30.. if self.large => 300_000,
            0..15 => return 0,
            15..60 => 200,
            60..80 => 4_000,
            80..95 => 30_000,
            _ => 150_000,
        };
        self.between(1, most) as usize
    }
}

/// Which of the two bodies of an exchange.
#[derive(Clone, Copy)]
pub enum Direction {
    Request = 1,
    Response = 2,
}

fn word(id: u64, direction: Direction, index: usize) -> [u8; 8] {
    mix(mix(id * 4 + direction as u64) ^ index as u64).to_le_bytes()
}

/// The bytes `from..to` of a body.
pub fn body(id: u64, direction: Direction, from: usize, to: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(to - from);
    let mut at = from;
    while at < to {
        let word = word(id, direction, at / 8);
        let upto = (at / 8 * 8 + 8).min(to);
        bytes.extend_from_slice(&word[at % 8..at % 8 + (upto - at)]);
        at = upto;
    }
    bytes
}

/// Whether these are the bytes of that body from `from` on.
pub fn belongs(bytes: &[u8], id: u64, direction: Direction, from: usize) -> bool {
    bytes == body(id, direction, from, from + bytes.len())
}
