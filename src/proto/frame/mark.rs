//! MARK: every change up to a tick has been sent.

use alloc::vec::Vec;

use crate::units::{Epoch, PacketNumber, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// Every change of a surface up to a tick has been sent in packets `first..=last`. The client's picture is that
/// tick's once each record of those packets is applied, refused or superseded; at once if both are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which surface.
    pub surface: SurfaceId,
    /// The epoch of the tick.
    pub epoch: Epoch,
    /// The tick's number, ascending within an epoch.
    pub tick: u64,
    /// When its capture began, on the server's clock, in microseconds.
    pub captured_us: u64,
    /// First packet that carries part of it.
    pub first: PacketNumber,
    /// Last packet that carries part of it.
    pub last: PacketNumber,
}

impl Mark {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let (tick, captured_us) = (reader.varint()?, reader.varint()?);
        let last = reader.varint()?;
        let first = last.checked_sub(reader.varint()?).ok_or(Malformed::Field("mark span"))?;
        if (first == 0) != (last == 0) {
            return Err(Malformed::Field("mark span"));
        }
        Ok(Self { surface, epoch, tick, captured_us, first: PacketNumber(first), last: PacketNumber(last) })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_varint(self.tick);
        out.put_varint(self.captured_us);
        out.put_varint(self.last.0);
        out.put_varint(self.last.0 - self.first.0);
    }
}
