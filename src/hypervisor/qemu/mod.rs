//! `qemu:SOCKET`: the video memory of a guest, mapped from its QEMU process, in the mode that its display registers
//! say.
//!
//! [`QemuSource`] is the pipeline's half: it maps and sweeps. The control thread holds a `Guest`, which talks to the
//! monitor and publishes memory and mode; the two meet in a slot.

mod followed;
mod guest;
mod input;
mod slot;
mod story;
mod vram;

pub(super) use followed::follow;
pub use followed::{Followed, GuestMemory, MemoryIdentity, Screen};
pub(super) use guest::{Guest, Readiness};
pub use slot::InputCounters;
pub(super) use slot::Slot;
pub use story::Happening;
pub(super) use vram::{device_of, explain};

use std::path::PathBuf;
use std::sync::Arc;

use lfp_proto::frame::SurfaceState;
use nix::sys::eventfd::EventFd;

use super::accepted::Reports;
use super::lookup::dark;
use super::mapping::{Mapping, MappingError};
use super::{Reading, Source, SourceError, Span, Surface, View};
use crate::geometry::CellSet;
use crate::time::Instant;
use slot::Found;
use vram::Vram;

/// A `qemu:` source.
#[derive(Debug)]
pub struct QemuSource {
    slot: Arc<Slot>,
    seen: u64,
    view: View,
    mapped: Option<(Arc<Vram>, Mapping)>,
    /// What was mapped, and its mode, until it was let go of.
    released: Option<(Arc<Vram>, Surface)>,
}

/// The two halves of a guest: one for the pipeline, one for the control thread.
pub(super) fn watch(
    path: PathBuf,
    waker: Arc<EventFd>,
    reports: Arc<Reports>,
) -> (QemuSource, Guest, Arc<Slot>) {
    let first = dark(SurfaceState::Connecting, "the guest's monitor has not been looked at yet");
    let slot = Arc::new(Slot::new(first.clone(), waker, reports));
    let source = QemuSource { slot: Arc::clone(&slot), seen: 0, view: first, mapped: None, released: None };
    (source, Guest::new(path, Arc::clone(&slot)), slot)
}

impl QemuSource {
    fn take(&mut self, found: Found) {
        self.released = None;
        self.view = match found {
            Found::Dark(view) => {
                self.mapped = None;
                view
            }
            Found::Live(vram, surface) => match self.map(&vram, &surface) {
                Ok(()) => View::Live(surface),
                Err(error) => unreadable(&error),
            },
        };
    }

    /// The memory cannot be read any more.
    fn lose(&mut self, error: &MappingError) -> SourceError {
        self.view = unreadable(error);
        self.mapped = None;
        self.slot.report_loss();
        SourceError::Lost(error.to_string())
    }

    fn map(&mut self, vram: &Arc<Vram>, surface: &Surface) -> Result<(), MappingError> {
        let is_mapped = self.mapped.as_ref().is_some_and(|(mapped, _)| Arc::ptr_eq(mapped, vram));
        if !is_mapped {
            // The old one goes first: a guest that restarts needs no room for two.
            self.mapped = None;
            let mapping = Mapping::of_file(vram.file.try_clone()?)?;
            self.mapped = Some((Arc::clone(vram), mapping));
        }
        let length = self.mapped.as_ref().map_or(Ok(0), |(_, mapping)| mapping.length())?;
        let end = surface.end_bytes().unwrap_or(u64::MAX);
        if end > length { Err(MappingError::Beyond { end, length }) } else { Ok(()) }
    }
}

fn unreadable(error: &MappingError) -> View {
    dark(SurfaceState::Faulty, &format!("the guest's video memory {error}"))
}

impl Source for QemuSource {
    fn view(&mut self, now: Instant) -> View {
        self.slot.note_view(now);
        if let Some(found) = self.slot.news(&mut self.seen) {
            self.take(found);
        } else if let Some((vram, surface)) = self.released.take() {
            self.take(Found::Live(vram, surface));
        }
        self.view.clone()
    }

    fn release(&mut self) {
        if let (Some((vram, _)), View::Live(surface)) = (self.mapped.take(), &self.view) {
            self.released = Some((vram, *surface));
        }
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let Some((_, mapping)) = &self.mapped else {
            return Err(SourceError::Lost("no view was live".to_owned()));
        };
        match mapping.sweep(surface, shadow, changed) {
            Ok(()) => Ok(Reading::whole(surface)),
            Err(error) => Err(self.lose(&error)),
        }
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let Some((_, mapping)) = &self.mapped else {
            return Err(SourceError::Lost("no view was live".to_owned()));
        };
        match mapping.probe(surface, spans, shadow, changed) {
            Ok(()) => Ok(Reading::of_spans(surface, spans)),
            Err(error) => Err(self.lose(&error)),
        }
    }
}

impl Drop for QemuSource {
    fn drop(&mut self) {
        self.slot.close();
    }
}
