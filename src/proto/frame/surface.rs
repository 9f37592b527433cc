//! SURFACE: the mode or state of a surface, with the epoch that it starts.

use alloc::vec::Vec;

use crate::geometry::Size;
use crate::limits::TEXT_MAX;
use crate::units::{Epoch, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// What a surface shows, if anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SurfaceState {
    /// Pixels of the size stated.
    Live = 0,
    /// The server has not reached the source yet.
    Connecting = 1,
    /// The guest runs and has no linear framebuffer: text mode, blanked, or between modes.
    NoFramebuffer = 2,
    /// The guest, or what stood for it, is gone; the server keeps looking for it.
    Gone = 3,
    /// The source says things that cannot be: a fault of the guest, the hypervisor, or ours.
    Faulty = 4,
}

impl SurfaceState {
    fn from_wire(value: u8) -> Result<Self, Malformed> {
        Ok(match value {
            0 => Self::Live,
            1 => Self::Connecting,
            2 => Self::NoFramebuffer,
            3 => Self::Gone,
            4 => Self::Faulty,
            _ => return Err(Malformed::Field("surface state")),
        })
    }

    /// The state's name as it stands in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Connecting => "connecting",
            Self::NoFramebuffer => "no-framebuffer",
            Self::Gone => "gone",
            Self::Faulty => "faulty",
        }
    }
}

/// The mode or state of a surface. A larger epoch replaces a smaller one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Surface<'a> {
    /// Which surface.
    pub surface: SurfaceId,
    /// The epoch that this starts.
    pub epoch: Epoch,
    /// What it shows.
    pub state: SurfaceState,
    /// Its size, stated exactly when it is live.
    pub size: Option<Size>,
    /// The state in words, for people; may be empty. Sent without control characters, cut off at [`TEXT_MAX`]
    /// bytes.
    pub text: &'a str,
}

impl<'a> Surface<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let state = SurfaceState::from_wire(reader.u8()?)?;
        let size = if state == SurfaceState::Live {
            let (width, height) = (reader.varint_u16("width")?, reader.varint_u16("height")?);
            Some(Size::new(width, height).ok_or(Malformed::Field("surface size"))?)
        } else {
            None
        };
        let text = reader.text(TEXT_MAX, "surface text")?;
        Ok(Self { surface, epoch, state, size, text })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_u8(self.state as u8);
        let live = self.state == SurfaceState::Live;
        assert!(live == self.size.is_some(), "a surface has a size exactly when it is live: {self:?}");
        if let Some(size) = self.size {
            out.put_varint(u64::from(size.width));
            out.put_varint(u64::from(size.height));
        }
        out.put_text(self.text, TEXT_MAX);
    }
}
