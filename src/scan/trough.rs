//! The graduated trough: how an idle source is watched for a sixteenth of what a sweep reads.
//!
//! Each tick probes one row of pixels of every row of cells, seven further than the last, modulo 16. So the widest gap
//! between rows that were looked at falls to 9 rows in two ticks, 7 in three, 5 in five, 3 in seven, 2 in nine, and after
//! 16 ticks there is none, whichever tick one begins to count from (halving the gaps in turn, the other natural order, is
//! as good only from its beginning: in the middle of it two ticks may leave 15 rows). What is 16 rows high is hit at once, a
//! line of text within two ticks. Cells where something happens all the time, or where input makes a change likely, are
//! read whole every tick.
//!
//! A hit needs no further search inside its row: the pass that compares says which cells differ, and reads nothing twice.
//! From there the search narrows to the cells that changed: those that were hit are read whole, and so are those
//! around them, ring by ring, until a ring holds no change; there it stops.

use crate::geometry::{CellSet, Size};
use crate::hypervisor::{Reading, Source, SourceError, Span, Surface};
use crate::limits::{CELL, PROBE_MEMORY};
use crate::scan::TimeArray;
use crate::time::Instant;

/// Ticks in which every row is probed once.
pub const TURNS: u64 = CELL as u64;
/// Rows from one turn's to the next's: of the numbers that meet every row, the one that leaves the smallest gaps.
const STEP: u64 = 7;
const _: () = assert!(CELL == 16 && STEP % 2 == 1, "every row is met");

/// Of so many cells one may be read whole in every tick because it changes all the time. With the rows that are probed
/// that is less than a twelfth of a surface.
const HOT_SHARE: usize = 64;

/// Which row of pixels of each row of cells is probed in turn `turn`.
#[must_use]
pub const fn line(turn: u64) -> u16 {
    (turn % TURNS * STEP % TURNS) as u16
}

/// Lists what one turn reads: row `line` of every row of cells, and all of the cells `whole`. Nothing twice.
pub fn spans(size: Size, line: u16, whole: &CellSet, out: &mut Vec<Span>) {
    out.clear();
    for row in 0..size.grid().rows {
        let top = row * CELL;
        let height = CELL.min(size.height - top);
        runs(whole, row, |is_whole, first, end| {
            if is_whole {
                out.push(Span { y: top, height, first, end });
            } else if line < height {
                out.push(Span { y: top + line, height: 1, first, end });
            }
        });
    }
}

/// Lists what is left to be read of `cells`, of which row `line` was.
fn rest(size: Size, line: u16, cells: &CellSet, out: &mut Vec<Span>) {
    out.clear();
    for row in 0..size.grid().rows {
        let top = row * CELL;
        let height = CELL.min(size.height - top);
        runs(cells, row, |is_in, first, end| {
            if !is_in {
                return;
            }
            let above = line.min(height);
            let below = height.saturating_sub(line + 1);
            if above > 0 {
                out.push(Span { y: top, height: above, first, end });
            }
            if below > 0 {
                out.push(Span { y: top + line + 1, height: below, first, end });
            }
        });
    }
}

/// Takes the cells of a row apart into runs of those that are in `cells` and those that are not.
fn runs(cells: &CellSet, row: u16, mut run: impl FnMut(bool, u16, u16)) {
    let grid = cells.grid();
    let is_in = |column: u16| cells.contains(grid.index(column, row));
    let mut first = 0;
    while first < grid.columns {
        let kind = is_in(first);
        let end = (first..grid.columns).find(|column| is_in(*column) != kind).unwrap_or(grid.columns);
        run(kind, first, end);
        first = end;
    }
}

/// The trough of one surface. Its memory is taken when it is made, but for the list of spans, which grows as needed.
#[derive(Debug)]
pub(super) struct Trough {
    turn: u64,
    spans: Vec<Span>,
    /// Where something happens all the time.
    expected: CellSet,
    /// What was, or is to be, read whole in this tick.
    whole: CellSet,
    /// Cells that changed and around which everything is in `whole`.
    done: CellSet,
    ring: CellSet,
}

impl Trough {
    pub(super) fn new(size: Size) -> Self {
        let none = || CellSet::new(size.grid());
        let spans = Vec::with_capacity(usize::from(size.grid().rows) * 2);
        Self { turn: 0, spans, expected: none(), whole: none(), done: none(), ring: none() }
    }

    /// Takes note of where something happens all the time: cells that changed in the last [`PROBE_MEMORY`], as far as the
    /// array reaches and the trough can afford.
    pub(super) fn expect(&mut self, history: &TimeArray, now: Instant) {
        self.expected.clear();
        let mut left = self.expected.grid().cells() / HOT_SHARE;
        let newest = history.entries().rev().map(|entry| &entry.delta);
        for delta in newest.take_while(|delta| now.saturating_since(delta.at) <= PROBE_MEMORY) {
            for cell in delta.cells.iter() {
                if left == 0 {
                    return;
                }
                left -= usize::from(self.expected.insert(cell));
            }
        }
    }

    /// Whether something changed where nothing was expected to.
    pub(super) fn is_surprised(&self, changed: &CellSet) -> bool {
        changed.iter().any(|cell| !self.expected.contains(cell))
    }

    /// One turn: probes `source`, and reads what a hit leads to. Cells that changed are whole in `shadow`.
    ///
    /// # Errors
    /// As [`Source::probe`].
    pub(super) fn probe(
        &mut self,
        source: &mut dyn Source,
        surface: &Surface,
        hinted: &CellSet,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let line = line(self.turn);
        self.turn += 1;
        self.done.clear();
        self.whole.clear();
        self.whole.union(&self.expected);
        self.whole.union(hinted);
        spans(surface.size, line, &self.whole, &mut self.spans);
        let mut reading = source.probe(surface, &self.spans, shadow, changed)?;
        while !reading.notified && self.grow(changed) {
            rest(surface.size, line, &self.ring, &mut self.spans);
            self.whole.union(&self.ring);
            reading.bytes += source.probe(surface, &self.spans, shadow, changed)?.bytes;
        }
        Ok(reading)
    }

    /// Fills the next ring: what was not read whole of the cells that changed, and of those around them. Says whether there
    /// is any.
    fn grow(&mut self, changed: &CellSet) -> bool {
        let grid = changed.grid();
        let columns = usize::from(grid.columns);
        self.ring.clear();
        for cell in changed.iter() {
            if !self.done.insert(cell) {
                continue;
            }
            let (x, y) = ((cell % columns) as u16, (cell / columns) as u16);
            for y in y.saturating_sub(1)..(y + 2).min(grid.rows) {
                for x in x.saturating_sub(1)..(x + 2).min(grid.columns) {
                    let index = grid.index(x, y);
                    if !self.whole.contains(index) {
                        self.ring.insert(index);
                    }
                }
            }
        }
        !self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::PixelFormat;
    use crate::scan::fake::Rng;

    /// How often each pixel row of each column of cells is read by `spans`.
    fn reads(size: Size, spans: &[Span]) -> Vec<u8> {
        let columns = usize::from(size.grid().columns);
        let mut reads = vec![0; columns * usize::from(size.height)];
        for span in spans {
            for y in span.y..span.y + span.height {
                for column in span.first..span.end {
                    reads[usize::from(y) * columns + usize::from(column)] += 1;
                }
            }
        }
        reads
    }

    fn surface(size: Size) -> Surface {
        let stride_bytes = u32::from(size.width) * 4;
        Surface { size, stride_bytes, format: PixelFormat::Xrgb8888, offset_bytes: 0 }
    }

    #[test]
    fn every_row_is_probed_within_sixteen_ticks_whenever_one_begins_to_count() {
        let mut rng = Rng(7);
        for (width, height) in [(16, 1), (100, 75), (1280, 800), (1920, 1080)] {
            let size = Size { width, height };
            for begin in 0..TURNS {
                let mut seen = vec![0; usize::from(size.grid().columns) * usize::from(height)];
                for turn in begin..begin + TURNS {
                    // What is hot changes all the time; the bound must not depend on it.
                    let mut whole = CellSet::new(size.grid());
                    for _ in 0..rng.below(9) {
                        whole.insert(rng.below(size.grid().cells() as u64) as usize);
                    }
                    let mut list = Vec::new();
                    spans(size, line(turn), &whole, &mut list);
                    assert!(list.iter().all(|span| span.lies_in(&surface(size))));
                    let reads = reads(size, &list);
                    assert!(reads.iter().all(|count| *count < 2), "nothing is read twice in a tick");
                    seen.iter_mut().zip(&reads).for_each(|(seen, read)| *seen += read);
                }
                assert!(seen.iter().all(|count| *count > 0), "{width}x{height} from turn {begin}");
            }
        }
    }

    #[test]
    fn what_is_higher_is_hit_sooner_whenever_it_comes() {
        let mut lines: Vec<_> = (0..TURNS).map(line).collect();
        lines.sort_unstable();
        assert!(lines.iter().copied().eq(0..16));
        for (height, ticks) in [(16, 1), (9, 2), (7, 3), (5, 5), (3, 7), (2, 9), (1, 16)] {
            for begin in 0..TURNS {
                for y in 0..16_u16 {
                    let rows = y..y + height;
                    let hit = |turn: u64| rows.contains(&line(turn)) || rows.contains(&(line(turn) + 16));
                    assert!((begin..begin + ticks).any(hit), "{height} rows from {y}, from turn {begin}");
                }
            }
        }
    }

    #[test]
    fn a_turn_reads_less_than_a_twelfth_of_a_sweep_with_all_the_heat_that_is_allowed() {
        for (width, height) in [(640, 480), (800, 600), (1280, 800), (1366, 768), (1920, 1080), (3840, 2160)]
        {
            let size = Size { width, height };
            let mut whole = CellSet::new(size.grid());
            let hot = size.grid().cells() / HOT_SHARE;
            // Scattered: no two in one span.
            (0..hot).for_each(|cell| assert!(whole.insert(cell * 7 % size.grid().cells())));
            for turn in 0..TURNS {
                let mut list = Vec::new();
                spans(size, line(turn), &whole, &mut list);
                let read = Reading::of_spans(&surface(size), &list).bytes;
                assert!(
                    read * 12 <= surface(size).shadow_bytes() as u64,
                    "{width}x{height}: {read} bytes of {}",
                    surface(size).shadow_bytes()
                );
            }
        }
    }

    #[test]
    fn what_is_left_of_a_ring_is_all_but_the_row_that_was_probed() {
        let size = Size { width: 100, height: 75 };
        let mut ring = CellSet::new(size.grid());
        [0, 6, 9, 10, 33, 34].into_iter().for_each(|cell| assert!(ring.insert(cell)));
        for line in 0..16 {
            let (mut probed, mut left) = (Vec::new(), Vec::new());
            spans(size, line, &CellSet::new(size.grid()), &mut probed);
            rest(size, line, &ring, &mut left);
            assert!(left.iter().all(|span| span.lies_in(&surface(size))));
            let (probed, left) = (reads(size, &probed), reads(size, &left));
            for (at, (probed, left)) in probed.into_iter().zip(left).enumerate() {
                let (column, y) = (at % 7, at / 7);
                let is_in = ring.contains(y / 16 * 7 + column);
                assert_eq!(left, u8::from(is_in) * (1 - probed), "row {y} of column {column}");
            }
        }
    }
}
