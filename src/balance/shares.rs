//! How much each member of a group should get at present, laid end to end on a line.
//!
//! A point of that line belongs to one member, so a random point draws members in proportion to
//! their shares, and a stretch of the line is a subset with fractional members at its ends. Shares
//! change one at a time (one falls ill, one warms up), and both a change and a draw take O(log n):
//! the sums are kept in a Fenwick tree ("A new data structure for cumulative frequency tables",
//! 1994). An alias table draws in O(1), and would have to be built anew with every change.
//!
//! Usually all shares are equal. Then the tree is kept but not asked: a division finds the member.
//! Shares are whole numbers, so that sums never drift however often they change.

use super::rng::scale;

/// The share of a member of average weight: fine enough for a weight of a millionth of it.
pub(super) const UNIT: u64 = 1 << 20;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Shares {
    each: Box<[u64]>,
    /// `sums[i]` is the sum of the shares up to `i`, as far back as the lowest set bit of `i + 1`.
    sums: Box<[u64]>,
    total: u64,
    /// Members whose share is not 0.
    present: usize,
    /// Members whose share is not `unit`.
    odd: usize,
    unit: u64,
}

/// A stretch of the line, which goes on at the start of the line where that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Less than the line's length.
    pub start: u64,
    /// At most the line's length.
    pub length: u64,
}

impl Shares {
    /// A line of these shares, whose sum must fit.
    pub fn new(each: Box<[u64]>) -> Shares {
        let mut sums = each.clone();
        for i in 0..sums.len() {
            let parent = i | (i + 1);
            if parent < sums.len() {
                sums[parent] += sums[i];
            }
        }
        let unit = each.first().copied().unwrap_or(0);
        Shares {
            sums,
            total: each.iter().sum(),
            present: each.iter().filter(|share| **share > 0).count(),
            odd: each.iter().filter(|share| **share != unit).count(),
            unit,
            each,
        }
    }

    pub fn get(&self, index: usize) -> u64 {
        self.each[index]
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many have a share.
    pub fn present(&self) -> usize {
        self.present
    }

    pub fn set(&mut self, index: usize, share: u64) {
        let old = std::mem::replace(&mut self.each[index], share);
        if old == share {
            return;
        }
        self.present = self.present + usize::from(share > 0) - usize::from(old > 0);
        self.odd = self.odd + usize::from(share != self.unit) - usize::from(old != self.unit);
        self.total = self.total + share - old;
        let mut at = index;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at] + share - old;
            at |= at + 1;
        }
    }

    /// Where on the line a member begins.
    pub fn before(&self, index: usize) -> u64 {
        if self.odd == 0 {
            return index as u64 * self.unit;
        }
        let mut sum = 0;
        let mut at = index;
        while at > 0 {
            sum += self.sums[at - 1];
            at &= at - 1;
        }
        sum
    }

    /// The member that a point of the line, less than the total, belongs to.
    pub fn find(&self, point: u64) -> usize {
        if self.odd == 0 {
            return (point / self.unit.max(1)) as usize;
        }
        let mut at = 0;
        let mut left = point;
        let mut step = (self.sums.len() + 1).next_power_of_two() / 2;
        while step > 0 {
            let sum = self.sums.get(at + step - 1);
            if let Some(&sum) = sum.filter(|sum| **sum <= left) {
                left -= sum;
                at += step;
            }
            step /= 2;
        }
        at
    }

    /// The whole line.
    pub fn span(&self) -> Span {
        Span {
            start: 0,
            length: self.total,
        }
    }

    /// A member of this stretch, drawn by the length that it has there; `None` if all is empty.
    pub fn draw(&self, span: Span, random: u64) -> Option<usize> {
        (span.length > 0).then(|| self.at(span, scale(random, span.length as usize) as u64))
    }

    /// A member of this stretch other than `first`, drawn likewise; `None` if there is no other.
    pub fn draw_other(&self, span: Span, first: usize, random: u64) -> Option<usize> {
        // Seen from the start of the stretch, `first` begins here, and if it reaches around the
        // end of the line, a part of it (`head`) lies at the start of the stretch.
        let begin = self.before(first);
        let begin = if begin >= span.start {
            begin - span.start
        } else {
            begin + self.total - span.start
        };
        let end = begin + self.each[first];
        let head = end.saturating_sub(self.total).min(span.length);
        let tail = end.min(span.length).saturating_sub(begin);
        let left = span.length.saturating_sub(head + tail);
        if left == 0 {
            return None;
        }
        let mut point = head + scale(random, left as usize) as u64;
        if tail > 0 && point >= begin {
            point += tail;
        }
        Some(self.at(span, point))
    }

    /// The member at a distance from the start of a stretch.
    fn at(&self, span: Span, distance: u64) -> usize {
        let point = span.start + distance;
        self.find(if point >= self.total {
            point - self.total
        } else {
            point
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(shares: &[u64]) -> Shares {
        Shares::new(shares.into())
    }

    /// Who owns each point, by walking.
    fn walked(shares: &[u64]) -> Vec<usize> {
        let each = shares.iter().enumerate();
        each.flat_map(|(i, &share)| std::iter::repeat_n(i, share as usize))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        #[test]
        fn agrees_with_a_walk(
            mut shares in prop::collection::vec(0u64..5, 1..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0u64..5), 0..40),
        ) {
            let mut line = line(&shares);
            for (index, share) in changes {
                let index = index.index(shares.len());
                shares[index] = share;
                line.set(index, share);
            }
            let walked = walked(&shares);
            prop_assert_eq!(line.total(), walked.len() as u64);
            prop_assert_eq!(line.present(), shares.iter().filter(|s| **s > 0).count());
            for (point, &owner) in walked.iter().enumerate() {
                prop_assert_eq!(line.find(point as u64), owner);
            }
            for i in 0..shares.len() {
                prop_assert_eq!(line.before(i), shares[..i].iter().sum::<u64>());
            }
        }

        /// The two of a pair are distinct and inside the stretch, and each is drawn as often as it
        /// has points there.
        #[test]
        fn draws_from_stretches(
            shares in prop::collection::vec(0u64..4, 1..8),
            start in any::<prop::sample::Index>(),
            length in any::<prop::sample::Index>(),
        ) {
            let line = line(&shares);
            let walked = walked(&shares);
            prop_assume!(!walked.is_empty());
            let span = Span {
                start: start.index(walked.len()) as u64,
                length: length.index(walked.len()) as u64 + 1,
            };
            let inside: Vec<usize> = (0..span.length)
                .map(|d| walked[(span.start + d) as usize % walked.len()])
                .collect();
            // One random number in the middle of each point's part of the range.
            let randoms = |n: usize| (0..n as u128).map(move |k| {
                (((2 * k + 1) << 64) / (2 * n as u128)) as u64
            });
            let first: Vec<usize> = randoms(inside.len())
                .filter_map(|random| line.draw(span, random))
                .collect();
            prop_assert_eq!(&first, &inside);
            for &first in &inside {
                let others: Vec<usize> =
                    inside.iter().copied().filter(|other| *other != first).collect();
                let drawn: Vec<usize> = randoms(others.len())
                    .filter_map(|random| line.draw_other(span, first, random))
                    .collect();
                prop_assert_eq!(&drawn, &others);
                if others.is_empty() {
                    prop_assert_eq!(line.draw_other(span, first, 7), None);
                }
            }
        }
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        let empty = line(&[]);
        assert_eq!(empty.draw(empty.span(), 5), None);
        let absent = line(&[0, 0]);
        assert_eq!(absent.draw(absent.span(), 5), None);
        assert_eq!((absent.present(), absent.total()), (0, 0));
    }
}
