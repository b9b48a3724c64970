//! The branch of a weighted union that takes a request: a draw in proportion to the weights.
//!
//! Unions have two or three branches and are drawn from once a request, so the weights are walked
//! and not tabled: an alias table would cost more to keep than it saves. The walk sums twice, which
//! is cheaper than a place to keep the sum, and takes the weights as an iterator, since this room
//! does not know what a union is.

/// The index of a branch, drawn by 64 random bits in proportion to the weights.
///
/// Negative weights and those that are no number count as 0, infinite ones as the largest number.
/// If all are 0, each branch is as likely. `None` if there is no branch.
pub fn pick(weights: impl Iterator<Item = f64> + Clone, random: u64) -> Option<usize> {
    // What is no number is not greater than 0 either.
    let weights = weights.map(|weight| {
        if weight > 0.0 {
            weight.min(f64::MAX)
        } else {
            0.0
        }
    });
    let largest = weights.clone().fold(0.0, f64::max);
    if largest == 0.0 {
        let count = weights.count();
        return (count > 0).then(|| super::rng::scale(random, count));
    }
    // Relative to the largest: neither the sum nor the products can overflow.
    let shares = weights.map(|weight| weight / largest);
    let sum: f64 = shares.clone().sum();
    let mut left = super::rng::fraction(random) * sum;
    let mut last = None;
    for (index, share) in shares.enumerate().filter(|&(_, share)| share > 0.0) {
        if left < share {
            return Some(index);
        }
        left -= share;
        last = Some(index);
    }
    // Rounding may leave a trace beyond the last share.
    last
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    fn shares(weights: &[f64], draws: u32) -> Vec<f64> {
        let mut rng = Rng::new(3);
        let mut seen = vec![0u32; weights.len()];
        for _ in 0..draws {
            seen[pick(weights.iter().copied(), rng.next_u64()).unwrap()] += 1;
        }
        seen.into_iter()
            .map(|count| f64::from(count) / f64::from(draws))
            .collect()
    }

    #[test]
    fn draws_in_proportion() {
        let cases: [(&[f64], &[f64]); 7] = [
            (&[1.0], &[1.0]),
            (&[1.0, 1.0], &[0.5, 0.5]),
            (&[1.0, 3.0], &[0.25, 0.75]),
            (&[90.0, 9.0, 1.0], &[0.9, 0.09, 0.01]),
            (&[0.0, 0.002, 0.008], &[0.0, 0.2, 0.8]),
            (&[0.0, 0.0], &[0.5, 0.5]),
            (&[1e308, 1e308, 1.0], &[0.5, 0.5, 0.0]),
        ];
        for (weights, expected) in cases {
            let found = shares(weights, 20_000);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 0.015,
                    "{weights:?}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn strange_weights_are_survived() {
        assert_eq!(pick([].into_iter(), 1), None);
        assert_eq!(pick([f64::NAN, 1.0].into_iter(), 0), Some(1));
        assert_eq!(pick([-1.0, 1.0].into_iter(), 0), Some(1));
        assert_eq!(
            pick([1.0, f64::INFINITY].into_iter(), u64::MAX / 2),
            Some(1)
        );
        assert_eq!(pick([f64::NAN, f64::NAN].into_iter(), u64::MAX), Some(1));
        assert_eq!(pick([5e-324, 0.0].into_iter(), u64::MAX), Some(0));
    }

    #[test]
    fn a_branch_of_weight_zero_is_never_drawn() {
        for random in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert_eq!(pick([0.0, 1.0, 0.0].into_iter(), random), Some(1));
        }
    }
}
