//! How a region's pixels are put into bytes. One file per technique: format and decoder always, encoder
//! behind the feature `encode`.
//!
//! Pixels are native `u32`s (`0x00RRGGBB`, with a client's [`Depth`] in mind), rows of the record's clipped pixel rectangle from top
//! to bottom, without padding.

pub mod base;
pub mod bitmap;
mod bits;
pub mod cache;
pub mod colour;
pub mod copy;
pub mod dictionary;
pub mod lossy;
mod palette;
pub mod raw;
pub mod scan;
pub mod trixel;

use alloc::vec::Vec;

use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;
use base::BaseView;

/// The techniques that this version knows, with their numbers on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Technique {
    /// One colour: [`colour`].
    Colour = 1,
    /// Pixels as they are: [`raw`].
    Raw = 2,
    /// Lossless bitmap, PNG's filters and deflate: [`bitmap`].
    Bitmap = 3,
    /// Some pixels of the base anew: [`scan`].
    PixelScan = 4,
    /// Groups of pixels of few colours: [`trixel`].
    Trixel = 5,
    /// Lossy bitmap, a JPEG's scan: [`lossy`].
    Lossy = 6,
    /// Pixels of the base into a slot of the cache: [`cache`].
    Store = 7,
    /// Pixels out of a slot of the cache: [`cache`].
    Use = 8,
    /// Pixels of the base, moved: [`copy`].
    Copy = 9,
    /// Lossless, with the base for a dictionary: [`dictionary`].
    Dictionary = 10,
}

/// Whether records of a technique have a base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BaseUse {
    /// None does.
    Never,
    /// Those that name one.
    May,
    /// All do.
    Must,
}

impl Technique {
    /// Every technique, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Colour,
        Self::Raw,
        Self::Bitmap,
        Self::PixelScan,
        Self::Trixel,
        Self::Lossy,
        Self::Store,
        Self::Use,
        Self::Copy,
        Self::Dictionary,
    ];

    /// A number from the wire.
    #[must_use]
    pub fn from_wire(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|technique| *technique as u8 == value)
    }

    /// The bit that stands for this technique in a Hello's decoders.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The name as it stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Colour => "colour",
            Self::Raw => "raw",
            Self::Bitmap => "bitmap",
            Self::PixelScan => "pixel scan",
            Self::Trixel => "trixel",
            Self::Lossy => "lossy bitmap",
            Self::Store => "cache store",
            Self::Use => "cache use",
            Self::Copy => "copy",
            Self::Dictionary => "dictionary",
        }
    }

    /// Whether its records give exactly the pixels that the server has.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        !matches!(self, Self::Lossy)
    }

    /// Whether its records have a base, see [`base`].
    #[must_use]
    pub const fn base_use(self) -> BaseUse {
        match self {
            Self::Colour | Self::Raw | Self::Bitmap | Self::Trixel | Self::Lossy | Self::Use => {
                BaseUse::Never
            }
            Self::PixelScan | Self::Store | Self::Copy => BaseUse::Must,
            Self::Dictionary => BaseUse::May,
        }
    }
}

/// What decoding needs, kept between records.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The depth of the pixels that come.
    pub depth: Depth,
    inflated: Vec<u8>,
    dictionary: dictionary::Decoder,
}

impl Scratch {
    /// For pixels of `depth`.
    #[must_use]
    pub fn new(depth: Depth) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Bytes that the last payload inflated to.
    #[must_use]
    pub fn inflated_len(&self) -> usize {
        self.inflated.len()
    }
}

/// The decoders of this crate as a Hello states them.
#[must_use]
pub fn decoders() -> u32 {
    Technique::ALL.into_iter().fold(0, |bits, technique| bits | technique.bit())
}

/// The techniques that read a base, as a Hello states decoders.
#[must_use]
pub fn based() -> u32 {
    let based = Technique::ALL.into_iter().filter(|technique| technique.base_use() != BaseUse::Never);
    based.fold(0, |bits, technique| bits | technique.bit())
}

/// Decodes `payload` into exactly the pixels of `area`, written to `out` (cleared first). `base` is what the record
/// names, if its technique [takes one](Technique::base_use), or with [`Technique::Use`] the stored picture; its pixels have
/// the depth of `scratch`.
///
/// # Errors
/// [`Refusal::Payload`] if the payload does not give exactly those pixels, or they are not of that depth, or there are
/// none to give;
/// [`Refusal::Base`] if the base is missing, [`Refusal::Cache`] if the stored picture is or has not those pixels.
pub fn decode(
    technique: Technique,
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    scratch: &mut Scratch,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    // SPEC [LFP-7.7]: A payload MUST be decoded in full, within the size of its own rectangle, before the first cell
    // changes.
    out.clear();
    if area.pixels() == 0 {
        return Err(Refusal::Payload);
    }
    let depth = scratch.depth;
    match technique {
        Technique::Colour => colour::decode(payload, area, depth, out),
        Technique::Raw => raw::decode(payload, area, depth, out),
        Technique::Bitmap => bitmap::decode(payload, area, &mut scratch.inflated, out),
        Technique::PixelScan => scan::decode(payload, area, base, depth, out),
        Technique::Trixel => trixel::decode(payload, area, depth, out),
        Technique::Lossy => lossy::decode(payload, area, out),
        Technique::Store => cache::decode_store(payload, area, base, out),
        Technique::Use => cache::decode_use(payload, area, base, out),
        Technique::Copy => copy::decode(payload, area, base, out),
        Technique::Dictionary => dictionary::decode(payload, area, base, &mut scratch.dictionary, out),
    }?;
    if technique == Technique::Lossy {
        depth.reduce_all(out);
        return Ok(());
    }
    // SPEC [LFP-16.8]: A client MUST refuse a record of which a pixel is not one of its depth.
    if depth.has_all(out) { Ok(()) } else { Err(Refusal::Payload) }
}
