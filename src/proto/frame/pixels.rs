//! PIXELS: records for one surface in one epoch.

use alloc::vec::Vec;

use crate::limits::DATAGRAM_MAX;
use crate::record::Record;
use crate::units::{Epoch, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// Records for one surface in one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pixels<'a> {
    /// Which surface.
    pub surface: SurfaceId,
    /// The epoch that the records belong to.
    pub epoch: Epoch,
    /// The records, one after another, as [`Record::emit`] writes them.
    pub records: &'a [u8],
}

impl<'a> Pixels<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let pixels = Self {
            surface: SurfaceId(reader.varint_u16("surface")?),
            epoch: Epoch(reader.varint_u32("epoch")?),
            records: reader.prefixed(DATAGRAM_MAX, "records length")?,
        };
        let mut rest = Reader::new(pixels.records);
        while rest.remaining() > 0 {
            Record::parse(&mut rest)?;
        }
        Ok(pixels)
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_prefixed(self.records);
    }

    /// The records in order. Those of a parsed frame are all there; of any other, those before the first
    /// malformed one.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = Reader::new(self.records);
        core::iter::from_fn(move || Record::parse(&mut rest).ok())
    }
}
