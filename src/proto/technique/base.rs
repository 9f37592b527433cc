//! What a technique reads beside its payload: pixels that the client has already, at a vector's distance.
//!
//! The payload of every technique that reads a base begins with that vector, so that the base's cells are known, and
//! can be checked, before anything is decoded.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::{CellRect, PixelRect, Size};
use crate::limits::SURFACE_SIDE_MAX;
use crate::technique::{BaseUse, Technique};
use crate::wire::{Put, Reader};

/// From pixels that a record is to paint to those of its base, in pixels: right and down are positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Vector {
    /// To the right.
    pub dx: i32,
    /// Down.
    pub dy: i32,
}

/// The base of a record: a whole picture, and where in it the record's own rectangle lies.
#[derive(Clone, Copy, Debug)]
pub struct BaseView<'a> {
    /// `0x00RRGGBB`, rows from the top.
    pub pixels: &'a [u32],
    /// Pixels from one row to the next.
    pub stride: usize,
    /// Width and height of the picture in pixels.
    pub size: Size,
    /// The record's clipped pixel rectangle.
    pub area: PixelRect,
}

impl Vector {
    /// Takes a vector off the front of a payload.
    ///
    /// # Errors
    /// [`Refusal::Payload`] if there is none, or it leads further than any surface.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut part = || {
            let part = unzigzag(reader.varint_u32("vector").ok()?);
            (part.unsigned_abs() <= u32::from(SURFACE_SIDE_MAX)).then_some(part)
        };
        part().and_then(|dx| Some(Self { dx, dy: part()? })).ok_or(Refusal::Payload)
    }

    /// Appends the vector.
    pub fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(zigzag(self.dx)));
        out.put_varint(u64::from(zigzag(self.dy)));
    }

    /// Where `area` leads; `None` if that lies in part outside of a surface of `size`.
    #[must_use]
    pub fn inside(self, area: PixelRect, size: Size) -> Option<PixelRect> {
        let x = moved(area.x, area.width, self.dx, size.width)?;
        Some(PixelRect { x, y: moved(area.y, area.height, self.dy, size.height)?, ..area })
    }
}

/// Where `start .. start + len` begins, moved by `by`, if it then lies in `0 .. side`.
fn moved(start: u16, len: u16, by: i32, side: u16) -> Option<u16> {
    let first = i64::from(start) + i64::from(by);
    (first >= 0 && first + i64::from(len) <= i64::from(side)).then_some(first as u16)
}

const fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

const fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// The cells that the base of a record has: those that its pixels, at the distance of its vector, lie in. `area` is
/// the record's clipped pixel rectangle on a surface of `size`.
///
/// # Errors
/// [`Refusal::Base`] if the technique reads none, [`Refusal::Payload`] if the vector leads to where no pixels are.
pub fn base_cells(
    technique: Technique,
    payload: &[u8],
    area: PixelRect,
    size: Size,
) -> Result<CellRect, Refusal> {
    if technique.base_use() == BaseUse::Never {
        return Err(Refusal::Base);
    }
    let source = Vector::parse(&mut Reader::new(payload))?.inside(area, size);
    source.map(PixelRect::cells_touched).ok_or(Refusal::Payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CELL;

    #[test]
    fn vectors_come_back_and_none_leads_too_far() {
        let far = i32::from(SURFACE_SIDE_MAX);
        for dx in [0, 1, -1, 63, -64, 64, far, -far] {
            let (vector, mut bytes) = (Vector { dx, dy: -dx / 2 }, Vec::new());
            vector.emit(&mut bytes);
            assert_eq!(Vector::parse(&mut Reader::new(&bytes)), Ok(vector));
            assert!(Vector::parse(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
        }
        for dx in [far + 1, -far - 1, i32::MAX, i32::MIN] {
            let mut bytes = Vec::new();
            Vector { dx, dy: 0 }.emit(&mut bytes);
            assert_eq!(Vector::parse(&mut Reader::new(&bytes)), Err(Refusal::Payload));
        }
    }

    #[test]
    fn a_base_has_the_cells_that_its_pixels_touch() {
        let size = Size::new(100, 60).expect("legal");
        let area = size.clip(CellRect { x: 5, y: 2, width: 2, height: 2 });
        let rect = |x, y, width, height| CellRect { x, y, width, height };
        let cells = |dx, dy| {
            let mut payload = Vec::new();
            Vector { dx, dy }.emit(&mut payload);
            base_cells(Technique::Copy, &payload, area, size)
        };
        assert_eq!(cells(0, 0), Ok(rect(5, 2, 2, 2)));
        assert_eq!(cells(-1, 0), Ok(rect(4, 2, 3, 2)));
        assert_eq!(cells(-i32::from(CELL), -31), Ok(rect(4, 0, 2, 2)));
        for outside in [(1, 0), (0, 1), (-81, 0), (0, -33), (16_384, -16_384)] {
            assert_eq!(cells(outside.0, outside.1), Err(Refusal::Payload), "{outside:?}");
        }
        assert_eq!(base_cells(Technique::Raw, &[0, 0], area, size), Err(Refusal::Base));
    }
}
