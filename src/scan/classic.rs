//! The refinement of classic shared-screen servers, to be compared with: rows first, then columns, all in one rectangle.
//!
//! Every sixteenth row of pixels is compared. From one that differs it goes back, row by row, to the first that does, and
//! on, in steps of 16 and then row by row, to the last; then what lies between, in columns of 32 pixels, each of which is
//! damaged in the whole height of what was found if a pixel of it differs. It reads little, tells more than has changed, and
//! sees late what lies between two of its rows: these move on with every tick, as the trough's do.

use crate::geometry::CellSet;
use crate::hypervisor::{Reading, Source, SourceError, Span, Surface};
use crate::limits::CELL;
use crate::scan::trough;

/// Rows of pixels from one that is compared to the next.
const ROWS: u16 = 16;
/// Columns of cells that are compared together.
const COLUMNS: u16 = 32 / CELL;

/// How what has changed is found where a source does not say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Refiner {
    /// Ours: cell by cell, in the pass that compares.
    #[default]
    Cells,
    /// Rows, then columns. For benches.
    Classic,
}

impl Refiner {
    /// The name that benches know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::Classic => "classic",
        }
    }
}

/// The classic refinement of one surface.
#[derive(Debug)]
pub(super) struct Classic {
    turn: u64,
    /// Rows of pixels that were read in this tick.
    read: Vec<bool>,
    /// What the last question found.
    hits: CellSet,
    /// What the rows of the rectangle in question found.
    band: CellSet,
    bytes: u64,
}

/// A source under way.
struct Scan<'a> {
    source: &'a mut dyn Source,
    surface: &'a Surface,
    shadow: &'a mut [u8],
}

impl Classic {
    pub(super) fn new(surface: &Surface) -> Self {
        let none = || CellSet::new(surface.size.grid());
        let read = vec![false; usize::from(surface.size.height)];
        Self { turn: 0, read, hits: none(), band: none(), bytes: 0 }
    }

    /// Scans `source`, which does not say what changed.
    ///
    /// # Errors
    /// As [`Source::probe`].
    pub(super) fn scan(
        &mut self,
        source: &mut dyn Source,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let mut scan = Scan { source, surface, shadow };
        let height = surface.size.height;
        self.read.fill(false);
        self.bytes = 0;
        let mut y = trough::line(self.turn);
        self.turn += 1;
        let mut done = 0;
        while y < height {
            self.band.clear();
            if !self.differs(&mut scan, y)? {
                y += ROWS;
                continue;
            }
            let mut top = y;
            while top > done && self.differs(&mut scan, top - 1)? {
                top -= 1;
            }
            let mut next = y + ROWS;
            while next < height && self.differs(&mut scan, next)? {
                next += ROWS;
            }
            let mut bottom = next - ROWS;
            while bottom + 1 < height.min(next) && self.differs(&mut scan, bottom + 1)? {
                bottom += 1;
            }
            self.columns(&mut scan, top, bottom, changed)?;
            // A row that was found to be the same beyond an edge says so for whoever comes from there.
            done = bottom + 1;
            y = next + ROWS;
        }
        Ok(Reading { bytes: self.bytes, notified: false })
    }

    /// Whether row `y` of pixels differs.
    fn differs(&mut self, scan: &mut Scan<'_>, y: u16) -> Result<bool, SourceError> {
        if std::mem::replace(&mut self.read[usize::from(y)], true) {
            return Ok(false);
        }
        let span = Span { y, height: 1, first: 0, end: scan.surface.size.grid().columns };
        self.ask(scan, span)?;
        self.band.union(&self.hits);
        Ok(!self.hits.is_empty())
    }

    fn ask(&mut self, scan: &mut Scan<'_>, span: Span) -> Result<(), SourceError> {
        self.hits.clear();
        self.bytes += scan.source.probe(scan.surface, &[span], scan.shadow, &mut self.hits)?.bytes;
        Ok(())
    }

    /// Adds what differs from row `top` to row `bottom` to `changed`, as columns of that height.
    fn columns(
        &mut self,
        scan: &mut Scan<'_>,
        top: u16,
        bottom: u16,
        changed: &mut CellSet,
    ) -> Result<(), SourceError> {
        let grid = changed.grid();
        let rows = top / CELL..bottom / CELL + 1;
        for first in (0..grid.columns).step_by(usize::from(COLUMNS)) {
            let end = (first + COLUMNS).min(grid.columns);
            let mut cells = rows.clone().flat_map(|row| (first..end).map(move |column| (column, row)));
            let mut is_damaged = cells.any(|(column, row)| self.band.contains(grid.index(column, row)));
            let mut y = top;
            while y <= bottom {
                if self.read[usize::from(y)] {
                    y += 1;
                    continue;
                }
                let most = (y / CELL + 1) * CELL;
                let behind = (y..most.min(bottom + 1)).find(|y| self.read[usize::from(*y)]);
                let height = behind.unwrap_or(most.min(bottom + 1)) - y;
                self.ask(scan, Span { y, height, first, end })?;
                is_damaged |= !self.hits.is_empty();
                y += height;
            }
            if is_damaged {
                for row in rows.clone() {
                    for column in first..end {
                        changed.insert(grid.index(column, row));
                    }
                }
            }
        }
        self.read[usize::from(top)..=usize::from(bottom)].fill(true);
        Ok(())
    }
}
