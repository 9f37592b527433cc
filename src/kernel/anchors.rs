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

/// The anchors of one cell, one for each class: the hash in the high 24 bits, row and column of the window's first
/// pixel in four bits each; [`NONE`] where there is none.
#[must_use]
pub fn anchors(tile: &[u32; CELL_PIXELS]) -> [u32; ANCHORS] {
    let mut sums = [[0_u32; SIDE]; SIDE];
    for (row, sums) in tile.chunks_exact(SIDE).zip(&mut sums) {
        *sums = across(row.try_into().expect("a row of a cell"));
    }
    let mut best = [NONE; ANCHORS];
    for y in 0..=SIDE - HEIGHT {
        let inner: &[u32; SIDE] = row(tile, y + INNER.1);
        let above: &[u32; SIDE] = row(tile, y + INNER.1 - 1);
        let corner: [bool; SIDE - WIDTH + 1] = std::array::from_fn(|x| {
            let at = x + INNER.0;
            (inner[at] != inner[at - 1]) & (inner[at] != above[at])
        });
        if !corner.contains(&true) {
            continue;
        }
        let (first, second) = (&sums[y], &sums[y + 1]);
        let (third, fourth) = (&sums[y + 2], &sums[y + 3]);
        for x in (0..corner.len()).filter(|x| corner[*x]) {
            let pair = first[x].wrapping_add(second[x].rotate_left(8));
            let sum = pair.wrapping_add(third[x].wrapping_add(fourth[x].rotate_left(8)).rotate_left(16));
            let hash = (sum ^ sum >> 15).wrapping_mul(0x85eb_ca6b);
            let key = hash & !0xff | (y << 4 | x) as u32;
            let class = (hash >> 8) as usize % ANCHORS;
            best[class] = best[class].min(key);
        }
    }
    best
}

fn row(tile: &[u32; CELL_PIXELS], y: usize) -> &[u32; SIDE] {
    tile[y * SIDE..][..SIDE].try_into().expect("a row of a cell")
}

/// For each column a sum over the eight pixels from there on. Every pixel of a window is rotated by another number of
/// bits (1, 2, 4 across, 8, 16 down), so that the same two colours in another order make another sum.
fn across(row: &[u32; SIDE]) -> [u32; SIDE] {
    let mut one = [0_u32; SIDE + WIDTH];
    for (sum, pixel) in one.iter_mut().zip(row) {
        *sum = pixel.wrapping_add(0x517c_c1b7).wrapping_mul(0x9e37_79b1);
    }
    let two: [u32; SIDE + 6] = std::array::from_fn(|x| one[x].wrapping_add(one[x + 1].rotate_left(1)));
    let four: [u32; SIDE + 4] = std::array::from_fn(|x| two[x].wrapping_add(two[x + 2].rotate_left(2)));
    std::array::from_fn(|x| four[x].wrapping_add(four[x + 4].rotate_left(4)))
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
