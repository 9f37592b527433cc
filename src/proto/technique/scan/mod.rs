//! Pixel scan: the few pixels of a rectangle that its base does not have: a caret, a glyph, a clock's digit.
//!
//! The payload is the vector to the base, as a copy's is, and then bits: how far it is to the next changed pixel, how
//! many there are in a row, and their colours. `SPEC.md` section 16 says which bits these are.

#[cfg(feature = "encode")]
mod encode;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

#[cfg(feature = "encode")]
pub use encode::{Encoder, changed};

use super::bits::{Palette, Reader};
use super::copy;
use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::technique::base::{BaseView, Vector};
use crate::wire;

/// Decodes into `out`, which is empty.
pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    depth: Depth,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let mut reader = wire::Reader::new(payload);
    let vector = Vector::parse(&mut reader)?;
    copy::paint(vector, area, base, out)?;
    let (mut bits, mut palette) = (Reader::new(reader.rest()), Palette::new(depth));
    // SPEC [LFP-16.6]: A client MUST refuse a pixel scan whose runs reach beyond the rectangle or do not end with the
    // payload, or that changes no pixel.
    let mut rest = &mut out[..];
    let mut gap = bits.length()? - 1;
    loop {
        let run = bits.length()?;
        let changed = rest.get_mut(gap..).and_then(|rest| rest.get_mut(..run)).ok_or(Refusal::Payload)?;
        for pixel in changed {
            *pixel = palette.colour(&mut bits)?;
        }
        rest = &mut rest[gap + run..];
        if rest.is_empty() {
            return bits.finish();
        }
        gap = bits.length()?;
        if gap == rest.len() {
            return bits.finish();
        }
    }
}
