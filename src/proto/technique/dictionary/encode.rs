//! The server's half: as many rows as fit.

use alloc::vec::Vec;
use core::ops::Range;

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
        let (mut fitting, mut place, mut forecast) = (0, coder.place(), Forecast::default());
        for top in (0..height).step_by(SIDE) {
            let end = (top + SIDE).min(height);
            forecast.begin(state, top..end);
            if top > 0 && forecast.without(coder.len()) > max {
                break;
            }
            let is_over = (top..end).any(|y| {
                let coded = state.row(coder, y);
                assert!(coded.is_ok(), "pixels that are there were refused");
                forecast.take(y - top);
                coder.len() > max || width > SIDE && forecast.within(coder.len()) > max
            });
            if is_over {
                break;
            }
            forecast.end(coder.len());
            (fitting, place) = (end, coder.place());
        }
        if fitting > 0 {
            coder.go_back(place);
            coder.finish(out);
        }
        fitting
    }
}

/// Tells by what a row of cells has that is new whether it can fit, so that little is put into bytes in vain. It looks
/// at nothing behind that row: the rows that fit are coded alike if they are asked for alone.
#[derive(Debug, Default)]
struct Forecast {
    /// Of each row of pixels: how many are new.
    rows: [usize; SIDE],
    /// Of all of them, and of those that have been coded.
    all: usize,
    coded: usize,
    /// Bytes before them.
    start: usize,
    /// Of the rows of cells before: pixels that were new.
    before: usize,
}

/// New pixels that have to be coded before what they took is a measure.
const MEASURE_MIN: usize = 96;

impl Forecast {
    /// Looks at the rows of pixels of the next row of cells.
    fn begin(&mut self, state: &State, rows: Range<usize>) {
        self.rows = [0; SIDE];
        for (new, y) in self.rows.iter_mut().zip(rows) {
            *new = state.new_pixels(y);
        }
        (self.all, self.coded) = (self.rows.iter().sum(), 0);
    }

    /// Bytes that the record will have with this row of cells, at least: by what those before it took, `bytes` in all.
    fn without(&self, bytes: usize) -> usize {
        if self.before < MEASURE_MIN { bytes } else { bytes + bytes * self.all / self.before * 3 / 4 }
    }

    /// The row of pixels with this place was coded.
    fn take(&mut self, row: usize) {
        self.coded += self.rows[row];
    }

    /// The same, by what this row of cells has taken so far, now that there are `bytes` in all.
    fn within(&self, bytes: usize) -> usize {
        let took = bytes - self.start;
        if self.coded < MEASURE_MIN { bytes } else { self.start + took * self.all / self.coded * 3 / 4 }
    }

    /// The row of cells has been coded; there are `bytes` now.
    fn end(&mut self, bytes: usize) {
        self.before += self.all;
        self.start = bytes;
    }
}

impl State {
    /// Pixels of row `y` that are neither the base's nor those above or on their left.
    fn new_pixels(&self, y: usize) -> usize {
        let (start, width, stride) = (self.field.at(0, y), self.field.width, self.field.stride);
        let row = |start: usize| &self.field.pixels[start..start + width];
        let (here, west, north) = (row(start), row(start - 1), row(start - stride));
        let base = if self.has_base { &self.base.pixels[start..start + width] } else { west };
        let pixels = here.iter().zip(west).zip(north.iter().zip(base));
        let new = pixels.map(|((here, west), (north, base))| {
            u32::from(here != west) & u32::from(here != north) & u32::from(here != base)
        });
        new.sum::<u32>() as usize
    }
}
