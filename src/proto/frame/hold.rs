//! HOLD: the client keeps a picture as a reference.

use alloc::vec::Vec;

use crate::limits::REFERENCES_MAX;
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// Reference `slot` of a surface becomes the picture of all contents up to a number. It does not matter in which order
/// the frame and those contents come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which reference.
    pub slot: u8,
    /// The packet number less this is the largest content number that belongs to the picture.
    pub age: u64,
}

impl Hold {
    /// The largest content number that belongs to the picture, if packet `number` carries the frame; `None` if no
    /// content does.
    #[must_use]
    pub fn through(&self, number: PacketNumber) -> Option<ContentNumber> {
        number.0.checked_sub(self.age).filter(|through| *through > 0).map(ContentNumber)
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let slot = reader.u8()?;
        if slot >= REFERENCES_MAX {
            return Err(Malformed::Field("reference"));
        }
        Ok(Self { surface, epoch, slot, age: reader.varint()? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.slot < REFERENCES_MAX, "reference {} is beyond what any client keeps", self.slot);
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_u8(self.slot);
        out.put_varint(self.age);
    }
}
