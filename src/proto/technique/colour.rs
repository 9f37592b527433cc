//! Colour constant: three bytes B, G, R for the whole rectangle.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::PixelRect;

/// Bytes of a payload.
pub const LEN: usize = 3;

pub(super) fn decode(payload: &[u8], area: PixelRect, out: &mut Vec<u32>) -> Result<(), Refusal> {
    let [blue, green, red] = *payload else { return Err(Refusal::Payload) };
    out.resize(area.pixels(), u32::from_le_bytes([blue, green, red, 0]));
    Ok(())
}

/// The payload for `pixels` if they all have one colour.
#[cfg(feature = "encode")]
#[must_use]
pub fn encode(pixels: &[u32]) -> Option<[u8; LEN]> {
    let (&first, rest) = pixels.split_first()?;
    let [blue, green, red, _] = first.to_le_bytes();
    rest.iter().all(|pixel| *pixel == first).then_some([blue, green, red])
}
