//! Dictionary: lossless, for text and user interfaces. What the client shows already is the dictionary: pixels are
//! coded as runs of the base, and by what followed the same neighbourhood before, in the record or in its base.
//!
//! The payload is the vector to the base, if there is one, and one stream of an adaptive binary range coder; `SPEC.md` section 16 says which bits it holds. With a
//! base, both sides learn from its pixels as they go, which costs no bytes. There is no header and no table: a record's
//! first pixels cost more than its last, and nothing of one record is needed for another.

#[cfg(feature = "encode")]
mod encode;
mod field;
mod model;
mod range;
#[cfg(test)]
mod tests;
mod walk;

use alloc::vec::Vec;
use core::ops::Range;

#[cfg(feature = "encode")]
pub use encode::Encoder;

use self::field::Field;
use self::model::{Around, Model};
use self::range::Coder;
use self::walk::Walk;
use crate::frame::Refusal;
use crate::geometry::{PixelRect, Size};
use crate::limits::CELL;
use crate::technique::base::{BaseView, Vector};
use crate::wire::Reader;

const SIDE: usize = CELL as usize;

/// Where a record's base lies: what its payload begins with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Place {
    /// From the record's pixels to the base's.
    pub vector: Vector,
    /// Rows of cells above those pixels that belong to the base, at most 15.
    pub above: u8,
    /// Rows of cells below them, at most 15.
    pub below: u8,
}

impl Place {
    /// Takes it off the front of a payload.
    ///
    /// # Errors
    /// [`Refusal::Payload`] if it is not there.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let vector = Vector::parse(reader)?;
        let rows = reader.u8().map_err(|_| Refusal::Payload)?;
        Ok(Self { vector, above: rows & 15, below: rows >> 4 })
    }

    /// Appends it.
    pub fn emit(self, out: &mut Vec<u8>) {
        debug_assert!(self.above < 16 && self.below < 16);
        self.vector.emit(out);
        out.push(self.above | self.below << 4);
    }

    /// The base's pixels for a record of `area` on a surface of `size`, whose rows above and below are clipped; `None` if the
    /// rest does not lie inside.
    #[must_use]
    pub fn source(self, area: PixelRect, size: Size) -> Option<PixelRect> {
        // SPEC [LFP-16.3]: A client MUST refuse a record whose base does not lie inside the surface.
        let inside = self.vector.inside(area, size)?;
        let y = inside.y.saturating_sub(u16::from(self.above) * CELL);
        let end = (inside.y + inside.height).saturating_add(u16::from(self.below) * CELL).min(size.height);
        Some(PixelRect { y, height: end - y, ..inside })
    }

    /// The base that lies at `source`, whose pixels are `pixels` and more.
    #[must_use]
    pub fn base(self, area: PixelRect, source: PixelRect, pixels: &[u32], stride: usize) -> Base<'_> {
        let above = i32::from(area.y) + self.vector.dy - i32::from(source.y);
        Base {
            pixels,
            stride,
            above: usize::try_from(above).unwrap_or_default(),
            height: source.height.into(),
            ahead: usize::from(self.below) * SIDE,
        }
    }
}

/// Decodes `payload`, which begins with a [`Place`] if there is a base.
pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    decoder: &mut Decoder,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let Some(view) = base else { return decoder.decode(payload, area, None, out) };
    let mut reader = Reader::new(payload);
    let place = Place::parse(&mut reader)?;
    let source = place.source(area, view.size).ok_or(Refusal::Payload)?;
    let start = usize::from(source.y) * view.stride + usize::from(source.x);
    let pixels = view.pixels.get(start..).ok_or(Refusal::Base)?;
    decoder.decode(reader.rest(), area, Some(place.base(area, source, pixels, view.stride)), out)
}

/// Pixels that a record is decoded against: a rectangle of the record's width, and of its height or more.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// From the first pixel of the first row; at least to the last of the last.
    pub pixels: &'a [u32],
    /// From one row to the next, in pixels.
    pub stride: usize,
    /// Rows above those that the record's lie on.
    pub above: usize,
    /// Rows in all: those above, the record's, and `ahead` more if the surface has them.
    pub height: usize,
    /// Rows that are learnt from below those that are coded.
    pub ahead: usize,
}

/// What both halves keep between records, so that none allocates.
#[derive(Debug, Default)]
struct State {
    model: Model,
    field: Field,
    base: Field,
    has_base: bool,
    /// Rows of the base above the field's.
    above: usize,
    /// Rows of the base that are learnt from below those that are coded.
    ahead: usize,
    /// Rows of the base that were learnt from.
    learnt: usize,
    unguessed: Vec<u8>,
}

impl State {
    /// Prepares for a record of `width` x `height` pixels: forgets the last.
    fn begin(&mut self, width: usize, height: usize, base: Option<Base<'_>>) {
        self.model.reset();
        self.has_base = base.is_some();
        self.learnt = 0;
        match base {
            Some(base) => {
                assert!(base.height >= base.above + height, "{height} rows on {base:?}");
                (self.above, self.ahead) = (base.above, base.ahead);
                self.base.load(width, base.height, base.pixels, base.stride);
                self.field.take_margin(height, &self.base, base.above);
            }
            None => self.field.reset(width, height),
        }
        self.unguessed.clear();
        self.unguessed.resize(self.field.pixels.len(), 0);
    }

    /// Codes row `y`, which follows those that were coded before. Before each row of cells, the base is learnt from as
    /// far ahead as it says and no farther, so that a record can end behind any.
    fn row<C: Coder>(&mut self, coder: &mut C, y: usize) -> Result<(), Refusal> {
        if self.has_base && y % SIDE == 0 {
            let through = (self.above + y + SIDE + self.ahead).min(self.base.height);
            self.learn_base(self.learnt..through);
            self.learnt = through;
        }
        let Self { model, field, base, has_base, unguessed, above, .. } = self;
        let base = has_base.then(|| &base.pixels[*above * base.stride..]);
        Walk { coder, model, field, base, unguessed }.row(y)
    }

    fn learn_base(&mut self, rows: Range<usize>) {
        let Field { width, stride, ref pixels, .. } = self.base;
        for y in rows {
            let start = self.base.at(0, y);
            for at in start..start + width {
                self.model.learn_base(&Around::of(pixels, at, stride), pixels[at]);
            }
        }
    }
}

/// Decodes records. Keeps its scratch, about 50 kB and three times the largest record's pixels.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

impl Decoder {
    /// Decodes `payload` into exactly the pixels of `area`, appended to `out`.
    ///
    /// # Errors
    /// [`Refusal::Payload`] if the payload does not give exactly those pixels.
    ///
    /// # Panics
    /// If `area` is empty or `base` does not cover a rectangle of its size.
    pub fn decode(
        &mut self,
        payload: &[u8],
        area: PixelRect,
        base: Option<Base<'_>>,
        out: &mut Vec<u32>,
    ) -> Result<(), Refusal> {
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        self.state.begin(width, height, base);
        let mut coder = range::Decoder::new(payload);
        for y in 0..height {
            self.state.row(&mut coder, y)?;
            // SPEC [LFP-16.4]: A client MUST refuse a dictionary stream that is longer than its pixels need, or more than four
            // bytes shorter, or that names a remembered colour that is not there.
            if coder.is_past_end() {
                return Err(Refusal::Payload);
            }
            out.extend_from_slice(self.state.field.row(y));
        }
        if coder.is_at_end() { Ok(()) } else { Err(Refusal::Payload) }
    }
}
