//! `qemu:SOCKET`: the video memory of a guest, mapped from its QEMU process, in the mode that its display registers
//! say.
//!
//! [`QemuSource`] is the pipeline's half, of `ivshmem:` sources too: it maps and sweeps. The control thread holds a `Guest`, which talks to the
//! monitor and publishes memory and mode; the two meet in a slot.

mod followed;
mod guest;
mod input;
mod memory;
mod slot;
mod story;
mod vram;

pub(super) use followed::follow;
pub use followed::{Followed, GuestMemory, MemoryIdentity, Screen};
pub(super) use guest::{Guest, Readiness};
pub(super) use input::Waiting;
pub use slot::InputCounters;
pub(super) use slot::{Found, Slot};
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
use memory::Memory;

/// The video memory of a QEMU guest: a `qemu:` or `ivshmem:` source.
#[derive(Debug)]
pub struct QemuSource {
    slot: Arc<Slot>,
    seen: u64,
    view: View,
    mapped: Option<(Memory, Mapping)>,
    /// What was mapped, and its mode, until it was let go of.
    released: Option<(Memory, Surface)>,
}

/// The two halves of a guest: one for the pipeline, one for the control thread.
pub(super) fn watch(
    path: PathBuf,
    waker: Arc<EventFd>,
    reports: Arc<Reports>,
) -> (QemuSource, Guest, Arc<Slot>) {
    let first = dark(SurfaceState::Connecting, "the guest's monitor has not been looked at yet");
    let slot = Arc::new(Slot::new(first.clone(), waker, reports));
    let source = QemuSource::new(Arc::clone(&slot), first);
    (source, Guest::new(path, Arc::clone(&slot)), slot)
}

impl QemuSource {
    /// Shows `first` until something is published in `slot`.
    pub(super) fn new(slot: Arc<Slot>, first: View) -> Self {
        Self { slot, seen: 0, view: first, mapped: None, released: None }
    }

    fn take(&mut self, found: Found) {
        self.released = None;
        match found {
            Found::Dark(view) => {
                self.mapped = None;
                self.view = view;
            }
            Found::Live(vram, surface) => self.show(Memory::Vram(vram), surface),
            Found::Bar(bar, surface) => self.show(Memory::Bar(bar), surface),
        }
    }

    fn show(&mut self, memory: Memory, surface: Surface) {
        let is_bar = matches!(memory, Memory::Bar(_));
        match self.map(memory, &surface) {
            Ok(()) => self.view = View::Live(surface),
            Err(error) => {
                self.view = unreadable(&error);
                // A monitor's guest comes to be looked for by itself; a device was measured and is believed in.
                if is_bar {
                    self.mapped = None;
                    self.slot.report_loss();
                }
            }
        }
    }

    /// The memory cannot be read any more.
    fn lose(&mut self, error: &MappingError) -> SourceError {
        self.view = unreadable(error);
        self.mapped = None;
        self.slot.report_loss();
        SourceError::Lost(error.to_string())
    }

    /// What was read is what was there, unless the device has gone meanwhile: what is read then may be anything.
    fn confirm(&mut self, reading: Reading) -> Result<Reading, SourceError> {
        let is_there = self.mapped.as_ref().is_none_or(|(memory, _)| memory.is_there());
        if is_there { Ok(reading) } else { Err(self.lose(&MappingError::Lost)) }
    }

    fn map(&mut self, memory: Memory, surface: &Surface) -> Result<(), MappingError> {
        let is_mapped = self.mapped.as_ref().is_some_and(|(mapped, _)| mapped.is_same(&memory));
        if !is_mapped {
            // The old one goes first: a guest that restarts needs no room for two.
            self.mapped = None;
            let mapping = memory.map()?;
            self.mapped = Some((memory, mapping));
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
        } else if let Some((memory, surface)) = self.released.take() {
            self.show(memory, surface);
        }
        self.view.clone()
    }

    fn release(&mut self) {
        if let (Some((memory, _)), View::Live(surface)) = (self.mapped.take(), &self.view) {
            self.released = Some((memory, *surface));
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
            Ok(()) => self.confirm(Reading::whole(surface)),
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
            Ok(()) => self.confirm(Reading::of_spans(surface, spans)),
            Err(error) => Err(self.lose(&error)),
        }
    }
}

impl Drop for QemuSource {
    fn drop(&mut self) {
        self.slot.close();
    }
}
