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

#[cfg(feature = "encode")]
pub use encode::Encoder;

use self::field::Field;
use self::model::Model;
use self::range::Coder;
use self::walk::Walk;
use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::limits::CELL;
use crate::technique::base::{BaseView, Vector};
use crate::wire::Reader;

const SIDE: usize = CELL as usize;

/// Decodes `payload`, which begins with the vector to the base if there is one.
pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    decoder: &mut Decoder,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let Some(view) = base else { return decoder.decode(payload, area, None, out) };
    let mut reader = Reader::new(payload);
    // SPEC [LFP-16.3]: A client MUST refuse a record whose base does not lie inside the surface.
    let source = Vector::parse(&mut reader)?.inside(area, view.size).ok_or(Refusal::Payload)?;
    let start = usize::from(source.y) * view.stride + usize::from(source.x);
    let pixels = view.pixels.get(start..).ok_or(Refusal::Base)?;
    decoder.decode(reader.rest(), area, Some(Base { pixels, stride: view.stride }), out)
}

/// Pixels that a record is decoded against: a rectangle of the record's size.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// From the first pixel of the first row; at least to the last of the last.
    pub pixels: &'a [u32],
    /// From one row to the next, in pixels.
    pub stride: usize,
}

/// What both halves keep between records, so that none allocates.
#[derive(Debug, Default)]
struct State {
    model: Model,
    field: Field,
    base: Field,
    has_base: bool,
    unguessed: Vec<u8>,
}

impl State {
    /// Prepares for a record of `width` x `height` pixels: forgets the last.
    fn begin(&mut self, width: usize, height: usize, base: Option<Base<'_>>) {
        self.model.reset();
        self.has_base = base.is_some();
        match base {
            Some(base) => {
                self.base.load(width, height, base.pixels, base.stride);
                self.field.take_margin(&self.base);
            }
            None => self.field.reset(width, height),
        }
        self.unguessed.clear();
        self.unguessed.resize(self.field.pixels.len(), 0);
    }

    /// Codes row `y`, which follows those that were coded before. The base is learnt from one row of cells at a time, so
    /// that a record can end behind any.
    fn row<C: Coder>(&mut self, coder: &mut C, y: usize) -> Result<(), Refusal> {
        if self.has_base && y % SIDE == 0 {
            let (model, base) = (&mut self.model, &self.base);
            for y in y..(y + SIDE).min(base.height) {
                model.learn_base(base.three_rows(y));
            }
        }
        let Self { model, field, base, has_base, unguessed } = self;
        let base = has_base.then_some(&base.pixels[..]);
        Walk { coder, model, field, base, unguessed }.row(y)
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
            // bytes shorter, or that names a guess or a remembered colour that is not there.
            if coder.is_past_end() {
                return Err(Refusal::Payload);
            }
            out.extend_from_slice(self.state.field.row(y));
        }
        if coder.is_at_end() { Ok(()) } else { Err(Refusal::Payload) }
    }
}
