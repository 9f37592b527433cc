//! Whether a cell shows what another place showed before, pixel for pixel.

use super::Vector;
use crate::geometry::{CellRect, PixelRect};
use crate::limits::CELL;
use crate::scan::{Picture, Tile};

const SIDE: usize = CELL as usize;

/// The pixels that `cells` of a picture of that size came from if they moved by `vector`; `None` if some of them lie
/// outside.
pub(super) fn source(picture: &Picture, cells: CellRect, vector: Vector) -> Option<PixelRect> {
    let area = picture.size.clip(cells);
    let start = |at: u16, step: i32, len: u16, side: u16| {
        let start = i32::from(at) - step;
        let inside = start >= 0 && start + i32::from(len) <= i32::from(side);
        inside.then_some(start as u16)
    };
    let x = start(area.x, vector.dx, area.width, picture.size.width)?;
    let y = start(area.y, vector.dy, area.height, picture.size.height)?;
    Some(PixelRect { x, y, ..area })
}

/// The place in a cell of a pixel that tells it from most others: the first, from a quarter down on, that equals neither
/// the one on its left nor the one above; the middle if there is none.
pub(super) fn telling(tile: &Tile) -> u8 {
    const START: usize = SIDE * SIDE / 4;
    let ahead = tile[START..].iter().zip(&tile[START - 1..]).zip(&tile[START - SIDE..]);
    let found = ahead.enumerate().find(|(_, ((pixel, left), above))| pixel != left && pixel != above);
    found.map_or(MIDDLE, |(at, _)| (START + at) as u8)
}

/// The place of the pixel in the middle of a cell.
pub(super) const MIDDLE: u8 = (SIDE * SIDE / 2 + SIDE / 2) as u8;

/// Whether the cell at column `x`, row `y` of `new` holds exactly what lay in `old` where `vector` says that it came
/// from. The pixel at `place` is looked at first.
pub(super) fn came_from(old: &Picture, new: &Picture, x: u16, y: u16, vector: Vector, place: u8) -> bool {
    let Some(from) = source(old, CellRect { x, y, width: 1, height: 1 }, vector) else { return false };
    let tile = new.tile(x, y);
    if new.detail(x, y) == 0 && is_flat(old, from.cells_touched()) {
        // Most of a page is paper: of cells of one colour, one pixel is all of them.
        return all_begin_with(old, from.cells_touched(), tile[0]);
    }
    let (at_x, at_y) = (u16::from(place) % CELL, u16::from(place) / CELL);
    if at_x < from.width && at_y < from.height {
        let (x, y) = (from.x + at_x, from.y + at_y);
        let there = old.tile(x / CELL, y / CELL)[usize::from(y % CELL * CELL + x % CELL)];
        if there != tile[usize::from(place)] {
            return false;
        }
    }
    let (column, line) = (from.x / CELL, from.y / CELL);
    let (right, down) = (usize::from(from.x % CELL), usize::from(from.y % CELL));
    let (width, height) = (usize::from(from.width), usize::from(from.height));
    let (across, below) = (right + width > SIDE, down + height > SIDE);
    let tiles = |line: u16| {
        let left = old.tile(column, line);
        (left, if across { old.tile(column + 1, line) } else { left })
    };
    let upper = tiles(line);
    let lower = if below { tiles(line + 1) } else { upper };
    let equal = |y: usize| {
        let at = down + y;
        let ((left, next), at) = if at < SIDE { (upper, at) } else { (lower, at - SIDE) };
        let (left, next) = (row(left, at), row(next, at));
        if width == SIDE {
            row_equal(row(tile, y), left, next, right)
        } else {
            edge_equal(row(tile, y), left, next, right, width)
        }
    };
    // The middle differs more often than the edge, and most cells differ.
    equal(height / 2) && (0..height).all(equal)
}

/// Whether each of `cells` has one colour, perhaps another each.
fn is_flat(picture: &Picture, cells: CellRect) -> bool {
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    picture.cell_rows(cells).all(|row| row.detail[columns.clone()].iter().all(|detail| *detail == 0))
}

/// Whether the first pixel of each of `cells` is `colour`.
fn all_begin_with(picture: &Picture, cells: CellRect, colour: u32) -> bool {
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    picture.cell_rows(cells).all(|row| row.tiles[columns.clone()].iter().all(|tile| tile[0] == colour))
}

fn row(tile: &Tile, y: usize) -> &[u32; SIDE] {
    tile[y * SIDE..][..SIDE].try_into().expect("a row of a cell")
}

/// Whether `wanted` are the pixels that begin `right` pixels into `left` and go on in `next`.
#[inline]
fn row_equal(wanted: &[u32; SIDE], left: &[u32; SIDE], next: &[u32; SIDE], right: usize) -> bool {
    let differ = |pixels: &[u32; SIDE]| wanted.iter().zip(pixels).fold(0, |differ, (a, b)| differ | (a ^ b));
    if right == 0 {
        return differ(left) == 0;
    }
    let mut both = [0; 2 * SIDE];
    both[..SIDE].copy_from_slice(left);
    both[SIDE..].copy_from_slice(next);
    differ(both[right..][..SIDE].try_into().expect("as many as a row has")) == 0
}

/// The same for the first `width` pixels, where a surface ends inside a cell.
fn edge_equal(
    wanted: &[u32; SIDE],
    left: &[u32; SIDE],
    next: &[u32; SIDE],
    right: usize,
    width: usize,
) -> bool {
    left[right..].iter().chain(next).zip(&wanted[..width]).all(|(a, b)| a == b)
}
