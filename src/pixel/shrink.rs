//! Making a picture smaller: each pixel becomes the mean of what it covers, by area.

use crate::limits::{CELL, CELL_PIXELS};

const SIDE: usize = CELL as usize;

/// Makes cells of larger squares. Keeps its scratch, so that no call allocates once the largest step has been seen.
#[derive(Debug, Default)]
pub struct Shrink {
    /// Of each column of the source the sums of red, green and blue over the rows that a row shown covers, by weight.
    columns: Vec<[u32; 3]>,
}

impl Shrink {
    /// Makes of `source` (rows of `width` pixels of `0x00RRGGBB`, at most `step` either way) the top left corner of `tile`,
    /// with `step` sixteenths of a pixel for each either way; the rest of it stays as it is. A pixel's channel is the
    /// mean over the area that it covers and that there is, rounded to the nearest, and up from the middle.
    ///
    /// # Panics
    /// If `source` is empty, or is not whole rows.
    pub fn cell(&mut self, source: &[u32], width: usize, step: u16, tile: &mut [u32; CELL_PIXELS]) {
        assert!(!source.is_empty() && source.len() % width == 0, "{} pixels of width {width}", source.len());
        let (step, height) = (usize::from(step), source.len() / width);
        for y in 0..(height * SIDE).div_ceil(step) {
            let covered = Span::of(y, step, height);
            self.columns.clear();
            self.columns.resize(width, [0; 3]);
            for (row, weight) in covered.weights() {
                for (sums, pixel) in self.columns.iter_mut().zip(&source[row * width..][..width]) {
                    let [blue, green, red, _] = pixel.to_le_bytes();
                    for (sum, channel) in sums.iter_mut().zip([red, green, blue]) {
                        *sum += u32::from(channel) * weight;
                    }
                }
            }
            for x in 0..(width * SIDE).div_ceil(step) {
                tile[y * SIDE + x] = self.mean(&Span::of(x, step, width), covered.total());
            }
        }
    }

    /// The mean of the columns in `covered`, whose sums have the weight `rows`.
    fn mean(&self, covered: &Span, rows: u32) -> u32 {
        let mut sums = [0; 3];
        for (column, weight) in covered.weights() {
            for (sum, column) in sums.iter_mut().zip(self.columns[column]) {
                *sum += column * weight;
            }
        }
        let area = covered.total() * rows;
        sums.map(|sum| (sum + area / 2) / area).into_iter().fold(0, |pixel, channel| pixel << 8 | channel)
    }
}

/// What a pixel shown covers of a row or column of the source: from a sixteenth to another.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    fn of(at: usize, step: usize, pixels: usize) -> Self {
        Self { from: at * step, to: ((at + 1) * step).min(pixels * SIDE) }
    }

    /// The pixels that it covers, and how many sixteenths of each.
    fn weights(self) -> impl Iterator<Item = (usize, u32)> {
        (self.from / SIDE..self.to.div_ceil(SIDE)).map(move |pixel| {
            let (from, to) = (self.from.max(pixel * SIDE), self.to.min((pixel + 1) * SIDE));
            (pixel, (to - from) as u32)
        })
    }

    const fn total(self) -> u32 {
        (self.to - self.from) as u32
    }
}

// The sum of a pixel's channel fits: as many sixteenths squared as the largest step has.
const _: () = assert!(256 * 256 * 255 + 256 * 256 / 2 <= u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_squares_shrink() {
        let mut shrink = Shrink::default();
        let mut tile = [9; CELL_PIXELS];
        // Two by two become one; the third column and row are half outside.
        shrink.cell(&[0x10, 0x20, 0x50, 0x30, 0x41, 0x70, 0x01, 0x02, 0x03], 3, 32, &mut tile);
        assert_eq!((tile[0], tile[1], tile[16], tile[17]), (0x28, 0x60, 0x02, 0x03));
        assert_eq!((tile[2], tile[32]), (9, 9), "what lies outside is not touched");
        // One and a half: the first takes 16 sixteenths of one and 8 of the next.
        shrink.cell(&[0x30_0000, 0x60_0000, 0x90_0000], 3, 24, &mut tile);
        assert_eq!((tile[0], tile[1]), (0x40_0000, 0x80_0000));
        let white = [0xff_ffff; 256 * 256];
        shrink.cell(&white, 256, 256, &mut tile);
        assert_eq!(tile, [0xff_ffff; CELL_PIXELS]);
    }

    #[test]
    fn a_step_of_sixteen_changes_nothing() {
        let source: [u32; CELL_PIXELS] = std::array::from_fn(|at| (at as u32).wrapping_mul(0x9e37_79b1) >> 8);
        let mut tile = [0; CELL_PIXELS];
        Shrink::default().cell(&source, SIDE, 16, &mut tile);
        assert_eq!(tile, source);
    }
}
