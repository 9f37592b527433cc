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

/// Whether the cell at column `x`, row `y` of `new` holds exactly what lay in `old` where `vector` says that it came
/// from.
pub(super) fn came_from(old: &Picture, new: &Picture, x: u16, y: u16, vector: Vector) -> bool {
    let Some(from) = source(old, CellRect { x, y, width: 1, height: 1 }, vector) else { return false };
    let tile = new.tile(x, y);
    let (column, row) = (from.x / CELL, from.y / CELL);
    let (right, down) = (usize::from(from.x % CELL), usize::from(from.y % CELL));
    let (width, height) = (usize::from(from.width), usize::from(from.height));
    let (across, below) = (right + width > SIDE, down + height > SIDE);
    let tiles = |row: u16| {
        let left = old.tile(column, row);
        (left, if across { old.tile(column + 1, row) } else { left })
    };
    let upper = tiles(row);
    let lower = if below { tiles(row + 1) } else { upper };
    let equal = |y: usize| {
        let at = down + y;
        let ((left, next), at) = if at < SIDE { (upper, at) } else { (lower, at - SIDE) };
        row_equal(&tile[y * SIDE..][..SIDE], left, next, at * SIDE, right, width)
    };
    // The middle differs more often than the edge, and most cells differ.
    equal(height / 2) && (0..height).all(equal)
}

/// Whether the first `width` pixels of `row` are those that begin `right` pixels into the row at `at` of `left`, and
/// go on in `next`.
#[inline]
fn row_equal(row: &[u32], left: &Tile, next: &Tile, at: usize, right: usize, width: usize) -> bool {
    if right == 0 {
        return row[..width] == left[at..at + width];
    }
    let mut both = [0_u32; 2 * SIDE];
    both[..SIDE].copy_from_slice(&left[at..at + SIDE]);
    both[SIDE..].copy_from_slice(&next[at..at + SIDE]);
    if width == SIDE {
        let (row, both): (&[u32; SIDE], &[u32; SIDE]) =
            (row.try_into().expect("a row of a cell"), both[right..right + SIDE].try_into().expect("a row"));
        return row.iter().zip(both).fold(0, |differ, (row, both)| differ | (row ^ both)) == 0;
    }
    row[..width] == both[right..right + width]
}
