//! One rectangle into the fewest bytes that the client can read.

use std::sync::Arc;

use crate::context;
use crate::geometry::CellRect;
use crate::logic::Profile;
use crate::scan::Picture;
use lfp_proto::record::RECORD_HEADER_MAX;
use lfp_proto::technique::{Technique, bitmap, colour, raw};

/// A rectangle's technique and bytes.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) technique: Technique,
    pub(super) payload: Arc<[u8]>,
}

/// What a worker needs to encode, kept between requests.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) pixels: Vec<u32>,
    bitmap: bitmap::Encoder,
    bytes: Vec<u8>,
}

/// Most bytes that a record's payload may have for clients of `profile`.
pub(super) fn payload_max(profile: Profile) -> usize {
    profile.record_max.saturating_sub(RECORD_HEADER_MAX)
}

/// Puts `cells` into bytes with the technique of `profile` that takes the fewest; `None` if no record that
/// the client takes holds them.
pub(super) fn encode(
    picture: &Picture,
    cells: CellRect,
    profile: Profile,
    scratch: &mut Scratch,
) -> Option<Coded> {
    // SPEC [LFP-4.8]: A server MUST NOT send a record in a technique or with a reference that the HELLO does not state.
    let decodes = |technique: Technique| profile.decoders & technique.bit() != 0;
    let payload_max = payload_max(profile);
    let area = picture.size.clip(cells);
    let is_flat = context::is_flat(picture, cells);
    if is_flat && decodes(Technique::Colour) {
        let payload = colour::encode(&[picture.tile(cells.x, cells.y)[0]])?;
        return Some(Coded { technique: Technique::Colour, payload: Arc::from(payload) });
    }
    picture.read(cells, &mut scratch.pixels);
    let raw_len = area.pixels() * raw::PIXEL_LEN;
    if decodes(Technique::Bitmap) {
        // What is no smaller than raw pixels is not worth unpacking.
        let max = if decodes(Technique::Raw) { payload_max.min(raw_len - 1) } else { payload_max };
        scratch.bytes.clear();
        if scratch.bitmap.encode(&scratch.pixels, area.width.into(), max, &mut scratch.bytes) {
            return Some(Coded { technique: Technique::Bitmap, payload: Arc::from(&scratch.bytes[..]) });
        }
    }
    if decodes(Technique::Raw) && raw_len <= payload_max {
        scratch.bytes.clear();
        raw::encode(&scratch.pixels, &mut scratch.bytes);
        return Some(Coded { technique: Technique::Raw, payload: Arc::from(&scratch.bytes[..]) });
    }
    None
}
