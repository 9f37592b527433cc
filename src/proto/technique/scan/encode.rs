//! The server's half.

use alloc::vec::Vec;

use crate::depth::Depth;
use crate::technique::base::Vector;
use crate::technique::bits::{Colours, Writer};

/// How many of `pixels` differ from `base`, counted no further than `max` + 1.
#[must_use]
pub fn changed(pixels: &[u32], base: &[u32], max: usize) -> usize {
    let differ =
        |(pixels, base): (&[u32], &[u32])| pixels.iter().zip(base).filter(|(new, old)| new != old).count();
    let mut count = 0;
    for blocks in pixels.chunks(256).zip(base.chunks(256)) {
        count += differ(blocks);
        if count > max {
            return max + 1;
        }
    }
    count
}

/// Encodes records. Keeps its scratch, so that no call allocates.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The depth of the pixels.
    pub depth: Depth,
    colours: Colours,
}

impl Encoder {
    /// Appends the payload for `pixels` on those of a base that lies at `vector`, if it takes at most `max` bytes; says
    /// whether it did. It does not if no pixel or more than 256 colours are new; `out` is then as it was.
    ///
    /// # Panics
    /// If there are not as many pixels in the base.
    pub fn encode(
        &mut self,
        pixels: &[u32],
        base: &[u32],
        vector: Vector,
        max: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        assert_eq!(pixels.len(), base.len(), "another rectangle");
        let start = out.len();
        vector.emit(out);
        let whole = self.runs(pixels, base, start.saturating_add(max), out);
        if !whole {
            out.truncate(start);
        }
        whole
    }

    /// Appends the runs; false if `out` grows beyond `end` or there are none or too many colours.
    fn runs(&mut self, pixels: &[u32], base: &[u32], end: usize, out: &mut Vec<u8>) -> bool {
        let Self { depth, colours } = self;
        let mut bits = Writer::default();
        colours.clear(*depth);
        let span = |at: usize, same: bool| {
            let both = pixels[at..].iter().zip(&base[at..]);
            both.take_while(|(new, old)| (new == old) == same).count()
        };
        let mut at = span(0, true);
        if at == pixels.len() {
            return false;
        }
        bits.put_length(at + 1, out);
        loop {
            let run = span(at, false);
            bits.put_length(run, out);
            for &pixel in &pixels[at..at + run] {
                if bits.bytes(out) > end || !colours.put(pixel, &mut bits, out) {
                    return false;
                }
            }
            at += run;
            let gap = span(at, true);
            if gap > 0 {
                bits.put_length(gap, out);
            }
            at += gap;
            if at == pixels.len() {
                break;
            }
        }
        bits.finish(out);
        out.len() <= end
    }
}
