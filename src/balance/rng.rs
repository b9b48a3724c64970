//! The dice of a shard: xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number
//! generators", 2021), seeded through SplitMix64.
//!
//! Balancing needs speed and even spread, not secrecy, and tests need the same throws again from
//! the same seed. A dependency was rejected for twenty lines that must never change: a seed that
//! once failed must fail for ever.

/// A small deterministic generator. Equal seeds give equal sequences.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of a seed; any will do, 0 included.
    #[must_use]
    pub fn new(mut seed: u64) -> Rng {
        Rng {
            state: std::array::from_fn(|_| split_mix(&mut seed)),
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `n`, each as likely as the others (Lemire, "Fast random integer generation in
    /// an interval", 2019); 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            let (high, low) = ((wide >> 64) as u64, wide as u64);
            // The first `2^64 mod n` of every `n` low halves would count once too often.
            if low >= n || low >= n.wrapping_neg() % n.max(1) {
                return high;
            }
        }
    }
}

fn split_mix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*seed)
}

/// The bits of a number, stirred: each bit of the result depends on all of `z`. No two numbers give
/// the same one (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[must_use]
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `n` from 64 random bits, by one multiplication. Some numbers are likelier than
/// others by at most `n` in 2^64: for choosing among replicas that is nothing, and unlike
/// [`Rng::below`] it ends with any source of randomness. 0 if `n` is 0.
#[must_use]
pub fn scale(random: u64, n: usize) -> usize {
    ((u128::from(random) * n as u128) >> 64) as usize
}

/// A fraction of 1, less than 1, from 64 random bits.
#[must_use]
pub fn fraction(random: u64) -> f64 {
    // 53 bits: all that fit between 0 and 1 evenly.
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_algorithm() {
        // The reference implementation's first outputs from the state 1, 2, 3, 4.
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let first = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
        ];
        assert_eq!(first.map(|_| rng.next_u64()), first);
    }

    #[test]
    fn seeds_by_split_mix() {
        let mut seed = 1_234_567;
        assert_eq!(split_mix(&mut seed), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut seed), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_seed_decides_the_sequence() {
        let throws = |seed| {
            let mut rng = Rng::new(seed);
            [(); 16].map(|()| rng.next_u64())
        };
        assert_eq!(throws(0), throws(0));
        assert_ne!(throws(0), throws(1));
        assert!(throws(0).iter().any(|&throw| throw != 0));
    }

    #[test]
    fn below_stays_below_and_is_even() {
        let mut rng = Rng::new(7);
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
        for n in [2, 3, 7, 10, 100] {
            let mut seen = vec![0u32; n];
            for _ in 0..n * 2_000 {
                seen[rng.below(n as u64) as usize] += 1;
            }
            assert!(
                seen.iter().all(|&count| (1_750..2_250).contains(&count)),
                "{n}: {seen:?}"
            );
        }
    }

    #[test]
    fn below_has_no_modulo_bias() {
        // With plain modulo or scaling, numbers of one third would come up half of the time.
        let n = (1 << 63) + (1 << 62);
        let mut rng = Rng::new(9);
        let mut seen = [0u32; 3];
        for _ in 0..30_000 {
            seen[(rng.below(n) >> 62) as usize] += 1;
        }
        assert!(
            seen.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{seen:?}"
        );
    }

    #[test]
    fn scale_covers_the_range() {
        assert_eq!(
            (scale(0, 5), scale(u64::MAX, 5), scale(u64::MAX, 0)),
            (0, 4, 0)
        );
        assert_eq!((scale(u64::MAX / 2, 2), scale(u64::MAX / 2 + 1, 2)), (0, 1));
    }

    #[test]
    fn fractions_stay_below_one() {
        assert_eq!(fraction(0), 0.0);
        assert_eq!(fraction(1 << 63), 0.5);
        assert!(fraction(u64::MAX) < 1.0);
    }
}
