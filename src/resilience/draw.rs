//! From random bits to a decision.
//!
//! A decision takes its 64 bits as an argument, so that it costs one multiplication, ends whatever
//! the source, and is the same again when a test gives the same bits.

/// A number below `n`, by one multiplication; 0 if `n` is 0. Some numbers are likelier than others
/// by at most `n` in 2^64.
#[must_use]
pub fn below(random: u64, n: u64) -> u64 {
    ((u128::from(random) * u128::from(n)) >> 64) as u64
}

/// A number from `low` on and below `high`; `low` if there is none.
#[must_use]
pub fn between(random: u64, low: u64, high: u64) -> u64 {
    low.saturating_add(below(random, high.saturating_sub(low)))
}

/// A number from 0 on and below 1: all that 53 bits can say evenly.
#[must_use]
pub fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether something of this probability happens: never from 0 down (or if it is no number), always
/// from 1 up.
#[must_use]
pub fn happens(random: u64, probability: f64) -> bool {
    fraction(random) < probability
}

#[cfg(test)]
mod tests {
    use super::super::tests::dice;
    use super::*;

    #[test]
    fn the_ends_of_the_range() {
        let table = [
            (0, 0, 0, 0),
            (u64::MAX, 0, 0, 0),
            (0, 3, 7, 3),
            (u64::MAX, 3, 7, 6),
            (u64::MAX, 7, 3, 7),
            (u64::MAX, 0, u64::MAX, u64::MAX - 1),
            (u64::MAX / 2, 0, 10, 4),
            (u64::MAX / 2 + 1, 0, 10, 5),
        ];
        for (random, low, high, expected) in table {
            assert_eq!(
                between(random, low, high),
                expected,
                "{random} {low} {high}"
            );
        }
    }

    #[test]
    fn certain_and_impossible() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(happens(random, 1.0) && happens(random, f64::INFINITY));
            assert!(!happens(random, 0.0) && !happens(random, -1.0) && !happens(random, f64::NAN));
        }
    }

    #[test]
    fn happens_as_often_as_it_should() {
        let mut random = dice(1);
        for percent in [1u32, 10, 50, 99] {
            let probability = f64::from(percent) / 100.0;
            let seen = (0..100_000).filter(|_| happens(random(), probability));
            let seen = seen.count() as f64 / 100_000.0;
            assert!(
                (seen - probability).abs() < 0.006,
                "{seen} for {probability}"
            );
        }
    }
}
