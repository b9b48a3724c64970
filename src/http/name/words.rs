//! Known names found by words of eight bytes, not byte by byte.
//!
//! They are made of letters, digits and hyphens, all of which lower case leaves as they are or makes
//! by setting one bit. So the lower-case words of a name pick a slot of a perfect hash, made while
//! compiling, and the known name there is the one if the words differ from its own in the case of
//! letters only. This reads a name in a third of the instructions that a look at each byte takes.

use super::{LONGEST, Name, is_token};

/// The name before the colon that `text` has among its first bytes, found by words and not by bytes:
/// where the colon is, and which known name stands before it. `None` if the name is empty, is not a
/// token, or is longer than the table's; or if the text is too short for words. [`leading_token`]
/// then tells more.
#[inline(always)]
pub(crate) fn name_before_colon(text: &[u8]) -> Option<(usize, Name)> {
    let words = words(text.first_chunk::<LONGEST>()?);
    let len = first_colon(&words)?;
    let kept = KEPT[len];
    let words = [words[0] & kept[0], words[1] & kept[1], words[2] & kept[2]];
    let known = &SPELLINGS[usize::from(SLOTS[slot(&words, MULTIPLIER)])];
    let differs = |at: usize| (words[at] ^ known.lower[at]) & !known.letters[at];
    // The length, too: the words alone do not tell a NUL from the end.
    if len == usize::from(known.len) && differs(0) | differs(1) | differs(2) == 0 {
        return Some((len, known.name));
    }
    is_token(&text[..len]).then_some((len, Name::Other))
}

const WORDS: usize = LONGEST / 8;

/// A known name in words, and the bits that lower case sets in it.
#[derive(Clone, Copy)]
struct Spelling {
    lower: [u64; WORDS],
    letters: [u64; WORDS],
    len: u8,
    name: Name,
}

const SLOT_BITS: u32 = 9;
const SPELLINGS: [Spelling; Name::KNOWN.len()] = {
    let (lower, letters) = ([0; WORDS], [0; WORDS]);
    let nothing = Spelling {
        lower,
        letters,
        len: 0,
        name: Name::Other,
    };
    let mut spellings = [nothing; Name::KNOWN.len()];
    let mut at = 0;
    while at < spellings.len() {
        let (name, text) = Name::KNOWN[at];
        let text = text.as_bytes();
        let (mut lower, mut letters) = ([0; LONGEST], [0; LONGEST]);
        let mut byte = 0;
        while byte < text.len() {
            lower[byte] = text[byte];
            letters[byte] = if text[byte].is_ascii_lowercase() {
                0x20
            } else {
                assert!(text[byte].is_ascii_digit() || text[byte] == b'-');
                0
            };
            byte += 1;
        }
        spellings[at] = Spelling {
            lower: words(&lower),
            letters: words(&letters),
            len: text.len() as u8,
            name,
        };
        at += 1;
    }
    spellings
};
/// A multiplier that gives every known name a slot of its own, and who has which slot. The slots
/// that nobody has go to the first, which is found out there.
const FOUND: (u64, [u8; 1 << SLOT_BITS]) = {
    let mut multiplier: u64 = 0x9e37_79b9_7f4a_7c15;
    loop {
        let mut slots = [0u8; 1 << SLOT_BITS];
        let mut taken = [false; 1 << SLOT_BITS];
        let mut at = 0;
        while at < SPELLINGS.len() {
            let slot = slot(&SPELLINGS[at].lower, multiplier);
            if taken[slot] {
                break;
            }
            taken[slot] = true;
            slots[slot] = at as u8;
            at += 1;
        }
        if at == SPELLINGS.len() {
            break (multiplier, slots);
        }
        multiplier = multiplier.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
    }
};
const MULTIPLIER: u64 = FOUND.0;
static SLOTS: [u8; 1 << SLOT_BITS] = FOUND.1;
/// Which bits of the words a name of each length has.
static KEPT: [[u64; WORDS]; LONGEST] = {
    let mut kept = [[0; WORDS]; LONGEST];
    let mut len = 0;
    while len < LONGEST {
        let mut bytes = [0; LONGEST];
        let mut at = 0;
        while at < len {
            bytes[at] = 0xff;
            at += 1;
        }
        kept[len] = words(&bytes);
        len += 1;
    }
    kept
};

const fn slot(words: &[u64; WORDS], multiplier: u64) -> usize {
    let case = 0x2020_2020_2020_2020;
    let [one, two, three] = *words;
    let mixed = (one | case) ^ (two | case).rotate_left(21) ^ (three | case).rotate_left(43);
    (mixed.wrapping_mul(multiplier) >> (u64::BITS - SLOT_BITS)) as usize
}

const fn words(bytes: &[u8; LONGEST]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut at = 0;
    while at < LONGEST {
        words[at / 8] |= (bytes[at] as u64) << (at % 8 * 8);
        at += 1;
    }
    words
}

/// Where the first colon is.
#[inline]
fn first_colon(words: &[u64; WORDS]) -> Option<usize> {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    for (at, word) in words.iter().enumerate() {
        // Bytes that are a colon become zero, and only the first zero is sure to be seen as one.
        let word = word ^ (LOWEST * b':' as u64);
        let zeros = word.wrapping_sub(LOWEST) & !word & (LOWEST << 7);
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::leading_token;
    use super::*;

    #[test]
    fn words_find_what_bytes_find() {
        let slow = |text: &[u8]| match leading_token(text) {
            (len, name) if len > 0 && text.get(len) == Some(&b':') => Some((len, name)),
            _ => None,
        };
        for &(_, text) in Name::KNOWN {
            for text in [text.to_owned(), text.to_ascii_uppercase()] {
                let line = format!("{text}: and enough after it for words");
                let found = name_before_colon(line.as_bytes());
                let short_enough = text.len() < LONGEST;
                assert_eq!(
                    found,
                    slow(line.as_bytes()).filter(|_| short_enough),
                    "{text}"
                );
                for at in 0..text.len() {
                    for byte in 0..=255 {
                        let mut line = line.clone().into_bytes();
                        line[at] = byte;
                        let found = name_before_colon(&line);
                        assert_eq!(found, slow(&line).filter(|_| short_enough), "{line:?}");
                    }
                }
            }
        }
        for text in [
            "te\0",
            "te\0\0\0\0\0\0",
            "host\0",
            "content-length\0",
            "\0",
            "\0\0",
        ] {
            let line = format!("{text}: and enough after it for words");
            assert_eq!(name_before_colon(line.as_bytes()), None, "{text:?}");
        }
        assert_eq!(name_before_colon(b"host: too short"), None);
        assert_eq!(name_before_colon(b": no name at all, is there?"), None);
    }
}
