//! The search for what moved between two pictures.

use super::verify::{MIDDLE, came_from, source, telling};
use super::votes::{Votes, WEIGHT};
use super::{Move, Vector};
use crate::geometry::{CellRect, CellSet, Grid, Size};
use crate::kernel::anchors::{ANCHORS, NONE};
use crate::kernel::dispatch::anchors;
use crate::limits::{CELL, MOTION_MOVES_MAX, MOTION_SAMPLE_CELLS, MOTION_VECTORS_MAX};
use crate::scan::Picture;

/// Changed cells below which nothing can have moved that is worth a copy.
const CELLS_MIN: usize = 4;
/// Weight of the votes that a vector needs: two anchors that each have one place.
const VOTES_MIN: u32 = 2 * WEIGHT;
/// A vector needs at least this part of the votes of the first one, so that chance does not fill the list.
const VOTES_PART: u32 = 64;
/// Searches in a row in which a cell changed and had not moved after which it is taken for one that does not move, as
/// in a video: one in so many of these is looked at, another one each time, and the others only if that one moved.
const BARREN: u8 = 8;
/// Detail that a rectangle needs: a record that copies takes about as many bytes.
const DETAIL_MIN: u32 = 24;
/// Rectangles of one vector that are looked at before the largest are chosen.
const RECTS_MAX: usize = 4 * MOTION_MOVES_MAX;
/// Corners of rectangles that are tried for one vector: what is in more pieces is not worth its copies.
const ATTEMPTS_MAX: usize = 2 * RECTS_MAX;

/// Changed cells that are looked at to tell whether something goes on as it moved, and the fewest that tell.
const STEADY_SAMPLE: usize = 64;
const STEADY_SAMPLE_MIN: usize = 8;

/// Finds what moved. Keeps the anchors of each cell, so that a picture that goes on moving is read once.
#[derive(Debug)]
pub struct Search {
    grid: Grid,
    sketches: Vec<Sketch>,
    votes: Votes,
    best: Vec<(u32, Vector)>,
    /// The vectors that moved something last: likely to do so again.
    recent: Vec<Vector>,
    /// Per cell: one more than the place in `vectors` of the vector that explains it; 0 if none does.
    explained: Vec<u8>,
    vectors: Vec<Vector>,
    /// Per cell: what was learned about it under the vector tried last, see [`Search::holds`].
    tried: Vec<u32>,
    trial: u32,
    /// Per changed cell: the place of the pixel that is compared first.
    places: Vec<u8>,
    /// Per cell: searches in a row in which it changed and had not moved, up to [`BARREN`].
    barren: Vec<u8>,
    round: u32,
    /// Cells that changed: those that are looked at first, and the others.
    changed: Vec<u32>,
    resting: Vec<u32>,
    /// Cells that did not change and lie in a rectangle all the same.
    bridged: Vec<u32>,
    rects: Vec<Move>,
    moves: Vec<Move>,
}

/// The anchors of one cell as of the tick in which it last changed.
#[derive(Clone, Copy, Debug)]
struct Sketch {
    changed_at: u64,
    anchors: [u32; ANCHORS],
}

impl Search {
    /// A search over pictures of that size. All the memory that it will ever use is taken now.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let grid = size.grid();
        let cells = grid.cells();
        Self {
            grid,
            sketches: vec![Sketch { changed_at: 0, anchors: [NONE; ANCHORS] }; cells],
            votes: Votes::new(cells.min(MOTION_SAMPLE_CELLS) * ANCHORS),
            best: Vec::with_capacity(MOTION_VECTORS_MAX),
            recent: Vec::with_capacity(MOTION_VECTORS_MAX),
            explained: vec![0; cells],
            vectors: Vec::with_capacity(2 * MOTION_VECTORS_MAX),
            tried: vec![0; cells],
            trial: 0,
            places: vec![MIDDLE; cells],
            barren: vec![0; cells],
            round: 0,
            changed: Vec::with_capacity(cells),
            resting: Vec::with_capacity(cells),
            bridged: Vec::with_capacity(cells),
            rects: Vec::with_capacity(RECTS_MAX),
            moves: Vec::with_capacity(MOTION_MOVES_MAX),
        }
    }

    /// Forgets what earlier searches found, so that the next finds what any other would find in the same pictures. What
    /// was read of unchanged cells stays.
    pub fn forget(&mut self) {
        self.recent.clear();
        self.barren.fill(0);
    }

    /// Has the next search try `vectors` too, first of all the one that goes on, as if an earlier search had found them: at
    /// most [`MOTION_VECTORS_MAX`] of them.
    pub fn suppose(&mut self, vectors: impl Iterator<Item = Vector>) {
        for vector in vectors {
            if self.recent.len() < MOTION_VECTORS_MAX && !self.recent.contains(&vector) {
                self.recent.push(vector);
            }
        }
    }

    /// Which rectangles of `new` show what lay elsewhere in `old`; `changed` are the cells in which the two differ.
    /// At most [`MOTION_MOVES_MAX`], those with most detail first; no cell lies in two.
    ///
    /// # Panics
    /// If a picture or `changed` is of another size than the search.
    pub fn find(&mut self, old: &Picture, new: &Picture, changed: &CellSet) -> &[Move] {
        let grids = [old.size.grid(), new.size.grid(), changed.grid()];
        assert!(grids.iter().all(|grid| *grid == self.grid), "{grids:?} are not {:?}", self.grid);
        self.moves.clear();
        self.vectors.clear();
        self.take_up(changed);
        if self.changed.len() < CELLS_MIN || old.size != new.size {
            self.recent.clear();
            return &[];
        }
        if let Some(vector) = self.steady(old, new) {
            self.best.clear();
            self.best.push((VOTES_MIN, vector));
        } else {
            self.poll(old, new);
            self.votes.elect(VOTES_MIN, &mut self.best);
            let least = self.best.first().map_or(0, |(votes, _)| votes / VOTES_PART);
            self.best.retain(|(votes, _)| *votes >= least);
        }
        self.try_all(old, new);
        self.choose();
        self.remember();
        &self.moves
    }

    /// Forgets the last search, and sorts what changed by whether it is likely to have moved.
    fn take_up(&mut self, changed: &CellSet) {
        self.round = self.round.wrapping_add(1);
        let last = self.changed.drain(..).chain(self.resting.drain(..)).chain(self.bridged.drain(..));
        for index in last {
            self.explained[index as usize] = 0;
        }
        for index in changed.iter().map(|index| index as u32) {
            let rests = self.barren[index as usize] >= BARREN
                && spread(index.wrapping_add(self.round << 16)) % u32::from(BARREN) != 0;
            if rests { self.resting.push(index) } else { self.changed.push(index) }
        }
    }

    /// Notes which cells had moved and which had not.
    fn remember(&mut self) {
        for index in self.changed.iter().chain(&self.resting).map(|index| *index as usize) {
            let barren = &mut self.barren[index];
            *barren = if self.explained[index] == 0 { (*barren + 1).min(BARREN) } else { 0 };
        }
    }

    /// What the last search found.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The vector by which the cell with row-major `index` moved in the last search, in a rectangle or not.
    #[must_use]
    pub fn vector(&self, index: usize) -> Option<Vector> {
        let place = usize::from(self.explained[index]).checked_sub(1)?;
        self.vectors.get(place).copied()
    }

    /// The recent vector by which at least three quarters of what changed have moved, going by a sample, if there is one: a
    /// page that is scrolled need not be read for its anchors in every tick.
    fn steady(&self, old: &Picture, new: &Picture) -> Option<Vector> {
        if self.recent.is_empty() {
            return None;
        }
        let step = self.changed.len().div_ceil(STEADY_SAMPLE);
        let (mut sample, mut len) = ([(0, 0, MIDDLE); STEADY_SAMPLE], 0);
        for (x, y) in self.changed.iter().step_by(step).map(|index| self.place(*index)) {
            if new.detail(x, y) > 0 {
                sample[len] = (x, y, telling(new.tile(x, y)));
                len += 1;
            }
        }
        let moved = |vector: Vector| {
            let moved =
                sample[..len].iter().filter(|(x, y, place)| came_from(old, new, *x, *y, vector, *place));
            moved.count()
        };
        let is_steady = |vector: &Vector| moved(*vector) * 4 >= len * 3;
        self.recent.iter().copied().find(|vector| len >= STEADY_SAMPLE_MIN && is_steady(vector))
    }

    /// Has the anchors of both pictures vote.
    fn poll(&mut self, old: &Picture, new: &Picture) {
        self.votes.restart();
        // Of many cells some are enough; which ones, depends on nothing that moves with the picture. It is always the same
        // ones, so that what was read of them as the new picture is there when they are the old one.
        let step = self.changed.len().div_ceil(MOTION_SAMPLE_CELLS).next_power_of_two() as u32;
        for at in 0..self.changed.len() {
            let index = self.changed[at];
            if spread(index) % step == 0 {
                let (x, y) = self.place(index);
                let anchors = self.sketch(old, x, y);
                anchors.into_iter().for_each(|anchor| self.votes.note(anchor, x * CELL, y * CELL));
            }
        }
        for at in 0..self.changed.len() {
            let index = self.changed[at];
            if spread(index) % step == 0 {
                let (x, y) = self.place(index);
                let anchors = self.sketch(new, x, y);
                anchors.into_iter().for_each(|anchor| self.votes.vote(anchor, x * CELL, y * CELL));
            }
        }
    }

    fn place(&self, index: u32) -> (u16, u16) {
        let columns = u32::from(self.grid.columns);
        ((index % columns) as u16, (index / columns) as u16)
    }

    fn sketch(&mut self, picture: &Picture, x: u16, y: u16) -> [u32; ANCHORS] {
        let changed_at = picture.changed_at(x, y);
        if picture.detail(x, y) == 0 {
            return [NONE; ANCHORS];
        }
        let sketch = &mut self.sketches[self.grid.index(x, y)];
        if sketch.changed_at != changed_at {
            *sketch = Sketch { changed_at, anchors: anchors(picture.tile(x, y)) };
        }
        sketch.anchors
    }

    /// Tries the elected vectors and those of the last search on every changed cell.
    fn try_all(&mut self, old: &Picture, new: &Picture) {
        self.rects.clear();
        let elected = self.best.iter().map(|(_, vector)| *vector);
        let known =
            self.recent.iter().copied().filter(|vector| self.best.iter().all(|best| best.1 != *vector));
        self.vectors.extend(elected.chain(known));
        self.recent.clear();
        if self.vectors.is_empty() {
            return;
        }
        for index in self.changed.iter().chain(&self.resting) {
            let (x, y) = self.place(*index);
            self.places[*index as usize] = telling(new.tile(x, y));
        }
        for at in 0..self.vectors.len() {
            self.trial += 1;
            if self.trial > u32::MAX / 2 {
                self.tried.fill(0);
                self.trial = 1;
            }
            if self.explain(old, new, at) {
                let before = self.rects.len();
                self.gather(old, new, at);
                if self.rects.len() > before && self.recent.len() < MOTION_VECTORS_MAX {
                    self.recent.push(self.vectors[at]);
                }
            }
        }
    }

    /// Marks the cells that vector number `at` explains and no earlier one did; says whether there are any.
    fn explain(&mut self, old: &Picture, new: &Picture, at: usize) -> bool {
        let vector = self.vectors[at];
        let (mut any, mut woken) = (false, false);
        let mut position = 0;
        while position < self.changed.len() {
            let index = self.changed[position];
            position += 1;
            if self.explained[index as usize] == 0 {
                let (x, y) = self.place(index);
                let moved = came_from(old, new, x, y, vector, self.places[index as usize]);
                self.tried[index as usize] = self.trial << 1 | u32::from(moved);
                if moved {
                    self.explained[index as usize] = at as u8 + 1;
                    any = true;
                    if self.barren[index as usize] >= BARREN && !self.resting.is_empty() {
                        woken = true;
                        self.changed.append(&mut self.resting);
                    }
                }
            }
        }
        if woken {
            // Rectangles are begun in the order of reading.
            self.changed.sort_unstable();
        }
        any
    }

    /// Whether the cell shows what vector number `at` says, and lies in no rectangle yet: each cell is compared once
    /// per vector.
    fn holds(&mut self, old: &Picture, new: &Picture, x: u16, y: u16, at: usize) -> bool {
        let index = self.grid.index(x, y);
        if ![0, at as u8 + 1].contains(&self.explained[index]) {
            return false;
        }
        if self.tried[index] >> 1 != self.trial {
            let moved = came_from(old, new, x, y, self.vectors[at], MIDDLE);
            self.tried[index] = self.trial << 1 | u32::from(moved);
        }
        self.tried[index] & 1 == 1
    }

    /// Puts the cells that vector number `at` explains into rectangles.
    fn gather(&mut self, old: &Picture, new: &Picture, at: usize) {
        let vector = self.vectors[at];
        let mut attempts = 0;
        for position in 0..self.changed.len() {
            let index = self.changed[position];
            let is_free =
                self.explained[index as usize] == at as u8 + 1 && self.tried[index as usize] & 1 == 1;
            if !is_free {
                continue;
            }
            attempts += 1;
            if attempts > ATTEMPTS_MAX || self.rects.len() == RECTS_MAX {
                break;
            }
            let (x, y) = self.place(index);
            let cells = self.largest_from(old, new, x, y, at);
            let detail = self.detail(new, cells, at);
            let is_worth_it = detail >= DETAIL_MIN;
            self.take(cells, at, is_worth_it);
            if is_worth_it {
                let source = source(new, cells, vector).expect("each cell's source lies inside");
                self.rects.push(Move { cells, source, vector, detail });
            }
        }
    }

    /// The largest rectangle that begins at the cell at column `x`, row `y`, and holds for vector number `at`, less
    /// the columns on its right and the rows at its foot in which nothing changed.
    fn largest_from(&mut self, old: &Picture, new: &Picture, x: u16, y: u16, at: usize) -> CellRect {
        let mut best = CellRect { x, y, width: 1, height: 1 };
        let mut width = self.grid.columns - x;
        for row in y..self.grid.rows {
            let holding = (x..x + width).take_while(|x| self.holds(old, new, *x, row, at)).count() as u16;
            width = holding;
            let cells = CellRect { x, y, width, height: row - y + 1 };
            if width == 0 || usize::from(width) * usize::from(self.grid.rows - y) <= best.cells() {
                break;
            }
            if cells.cells() > best.cells() {
                best = cells;
            }
        }
        self.trim(best, at)
    }

    fn trim(&self, mut cells: CellRect, at: usize) -> CellRect {
        let explained = |x: u16, y: u16| self.explained[self.grid.index(x, y)] == at as u8 + 1;
        let row = |cells: CellRect, y: u16| (cells.x..cells.x + cells.width).any(|x| explained(x, y));
        let column = |cells: CellRect, x: u16| (cells.y..cells.y + cells.height).any(|y| explained(x, y));
        while cells.height > 1 && !row(cells, cells.y + cells.height - 1) {
            cells.height -= 1;
        }
        while cells.width > 1 && !column(cells, cells.x + cells.width - 1) {
            cells.width -= 1;
        }
        cells
    }

    /// The sum of the detail of those of `cells` that vector number `at` explains.
    fn detail(&self, new: &Picture, cells: CellRect, at: usize) -> u32 {
        let explained = |x: &u16, y: u16| self.explained[self.grid.index(*x, y)] == at as u8 + 1;
        let rows = cells.y..cells.y + cells.height;
        rows.flat_map(|y| {
            (cells.x..cells.x + cells.width).filter(move |x| explained(x, y)).map(move |x| (x, y))
        })
        .map(|(x, y)| u32::from(new.detail(x, y)))
        .sum()
    }

    /// Marks `cells` as looked at; if they are `kept`, those that did not change belong to the rectangle too.
    fn take(&mut self, cells: CellRect, at: usize, kept: bool) {
        for index in cells.indices(self.grid) {
            self.tried[index] = self.trial << 1;
            if kept && self.explained[index] == 0 {
                self.explained[index] = at as u8 + 1;
                self.bridged.push(index as u32);
            }
        }
    }

    /// Keeps the rectangles with most detail.
    fn choose(&mut self) {
        self.rects.sort_unstable_by_key(|one| (std::cmp::Reverse(one.detail), one.cells.y, one.cells.x));
        self.moves.extend(self.rects.iter().take(MOTION_MOVES_MAX));
    }
}

/// Scatters cell indices, so that samples of old and new meet at any distance.
fn spread(index: u32) -> u32 {
    let spread = index.wrapping_mul(0x9e37_79b1);
    (spread ^ spread >> 15).wrapping_mul(0x85eb_ca6b) >> 16
}
