//! Sources: framebuffers of guests, however they are reached.

mod accepted;
mod control;
pub mod discover;
mod dispi;
#[doc(hidden)]
pub mod doors;
mod fbdev;
pub mod ivshmem;
mod local;
mod lookup;
pub mod mapping;
mod open;
pub mod private;
mod procfs;
mod qemu;
mod qmp;
mod shm;
mod spec;
mod surface;
pub mod synthetic;
mod sysfs;
pub mod trace;
mod xwd;

pub use accepted::Accepted;
pub use control::Control;
pub use fbdev::FbdevSource;
pub use local::open_local;
pub use open::{open, open_alone};
pub use qemu::{Followed, GuestMemory, Happening, InputCounters, MemoryIdentity, QemuSource, Screen};
pub use qmp::{CallError, Caller};
pub use shm::ShmSource;
pub use spec::{FORMS, SourceSpec, SpecError, SyntheticSpec};
pub use synthetic::SyntheticSource;
pub use sysfs::{NoPciFunction, PciFunction, Root, VirtioPort};
pub use trace::TraceSource;
pub use xwd::XwdSource;

use crate::geometry::{CellSet, Size};
use crate::pixel::PixelFormat;
use crate::time::Instant;
use lfp_proto::frame::{InputKind, SurfaceState};

/// Names a source within one server, which gives a number once: what is kept of a source that has ended is never taken
/// for another's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub u32);

/// The mode of a source, checked against what can be mapped: `offset + stride * (height - 1) + width * bytes`
/// lies inside, and the size is one that a surface may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Surface {
    /// Width and height in pixels.
    pub size: Size,
    /// Bytes from one row to the next; at least a row's pixels.
    pub stride_bytes: u32,
    /// How a pixel is stored.
    pub format: PixelFormat,
    /// Bytes before the first pixel.
    pub offset_bytes: u64,
}

/// What a source shows now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum View {
    /// Pixels in this mode.
    Live(Surface),
    /// Nothing to scan, and why. `state` is never [`SurfaceState::Live`].
    Dark {
        /// For programs.
        state: SurfaceState,
        /// For people: what was tried, why it failed, what to do. At most [`crate::limits::TEXT_MAX`] bytes.
        text: String,
    },
}

/// Some pixels of a surface: rows of one row of cells, over whole columns of cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// First row of pixels.
    pub y: u16,
    /// Rows of pixels, at least 1; all in the row of cells that the first lies in.
    pub height: u16,
    /// First column of cells.
    pub first: u16,
    /// The column of cells behind the last one.
    pub end: u16,
}

/// What a sweep or a probe took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Bytes of the source that were read.
    pub bytes: u64,
    /// The source was told what had changed, and read no more than that.
    pub notified: bool,
}

/// A framebuffer of a guest. Lives on the pipeline thread; whatever may block (monitors, discovery) runs
/// elsewhere and hands its findings over.
pub trait Source: Send {
    /// What the source shows at `now`. Called before every scan; cheap, never blocks.
    fn view(&mut self, now: Instant) -> View;

    /// The next [`Source::sweep`] gets a shadow that holds nothing of what was swept before.
    fn restart(&mut self) {}

    /// Lets go of the source's memory: nobody watches. The next view that is followed by a sweep has it again.
    fn release(&mut self) {}

    /// Compares the pixels of `surface` (as the last [`Source::view`] said) with `shadow`, the source's own
    /// bytes as of the last scan, rows without padding; copies what differs and adds each changed cell to
    /// `changed`. Every source byte is read at most once; what the source knows to be unchanged since the last sweep need not be.
    ///
    /// # Errors
    /// If the pixels cannot be read any more; the next [`Source::view`] says what became of the source.
    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError>;

    /// As [`Source::sweep`], of the pixels in `spans` alone, none of which overlap. A source that is told what changed,
    /// or whose pixels cost nothing to read, may sweep instead.
    ///
    /// # Errors
    /// As [`Source::sweep`].
    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let _ = spans;
        self.sweep(surface, shadow, changed)
    }
}

/// Why a source's pixels could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The mapping has shrunk or gone.
    #[error("the framebuffer's memory is gone: {0}")]
    Lost(String),
    /// The source was being painted all the time; the tick is skipped.
    #[error("no untorn capture in {attempts} attempts")]
    Torn {
        /// How often it was tried.
        attempts: u32,
    },
}

/// Something that a client wants done to a guest. The control thread does it, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// Which source's guest.
    pub source: SourceId,
    /// When the client's event arrived; one older than [`crate::limits::INPUT_AGE_MAX`] is dropped unless it
    /// is a release.
    pub at: Instant,
    /// What to do.
    pub input: InputKind,
    /// Size of the surface that a [`InputKind::MoveTo`] means.
    pub size: Size,
    /// By which [`Accepted`] names it, if somebody is to be told.
    pub number: Option<u64>,
}
