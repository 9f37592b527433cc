//! Bitmap cache: pictures that a client keeps in slots which the server names. *Store* keeps pixels of a reference, *use*
//! paints some of them.
//!
//! The payload of a store is the vector to its base, then slot and generation; that of a use is slot and generation, then
//! where in the stored picture its pixels begin. Neither holds a pixel.

use alloc::vec::Vec;

use crate::frame::Refusal;
use crate::geometry::PixelRect;
use crate::limits::SURFACE_SIDE_MAX;
use crate::technique::base::{BaseView, Vector};
use crate::technique::copy;
#[cfg(feature = "encode")]
use crate::wire::Put;
use crate::wire::Reader;

/// Names what a slot holds: a slot has each generation at most once within an epoch, ascending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stored {
    /// Which slot.
    pub slot: u32,
    /// What it holds, from 1.
    pub generation: u32,
}

impl Stored {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut number = || reader.varint_u32("slot").map_err(|_| Refusal::Payload);
        Ok(Self { slot: number()?, generation: number()? })
    }

    #[cfg(feature = "encode")]
    fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.slot));
        out.put_varint(u64::from(self.generation));
    }
}

/// The payload of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store {
    /// From the record's rectangle to the pixels that are kept.
    pub vector: Vector,
    /// As what.
    pub stored: Stored,
}

impl Store {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// [`Refusal::Payload`] if it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(payload);
        let (vector, stored) = (Vector::parse(&mut reader)?, Stored::parse(&mut reader)?);
        reader.finish().map_err(|_| Refusal::Payload)?;
        Ok(Self { vector, stored })
    }

    /// The payload.
    #[cfg(feature = "encode")]
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.vector.emit(&mut payload);
        self.stored.emit(&mut payload);
        payload
    }
}

/// The payload of a use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// What is used.
    pub stored: Stored,
    /// Where in its picture the record's pixels begin: pixels from the left.
    pub x: u16,
    /// The same from the top.
    pub y: u16,
}

impl Use {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// [`Refusal::Payload`] if it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(payload);
        let stored = Stored::parse(&mut reader)?;
        let mut side = || {
            let side = reader.varint_max(u64::from(SURFACE_SIDE_MAX), "place");
            side.map(|side| side as u16).map_err(|_| Refusal::Payload)
        };
        let (x, y) = (side()?, side()?);
        reader.finish().map_err(|_| Refusal::Payload)?;
        Ok(Self { stored, x, y })
    }

    /// The payload.
    #[cfg(feature = "encode")]
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.stored.emit(&mut payload);
        payload.put_varint(u64::from(self.x));
        payload.put_varint(u64::from(self.y));
        payload
    }
}

/// The pixels that a store keeps.
pub(super) fn decode_store(
    payload: &[u8],
    area: PixelRect,
    base: Option<BaseView<'_>>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    copy::paint(Store::parse(payload)?.vector, area, base, out)
}

/// The pixels that a use paints, out of the stored picture.
pub(super) fn decode_use(
    payload: &[u8],
    area: PixelRect,
    picture: Option<BaseView<'_>>,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let Use { x, y, .. } = Use::parse(payload)?;
    let picture = picture.ok_or(Refusal::Cache)?;
    // SPEC [LFP-8.8]: A client MUST refuse a use (reason cache) of a slot that does not hold just that generation, or
    // that reaches beyond its picture;
    let right = usize::from(x) + usize::from(area.width);
    let bottom = usize::from(y) + usize::from(area.height);
    if right > usize::from(picture.size.width) || bottom > usize::from(picture.size.height) {
        return Err(Refusal::Cache);
    }
    out.reserve(area.pixels());
    for row in usize::from(y)..bottom {
        let start = row * picture.stride + usize::from(x);
        let pixels = picture.pixels.get(start..start + usize::from(area.width)).ok_or(Refusal::Cache)?;
        out.extend_from_slice(pixels);
    }
    Ok(())
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::geometry::Size;

    #[test]
    fn payloads_come_back_and_nothing_else_is_one() {
        for (slot, generation) in [(0, 1), (127, 128), (u32::MAX, u32::MAX)] {
            let stored = Stored { slot, generation };
            let store = Store { vector: Vector { dx: -3, dy: 700 }, stored };
            let used = Use { stored, x: 16_384, y: 0 };
            assert_eq!(Store::parse(&store.payload()), Ok(store));
            assert_eq!(Use::parse(&used.payload()), Ok(used));
            let wrong = |payload: Vec<u8>| {
                let cut = payload[..payload.len() - 1].to_vec();
                [cut, [&payload[..], &[0]].concat()]
            };
            assert!(wrong(store.payload()).iter().all(|payload| Store::parse(payload).is_err()));
            assert!(wrong(used.payload()).iter().all(|payload| Use::parse(payload).is_err()));
        }
        let far = [[0, 1].as_slice(), &[0x81, 0x80, 1], &[0]].concat();
        assert_eq!(Use::parse(&far), Err(Refusal::Payload), "beyond any surface");
    }

    #[test]
    fn a_use_takes_its_part_of_the_picture_and_no_more() {
        let size = Size::new(20, 10).expect("legal");
        let pixels: Vec<u32> = (0..200).collect();
        let area = PixelRect { x: 64, y: 32, width: 16, height: 8 };
        let picture = BaseView { pixels: &pixels, stride: 20, size, area };
        let stored = Stored { slot: 3, generation: 9 };
        let mut out = vec![];
        for (x, y) in [(0, 0), (4, 2), (3, 1)] {
            out.clear();
            let payload = Use { stored, x, y }.payload();
            decode_use(&payload, area, Some(picture), &mut out).expect("inside");
            let expected = |at: u32| (u32::from(y) + at / 16) * 20 + u32::from(x) + at % 16;
            assert!(out.iter().zip(0..).all(|(pixel, at)| *pixel == expected(at)), "{x}, {y}");
            assert_eq!(decode_use(&payload, area, None, &mut out), Err(Refusal::Cache));
        }
        for (x, y) in [(5, 0), (0, 3), (16_384, 16_384)] {
            let payload = Use { stored, x, y }.payload();
            assert_eq!(decode_use(&payload, area, Some(picture), &mut out), Err(Refusal::Cache));
        }
    }
}
