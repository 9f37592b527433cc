//! Copy: pixels of the base as they are, from elsewhere: a scroll, a window that is dragged.
//!
//! The payload is the vector from the record's rectangle to its source.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::technique::base::{BaseView, Vector};
use crate::wire::Reader;

pub(super) fn decode(
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    paint(parse(payload)?, area, base, out)
}

/// The vector that is a copy's payload, for whoever has the base where the pixels are to go, and need not decode them.
///
/// # Errors
/// [`Refusal::Payload`] if it is none, or something follows it.
pub fn parse(payload: &[u8]) -> Result<Vector, Refusal> {
    let mut reader = Reader::new(payload);
    let vector = Vector::parse(&mut reader)?;
    if reader.remaining() > 0 {
        return Err(Refusal::Payload);
    }
    Ok(vector)
}

/// Appends the pixels of `base` that lie at `vector` from those of `area`.
pub(super) fn paint(
    vector: Vector,
    area: PixelRect,
    base: Option<BaseView<'_>>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let base = base.ok_or(Refusal::Base)?;
    // SPEC [LFP-16.3]: A client MUST refuse a record whose base does not lie inside the surface.
    let source = vector.inside(area, base.size).ok_or(Refusal::Payload)?;
    out.reserve(area.pixels());
    for y in source.y..source.y + source.height {
        let start = usize::from(y) * base.stride + usize::from(source.x);
        let row = base.pixels.get(start..start + usize::from(source.width)).ok_or(Refusal::Base)?;
        out.extend_from_slice(row);
    }
    Ok(())
}

/// The payload of a copy along `vector`.
#[cfg(feature = "encode")]
#[must_use]
pub fn encode(vector: Vector) -> Vec<u8> {
    let mut payload = Vec::new();
    vector.emit(&mut payload);
    payload
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::geometry::Size;

    #[test]
    fn takes_the_pixels_that_the_vector_leads_to() {
        let size = Size::new(40, 30).expect("legal");
        let pixels: Vec<u32> = (0..1_200).collect();
        let area = PixelRect { x: 16, y: 16, width: 16, height: 14 };
        let base = BaseView { pixels: &pixels, stride: 40, size, area };
        let mut out = vec![7];
        for (dx, dy) in [(0, 0), (-16, -16), (8, -1), (-3, 0)] {
            let mut payload = Vec::new();
            Vector { dx, dy }.emit(&mut payload);
            out.clear();
            decode(&payload, area, Some(base), &mut out).expect("inside");
            let expected = |at: i32| (16 + dy + at / 16) * 40 + 16 + dx + at % 16;
            assert!(out.iter().zip(0..).all(|(pixel, at)| *pixel as i32 == expected(at)), "{dx}, {dy}");
            payload.push(0);
            assert_eq!(decode(&payload, area, Some(base), &mut out), Err(Refusal::Payload));
        }
        assert_eq!(decode(&[18, 0], area, Some(base), &mut out), Err(Refusal::Payload), "outside");
        assert_eq!(decode(&[0, 0], area, None, &mut out), Err(Refusal::Base));
    }
}
