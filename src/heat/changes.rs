//! The changed-region database: which rectangles of a source changed, from when to when.

use std::collections::VecDeque;
use std::time::Duration;

use crate::geometry::CellRect;
use crate::limits::HEAT_CHANGES_MAX;
use crate::time::Instant;

/// Rest after which a rectangle that changes again is a new entry.
const REST: Duration = Duration::from_millis(500);

/// A rectangle that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Everything that changed there.
    pub cells: CellRect,
    /// When it began.
    pub first: Instant,
    /// When it was last seen to change.
    pub last: Instant,
    /// Ticks in which it did.
    pub ticks: u32,
}

/// The newest [`HEAT_CHANGES_MAX`] entries.
#[derive(Debug)]
pub struct Changes {
    /// By `last`, ascending.
    entries: VecDeque<Change>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { entries: VecDeque::with_capacity(HEAT_CHANGES_MAX) }
    }
}

impl Changes {
    /// Notes that `cells` changed at `at`, which is no earlier than anything noted before. What overlaps with half of
    /// an entry that has not come to rest, or with half of which such an entry overlaps, is that entry going on.
    pub fn note(&mut self, cells: CellRect, at: Instant) {
        let alive = |entry: &Change| at.saturating_since(entry.last) <= REST;
        let newest = self.entries.iter().enumerate().rev().take_while(|(_, entry)| alive(entry));
        let known = newest.filter(|(_, entry)| belongs(entry.cells, cells)).map(|(place, _)| place).next();
        if let Some(entry) = known.and_then(|place| self.entries.remove(place)) {
            let cells = around(entry.cells, cells);
            let ticks = entry.ticks.saturating_add(u32::from(entry.last < at));
            self.entries.push_back(Change { cells, first: entry.first, last: at, ticks });
            return;
        }
        if self.entries.len() == HEAT_CHANGES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Change { cells, first: at, last: at, ticks: 1 });
    }

    /// The newest entry of at most so many cells.
    #[must_use]
    pub fn newest(&self, cells_max: usize) -> Option<CellRect> {
        self.entries.iter().rev().map(|entry| entry.cells).find(|cells| cells.cells() <= cells_max)
    }

    /// The entries that touch `area` and were seen to change from `since` on, the newest first.
    pub fn query(&self, area: CellRect, since: Instant) -> impl Iterator<Item = &Change> {
        let newest = self.entries.iter().rev().take_while(move |entry| entry.last >= since);
        newest.filter(move |entry| common(entry.cells, area) > 0)
    }
}

/// Cells that two rectangles have in common.
pub(crate) fn common(a: CellRect, b: CellRect) -> usize {
    let span = |start: u16, len: u16, other: u16, other_len: u16| {
        usize::from((start + len).min(other + other_len).saturating_sub(start.max(other)))
    };
    span(a.x, a.width, b.x, b.width) * span(a.y, a.height, b.y, b.height)
}

fn belongs(a: CellRect, b: CellRect) -> bool {
    common(a, b) * 2 >= a.cells().min(b.cells()).max(1)
}

/// The smallest rectangle around both.
pub(crate) fn around(a: CellRect, b: CellRect) -> CellRect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let (right, bottom) = ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
    CellRect { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(x: u16, y: u16, width: u16, height: u16) -> CellRect {
        CellRect { x, y, width, height }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn what_goes_on_is_one_entry_and_what_rested_a_new_one() {
        let mut changes = Changes::default();
        for tick in 0..10 {
            changes.note(rect(4, 4, 10, 8), at(tick * 33));
            changes.note(rect(40, 2, 1, 1), at(tick * 33));
        }
        changes.note(rect(5, 5, 10, 8), at(340));
        changes.note(rect(4, 4, 10, 8), at(2_000));
        let found: Vec<_> = changes.query(rect(0, 0, 30, 30), at(0)).copied().collect();
        let video = Change { cells: rect(4, 4, 11, 9), first: at(0), last: at(340), ticks: 11 };
        let later = Change { cells: rect(4, 4, 10, 8), first: at(2_000), last: at(2_000), ticks: 1 };
        assert_eq!(found, [later, video]);
        assert_eq!(changes.query(rect(0, 0, 30, 30), at(1_000)).count(), 1);
        assert_eq!(
            changes.query(rect(30, 0, 20, 20), at(0)).map(|change| change.ticks).collect::<Vec<_>>(),
            [10]
        );
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut changes = Changes::default();
        for number in 0..2 * HEAT_CHANGES_MAX as u16 {
            changes.note(rect(number % 100 * 2, number / 100 * 2, 1, 1), at(u64::from(number)));
        }
        assert_eq!(changes.query(rect(0, 0, 1_000, 1_000), at(0)).count(), HEAT_CHANGES_MAX);
        assert_eq!(changes.query(rect(0, 0, 1, 1), at(0)).count(), 0);
    }
}
