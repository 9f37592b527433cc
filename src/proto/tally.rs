//! Records counted by what they are.

use crate::record::{Context, TECHNIQUE_MAX};
use crate::technique::Technique;

/// How many records of a kind, and what they hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Records, each a region.
    pub records: u64,
    /// Cells in them.
    pub cells: u64,
    /// Bytes of them, with their headers.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, cells: usize, bytes: usize) {
        self.records += 1;
        self.cells += cells as u64;
        self.bytes += bytes as u64;
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            records: self.records - earlier.records,
            cells: self.cells - earlier.cells,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

/// Tallies by technique and by context.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tallies {
    techniques: [Tally; TECHNIQUE_MAX as usize + 1],
    contexts: [Tally; Context::ALL.len()],
}

impl Tallies {
    /// Counts a record of `cells` cells and `bytes` bytes. A technique that this version does not know counts only by
    /// its context, and a context that it does not know as [`Context::Unknown`].
    pub fn add(&mut self, technique: u8, context: u8, cells: usize, bytes: usize) {
        if let Some(tally) = self.techniques.get_mut(usize::from(technique)) {
            tally.add(cells, bytes);
        }
        let context = Context::from_wire(context);
        for (known, tally) in Context::ALL.iter().zip(&mut self.contexts) {
            if *known == context {
                tally.add(cells, bytes);
            }
        }
    }

    /// Every technique with its tally.
    pub fn by_technique(&self) -> impl Iterator<Item = (Technique, Tally)> + '_ {
        Technique::ALL.into_iter().map(|technique| (technique, self.techniques[technique as usize]))
    }

    /// Every context with its tally.
    pub fn by_context(&self) -> impl Iterator<Item = (Context, Tally)> + '_ {
        Context::ALL.into_iter().zip(self.contexts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_counts_once_by_technique_and_once_by_context() {
        let mut tallies = Tallies::default();
        tallies.add(Technique::Raw as u8, Context::Flat as u8, 4, 100);
        let earlier = tallies;
        tallies.add(Technique::Raw as u8, 250, 1, 10);
        tallies.add(TECHNIQUE_MAX, Context::Flat as u8, 2, 20);
        tallies.add(u8::MAX, Context::Flat as u8, 2, 20);
        let raw = |tallies: &Tallies| {
            tallies.by_technique().find(|(technique, _)| *technique == Technique::Raw).map(|(_, tally)| tally)
        };
        assert_eq!(raw(&tallies), Some(Tally { records: 2, cells: 5, bytes: 110 }));
        let since = raw(&tallies).zip(raw(&earlier)).map(|(now, then)| now.since(then));
        assert_eq!(since, Some(Tally { records: 1, cells: 1, bytes: 10 }));
        let contexts: [(Context, u64); 2] = [(Context::Unknown, 1), (Context::Flat, 3)];
        let counted = tallies.by_context().map(|(context, tally)| (context, tally.records));
        assert!(counted.filter(|(_, records)| *records > 0).eq(contexts));
    }
}
