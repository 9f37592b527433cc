//! The server's half: as many rows as fit.

use alloc::vec::Vec;

use super::Kind;
use crate::depth::Depth;
use crate::limits::CELL;
use crate::technique::bits::{Colours, Writer};

const SIDE: usize = CELL as usize;

/// Encodes records. Keeps its scratch, so that a call allocates nothing once the largest record has been seen.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The depth of the pixels.
    pub depth: Depth,
    colours: Colours,
}

impl Encoder {
    /// Encodes as many whole rows of cells of `pixels` (rows of `width`, from the top) as fit into `max` bytes and have
    /// no more than 256 colours, and appends these bytes to `out`: the same as if no other rows were there. Returns how
    /// many rows of pixels that are: a multiple of 16 or all, 0 if not even the first row of cells fits.
    ///
    /// # Panics
    /// If `pixels` is empty or does not hold whole rows of `width`.
    pub fn encode(&mut self, pixels: &[u32], width: usize, max: usize, out: &mut Vec<u8>) -> usize {
        assert!(!pixels.is_empty() && pixels.len() % width == 0, "{} pixels of width {width}", pixels.len());
        let start = out.len();
        let mut rows = pixels.len() / width;
        while rows > 0 {
            let done = self.groups(&pixels[..rows * width], width, max, out);
            if done == rows * width {
                return rows;
            }
            out.truncate(start);
            rows = (done / width).min(rows - 1) / SIDE * SIDE;
        }
        0
    }

    /// Appends groups while they take at most `max` bytes; says for how many pixels.
    fn groups(&mut self, pixels: &[u32], width: usize, max: usize, out: &mut Vec<u8>) -> usize {
        let Self { depth, colours } = self;
        let (end, mut bits) = (out.len().saturating_add(max), Writer::default());
        colours.clear(*depth);
        let (mut at, mut last) = (0, None);
        while at < pixels.len() {
            let first = at;
            let (kind, len) = loop {
                let (kind, len) = longest_run(pixels, width, at);
                if len >= pixels.len() - at || len >= fewest(at - first, colours.bits()) {
                    break (kind, len);
                }
                at += 1;
            };
            if at > first {
                put_head(Kind::New, at - first, &mut last, &mut bits, out);
                for (index, &pixel) in pixels[first..at].iter().enumerate() {
                    if bits.bytes(out) > end || !colours.put(pixel, &mut bits, out) {
                        return first + index;
                    }
                }
            }
            if len > 0 {
                put_head(kind, len, &mut last, &mut bits, out);
            }
            if bits.bytes(out) > end {
                return first;
            }
            at += len;
        }
        bits.finish(out);
        at
    }
}

/// Begins a group, behind one of the kind `last`.
fn put_head(kind: Kind, len: usize, last: &mut Option<Kind>, bits: &mut Writer, out: &mut Vec<u8>) {
    if let Some(last) = *last {
        debug_assert_ne!(last, kind, "two groups that are one");
        bits.put(u32::from(last.next(true) == kind), 1, out);
    }
    bits.put_length(len, out);
    *last = Some(kind);
}

/// The longer of the runs that begin at `at`, which may be empty.
fn longest_run(pixels: &[u32], width: usize, at: usize) -> (Kind, usize) {
    let run = |distance: usize| {
        let Some(from) = at.checked_sub(distance) else { return 0 };
        pixels[at..].iter().zip(&pixels[from..]).take_while(|(pixel, known)| pixel == known).count()
    };
    let (before, above) = (run(1), run(width));
    // In a rectangle one pixel wide, both are the same.
    if above > before { (Kind::Above, above) } else { (Kind::Before, before) }
}

/// The shortest run that is worth its bits behind `new` pixels whose indices take `bits` each: it ends their group, and
/// most often another has to be begun.
const fn fewest(new: usize, bits: usize) -> usize {
    match (new, bits) {
        (0, _) => 1,
        (_, 0..=2) => 5,
        (_, 3) => 3,
        (_, 4..=6) => 2,
        _ => 1,
    }
}
