//! One rectangle into the fewest bytes that the client can read.

use std::mem;
use std::sync::Arc;

use crate::context;
use crate::geometry::{CellRect, PixelRect};
use crate::limits::CELL;
use crate::logic::Profile;
use crate::logic::base::Base;
use crate::logic::choice::{self, Checks, RULES, Sample, Verdict};
use crate::scan::Picture;
use lfp_proto::depth::Depth;
use lfp_proto::record::RECORD_HEADER_MAX;
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::{BaseUse, Technique, bitmap, colour, dictionary, lossy, raw, scan, trixel};

/// One pixel in so many may differ from a base for a pixel scan to be tried: where more did, in recorded desktops, the
/// rectangles took more bytes so than without a base.
const CHANGED_ONE_IN: usize = 8;
/// Bits for a pixel up to which trixel's first rows, where not all fit, are a good part of a rectangle.
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
    /// The rule that chose the technique, by its place, and how it turned out.
    pub(super) verdict: Option<(usize, Verdict)>,
    /// Whether its rows would have got the same bytes if they had been asked for alone.
    pub(super) is_same_alone: bool,
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
    (rows > 0).then_some(Coded {
        technique: Technique::Lossy,
        vector: None,
        rows,
        payload,
        verdict: None,
        is_same_alone: false,
    })
}

/// Puts `cells`, or as many rows of them as fit, into bytes with the technique of `profile` that takes the fewest; `None`
/// if no record that the client takes holds them. On a `base` the record builds where that is of use; for a client without
/// the dictionary it is `None` where it is not. `checks` are rules that are not to be believed without a look at something
/// else.
pub(super) fn encode(
    picture: &Picture,
    cells: CellRect,
    profile: Profile,
    base: Option<(&Base, Vector)>,
    checks: Checks,
    scratch: &mut Scratch,
) -> Option<Coded> {
    if context::is_flat(picture, cells) && decodes(profile, Technique::Colour) {
        let payload = Arc::from(colour::encode(profile.fit.depth, &[picture.tile(cells.x, cells.y)[0]])?);
        let (technique, rows) = (Technique::Colour, cells.height);
        return Some(Coded { technique, vector: None, rows, payload, verdict: None, is_same_alone: true });
    }
    picture.read(cells, &mut scratch.pixels);
    scratch.bytes.clear();
    (scratch.trixel.depth, scratch.scan.depth) = (profile.fit.depth, profile.fit.depth);
    let area = picture.size.clip(cells);
    let (width, max) = (area.width.into(), payload_max(profile));
    let task = Task { picture, cells, area, width, profile, max, checks };
    let Choice { technique, rows, verdict } = match base {
        _ if decodes(profile, Technique::Dictionary) => task.with_dictionary(base, scratch),
        Some((base, vector)) => task.with_scan(base, vector, scratch),
        None => task.with_itself(scratch),
    }?;
    let vector = base.map(|(_, vector)| vector).filter(|_| technique.base_use() != BaseUse::Never);
    let is_same_alone = rows == cells.height
        || verdict.is_none_or(|(place, verdict)| {
            let count = usize::from(rows * CELL) * task.width;
            verdict == Verdict::Believed && task.rule(&scratch.pixels[..count]) == place
        });
    Some(Coded { technique, vector, rows, payload: Arc::from(&*scratch.bytes), verdict, is_same_alone })
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
    checks: Checks,
}

/// What was chosen: how many rows of cells by which technique, and how the rule turned out that named it.
struct Choice {
    technique: Technique,
    rows: u16,
    verdict: Option<(usize, Verdict)>,
}

impl Choice {
    const fn of(technique: Technique, rows: u16) -> Self {
        Self { technique, rows, verdict: None }
    }
}

impl Task<'_> {
    /// By the dictionary, or raw.
    fn with_dictionary(&self, base: Option<(&Base, Vector)>, scratch: &mut Scratch) -> Option<Choice> {
        let noise = base.is_none() && self.rule(&scratch.pixels) == choice::NOISE;
        if noise && !self.checks.contains(choice::NOISE) && decodes(self.profile, Technique::Raw) {
            let rows = self.raw_rows(scratch.pixels.len());
            return self.raw(rows, scratch, Some((choice::NOISE, Verdict::Believed)));
        }
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
            let verdict = noise.then_some((choice::NOISE, Verdict::Wrong));
            return Some(Choice { verdict, ..Choice::of(Technique::Dictionary, rows_of_cells(pixel_rows)) });
        }
        let rows = if pixel_rows > 0 { rows_of_cells(pixel_rows) } else { self.raw_rows(pixels.len()) };
        self.raw(rows, scratch, noise.then_some((choice::NOISE, Verdict::Right)))
    }

    /// As what is not as in `base`, or by trixel where that is smaller yet.
    fn with_scan(&self, base: &Base, vector: Vector, scratch: &mut Scratch) -> Option<Choice> {
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
            return Some(Choice::of(Technique::Trixel, self.cells.height));
        }
        Some(Choice::of(Technique::PixelScan, self.cells.height))
    }

    /// By what the rule for such a rectangle names, or, where that is none of the client's, does not fit or is to be checked, by
    /// the smallest of the others too. What is no smaller than raw pixels is not worth unpacking.
    fn with_itself(&self, scratch: &mut Scratch) -> Option<Choice> {
        let place = self.rule(&scratch.pixels);
        let first = RULES[place].first;
        let raw_rows = self.raw_rows(scratch.pixels.len());
        let raw_len = scratch.pixels.len() * self.profile.fit.depth.bytes();
        let raw_fits = raw_rows == self.cells.height && decodes(self.profile, Technique::Raw);
        let checks = self.checks.contains(place);
        if first == Technique::Raw && raw_fits && !checks {
            return self.raw(raw_rows, scratch, Some((place, Verdict::Believed)));
        }
        let second = if first == Technique::Trixel { Technique::Bitmap } else { Technique::Trixel };
        let rest = if first == Technique::Raw { Technique::Bitmap } else { first };
        let mut most = if raw_fits { self.max.min(raw_len - 1) } else { self.max };
        let mut best = None;
        for technique in [rest, second] {
            if let Some(rows) = self.attempt(technique, most, scratch) {
                mem::swap(&mut scratch.bytes, &mut scratch.other);
                most = scratch.bytes.len() - 1;
                best = Some((technique, rows));
                // Where only the first rows fit, another technique's whole is no more than another rectangle.
                if technique == first && !checks || rows < self.cells.height {
                    break;
                }
            }
        }
        let verdict = match best {
            Some((technique, _)) if technique != first => Verdict::Wrong,
            Some(_) if !checks => Verdict::Believed,
            None if first != Technique::Raw => Verdict::Wrong,
            _ => Verdict::Right,
        };
        let verdict = decodes(self.profile, first).then_some((place, verdict));
        match best {
            Some((technique, rows)) => Some(Choice { technique, rows, verdict }),
            None if raw_fits => self.raw(raw_rows, scratch, verdict),
            None => None,
        }
    }

    /// The rows of cells that `technique` puts into at most `most` bytes, which are left in `scratch.other`: all, or a good
    /// part of them.
    fn attempt(&self, technique: Technique, most: usize, scratch: &mut Scratch) -> Option<u16> {
        let Scratch { pixels, bitmap, trixel, other, .. } = scratch;
        other.clear();
        if !decodes(self.profile, technique) {
            return None;
        }
        if technique == Technique::Trixel {
            let coded = trixel.encode(pixels, self.width, most, other) * self.width;
            let is_good = coded > 0 && other.len() * 8 <= coded * TRIXEL_BITS_SURE;
            return (coded == pixels.len() || is_good).then(|| rows_of_cells(coded / self.width));
        }
        // A single cell cannot be split.
        let may_fit = self.cells.cells() == 1 || estimate(self.picture, self.cells) <= self.max;
        let fits = may_fit && bitmap.encode(pixels, self.width, most, other);
        fits.then_some(self.cells.height)
    }

    /// The place of the rule for `pixels`, which are the rectangle's.
    fn rule(&self, pixels: &[u32]) -> usize {
        choice::rule_for(Sample::take(pixels, self.width, self.profile.without))
    }

    /// Rows of cells that fit as raw pixels, of `pixels` in the rectangle.
    fn raw_rows(&self, pixels: usize) -> u16 {
        let row = self.width * self.profile.fit.depth.bytes();
        let fitting = self.max / row;
        if pixels / self.width <= fitting { self.cells.height } else { (fitting / usize::from(CELL)) as u16 }
    }

    /// The first `rows` rows of cells, as raw pixels.
    fn raw(&self, rows: u16, scratch: &mut Scratch, verdict: Option<(usize, Verdict)>) -> Option<Choice> {
        let Scratch { pixels, bytes, .. } = scratch;
        if rows == 0 || !decodes(self.profile, Technique::Raw) {
            return None;
        }
        let count = (usize::from(rows * CELL) * self.width).min(pixels.len());
        bytes.clear();
        raw::encode(self.profile.fit.depth, &pixels[..count], bytes);
        Some(Choice { technique: Technique::Raw, rows, verdict })
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
