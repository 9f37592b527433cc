//! Uncompressed bitmap: each pixel as B, G, R.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::PixelRect;

/// Bytes per pixel.
pub const PIXEL_LEN: usize = 3;

pub(super) fn decode(payload: &[u8], area: PixelRect, out: &mut Vec<u32>) -> Result<(), Refusal> {
    if payload.len() != area.pixels() * PIXEL_LEN {
        return Err(Refusal::Payload);
    }
    out.extend(payload.chunks_exact(PIXEL_LEN).map(|bgr| u32::from_le_bytes([bgr[0], bgr[1], bgr[2], 0])));
    Ok(())
}

/// Appends the payload for `pixels`.
#[cfg(feature = "encode")]
pub fn encode(pixels: &[u32], out: &mut Vec<u8>) {
    out.extend(pixels.iter().flat_map(|pixel| {
        let [blue, green, red, _] = pixel.to_le_bytes();
        [blue, green, red]
    }));
}
