//! The server's half: chooses coding and filters, deflates within a limit.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};

use super::filter::Filter;
use super::{PIXEL_LEN, coding};
use crate::technique::palette::Palette;

/// How hard deflate looks for repetitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Effort {
    /// Least time: for what changes all the time.
    Fast,
    /// For what is likely to stay for a while.
    #[default]
    Usual,
    /// Fewest bytes: for slow paths.
    Thorough,
}

/// As many colours always make a palette the better choice.
const COLOURS_SURE: usize = 16;
/// So many pixels to a colour make a palette the better choice on recorded desktops.
const COLOUR_WORTH: usize = 8;

/// Encodes bitmaps. Keeps the compressor and all scratch, so that a call allocates nothing once the largest
/// picture has been seen.
pub struct Encoder {
    compressor: Box<CompressorOxide>,
    palette: Palette,
    rows: Rows,
    /// What goes into deflate.
    plain: Vec<u8>,
}

impl core::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new(Effort::default())
    }
}

impl Encoder {
    /// An encoder that spends `effort` on each call.
    #[must_use]
    pub fn new(effort: Effort) -> Self {
        let level = match effort {
            Effort::Fast => 1,
            Effort::Usual => 6,
            Effort::Thorough => 9,
        };
        // Negative window bits: raw deflate.
        let flags = create_comp_flags_from_zip_params(level, -15, 0);
        Self {
            compressor: Box::new(CompressorOxide::new(flags)),
            palette: Palette::default(),
            rows: Rows::default(),
            plain: Vec::new(),
        }
    }

    /// Appends the payload for `pixels` (`0x00RRGGBB`, rows of `width` from top to bottom) to `out`, if it takes
    /// at most `limit` bytes; says whether it did. Stops, and leaves `out` as it was, once it cannot.
    ///
    /// # Panics
    /// If `pixels` is empty or does not hold whole rows of `width`.
    pub fn encode(&mut self, pixels: &[u32], width: usize, limit: usize, out: &mut Vec<u8>) -> bool {
        assert!(width > 0 && !pixels.is_empty() && pixels.len() % width == 0, "not whole rows of {width}");
        let start = out.len();
        let few = collect(&mut self.palette, pixels);
        let colours = self.palette.len();
        if few && (colours <= COLOURS_SURE || colours * COLOUR_WORTH <= pixels.len()) {
            return self.encode_palette(pixels, width, limit, out);
        }
        let filtered = self.encode_filtered(pixels, width, limit, out);
        if !few {
            return filtered;
        }
        // A gradient has many colours and filters to nothing, a scatter of colours does the opposite: try both.
        let middle = out.len();
        let less = if filtered { middle - start - 1 } else { limit };
        let indexed = self.encode_palette(pixels, width, less, out);
        if indexed {
            out.drain(start..middle);
        }
        filtered || indexed
    }

    fn encode_palette(&mut self, pixels: &[u32], width: usize, limit: usize, out: &mut Vec<u8>) -> bool {
        let bits = index_bits(self.palette.len());
        let coding = match bits {
            1 => coding::PALETTE_1,
            2 => coding::PALETTE_2,
            4 => coding::PALETTE_4,
            _ => coding::PALETTE_8,
        };
        self.plain.clear();
        pack(&self.palette, pixels, width, bits, &mut self.plain);
        self.deflate(&[coding, (self.palette.len() - 1) as u8], limit, out)
    }

    fn encode_filtered(&mut self, pixels: &[u32], width: usize, limit: usize, out: &mut Vec<u8>) -> bool {
        self.plain.clear();
        self.rows.filter(pixels, width, &mut self.plain);
        self.deflate(&[coding::FILTERED], limit, out)
    }

    /// Appends `header` and what `plain` deflates to, if both together take at most `limit` bytes.
    fn deflate(&mut self, header: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        out.extend_from_slice(header);
        let start = out.len();
        // Deflate stores what it cannot make smaller, with five bytes for each 32 KiB or so.
        let worst = self.plain.len() + self.plain.len() / 1024 + 64;
        out.resize(start + limit.saturating_sub(header.len()).min(worst), 0);
        self.compressor.reset();
        let (status, _, written) =
            compress(&mut self.compressor, &self.plain, &mut out[start..], TDEFLFlush::Finish);
        let whole = status == TDEFLStatus::Done;
        out.truncate(if whole { start + written } else { before });
        whole
    }
}

/// Collects the colours of `pixels` in the order in which they first occur; false if there are too many.
fn collect(palette: &mut Palette, pixels: &[u32]) -> bool {
    palette.clear();
    let mut previous = None;
    pixels.iter().all(|&pixel| {
        let is_known = previous == Some(pixel) || palette.add(pixel).is_some();
        previous = Some(pixel);
        is_known
    })
}

/// Bits that an index of one of so many colours takes.
const fn index_bits(colours: usize) -> usize {
    match colours {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    }
}

/// Appends the colours and the packed indices of `pixels`, which has no others.
fn pack(palette: &Palette, pixels: &[u32], width: usize, bits: usize, plain: &mut Vec<u8>) {
    for colour in (0..palette.len()).filter_map(|index| palette.at(index)) {
        plain.extend_from_slice(&colour.to_le_bytes()[..PIXEL_LEN]);
    }
    let (mut previous, mut index) = (None, 0);
    for row in pixels.chunks_exact(width) {
        for group in row.chunks(8 / bits) {
            let mut byte = 0;
            for (at, &pixel) in group.iter().enumerate() {
                if previous != Some(pixel) {
                    previous = Some(pixel);
                    index = palette.find(pixel).unwrap_or_default() as u8;
                }
                byte |= index << (8 - bits * (at + 1));
            }
            plain.push(byte);
        }
    }
}

/// Rows on their way through the filters.
#[derive(Default)]
struct Rows {
    line: Vec<u8>,
    above: Vec<u8>,
    trial: Vec<u8>,
    best: Vec<u8>,
}

impl Rows {
    /// Appends each row of `pixels` with the filter that leaves the least sum of absolute values.
    fn filter(&mut self, pixels: &[u32], width: usize, plain: &mut Vec<u8>) {
        let len = width * PIXEL_LEN;
        self.above.clear();
        for row in [&mut self.above, &mut self.trial, &mut self.best] {
            row.resize(len, 0);
        }
        for row in pixels.chunks_exact(width) {
            self.line.clear();
            for pixel in row {
                self.line.extend_from_slice(&pixel.to_le_bytes()[..PIXEL_LEN]);
            }
            let filter = self.choose();
            plain.push(filter as u8);
            plain.extend_from_slice(&self.best);
            mem::swap(&mut self.line, &mut self.above);
        }
    }

    /// Leaves the filtered line in `best`.
    fn choose(&mut self) -> Filter {
        // A filter that repeats well is worth more than its sum says; so the first to reach zero wins.
        const ORDER: [Filter; 5] = [Filter::Up, Filter::Left, Filter::Paeth, Filter::None, Filter::Average];
        let (mut least, mut chosen) = (usize::MAX, Filter::None);
        for filter in ORDER {
            filter.apply(&self.line, &self.above, &mut self.trial);
            let sum = magnitude(&self.trial, least);
            if sum < least {
                (least, chosen) = (sum, filter);
                mem::swap(&mut self.trial, &mut self.best);
            }
            if least == 0 {
                break;
            }
        }
        chosen
    }
}

/// Sum of the bytes' absolute values as signed numbers; anything above `enough` once it is passed.
fn magnitude(bytes: &[u8], enough: usize) -> usize {
    let mut sum = 0;
    for block in bytes.chunks(192) {
        sum += block.iter().map(|byte| u32::from((*byte as i8).unsigned_abs())).sum::<u32>() as usize;
        if sum > enough {
            break;
        }
    }
    sum
}
