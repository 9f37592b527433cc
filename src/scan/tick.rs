//! The tick: what one scan of one source found.

use std::sync::Arc;

use crate::geometry::{CellSet, Size};
use crate::hypervisor::SourceId;
use crate::pixel::Fit;
use crate::scan::{Contexts, Picture};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;

/// The cells that a scan found changed, with its time.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The tick's number: ascending by one for each published tick of the source, over all epochs.
    pub tick: u64,
    /// When the capture began.
    pub at: Instant,
    /// What changed.
    pub cells: CellSet,
}

/// What the source showed in a tick.
#[derive(Clone, Debug)]
pub enum TickState {
    /// Pixels.
    Live {
        /// The whole picture after this tick.
        picture: Picture,
        /// What differs from the tick before; every cell in the first tick of an epoch.
        delta: Delta,
    },
    /// No pixels, and why.
    Dark {
        /// For programs.
        state: SurfaceState,
        /// For people.
        text: String,
    },
}

/// What one scan of one source found. Published, as an `Arc`, only when something changed.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Which source.
    pub source: SourceId,
    /// How its picture is shown. Each fit in use has ticks of its own; those that are as the source is number all.
    pub fit: Fit,
    /// The size of the source's picture; 0 x 0 if there is none.
    pub full: Size,
    /// Ascending by one for each published tick of the source, over all epochs. One that is fitted has the number of the
    /// tick that it was made of.
    pub number: u64,
    /// When the capture began.
    pub captured: Instant,
    /// The epoch: one more whenever the mode or the state changes.
    pub epoch: Epoch,
    /// What it showed.
    pub state: TickState,
    /// What later engines say about it; nothing is known where none has looked.
    pub contexts: Arc<Contexts>,
}
