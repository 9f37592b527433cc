//! DIGEST and DIGEST_REPLY: proof that part of the client's picture is the server's.

use alloc::vec::Vec;

use crate::geometry::CellRect;
use crate::limits::{CELL, SURFACE_SIDE_MAX};
use crate::units::{Epoch, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// The client's checksums of part of its picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Chosen by the client, ascending; the reply carries it.
    pub id: u32,
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which cells.
    pub cells: CellRect,
    /// CRC-32 over the cells' content numbers, each as 64-bit little endian, row-major.
    pub contents: u32,
    /// CRC-32 over the cells' pixels, rows of the clipped pixel rectangle from top to bottom, each pixel four
    /// bytes B, G, R, 0.
    pub pixels: u32,
}

impl Digest {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = reader.varint_u32("digest id")?;
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let most = u64::from(SURFACE_SIDE_MAX / CELL);
        let mut side = || reader.varint_max(most, "digest cells").map(|side| side as u16);
        let cells = CellRect { x: side()?, y: side()?, width: side()?, height: side()? };
        if cells.cells() == 0 {
            return Err(Malformed::Field("digest cells"));
        }
        Ok(Self { id, surface, epoch, cells, contents: reader.u32()?, pixels: reader.u32()? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.id));
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        for side in [self.cells.x, self.cells.y, self.cells.width, self.cells.height] {
            out.put_varint(u64::from(side));
        }
        out.put_u32(self.contents);
        out.put_u32(self.pixels);
    }
}

/// How a digest compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Verdict {
    /// Contents and pixels agree, and they are the newest the server knows: this part of the screen is exact.
    Exact = 0,
    /// Something is still under way there; ask again later.
    Unsettled = 1,
    /// They differ; the server sends those cells again.
    Differs = 2,
}

/// The server's answer to a digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestReply {
    /// The digest's id.
    pub id: u32,
    /// How it compares.
    pub verdict: Verdict,
}

impl DigestReply {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = reader.varint_u32("digest id")?;
        let verdict = match reader.u8()? {
            0 => Verdict::Exact,
            1 => Verdict::Unsettled,
            2 => Verdict::Differs,
            _ => return Err(Malformed::Field("verdict")),
        };
        Ok(Self { id, verdict })
    }

    pub(super) fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.id));
        out.put_u8(self.verdict as u8);
    }
}
