//! How much there is in a cell: the pixels that neither neighbour foretells.

use crate::limits::{CELL, CELL_PIXELS};

const SIDE: usize = CELL as usize;

/// Pixels in the top left `width` x `height` corner of a cell that equal neither the pixel on their left nor
/// the one above, the very first one left out. 0 if and only if the corner has one colour; at most 255.
///
/// # Panics
/// If the corner is empty or larger than a cell.
#[must_use]
#[inline(always)]
pub fn detail(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> u8 {
    assert!((1..=SIDE).contains(&width) && (1..=SIDE).contains(&height), "{width}x{height} in a cell");
    // One counter a column, over whole rows: their length is known, so the loop becomes vector code.
    let mut counts = [0_u32; SIDE];
    // Above the first row there is nothing; a change of colour in it is seen from the left.
    let mut above = &[tile[0]; SIDE];
    for row in tile.chunks_exact(SIDE).take(height) {
        let row: &[u32; SIDE] = row.try_into().expect("a row of a cell");
        counts[0] += u32::from(row[0] != above[0]);
        for x in 1..SIDE {
            counts[x] += u32::from(row[x] != row[x - 1]) & u32::from(row[x] != above[x]);
        }
        above = row;
    }
    counts[..width].iter().sum::<u32>() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_means_one_colour() {
        let mut tile = [7; CELL_PIXELS];
        assert_eq!(detail(&tile, 16, 16), 0);
        for at in 0..CELL_PIXELS {
            tile[at] = 8;
            assert!(detail(&tile, 16, 16) > 0, "pixel {at} stands out");
            let (x, y) = (at % SIDE, at / SIDE);
            assert_eq!(detail(&tile, 5, 3) > 0, x < 5 && y < 3, "pixel {at} of a clipped cell");
            tile[at] = 7;
        }
    }

    #[test]
    fn noise_counts_nearly_every_pixel() {
        let tile = core::array::from_fn(|at| at as u32);
        assert_eq!(detail(&tile, 16, 16), 255);
    }
}
