//! ATTENTION: how much the user sees of a surface.

use alloc::vec::Vec;

use crate::units::SurfaceId;
use crate::wire::{Malformed, Put, Reader};

/// How much the user sees of a surface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Attention {
    /// It is looked at. So is every surface of which nothing was said.
    #[default]
    InView = 0,
    /// It can be seen, beside what is looked at, or small: a few pictures a second do.
    Aside = 1,
    /// It cannot be seen: minimised, covered, on a display that is off, paused.
    Hidden = 2,
}

impl Attention {
    /// Every level, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::InView, Self::Aside, Self::Hidden];
}

/// The client says how much the user sees of a surface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attend {
    /// Which surface.
    pub surface: SurfaceId,
    /// How much.
    pub attention: Attention,
}

impl Attend {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let level = usize::from(reader.u8()?);
        let attention = Attention::ALL.get(level).copied().ok_or(Malformed::Field("attention"))?;
        Ok(Self { surface, attention })
    }

    pub(super) fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_u8(self.attention as u8);
    }
}
