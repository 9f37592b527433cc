//! Lossy bitmap: the scan of a baseline JPEG (ITU-T T.81) without the headers that would be the same in every record, for
//! pictures that move.
//!
//! The first byte of a payload is its [`Form`]; the entropy-coded scan follows, without stuffed bytes, and ends with the
//! payload. Tables are Annex K's, the quantisers scaled by the quality as libjpeg does; both sides have them. The picture
//! is whole cells, also where the surface ends within one. The way back is in integers, exactly as `SPEC.md` section 16
//! says, so that every client shows the same pixels: but not those that the server has.

mod bits;
#[cfg(feature = "encode")]
mod encode;
mod tables;
#[cfg(test)]
mod tests;
mod transform;

use alloc::vec::Vec;

#[cfg(feature = "encode")]
pub use encode::{encode, sampling};

use self::bits::Bits;
use self::tables::{AC, DC, Huffman, ZIGZAG};
use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::limits::CELL;

/// Best quality.
pub const QUALITY_MAX: u8 = 100;

/// How many chroma samples there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sampling {
    /// One a pixel: for hard edges between colours.
    Full,
    /// One for two by two pixels.
    Quarter,
}

impl Sampling {
    /// Pixels of the side of what is coded together.
    const fn side(self) -> usize {
        match self {
            Self::Full => 8,
            Self::Quarter => 16,
        }
    }

    /// Luma blocks of that.
    const fn luma_blocks(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Quarter => 4,
        }
    }

    /// Bits of which no cell takes fewer: each block has a first coefficient and an end.
    const fn cell_bits_min(self) -> usize {
        match self {
            Self::Full => 4 * (6 + 4 + 4),
            Self::Quarter => 4 * 6 + 4 + 4,
        }
    }
}

/// What the first byte of a payload says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Form {
    /// 1 to [`QUALITY_MAX`].
    pub quality: u8,
    /// How many chroma samples there are.
    pub sampling: Sampling,
}

impl Form {
    /// What a payload says, if that is legal.
    #[must_use]
    pub fn of(payload: &[u8]) -> Option<Self> {
        payload.first().and_then(|byte| Self::from_wire(*byte))
    }

    fn from_wire(byte: u8) -> Option<Self> {
        let sampling = if byte >> 7 == 0 { Sampling::Full } else { Sampling::Quarter };
        let quality = byte & 0x7f;
        (1..=QUALITY_MAX).contains(&quality).then_some(Self { quality, sampling })
    }

    /// The byte.
    #[cfg(feature = "encode")]
    const fn to_wire(self) -> u8 {
        match self.sampling {
            Sampling::Full => self.quality,
            Sampling::Quarter => self.quality | 0x80,
        }
    }
}

/// Decodes into all pixels of `area`, which begins with a cell.
pub(super) fn decode(payload: &[u8], area: PixelRect, out: &mut Vec<u32>) -> Result<(), Refusal> {
    // SPEC [LFP-16.7]: A client MUST refuse a lossy bitmap of another quality than 1 to 100, whose scan ends before its
    // last block or goes on for a byte behind it
    let (&form, scan) = payload.split_first().ok_or(Refusal::Payload)?;
    let form = Form::from_wire(form).ok_or(Refusal::Payload)?;
    let cells = usize::from(area.width.div_ceil(CELL)) * usize::from(area.height.div_ceil(CELL));
    if scan.len() * 8 < cells * form.sampling.cell_bits_min() {
        return Err(Refusal::Payload);
    }
    out.resize(area.pixels(), 0);
    let mut scan =
        Scan { bits: Bits::new(scan), quantisers: tables::quantisers(form.quality), before: [0; 3] };
    let side = form.sampling.side();
    let mut unit = Unit { samples: [[0; 64]; 6], sampling: form.sampling };
    for y in (0..usize::from(area.height).next_multiple_of(CELL.into())).step_by(side) {
        for x in (0..usize::from(area.width).next_multiple_of(CELL.into())).step_by(side) {
            scan.unit(&mut unit)?;
            unit.paint(x, y, area, out);
        }
    }
    if scan.bits.is_at_end() { Ok(()) } else { Err(Refusal::Payload) }
}

/// What is coded together: luma blocks, row by row, then blue, then red.
struct Unit {
    samples: [[u8; 64]; 6],
    sampling: Sampling,
}

impl Unit {
    /// Paints as much of it as lies within `area`, with its corner at (`x`, `y`) of that.
    fn paint(&self, x: usize, y: usize, area: PixelRect, out: &mut [u32]) {
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let side = self.sampling.side();
        let lumas = self.sampling.luma_blocks();
        let (blue, red) = (&self.samples[lumas], &self.samples[lumas + 1]);
        for row in 0..side.min(height.saturating_sub(y)) {
            let line = &mut out[(y + row) * width..][..width];
            let Some(line) = line.get_mut(x..) else { continue };
            for (column, place) in line.iter_mut().take(side).enumerate() {
                let luma = self.samples[row / 8 * 2 + column / 8][row % 8 * 8 + column % 8];
                let chroma = row * 8 / side * 8 + column * 8 / side;
                *place = transform::pixel(luma, blue[chroma], red[chroma]);
            }
        }
    }
}

/// A scan under way.
struct Scan<'a> {
    bits: Bits<'a>,
    /// Of luma and chroma.
    quantisers: [[u8; 64]; 2],
    /// The first coefficient of the block before, of luma, blue and red.
    before: [i32; 3],
}

impl Scan<'_> {
    fn unit(&mut self, unit: &mut Unit) -> Result<(), Refusal> {
        let lumas = unit.sampling.luma_blocks();
        for block in 0..lumas + 2 {
            let component = (block + 1).saturating_sub(lumas);
            self.block(component, &mut unit.samples[block])?;
            // What follows would be made of zeros that nobody sent.
            if self.bits.is_past_end() {
                return Err(Refusal::Payload);
            }
        }
        Ok(())
    }

    /// The next block, which is of luma (0), blue or red.
    fn block(&mut self, component: usize, samples: &mut [u8; 64]) -> Result<(), Refusal> {
        let table = component.min(1);
        let mut block = [0; 64];
        let size = self.symbol(&DC[table])?;
        self.before[component] += self.value(size.into());
        block[0] = self.scaled(self.before[component], table, 0);
        let mut at = 1;
        while at < 64 {
            let symbol = self.symbol(&AC[table])?;
            let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, size) {
                (0, 0) => break,
                // Sixteen zeros; no other symbol of the tables has no size.
                (_, 0) => at += 16,
                _ => {
                    at += zeros;
                    let value = self.value(size);
                    let place = usize::from(*ZIGZAG.get(at).ok_or(Refusal::Payload)?);
                    block[place] = self.scaled(value, table, place);
                    at += 1;
                }
            }
        }
        if at > 64 {
            return Err(Refusal::Payload);
        }
        transform::back(&mut block, samples);
        Ok(())
    }

    fn scaled(&self, value: i32, table: usize, place: usize) -> i32 {
        let scaled = value.saturating_mul(self.quantisers[table][place].into());
        scaled.clamp(*transform::COEFFICIENTS.start(), *transform::COEFFICIENTS.end())
    }

    fn symbol(&mut self, table: &Huffman) -> Result<u8, Refusal> {
        let (symbol, len) = table.look_up(self.bits.peek()).ok_or(Refusal::Payload)?;
        self.bits.skip(len);
        Ok(symbol)
    }

    /// A value of `size` bits, of which the first is 0 if it is negative.
    fn value(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let bits = self.bits.take(size) as i32;
        if bits >> (size - 1) == 0 { bits - (1 << size) + 1 } else { bits }
    }
}
