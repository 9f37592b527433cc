//! Trixel: text and user interface for clients that have little to decode with. Groups of pixels, row-major: new ones
//! by their colours' indices, runs of the pixel before, runs of the pixels above.
//!
//! There is no header and no palette ahead of the pixels: a colour is written out where it first occurs. `SPEC.md`
//! section 16 says which bits there are. Without an entropy coder a token costs a handful of instructions, and most
//! pixels lie in runs.

#[cfg(feature = "encode")]
mod encode;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

#[cfg(feature = "encode")]
pub use encode::Encoder;

use super::bits::{Palette, Reader};
use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;

/// What the pixels of a group are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Each has its own index.
    New,
    /// As the one before the group.
    Before,
    /// As those above.
    Above,
}

impl Kind {
    /// The kind of the next group: one of the two others, since a group is as long as it can be.
    const fn next(self, second: bool) -> Self {
        match (self, second) {
            (Self::New, false) | (Self::Before, true) => Self::Above,
            (Self::New, true) | (Self::Above, true) => Self::Before,
            (Self::Before, false) | (Self::Above, false) => Self::New,
        }
    }
}

/// Decodes into `out`, which is empty.
pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    depth: Depth,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let (width, pixels) = (usize::from(area.width), area.pixels());
    let (mut bits, mut palette) = (Reader::new(payload), Palette::new(depth));
    out.reserve(pixels);
    let mut kind = Kind::New;
    loop {
        let len = bits.length()?;
        // SPEC [LFP-16.5]: A client MUST refuse a trixel whose groups reach beyond the rectangle, have none above them to
        // repeat, or do not end with the payload.
        if len > pixels - out.len() {
            return Err(Refusal::Payload);
        }
        match kind {
            Kind::New => {
                for _ in 0..len {
                    out.push(palette.colour(&mut bits)?);
                }
            }
            Kind::Before => {
                let before = *out.last().ok_or(Refusal::Payload)?;
                out.resize(out.len() + len, before);
            }
            Kind::Above => {
                let from = out.len().checked_sub(width).ok_or(Refusal::Payload)?;
                repeat(out, from, len);
            }
        }
        if out.len() == pixels {
            return bits.finish();
        }
        kind = kind.next(bits.take(1)? == 1);
    }
}

/// Appends `len` pixels, each the one as far before it as `from` is from the end.
fn repeat(out: &mut Vec<u32>, from: usize, mut len: usize) {
    while len > 0 {
        // Twice as many may be copied each time.
        let now = len.min(out.len() - from);
        out.extend_from_within(from..from + now);
        len -= now;
    }
}
