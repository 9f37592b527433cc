//! Sets of byte offsets, as ranges.

use alloc::vec::Vec;

/// Offsets as disjoint ranges `start..end`, ascending, none empty, none adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The first range.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.0.first().copied()
    }

    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        // Those that overlap it, or touch it, become one with it.
        let from = self.0.partition_point(|range| range.1 < start);
        let to = self.0.partition_point(|range| range.0 <= end);
        let merged = match self.0.get(from..to) {
            Some([first, .., last]) => (first.0.min(start), last.1.max(end)),
            Some([only]) => (only.0.min(start), only.1.max(end)),
            _ => (start, end),
        };
        self.0.splice(from..to, [merged]);
    }

    /// Takes `start..end` out.
    pub(super) fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let from = self.0.partition_point(|range| range.1 <= start);
        let to = self.0.partition_point(|range| range.0 < end);
        let Some(hit) = self.0.get(from..to).filter(|hit| !hit.is_empty()) else { return };
        let (left, right) = ((hit[0].0, start), (end, hit[hit.len() - 1].1));
        self.0.splice(from..to, [left, right].into_iter().filter(|range| range.0 < range.1));
    }

    /// Takes everything out that `other` has.
    pub(super) fn remove_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(start, end)| self.remove(*start, *end));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes that it takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec;

    #[test]
    fn ranges_are_what_a_set_of_numbers_is() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut ranges, mut truth) = (Ranges::default(), BTreeSet::new());
            for _ in 0..40 {
                let start = random(60);
                let end = start + random(12);
                if random(2) == 0 {
                    ranges.insert(start, end);
                    truth.extend(start..end);
                } else {
                    ranges.remove(start, end);
                    truth.retain(|at| !(start..end).contains(at));
                }
                let all: BTreeSet<_> = ranges.0.iter().flat_map(|(start, end)| *start..*end).collect();
                assert_eq!(all, truth);
                assert!(ranges.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
            }
        }
        let mut ranges = Ranges(vec![(0, 10)]);
        ranges.remove_all(&Ranges(vec![(2, 3), (5, 20)]));
        assert_eq!(ranges.0, [(0, 2), (3, 5)]);
    }
}
