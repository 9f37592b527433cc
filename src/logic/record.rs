//! One rectangle into the fewest bytes that the client can read.

use std::sync::Arc;

use crate::context;
use crate::geometry::{CellRect, PixelRect};
use crate::limits::CELL;
use crate::logic::Profile;
use crate::logic::base::Base;
use crate::scan::Picture;
use lfp_proto::record::RECORD_HEADER_MAX;
use lfp_proto::technique::dictionary::Place;
use lfp_proto::technique::{Technique, bitmap, colour, dictionary, lossy, raw};

/// A rectangle's technique and bytes.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) technique: Technique,
    /// Where its base lies, if it has one.
    pub(super) place: Option<Place>,
    /// Rows of cells that it holds: of what was to be encoded, those from the top that fit.
    pub(super) rows: u16,
    pub(super) payload: Arc<[u8]>,
}

/// What a worker needs to encode, kept between requests.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) pixels: Vec<u32>,
    bitmap: bitmap::Encoder,
    dictionary: dictionary::Encoder,
    base: Vec<u32>,
    bytes: Vec<u8>,
}

/// Most bytes that a record's payload may have for clients of `profile`.
pub(super) fn payload_max(profile: Profile) -> usize {
    profile.record_max.saturating_sub(RECORD_HEADER_MAX)
}

/// Puts `cells`, or as many rows of them as fit, into bytes that give nearly their pixels; `None` if not even one row fits.
pub(super) fn encode_lossy(
    picture: &Picture,
    cells: CellRect,
    profile: Profile,
    quality: u8,
    scratch: &mut Scratch,
) -> Option<Coded> {
    let Scratch { pixels, bytes, .. } = scratch;
    picture.read(cells, pixels);
    bytes.clear();
    let width = usize::from(picture.size.clip(cells).width);
    let form = lossy::Form { quality, sampling: lossy::sampling(pixels, width) };
    let rows =
        lossy::encode(pixels, width, form, payload_max(profile), bytes).div_ceil(usize::from(CELL)) as u16;
    let payload = Arc::from(bytes.as_slice());
    (rows > 0).then_some(Coded { technique: Technique::Lossy, place: None, rows, payload })
}

/// Puts `cells`, or as many rows of them as fit, into bytes, building on `base` where that is of use, with the technique of `profile` that takes the fewest; `None`
/// if no record that the client takes holds them.
pub(super) fn encode(
    picture: &Picture,
    cells: CellRect,
    profile: Profile,
    base: Option<(&Base, Place)>,
    scratch: &mut Scratch,
) -> Option<Coded> {
    // SPEC [LFP-4.8]: A server MUST NOT send a record in a technique or with a reference that the HELLO does not state.
    let decodes = |technique: Technique| profile.decoders & technique.bit() != 0;
    let payload_max = payload_max(profile);
    let area = picture.size.clip(cells);
    let coded = |technique: Technique, rows: u16, payload: &[u8]| {
        let place = base.map(|(_, place)| place).filter(|_| technique == Technique::Dictionary);
        Some(Coded { technique, place, rows, payload: Arc::from(payload) })
    };
    if context::is_flat(picture, cells) && decodes(Technique::Colour) {
        let payload = colour::encode(&[picture.tile(cells.x, cells.y)[0]])?;
        return coded(Technique::Colour, cells.height, &payload);
    }
    let Scratch { pixels, bitmap, dictionary, base: base_pixels, bytes } = scratch;
    picture.read(cells, pixels);
    bytes.clear();
    let raw_len = area.pixels() * raw::PIXEL_LEN;
    let raw_fits = decodes(Technique::Raw) && raw_len <= payload_max;
    // What is no smaller than raw pixels is not worth unpacking.
    if decodes(Technique::Dictionary) {
        // It is told of no smaller bound, so that the rows which fit give the same bytes when they are asked for alone.
        let width = usize::from(area.width);
        let known = base.and_then(|(base, place)| {
            let source = place.source(area, picture.size)?;
            base_pixels.clear();
            for y in source.y..source.y + source.height {
                base.picture.read_row(PixelRect { y, height: 1, ..source }, base_pixels);
            }
            place.emit(bytes);
            Some(place.base(area, source, base_pixels, width))
        });
        let pixel_rows = dictionary.encode(pixels, width, known, payload_max - bytes.len(), bytes);
        let rows = pixel_rows.div_ceil(usize::from(CELL)) as u16;
        if pixel_rows > 0 && (bytes.len() < pixel_rows * width * raw::PIXEL_LEN || !decodes(Technique::Raw)) {
            return coded(Technique::Dictionary, rows, bytes);
        }
        if pixel_rows > 0 {
            bytes.clear();
            raw::encode(&pixels[..pixel_rows * width], bytes);
            return coded(Technique::Raw, rows, bytes);
        }
    } else if decodes(Technique::Bitmap) {
        let max = if raw_fits { payload_max.min(raw_len - 1) } else { payload_max };
        if bitmap.encode(pixels, area.width.into(), max, bytes) {
            return coded(Technique::Bitmap, cells.height, bytes);
        }
    }
    if raw_fits {
        bytes.clear();
        raw::encode(pixels, bytes);
        return coded(Technique::Raw, cells.height, bytes);
    }
    None
}
