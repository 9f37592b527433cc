//! Pixels of a rectangle with a margin around it, so that every pixel has neighbours.

use alloc::vec::Vec;

/// Pixels of margin to the left, to the right, and above.
const MARGIN: usize = 2;

/// A rectangle of pixels in rows, with margins left, right and above.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    pub(super) width: usize,
    pub(super) height: usize,
    /// From one row to the next.
    pub(super) stride: usize,
    pub(super) pixels: Vec<u32>,
}

impl Field {
    /// Takes a size; every pixel and the margin are 0.
    pub(super) fn reset(&mut self, width: usize, height: usize) {
        self.pixels.clear();
        self.resize(width, height);
    }

    /// Takes a size; what was there before stays, wherever it lies now.
    fn resize(&mut self, width: usize, height: usize) {
        let stride = width + 2 * MARGIN;
        (self.width, self.height, self.stride) = (width, height, stride);
        self.pixels.resize(stride * (height + MARGIN), 0);
    }

    /// Takes over a rectangle whose rows begin `stride` apart in `source`; the margin repeats its edge.
    pub(super) fn load(&mut self, width: usize, height: usize, source: &[u32], stride: usize) {
        // Every pixel is written below.
        self.resize(width, height);
        for y in 0..height {
            let at = self.at(0, y);
            self.pixels[at..at + width].copy_from_slice(&source[y * stride..][..width]);
            self.pixels[at - MARGIN..at].fill(source[y * stride]);
            self.pixels[at + width..at + width + MARGIN].fill(source[y * stride + width - 1]);
        }
        for y in 0..MARGIN {
            self.pixels.copy_within(MARGIN * self.stride..(MARGIN + 1) * self.stride, y * self.stride);
        }
    }

    /// Takes the size of `other`, and its margins left and above; its own pixels are undefined.
    pub(super) fn take_margin(&mut self, other: &Self) {
        (self.width, self.height, self.stride) = (other.width, other.height, other.stride);
        self.pixels.resize(other.pixels.len(), 0);
        let top = MARGIN * self.stride;
        self.pixels[..top].copy_from_slice(&other.pixels[..top]);
        let rows = self.pixels[top..].chunks_exact_mut(self.stride);
        for (row, other) in rows.zip(other.pixels[top..].chunks_exact(other.stride)) {
            row[..MARGIN].copy_from_slice(&other[..MARGIN]);
        }
    }

    /// Where the pixel at column `x`, row `y` of the rectangle lies.
    pub(super) const fn at(&self, x: usize, y: usize) -> usize {
        (y + MARGIN) * self.stride + MARGIN + x
    }

    /// The pixels of row `y` of the rectangle.
    pub(super) fn row(&self, y: usize) -> &[u32] {
        let at = self.at(0, y);
        &self.pixels[at..at + self.width]
    }

    /// Row `y` and the one above it, each from two pixels ahead of its first to one behind its last, and the row above
    /// that from its first.
    pub(super) fn three_rows(&self, y: usize) -> [&[u32]; 3] {
        let start = (y + MARGIN) * self.stride;
        let row = |start: usize| &self.pixels[start..start + MARGIN + self.width + 1];
        [row(start), row(start - self.stride), &row(start - 2 * self.stride)[MARGIN..]]
    }

    /// What lies to the right of row `y` repeats its last pixel.
    pub(super) fn close_row(&mut self, y: usize) {
        let end = self.at(self.width, y);
        let last = self.pixels[end - 1];
        self.pixels[end..end + MARGIN].fill(last);
    }
}
