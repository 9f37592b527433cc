//! The server's half: as many rows as fit.

use alloc::vec::Vec;

use super::range;
use super::{Base, SIDE, State};

/// Encodes records. Keeps its scratch, so that a call allocates nothing once the largest record has been seen.
#[derive(Debug, Default)]
pub struct Encoder {
    state: State,
    coder: range::Encoder,
}

impl Encoder {
    /// Encodes as many whole rows of cells of `pixels` (rows of `width`, from the top) as fit into `max` bytes, and appends
    /// these to `out`. Returns how many rows of pixels that are: a multiple of 16 or all, 0 if not even the first
    /// row of cells fits.
    ///
    /// # Panics
    /// If `pixels` is empty or no multiple of `width`, or `base` does not cover a rectangle of its size.
    pub fn encode(
        &mut self,
        pixels: &[u32],
        width: usize,
        base: Option<Base<'_>>,
        max: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        assert!(!pixels.is_empty() && pixels.len() % width == 0, "{} pixels of width {width}", pixels.len());
        let Self { state, coder } = self;
        let height = pixels.len() / width;
        state.begin(width, height, base);
        for y in 0..height {
            let at = state.field.at(0, y);
            state.field.pixels[at..at + width].copy_from_slice(&pixels[y * width..][..width]);
        }
        coder.restart();
        let (mut fitting, mut place) = (0, coder.place());
        for y in 0..height {
            let coded = state.row(coder, y);
            assert!(coded.is_ok(), "pixels that are there were refused");
            if coder.len() > max {
                break;
            }
            if (y + 1) % SIDE == 0 || y + 1 == height {
                (fitting, place) = (y + 1, coder.place());
            }
        }
        if fitting > 0 {
            coder.go_back(place);
            coder.finish(out);
        }
        fitting
    }
}
