//! Colour constant: one pixel, as in [raw], for the whole rectangle.

use alloc::vec::Vec;

use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::technique::raw;

pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    depth: Depth,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    if payload.len() != depth.bytes() {
        return Err(Refusal::Payload);
    }
    out.resize(area.pixels(), raw::pixel(payload, depth));
    Ok(())
}

/// The payload for `pixels` of `depth` if they all are the same.
#[cfg(feature = "encode")]
#[must_use]
pub fn encode(depth: Depth, pixels: &[u32]) -> Option<Vec<u8>> {
    let (first, rest) = pixels.split_first()?;
    let mut payload = Vec::with_capacity(depth.bytes());
    raw::encode(depth, &[*first], &mut payload);
    rest.iter().all(|pixel| pixel == first).then_some(payload)
}
