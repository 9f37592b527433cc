//! Copies: which wanted cells a client can take from a reference, and in which rectangles.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::context::motion::{Move, Search};
use crate::geometry::{CellRect, CellSet, PixelRect, Size};
use crate::hypervisor::SourceId;
use crate::limits::{MOTION_SEARCHES_MAX, RECORD_CELLS_MAX};
use crate::logic::base::{Base, mix};
use crate::logic::region;
use crate::pixel::Fit;
use crate::scan::{Picture, Tick};
use crate::units::Epoch;
use lfp_proto::technique::base::Vector;

/// Detail that a rectangle needs for a copy to be worth it: a record of one takes about as many bytes.
const DETAIL_MIN: u32 = 24;

/// A rectangle that a client can copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copied {
    /// Where to.
    pub(super) cells: CellRect,
    /// To where from.
    pub(super) vector: Vector,
    /// Cells of the base that the source lies in; all trusted.
    pub(super) base: CellRect,
}

/// Names a search: its result is the same whoever asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Question {
    pub(super) source: SourceId,
    pub(super) fit: Fit,
    pub(super) epoch: Epoch,
    pub(super) tick: u64,
    base: u64,
    cells: u64,
}

impl Question {
    /// What of `wanted`, as of `tick`, `base` has.
    pub(super) fn new(tick: &Tick, base: &Base, wanted: &CellSet) -> Self {
        let cells = wanted.iter().fold(0, |sum, index| mix(sum, index as u64 + 1));
        let Tick { source, fit, epoch, number, .. } = *tick;
        Self { source, fit, epoch, tick: number, base: base.id, cells }
    }
}

/// Searches that are not in use, for pictures of their source, as it is shown, and epoch.
#[derive(Default)]
pub(super) struct Searches(Mutex<Vec<(SourceId, Fit, Epoch, Search)>>);

impl Searches {
    /// Lends a search for pictures of a source in an epoch.
    pub(super) fn with<T>(&self, question: &Question, size: Size, work: impl FnOnce(&mut Search) -> T) -> T {
        let Question { source, fit, epoch, .. } = *question;
        let mut all = self.lock();
        all.retain(|(kept, _, of, _)| *kept != source || *of == epoch);
        let place = all.iter().position(|(kept, how, ..)| (*kept, *how) == (source, fit));
        let search = place.map(|place| all.swap_remove(place).3);
        drop(all);
        let mut search = search.unwrap_or_else(|| Search::new(size));
        // Whatever else was searched, and in which order, the same question gets the same answer.
        search.forget();
        let result = work(&mut search);
        let mut all = self.lock();
        if all.len() == MOTION_SEARCHES_MAX {
            all.remove(0);
        }
        all.push((source, fit, epoch, search));
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SourceId, Fit, Epoch, Search)>> {
        // A push or a removal leaves the list sound whatever happens.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rectangles of `wanted` cells of `picture` that `base` has, here or elsewhere; no cell lies in two. With them
/// may come cells that are not wanted, where that makes one rectangle of two. `moves` are those of the picture's tick: what
/// moved since the tick before has often moved so since the base.
pub(super) fn find(
    base: &Base,
    picture: &Picture,
    wanted: &CellSet,
    moves: &[Move],
    search: &mut Search,
) -> Vec<Copied> {
    let grid = picture.size.grid();
    let mut found = Vec::new();
    let mut rest = wanted.clone();
    let mut back = CellSet::new(grid);
    for index in wanted.iter() {
        if base.trusted.contains(index) && same(&base.picture, picture, index) {
            back.insert(index);
        }
    }
    // What is again, or still, as it was.
    let here = Vector::default();
    rectangles(&back, grid.rect(), picture, |cells| push(&mut found, base, cells, here, picture));
    rest.subtract(&back);
    search.suppose(moves.iter().map(|one| one.vector));
    for moved in search.find(&base.picture, picture, &rest) {
        let vector = vector(moved, picture.size);
        let Some(touched) = base_cells(moved.cells, vector, picture.size) else { continue };
        let taken = moved.cells.indices(grid).any(|index| back.contains(index));
        if !taken && base.trusts(touched) {
            push(&mut found, base, moved.cells, vector, picture);
            continue;
        }
        let mut sound = CellSet::new(grid);
        for index in moved.cells.indices(grid).filter(|index| rest.contains(*index)) {
            let cell = cell(index, picture.size);
            if base_cells(cell, vector, picture.size).is_some_and(|touched| base.trusts(touched)) {
                sound.insert(index);
            }
        }
        rectangles(&sound, moved.cells, picture, |cells| push(&mut found, base, cells, vector, picture));
    }
    found
}

/// Whether two pictures of one size have the same pixels in the cell with row-major `index`.
pub(super) fn same(old: &Picture, new: &Picture, index: usize) -> bool {
    let CellRect { x, y, .. } = cell(index, new.size);
    old.changed_at(x, y) == new.changed_at(x, y) || old.tile(x, y) == new.tile(x, y)
}

fn cell(index: usize, size: Size) -> CellRect {
    let columns = usize::from(size.grid().columns);
    CellRect { x: (index % columns) as u16, y: (index / columns) as u16, width: 1, height: 1 }
}

/// From where a rectangle is to where it was.
fn vector(moved: &Move, size: Size) -> Vector {
    let PixelRect { x, y, .. } = size.clip(moved.cells);
    let way = |from: u16, to: u16| i32::from(to) - i32::from(from);
    Vector { dx: way(x, moved.source.x), dy: way(y, moved.source.y) }
}

fn base_cells(cells: CellRect, vector: Vector, size: Size) -> Option<CellRect> {
    vector.inside(size.clip(cells), size).map(PixelRect::cells_touched)
}

/// Adds a copy of `cells`, in as many records as they take.
fn push(found: &mut Vec<Copied>, base: &Base, cells: CellRect, vector: Vector, picture: &Picture) {
    if cells.cells() > RECORD_CELLS_MAX {
        let (first, second) = region::split(cells);
        push(found, base, first, vector, picture);
        push(found, base, second, vector, picture);
    } else if let Some(touched) = base_cells(cells, vector, picture.size) {
        debug_assert!(base.trusts(touched));
        found.push(Copied { cells, vector, base: touched });
    }
}

/// Puts those of `cells` that lie in `area` into rectangles that are worth a record each, the largest that begin at
/// each cell that is left, from the top left.
fn rectangles(cells: &CellSet, area: CellRect, picture: &Picture, mut take: impl FnMut(CellRect)) {
    let mut left = cells.clone();
    for index in area.indices(cells.grid()) {
        if !left.contains(index) {
            continue;
        }
        let CellRect { x, y, .. } = cell(index, picture.size);
        let best = largest(&left, x, y, area);
        for index in best.indices(cells.grid()) {
            left.remove(index);
        }
        if detail(picture, best) >= DETAIL_MIN {
            take(best);
        }
    }
}

/// The largest rectangle of `cells` that begins at column `x`, row `y`, inside `area`.
pub(super) fn largest(cells: &CellSet, x: u16, y: u16, area: CellRect) -> CellRect {
    let grid = cells.grid();
    let mut best = CellRect { x, y, width: 1, height: 1 };
    let (mut width, bottom) = (area.x + area.width - x, area.y + area.height);
    for row in y..bottom {
        width = (x..x + width).take_while(|x| cells.contains(grid.index(*x, row))).count() as u16;
        if usize::from(width) * usize::from(bottom - y) <= best.cells() {
            break;
        }
        let rect = CellRect { x, y, width, height: row - y + 1 };
        if rect.cells() > best.cells() {
            best = rect;
        }
    }
    best
}

fn detail(picture: &Picture, cells: CellRect) -> u32 {
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    let rows = picture.cell_rows(cells);
    rows.flat_map(|row| &row.detail[columns.clone()]).map(|detail| u32::from(*detail)).sum()
}

#[cfg(test)]
mod tests;
