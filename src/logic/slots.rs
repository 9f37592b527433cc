//! What a client's bitmap cache holds: which of it a picture shows again, and what is about to go that is worth a slot.
//!
//! A store costs some twenty bytes and no pixels, since the client has them; so whatever would take many times that to be
//! sent again is worth one as it is covered. Cells are compared where they were: what comes back elsewhere, but not at a
//! multiple of a cell's side away, no table of cells would find, and what is still on the screen is copied.

use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, Grid};
use crate::limits::{CACHE_SLOT_CELLS, CACHE_STORES_MAX, CELL};
use crate::logic::base::Base;
use crate::logic::copies::{self, Copied};
use crate::logic::region;
use crate::scan::{Class, Contexts, Picture, Tile};
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::cache::{Stored, Use};

/// Detail of a picture that a slot is worth: without it, the picture would take about so many bytes or more, ten times what
/// its store does.
const STORE_DETAIL_MIN: u32 = 192;
/// Detail of wanted cells that a use is worth: a few cells of writing more or less cost the dictionary, which knows what is
/// around them, no more than a record of their own, and what is cut out of a rectangle cuts that to pieces.
const USE_DETAIL_MIN: u32 = 96;

/// What a client's cache holds, as far as a session knows.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// The pictures, in the order in which they are looked through.
    pub entries: Vec<Entry>,
}

/// A picture in a slot.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where.
    pub stored: Stored,
    /// The cells that it was taken from.
    pub cells: CellRect,
    /// Their pixels, row-major.
    pub tiles: Arc<[Arc<Tile>]>,
    /// The client is known to have it.
    pub confirmed: bool,
}

impl Entry {
    /// What it has of its cell with row-major `index`.
    fn tile(&self, index: usize, grid: Grid) -> &Arc<Tile> {
        let (x, y) = place(index, grid);
        let (x, y) = (usize::from(x - self.cells.x), usize::from(y - self.cells.y));
        &self.tiles[y * usize::from(self.cells.width) + x]
    }
}

/// Cells that a client can take out of its cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Which, some of them wanted. All show what the slot holds.
    pub(super) cells: CellRect,
    /// What of which slot.
    pub(super) used: Use,
}

/// The rectangles of `picture` with `wanted` cells that are in `slots`, pixel by pixel.
pub(super) fn find(slots: &Slots, picture: &Picture, wanted: &CellSet) -> Vec<Found> {
    let mut found = Vec::new();
    let (grid, mut left) = (wanted.grid(), wanted.clone());
    let mut back = CellSet::new(grid);
    for entry in slots.entries.iter().filter(|entry| entry.confirmed && grid.contains(entry.cells)) {
        // Around what is wanted there; the rest is of no use, and to compare what is the same takes the longest.
        let Some(bounds) = region::bounds(&left, entry.cells) else { continue };
        back.clear();
        for index in bounds.indices(grid) {
            if holds(picture, index, grid, entry.tile(index, grid)) {
                back.insert(index);
            }
        }
        while let Some(cells) = next(&mut back, &left, picture, bounds) {
            for index in cells.indices(grid) {
                left.remove(index);
            }
            let (x, y) = ((cells.x - entry.cells.x) * CELL, (cells.y - entry.cells.y) * CELL);
            found.push(Found { cells, used: Use { stored: entry.stored, x, y } });
        }
    }
    found
}

/// The next rectangle of cells of `back` in `area` that is worth a record for what of it is `wanted`; what was looked at is
/// taken out of `back`.
fn next(back: &mut CellSet, wanted: &CellSet, picture: &Picture, area: CellRect) -> Option<CellRect> {
    let grid = back.grid();
    while let Some(first) = area.indices(grid).find(|index| back.contains(*index)) {
        let (x, y) = place(first, grid);
        let largest = copies::largest(back, x, y, area);
        for index in largest.indices(grid) {
            back.remove(index);
        }
        let Some(cells) = region::bounds(wanted, largest) else { continue };
        if detail(picture, cells.indices(grid).filter(|index| wanted.contains(*index))) >= USE_DETAIL_MIN {
            return Some(cells);
        }
    }
    None
}

/// The rectangles of `base` that are worth a slot as `picture` covers them: what is `wanted` for that, has not been changing
/// all the time, is not `copied` elsewhere and not in `slots`. All their cells are trusted.
pub(super) fn propose(
    slots: &Slots,
    base: &Base,
    picture: &Picture,
    wanted: &CellSet,
    contexts: &Contexts,
    copied: &[Copied],
) -> Vec<CellRect> {
    let grid = wanted.grid();
    let mut going = CellSet::new(grid);
    for index in wanted.iter() {
        let is_calm = contexts.cell(index).class <= Class::Cool;
        if is_calm && base.trusted.contains(index) && !copies::same(&base.picture, picture, index) {
            going.insert(index);
        }
    }
    for copied in copied.iter().filter(|copied| copied.vector != Vector::default()) {
        for index in copied.base.indices(grid) {
            going.remove(index);
        }
    }
    for entry in slots.entries.iter().filter(|entry| grid.contains(entry.cells)) {
        for (index, tile) in entry.cells.indices(grid).zip(&*entry.tiles) {
            if going.contains(index) && holds(&base.picture, index, grid, tile) {
                going.remove(index);
            }
        }
    }
    let mut proposed = Vec::new();
    divide(&going, base, grid.rect(), &mut proposed);
    proposed
}

/// Puts what of `area` is `going` into rectangles that a slot holds.
fn divide(going: &CellSet, base: &Base, area: CellRect, proposed: &mut Vec<CellRect>) {
    let grid = going.grid();
    let Some(bounds) = region::bounds(going, area) else { return };
    let is_worth = || {
        let cells = bounds.indices(grid).filter(|index| going.contains(*index));
        detail(&base.picture, cells) >= STORE_DETAIL_MIN
    };
    if proposed.len() == CACHE_STORES_MAX || !is_worth() {
        return;
    }
    let fits = bounds.cells() <= CACHE_SLOT_CELLS;
    if fits && region::holds_half(going, bounds) && base.trusts(bounds) {
        proposed.push(bounds);
    } else if bounds.cells() > 1 {
        let (first, second) = region::split(bounds);
        divide(going, base, first, proposed);
        divide(going, base, second, proposed);
    }
}

fn detail(picture: &Picture, cells: impl Iterator<Item = usize>) -> u32 {
    let grid = picture.size.grid();
    cells.map(|index| place(index, grid)).map(|(x, y)| u32::from(picture.detail(x, y))).sum()
}

/// Whether the cell with row-major `index` has the pixels of `tile`.
fn holds(picture: &Picture, index: usize, grid: Grid, tile: &Arc<Tile>) -> bool {
    let (x, y) = place(index, grid);
    let shown = &picture.rows[usize::from(y)].tiles[usize::from(x)];
    Arc::ptr_eq(shown, tile) || shown == tile
}

fn place(index: usize, grid: Grid) -> (u16, u16) {
    let columns = usize::from(grid.columns);
    ((index % columns) as u16, (index / columns) as u16)
}

#[cfg(test)]
mod tests;
