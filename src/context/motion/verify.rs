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
    if width < SIDE || height < SIDE {
        return (0..height).all(|y| {
            let (left, next) = rows_at(upper, lower, down + y);
            edge_equal(row(tile, y), left, next, right, width)
        });
    }
    // The middle differs more often than the edge, and most cells differ.
    let (left, next) = rows_at(upper, lower, down + SIDE / 2);
    let (head, tail) = row(tile, SIDE / 2).split_at(SIDE - right);
    if *head != left[right..] || *tail != next[..right] {
        return false;
    }
    if right == 0 {
        // What moves up or down, as most does, lies in two whole pieces.
        let (head, tail) = tile.split_at((SIDE - down) * SIDE);
        return *head == upper.0[down * SIDE..] && *tail == lower.0[..down * SIDE];
    }
    askew_equal(tile, upper, lower, down, right)
}

/// Two cells side by side, the right one only where something of it is read.
type Pair<'a> = (&'a Tile, &'a Tile);

/// The row of pixels that lies `at` rows into `upper`, or into `lower` behind it, of both cells.
fn rows_at<'a>(upper: Pair<'a>, lower: Pair<'a>, at: usize) -> (&'a [u32; SIDE], &'a [u32; SIDE]) {
    let ((left, next), at) = if at < SIDE { (upper, at) } else { (lower, at - SIDE) };
    (row(left, at), row(next, at))
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

/// Rows that are put side by side at a time, see [`askew_equal`].
const BAND: usize = 4;

/// Whether `tile` is what lies `down` rows and `right` columns, more than none, into four cells. Some rows are put side by
/// side before any is compared: a row that was just written in two pieces and is read across both would have to wait until
/// it has left the processor's queue of stores.
fn askew_equal(tile: &Tile, upper: Pair<'_>, lower: Pair<'_>, down: usize, right: usize) -> bool {
    let mut both = [[0; 2 * SIDE]; BAND];
    tile.chunks_exact(BAND * SIDE).enumerate().all(|(band, wanted)| {
        for (y, both) in both.iter_mut().enumerate() {
            let (left, next) = rows_at(upper, lower, down + band * BAND + y);
            both[..SIDE].copy_from_slice(left);
            both[SIDE..].copy_from_slice(next);
        }
        let rows = wanted.chunks_exact(SIDE).zip(&both);
        rows.fold(0, |differ, (wanted, both)| {
            wanted.iter().zip(&both[right..][..SIDE]).fold(differ, |differ, (a, b)| differ | (a ^ b))
        }) == 0
    })
}

/// Whether the first `width` of `wanted` are the pixels that begin `right` pixels into `left` and go on in `next`.
fn edge_equal(
    wanted: &[u32; SIDE],
    left: &[u32; SIDE],
    next: &[u32; SIDE],
    right: usize,
    width: usize,
) -> bool {
    left[right..].iter().chain(next).zip(&wanted[..width]).all(|(a, b)| a == b)
}
