//! Lossless bitmap: PNG's filters over B, G, R rows, then one raw deflate stream (RFC 1951), without PNG's
//! signature, chunks, checksums and zlib header.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::PixelRect;

const PIXEL_LEN: usize = 3;

pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let row_len = usize::from(area.width) * PIXEL_LEN;
    let filtered_len = (1 + row_len) * usize::from(area.height);
    scratch.clear();
    scratch.resize(filtered_len, 0);
    let written =
        miniz_oxide::inflate::decompress_slice_iter_to_slice(scratch, [payload].into_iter(), false, false)
            .map_err(|_| Refusal::Payload)?;
    if written != filtered_len {
        return Err(Refusal::Payload);
    }
    let _ = (row_len, out);
    Err(Refusal::Payload)
}
