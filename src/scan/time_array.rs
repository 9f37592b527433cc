//! The time-based array: what changed in a source, when, and what it held; a fixed number of ticks deep.

use std::collections::VecDeque;

use crate::geometry::{CellSet, Grid};
use crate::limits::HISTORY_TICKS;
use crate::scan::Delta;
use crate::time::Instant;
use lfp_proto::record::Context;

/// One tick of the array.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What changed, and when.
    pub delta: Delta,
    /// What each changed cell holds, in the order of [`CellSet::iter`]: as far as the scan saw it, and later
    /// engines learned it, see [`TimeArray::note`].
    pub contexts: Vec<Context>,
}

/// The deltas of one epoch of a source, the newest [`HISTORY_TICKS`] of them.
#[derive(Debug)]
pub struct TimeArray {
    grid: Grid,
    entries: VecDeque<Entry>,
    /// The tick before the oldest entry: everything later is known.
    floor: u64,
}

impl TimeArray {
    /// An empty array over `grid`, of an epoch that begins after tick `floor`.
    #[must_use]
    pub fn new(grid: Grid, floor: u64) -> Self {
        Self { grid, entries: VecDeque::with_capacity(HISTORY_TICKS), floor }
    }

    /// Adds a tick's entry; the oldest one goes if the array is full.
    ///
    /// # Panics
    /// If the entry is not of a later tick than all others, is of another grid, or has not one context per
    /// cell.
    pub fn push(&mut self, entry: Entry) {
        let newest = self.entries.back().map_or(self.floor, |entry| entry.delta.tick);
        assert!(entry.delta.tick > newest, "tick {} after tick {newest}", entry.delta.tick);
        assert_eq!(entry.delta.cells.grid(), self.grid, "an entry of another grid");
        assert_eq!(entry.contexts.len(), entry.delta.cells.len(), "one context per changed cell");
        if self.entries.len() == HISTORY_TICKS {
            self.floor = self.entries.pop_front().map_or(self.floor, |oldest| oldest.delta.tick);
        }
        self.entries.push_back(entry);
    }

    /// [`TimeArray::push`] of a copy, in the memory of the entry that goes if the array is full.
    ///
    /// # Panics
    /// As [`TimeArray::push`].
    pub fn record(&mut self, delta: &Delta, contexts: &[Context]) {
        let reused = if self.entries.len() == HISTORY_TICKS { self.entries.pop_front() } else { None };
        let entry = match reused {
            Some(mut entry) => {
                self.floor = entry.delta.tick;
                (entry.delta.tick, entry.delta.at) = (delta.tick, delta.at);
                entry.delta.cells.clear();
                entry.delta.cells.union(&delta.cells);
                entry.contexts.clear();
                entry.contexts.extend_from_slice(contexts);
                entry
            }
            None => {
                // As many as any entry may ever have, a byte each.
                let mut known = Vec::with_capacity(self.grid.cells());
                known.extend_from_slice(contexts);
                Entry { delta: delta.clone(), contexts: known }
            }
        };
        self.push(entry);
    }

    /// What is remembered, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The cells that changed after tick `tick`; `None` if that lies further back than the array reaches.
    #[must_use]
    pub fn changed_since(&self, tick: u64) -> Option<CellSet> {
        (tick >= self.floor).then(|| self.union(|delta| delta.tick > tick))
    }

    /// The cells that changed in captures that began after `at`. Cells whose change is no longer remembered
    /// are missing: [`TimeArray::reaches`] says whether there may be any.
    #[must_use]
    pub fn changed_after(&self, at: Instant) -> CellSet {
        self.union(|delta| delta.at > at)
    }

    /// Whether every change after `at` is still remembered.
    #[must_use]
    pub fn reaches(&self, at: Instant) -> bool {
        self.entries.len() < HISTORY_TICKS || self.entries.front().is_some_and(|oldest| oldest.delta.at <= at)
    }

    /// In how many of the remembered ticks the cell with row-major `index` changed.
    #[must_use]
    pub fn changes(&self, index: usize) -> usize {
        self.entries.iter().filter(|entry| entry.delta.cells.contains(index)).count()
    }

    /// What the cell with row-major `index` held when it last changed; [`Context::Unknown`] if that is not
    /// remembered.
    #[must_use]
    pub fn context(&self, index: usize) -> Context {
        let newest = self.entries.iter().rev().find(|entry| entry.delta.cells.contains(index));
        newest.map_or(Context::Unknown, |entry| {
            let place = entry.delta.cells.iter().take_while(|cell| *cell < index).count();
            entry.contexts[place]
        })
    }

    /// Notes that those of `cells` that changed in tick `tick` hold `context`. Says whether the tick is
    /// remembered.
    pub fn note(&mut self, tick: u64, cells: &CellSet, context: Context) -> bool {
        let Ok(at) = self.entries.binary_search_by_key(&tick, |entry| entry.delta.tick) else { return false };
        let entry = &mut self.entries[at];
        for (cell, held) in entry.delta.cells.iter().zip(&mut entry.contexts) {
            if cells.contains(cell) {
                *held = context;
            }
        }
        true
    }

    /// Notes what each cell that changed in tick `tick` holds, as `context` says of its row-major index. Says whether
    /// the tick is remembered.
    pub fn note_each(&mut self, tick: u64, context: impl Fn(usize) -> Context) -> bool {
        let Ok(at) = self.entries.binary_search_by_key(&tick, |entry| entry.delta.tick) else { return false };
        let Entry { delta, contexts } = &mut self.entries[at];
        delta.cells.iter().zip(contexts).for_each(|(cell, held)| *held = context(cell));
        true
    }

    fn union(&self, wanted: impl Fn(&Delta) -> bool) -> CellSet {
        let mut cells = CellSet::new(self.grid);
        // Ticks and times ascend, so the wanted ones are the newest.
        for entry in self.entries.iter().rev().take_while(|entry| wanted(&entry.delta)) {
            cells.union(&entry.delta.cells);
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    fn entry(tick: u64, cells: &[usize]) -> Entry {
        let mut set = CellSet::new(grid());
        for &cell in cells {
            set.insert(cell);
        }
        let delta = Delta { tick, at: Instant::from_micros(tick * 1_000), cells: set };
        Entry { delta, contexts: vec![Context::Unknown; cells.len()] }
    }

    fn grid() -> Grid {
        Size { width: 160, height: 160 }.grid()
    }

    #[test]
    fn answers_by_tick_and_by_time_as_far_as_it_reaches() {
        let mut array = TimeArray::new(grid(), 10);
        assert!(array.changed_since(9).is_none(), "another epoch");
        assert!(array.changed_since(10).is_some_and(|cells| cells.is_empty()));
        for tick in 11..11 + HISTORY_TICKS as u64 {
            array.push(entry(tick, &[tick as usize % 100, 99]));
        }
        assert_eq!(array.changed_since(10).map(|cells| cells.len()), Some(HISTORY_TICKS + 1));
        array.push(entry(100, &[3]));
        assert!(array.changed_since(10).is_none(), "its first tick is forgotten");
        assert!(array.changed_since(11).is_some());
        assert_eq!(array.changed_since(99).map(|cells| cells.iter().collect()), Some(vec![3]));
        assert_eq!(array.changed_after(Instant::from_micros(99_999)).iter().collect::<Vec<_>>(), [3]);
        assert!(array.changed_after(Instant::from_micros(100_000)).is_empty());
        assert!(array.reaches(Instant::from_micros(12_000)) && !array.reaches(Instant::from_micros(11_999)));
        assert_eq!((array.changes(99), array.changes(0)), (HISTORY_TICKS - 1, 0));
        assert_eq!(array.entries().count(), HISTORY_TICKS);
    }

    #[test]
    fn keeps_what_was_learned_with_the_newest_change() {
        let mut array = TimeArray::new(grid(), 0);
        array.push(entry(1, &[1, 2, 3]));
        array.push(entry(2, &[2]));
        let mut flat = CellSet::new(grid());
        flat.insert(2);
        flat.insert(3);
        flat.insert(4);
        assert!(array.note(1, &flat, Context::Flat));
        assert!(!array.note(3, &flat, Context::Flat));
        let contexts = [1, 2, 3, 4].map(|cell| array.context(cell));
        assert_eq!(contexts, [Context::Unknown, Context::Unknown, Context::Flat, Context::Unknown]);
        assert!(array.note_each(1, |cell| if cell == 1 { Context::Text } else { Context::Photo }));
        assert!(!array.note_each(9, |_| Context::Text));
        assert_eq!(
            [1, 2, 3].map(|cell| array.context(cell)),
            [Context::Text, Context::Unknown, Context::Photo]
        );
    }
}
