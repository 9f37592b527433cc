//! Lossless bitmap: PNG's filters and deflate, without PNG's signature, chunks, checksums and zlib header.
//!
//! The first byte of a payload is the [`coding`]; one raw deflate stream (RFC 1951) follows and ends with the
//! payload.
//!
//! - *Filtered*: the stream holds, for each row of the area, a filter type (PNG's five) and then the
//!   filtered bytes of the row, three a pixel: B, G, R.
//! - *Palette* with 1, 2, 4 or 8 bits an index: the byte behind the coding is the number of colours less one.
//!   The stream holds the colours (B, G, R each), then for each row its indices, packed from each byte's most
//!   significant bit; the bits that pad a row's last byte are zero.
//!
//! The length of the stream follows from the coding and the area: a payload that inflates to any other
//! length is refused, and nothing is allocated beyond it.

#[cfg(feature = "encode")]
mod encode;
mod filter;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

#[cfg(feature = "encode")]
pub use encode::{Effort, Encoder};

use crate::frame::Refusal;
use crate::geometry::PixelRect;

/// First byte of a payload.
pub mod coding {
    /// Filtered true colour.
    pub const FILTERED: u8 = 0;
    /// Palette, 1 bit an index.
    pub const PALETTE_1: u8 = 1;
    /// Palette, 2 bits an index.
    pub const PALETTE_2: u8 = 2;
    /// Palette, 4 bits an index.
    pub const PALETTE_4: u8 = 3;
    /// Palette, 8 bits an index.
    pub const PALETTE_8: u8 = 4;
}

/// Bytes of a pixel or of a palette's colour.
const PIXEL_LEN: usize = 3;

pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let (&coding, rest) = payload.split_first().ok_or(Refusal::Payload)?;
    let bits = match coding {
        coding::FILTERED => return decode_filtered(rest, area, scratch, out),
        coding::PALETTE_1 => 1,
        coding::PALETTE_2 => 2,
        coding::PALETTE_4 => 4,
        coding::PALETTE_8 => 8,
        _ => return Err(Refusal::Payload),
    };
    let (&last_index, stream) = rest.split_first().ok_or(Refusal::Payload)?;
    decode_palette(stream, bits, last_index, area, scratch, out)
}

fn decode_filtered(
    stream: &[u8],
    area: PixelRect,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let row_len = usize::from(area.width) * PIXEL_LEN;
    inflate_exactly(stream, (1 + row_len) * usize::from(area.height), scratch)?;
    let mut above: &[u8] = &[];
    for row in scratch.chunks_exact_mut(1 + row_len) {
        let (filter, line) = row.split_first_mut().ok_or(Refusal::Payload)?;
        filter::Filter::from_wire(*filter).ok_or(Refusal::Payload)?.undo(line, above);
        out.extend(line.chunks_exact(PIXEL_LEN).map(pixel));
        above = line;
    }
    Ok(())
}

fn decode_palette(
    stream: &[u8],
    bits: usize,
    last_index: u8,
    area: PixelRect,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    if usize::from(last_index) >> bits != 0 {
        return Err(Refusal::Payload);
    }
    let width = usize::from(area.width);
    let row_len = (width * bits).div_ceil(8);
    let palette_len = (usize::from(last_index) + 1) * PIXEL_LEN;
    inflate_exactly(stream, palette_len + row_len * usize::from(area.height), scratch)?;
    let (colours, rows) = scratch.split_at(palette_len);
    let mut palette = [0; 256];
    for (entry, colour) in palette.iter_mut().zip(colours.chunks_exact(PIXEL_LEN)) {
        *entry = pixel(colour);
    }
    let padding = row_len * 8 - width * bits;
    let mut largest = 0;
    for row in rows.chunks_exact(row_len) {
        if row.last().is_some_and(|byte| usize::from(*byte) & ((1 << padding) - 1) != 0) {
            return Err(Refusal::Payload);
        }
        let indices =
            row.iter().flat_map(|&byte| (0..8 / bits).map(move |at| byte << (at * bits) >> (8 - bits)));
        out.extend(indices.take(width).map(|index| {
            largest = largest.max(index);
            palette[usize::from(index)]
        }));
    }
    if largest > last_index { Err(Refusal::Payload) } else { Ok(()) }
}

/// Inflates the whole of `stream` into exactly `len` bytes of `scratch`.
fn inflate_exactly(stream: &[u8], len: usize, scratch: &mut Vec<u8>) -> Result<(), Refusal> {
    // SPEC [LFP-16.2]: A client MUST NOT let a payload inflate beyond those bytes.
    scratch.clear();
    scratch.resize(len, 0);
    let mut state = DecompressorOxide::new();
    let (status, taken, written) =
        decompress(&mut state, stream, scratch, 0, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
    // SPEC [LFP-16.1]: A client MUST refuse a bitmap whose stream does not inflate to exactly the bytes
    let whole = status == TINFLStatus::Done && taken == stream.len() && written == len;
    if whole { Ok(()) } else { Err(Refusal::Payload) }
}

fn pixel(bgr: &[u8]) -> u32 {
    u32::from_le_bytes([bgr[0], bgr[1], bgr[2], 0])
}
