//! PROVE: the server asks for a digest.

use alloc::vec::Vec;

use crate::geometry::CellRect;
use crate::limits::{CELL, SURFACE_SIDE_MAX};
use crate::units::{Epoch, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// The client is to send a digest of some cells, which it may not have asked about for long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prove {
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which cells; not checked against any surface.
    pub cells: CellRect,
}

impl Prove {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let most = u64::from(SURFACE_SIDE_MAX / CELL);
        let mut side = || reader.varint_max(most, "prove cells").map(|side| side as u16);
        let cells = CellRect { x: side()?, y: side()?, width: side()?, height: side()? };
        if cells.cells() == 0 {
            return Err(Malformed::Field("prove cells"));
        }
        Ok(Self { surface, epoch, cells })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        for side in [self.cells.x, self.cells.y, self.cells.width, self.cells.height] {
            out.put_varint(u64::from(side));
        }
    }
}
