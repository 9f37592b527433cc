//! OFFER and KEEP: a client that comes back says what it still has; the server says what of it holds.

use alloc::vec::Vec;

use crate::limits::{OFFER_PART_PLOTS, OFFER_PARTS_MAX};
use crate::units::{Epoch, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// Digests of the plots of one part of the client's picture ([`crate::offer`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which part, below [`OFFER_PARTS_MAX`]; not checked against any surface.
    pub part: u8,
    /// The digests of its plots, in order, at most [`OFFER_PART_PLOTS`]; none: the client has no such picture.
    pub digests: Vec<u64>,
}

impl Offer {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let part = part(reader)?;
        let count = reader.varint_max(OFFER_PART_PLOTS as u64, "offered plots")? as usize;
        // SPEC [LFP-2.2]: A receiver MUST check every length and count against what is left and against section 15 before it
        // allocates or loops for it.
        if reader.remaining() < count * size_of::<u64>() {
            return Err(Malformed::Truncated);
        }
        let digests = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        Ok(Self { surface, epoch, part, digests })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let count = self.digests.len();
        assert!(count <= OFFER_PART_PLOTS, "{count} digests in a part");
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_u8(self.part);
        out.put_varint(count as u64);
        self.digests.iter().for_each(|digest| out.put_u64(*digest));
    }
}

/// Which plots of a part are, as the client offered them, what the server would send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which part, below [`OFFER_PARTS_MAX`].
    pub part: u8,
    /// Bit n: its n-th plot is.
    pub plots: u128,
}

impl Keep {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let part = part(reader)?;
        Ok(Self { surface, epoch, part, plots: u128::from_le_bytes(reader.array()?) })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_u8(self.part);
        out.extend_from_slice(&self.plots.to_le_bytes());
    }
}

fn part(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    let part = reader.u8()?;
    if usize::from(part) < OFFER_PARTS_MAX { Ok(part) } else { Err(Malformed::Field("part")) }
}

const _: () = assert!(OFFER_PART_PLOTS == u128::BITS as usize);
