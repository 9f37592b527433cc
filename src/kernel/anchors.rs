//! Anchors: a few places in a cell that are found again wherever its content moves to.
//!
//! A cell's content that moves by any number of pixels lies in other cells, cut differently. So that both cuts name
//! the same places, an anchor is chosen by what stands around it alone: of all windows whose inner pixel is a corner,
//! those with the smallest hashes, one for each of [`ANCHORS`] classes of hashes.

use crate::limits::{CELL, CELL_PIXELS};

const SIDE: usize = CELL as usize;
/// Anchors of a cell, at most.
pub const ANCHORS: usize = 4;
/// Pixels that an anchor's hash covers.
const WIDTH: usize = 8;
const HEIGHT: usize = 4;
/// Where in a window the corner stands.
const INNER: (usize, usize) = (4, 1);
/// No anchor.
pub const NONE: u32 = u32::MAX;

const _: () = assert!(CELL_PIXELS == 256, "a place in a cell takes eight bits");

/// Corners beyond which only hashes below a quarter of all are looked at: the smallest of so many lie there.
const CORNERS_MANY: u32 = 64;

/// The anchors of one cell, one for each class: the hash in the high 24 bits, row and column of the window's first
/// pixel in four bits each; [`NONE`] where there is none.
#[must_use]
#[inline(always)]
pub fn anchors(tile: &[u32; CELL_PIXELS]) -> [u32; ANCHORS] {
    let keys = keys(tile);
    let corners: u32 = keys.iter().map(|key| u32::from(*key != NONE)).sum();
    let below = if corners > CORNERS_MANY { 1 << 30 } else { NONE };
    let mut best = [NONE; ANCHORS];
    for keys in keys.chunks_exact(SIDE).take(SIDE - HEIGHT + 1) {
        let flags: [u8; SIDE] = std::array::from_fn(|x| u8::from(keys[x] < below));
        let mut flags = u128::from_le_bytes(flags) & COLUMNS;
        while flags != 0 {
            let key = keys[flags.trailing_zeros() as usize / 8];
            let class = (key >> 8) as usize % ANCHORS;
            best[class] = best[class].min(key);
            flags &= flags - 1;
        }
    }
    best
}

/// One byte for each column in which a window that lies inside the cell can begin.
const COLUMNS: u128 = (1 << ((SIDE - WIDTH + 1) * 8)) - 1;

/// For each place the anchor that it would be, [`NONE`] if its inner pixel is no corner.
///
/// The cell is taken as one run of pixels, so that each step is a loop over vectors; windows that begin too far right
/// or down reach into the next row, or beyond the cell, and are never looked at. Each pixel of a window is rotated by
/// another number of bits (1, 2, 4 across, 8, 16 down), so that the same two colours in another order make another sum.
#[inline(always)]
fn keys(tile: &[u32; CELL_PIXELS]) -> [u32; CELL_PIXELS] {
    let mut one = [0; CELL_PIXELS + SIDE];
    for (sum, pixel) in one.iter_mut().zip(tile) {
        *sum = pixel.wrapping_add(0x517c_c1b7).wrapping_mul(0x9e37_79b1);
    }
    let mut two = [0; CELL_PIXELS + SIDE];
    add_rotated(&one, &mut two, 1, 1);
    add_rotated(&two, &mut one, 2, 2);
    add_rotated(&one, &mut two, 4, 4);
    add_rotated(&two, &mut one, SIDE, 8);
    add_rotated(&one, &mut two, 2 * SIDE, 16);
    let mut keys = [NONE; CELL_PIXELS];
    let inner = INNER.1 * SIDE + INNER.0;
    let around = tile[inner..].iter().zip(&tile[inner - 1..]).zip(&tile[inner - SIDE..]);
    for (at, ((key, sum), ((pixel, left), above))) in keys.iter_mut().zip(&two).zip(around).enumerate() {
        let hash = (sum ^ sum >> 15).wrapping_mul(0x85eb_ca6b);
        let corner = u32::from(pixel != left) & u32::from(pixel != above);
        *key = hash & !0xff | at as u32 | corner.wrapping_sub(1);
    }
    keys
}

/// To each sum the one `step` places on, its bits rotated; the last `step` sums stay what they were.
#[inline(always)]
fn add_rotated(from: &[u32; CELL_PIXELS + SIDE], to: &mut [u32; CELL_PIXELS + SIDE], step: usize, bits: u32) {
    for ((to, first), second) in to.iter_mut().zip(from).zip(&from[step..]) {
        *to = first.wrapping_add(second.rotate_left(bits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels of an endless picture of strokes on paper.
    fn pixel(x: usize, y: usize) -> u32 {
        let hash = (x / 2 * 7 + y * 31).wrapping_mul(0x9e37_79b1) >> 7;
        if hash % 5 == 0 { 0x20_20_20 } else { 0xff_ff_ff }
    }

    fn tile(left: usize, top: usize) -> [u32; CELL_PIXELS] {
        std::array::from_fn(|at| pixel(left + at % SIDE, top + at / SIDE))
    }

    #[test]
    fn what_moves_a_little_keeps_some_anchors() {
        let (mut same, mut cells) = (0, 0);
        for (dx, dy) in [(1, 0), (0, 1), (3, 2), (5, 5), (0, 7)] {
            for at in 0..40 {
                let old = anchors(&tile(at * 37 + 100, at * 11 + 50));
                let new = anchors(&tile(at * 37 + 100 - dx, at * 11 + 50 - dy));
                let shift = (dy << 4 | dx) as u32;
                same += usize::from(old.iter().zip(new).any(|(old, new)| *old != NONE && old + shift == new));
                cells += 1;
            }
        }
        assert!(same * 2 > cells, "{same} of {cells} cells are found again");
    }

    #[test]
    fn one_colour_and_straight_edges_have_none() {
        assert_eq!(anchors(&[7; CELL_PIXELS]), [NONE; ANCHORS]);
        let edge = std::array::from_fn(|at| u32::from(at % SIDE > 7));
        assert_eq!(anchors(&edge), [NONE; ANCHORS]);
    }
}
