//! From the recorded histogram, which has hundreds of buckets, to the dozen that a collector wants.

use hdrhistogram::Histogram;

/// Upper bounds in microseconds: 1, 2.5, 5 per decade, 100 µs to a minute.
const BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// A histogram as the exposition format has it, in seconds.
#[derive(Debug, PartialEq)]
pub struct Buckets {
    pub sum: f64,
    pub count: u64,
    /// Upper bound and how many fell between it and the bound before.
    pub buckets: Vec<(f64, u64)>,
}

/// Folds a histogram of microseconds. A value counts where its own bucket begins, so the error is
/// that of the recording (1 %).
pub fn fold(recorded: &Histogram<u64>) -> Buckets {
    let bounds = BOUNDS.iter().map(|bound| seconds(*bound));
    let mut buckets: Vec<_> = bounds
        .chain([f64::INFINITY])
        .map(|bound| (bound, 0))
        .collect();
    let mut sum = 0.0;
    for step in recorded.iter_recorded() {
        let count = step.count_at_value();
        let lowest = recorded.lowest_equivalent(step.value_iterated_to());
        let index = BOUNDS.partition_point(|bound| *bound < lowest);
        buckets[index].1 += count;
        let middle = recorded.median_equivalent(step.value_iterated_to());
        sum += seconds(middle) * count as f64;
    }
    Buckets {
        sum,
        count: recorded.len(),
        buckets,
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_its_bucket() {
        let mut recorded = Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap();
        for value in [1, 100, 101, 900, 2_000_000, 90_000_000] {
            recorded.record(value).unwrap();
        }
        let folded = fold(&recorded);
        let at = |bound: f64| folded.buckets.iter().find(|b| b.0 == bound).unwrap().1;
        assert_eq!(at(0.0001), 2);
        assert_eq!(at(0.00025), 1);
        assert_eq!(at(0.001), 1);
        assert_eq!(at(2.5), 1);
        assert_eq!(at(f64::INFINITY), 1);
        assert_eq!(folded.count, 6);
        assert_eq!(folded.buckets.iter().map(|b| b.1).sum::<u64>(), 6);
        assert!((folded.sum - 92.0).abs() < 1.0, "{}", folded.sum);
    }
}
