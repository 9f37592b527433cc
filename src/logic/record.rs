//! One rectangle into the fewest bytes that the client can read.

use std::mem;
use std::sync::Arc;

use crate::context;
use crate::geometry::{CellRect, PixelRect};
use crate::limits::CELL;
use crate::logic::Profile;
use crate::logic::base::Base;
use crate::scan::Picture;
use lfp_proto::depth::Depth;
use lfp_proto::record::RECORD_HEADER_MAX;
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::{BaseUse, Technique, bitmap, colour, dictionary, lossy, raw, scan, trixel};

/// One pixel in so many may differ from a base for a pixel scan to be tried: where more did, in recorded desktops, the
/// rectangles took more bytes so than without a base.
const CHANGED_ONE_IN: usize = 8;
/// Bits for a pixel up to which trixel is taken without a look at bitmap: in recorded desktops bitmap takes a tenth more
/// for all such rectangles together; beyond, it mostly takes less.
const TRIXEL_BITS_SURE: usize = 2;

/// A rectangle's technique and bytes.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) technique: Technique,
    /// Where its base lies, if it has one.
    pub(super) vector: Option<Vector>,
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
    trixel: trixel::Encoder,
    scan: scan::Encoder,
    base: Vec<u32>,
    bytes: Vec<u8>,
    /// What may be smaller.
    other: Vec<u8>,
}

/// Most bytes that a record's payload may have for clients of `profile`.
pub(super) fn payload_max(profile: Profile) -> usize {
    profile.record_max.saturating_sub(RECORD_HEADER_MAX)
}

/// Whether clients of `profile` decode `technique`.
// SPEC [LFP-4.8]: A server MUST NOT send a record in a technique or with a reference that the HELLO does not state.
pub(super) const fn decodes(profile: Profile, technique: Technique) -> bool {
    profile.decoders & technique.bit() != 0
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
    if profile.fit.depth != Depth::Bits24 {
        pixels.iter_mut().for_each(|pixel| *pixel = profile.fit.depth.colour(*pixel));
    }
    bytes.clear();
    let width = usize::from(picture.size.clip(cells).width);
    let form = lossy::Form { quality, sampling: lossy::sampling(pixels, width) };
    let rows =
        lossy::encode(pixels, width, form, payload_max(profile), bytes).div_ceil(usize::from(CELL)) as u16;
    let payload = Arc::from(bytes.as_slice());
    (rows > 0).then_some(Coded { technique: Technique::Lossy, vector: None, rows, payload })
}

/// Puts `cells`, or as many rows of them as fit, into bytes with the technique of `profile` that takes the fewest; `None`
/// if no record that the client takes holds them. On a `base` the record builds where that is of use; for a client without
/// the dictionary it is `None` where it is not.
pub(super) fn encode(
    picture: &Picture,
    cells: CellRect,
    profile: Profile,
    base: Option<(&Base, Vector)>,
    scratch: &mut Scratch,
) -> Option<Coded> {
    if context::is_flat(picture, cells) && decodes(profile, Technique::Colour) {
        let payload = Arc::from(colour::encode(profile.fit.depth, &[picture.tile(cells.x, cells.y)[0]])?);
        return Some(Coded { technique: Technique::Colour, vector: None, rows: cells.height, payload });
    }
    picture.read(cells, &mut scratch.pixels);
    scratch.bytes.clear();
    (scratch.trixel.depth, scratch.scan.depth) = (profile.fit.depth, profile.fit.depth);
    let area = picture.size.clip(cells);
    let task = Task { picture, cells, area, width: area.width.into(), profile, max: payload_max(profile) };
    let (technique, rows) = match base {
        _ if decodes(profile, Technique::Dictionary) => task.with_dictionary(base, scratch),
        Some((base, vector)) => task.with_scan(base, vector, scratch),
        None => task.with_itself(scratch),
    }?;
    let vector = base.map(|(_, vector)| vector).filter(|_| technique.base_use() != BaseUse::Never);
    Some(Coded { technique, vector, rows, payload: Arc::from(&*scratch.bytes) })
}

/// Bytes that a bitmap of `cells` will take, roughly: of recorded desktops half take between 1.3 and 3 bytes for
/// each pixel that its neighbours do not foretell. It errs to the low side, since a rectangle that is tried in
/// vain costs time once, and one that is split in vain costs bytes. It knows nothing but the pixels, so that
/// all sessions arrive at the same rectangles.
pub(super) fn estimate(picture: &Picture, cells: CellRect) -> usize {
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    let detail: usize = picture
        .cell_rows(cells)
        .flat_map(|row| row.detail[columns.clone()].iter())
        .map(|detail| usize::from(*detail))
        .sum();
    40 + cells.cells() + detail * 3 / 2
}

/// One rectangle to be put into bytes. Its functions leave them in the scratch, whose pixels are the rectangle's, and
/// say by which technique and of how many rows of cells.
struct Task<'a> {
    picture: &'a Picture,
    cells: CellRect,
    area: PixelRect,
    /// Pixels in a row.
    width: usize,
    profile: Profile,
    /// Most bytes of the payload.
    max: usize,
}

impl Task<'_> {
    /// By the dictionary, or raw.
    fn with_dictionary(
        &self,
        base: Option<(&Base, Vector)>,
        scratch: &mut Scratch,
    ) -> Option<(Technique, u16)> {
        let Scratch { pixels, dictionary, base: base_pixels, bytes, .. } = scratch;
        let known = base.and_then(|(base, vector)| {
            self.read_base(base, vector, base_pixels)?;
            vector.emit(bytes);
            Some(dictionary::Base { pixels: base_pixels, stride: self.width })
        });
        // It is told of no smaller bound, so that the rows which fit give the same bytes when they are asked for alone.
        let pixel_rows = dictionary.encode(pixels, self.width, known, self.max - bytes.len(), bytes);
        let is_small = bytes.len() < pixel_rows * self.width * self.profile.fit.depth.bytes();
        if pixel_rows > 0 && (is_small || !decodes(self.profile, Technique::Raw)) {
            return Some((Technique::Dictionary, rows_of_cells(pixel_rows)));
        }
        if pixel_rows > 0 {
            bytes.clear();
            raw::encode(self.profile.fit.depth, &pixels[..pixel_rows * self.width], bytes);
            return Some((Technique::Raw, rows_of_cells(pixel_rows)));
        }
        self.with_raw(scratch)
    }

    /// As what is not as in `base`, or by trixel where that is smaller yet.
    fn with_scan(&self, base: &Base, vector: Vector, scratch: &mut Scratch) -> Option<(Technique, u16)> {
        let Scratch { pixels, scan, trixel, base: base_pixels, bytes, other, .. } = scratch;
        self.read_base(base, vector, base_pixels)?;
        let most = pixels.len() / CHANGED_ONE_IN;
        if scan::changed(pixels, base_pixels, most) > most
            || !scan.encode(pixels, base_pixels, vector, self.max, bytes)
        {
            return None;
        }
        other.clear();
        if decodes(self.profile, Technique::Trixel)
            && trixel.encode(pixels, self.width, bytes.len() - 1, other) * self.width == pixels.len()
        {
            mem::swap(bytes, other);
            return Some((Technique::Trixel, self.cells.height));
        }
        Some((Technique::PixelScan, self.cells.height))
    }

    /// By trixel or bitmap, or raw.
    fn with_itself(&self, scratch: &mut Scratch) -> Option<(Technique, u16)> {
        let Scratch { pixels, bitmap, trixel, bytes, other, .. } = scratch;
        let raw_len = pixels.len() * self.profile.fit.depth.bytes();
        let raw_fits = decodes(self.profile, Technique::Raw) && raw_len <= self.max;
        // What is no smaller than raw pixels is not worth unpacking.
        let mut most = if raw_fits { self.max.min(raw_len - 1) } else { self.max };
        let mut in_trixels = false;
        if decodes(self.profile, Technique::Trixel) {
            let pixel_rows = trixel.encode(pixels, self.width, self.max, bytes);
            let coded = pixel_rows * self.width;
            if pixel_rows > 0 && bytes.len() * 8 <= coded * TRIXEL_BITS_SURE {
                return Some((Technique::Trixel, rows_of_cells(pixel_rows)));
            }
            in_trixels = coded == pixels.len() && bytes.len() <= most;
            if in_trixels {
                most = bytes.len() - 1;
            }
        }
        // A single cell cannot be split.
        let may_fit = self.cells.cells() == 1 || estimate(self.picture, self.cells) <= self.max;
        other.clear();
        if decodes(self.profile, Technique::Bitmap)
            && may_fit
            && bitmap.encode(pixels, self.width, most, other)
        {
            mem::swap(bytes, other);
            return Some((Technique::Bitmap, self.cells.height));
        }
        if in_trixels { Some((Technique::Trixel, self.cells.height)) } else { self.with_raw(scratch) }
    }

    fn with_raw(&self, scratch: &mut Scratch) -> Option<(Technique, u16)> {
        let fits = scratch.pixels.len() * self.profile.fit.depth.bytes() <= self.max;
        if !fits || !decodes(self.profile, Technique::Raw) {
            return None;
        }
        scratch.bytes.clear();
        raw::encode(self.profile.fit.depth, &scratch.pixels, &mut scratch.bytes);
        Some((Technique::Raw, self.cells.height))
    }

    /// Reads the base's pixels, if all of them lie on the surface.
    fn read_base(&self, base: &Base, vector: Vector, pixels: &mut Vec<u32>) -> Option<()> {
        let source = vector.inside(self.area, self.picture.size)?;
        pixels.clear();
        for y in source.y..source.y + source.height {
            base.picture.read_row(PixelRect { y, height: 1, ..source }, pixels);
        }
        Some(())
    }
}

fn rows_of_cells(pixel_rows: usize) -> u16 {
    pixel_rows.div_ceil(usize::from(CELL)) as u16
}
