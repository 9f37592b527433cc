//! Uncompressed bitmap: each pixel in as many bytes as the client's depth has, least significant first.

use alloc::vec::Vec;

use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;

pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    depth: Depth,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    if payload.len() != area.pixels() * depth.bytes() {
        return Err(Refusal::Payload);
    }
    out.extend(payload.chunks_exact(depth.bytes()).map(|bytes| pixel(bytes, depth)));
    Ok(())
}

/// The pixel in `bytes`, as many as the depth has.
pub(super) fn pixel(bytes: &[u8], depth: Depth) -> u32 {
    depth.unpack(bytes.iter().rev().fold(0, |packed, byte| packed << 8 | u32::from(*byte)))
}

/// Appends the payload for `pixels` of `depth`.
#[cfg(feature = "encode")]
pub fn encode(depth: Depth, pixels: &[u32], out: &mut Vec<u8>) {
    let packed = pixels.iter().map(|pixel| depth.pack(*pixel).to_le_bytes());
    match depth {
        Depth::Bits8 => out.extend(packed.map(|[low, ..]| low)),
        Depth::Bits16 => out.extend(packed.flat_map(|[low, high, ..]| [low, high])),
        Depth::Bits24 => out.extend(packed.flat_map(|[blue, green, red, _]| [blue, green, red])),
    }
}
