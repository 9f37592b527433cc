//! A guest for somebody who has no use for its pixels: the host's side of appliances, which hands its memory on.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lfp_proto::frame::SurfaceState;
use nix::sys::eventfd::EventFd;

use super::slot::{Found, Slot};
use super::story::Happening;
use super::vram::Vram;
use super::{Guest, Reports, dark};
use crate::channel::guest::Power;
use crate::hypervisor::{Surface, View};
use crate::time::Instant;

/// A guest that is followed until this is dropped.
#[derive(Debug)]
pub struct Followed {
    slot: Arc<Slot>,
    seen: u64,
}

/// What a guest that is followed shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Screen {
    /// Pixels in this mode, in video memory of so many bytes.
    Live(Surface, u64),
    /// Nothing that can be mapped, and why.
    Dark {
        /// For programs.
        state: SurfaceState,
        /// For people.
        text: String,
    },
}

/// A guest's video memory, as a file that is open for reading.
#[derive(Clone, Debug)]
pub struct GuestMemory(Arc<Vram>);

/// Which file a guest's memory is: device and inode. No other file has the same while it is open.
pub type MemoryIdentity = (u64, u64);

impl GuestMemory {
    /// The file.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// By which others who may look into the guest's QEMU open it: `/proc/PID/fd/N`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Bytes that the display says it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Which file it is; `None` if the system does not say.
    #[must_use]
    pub fn identity(&self) -> Option<MemoryIdentity> {
        self.0.file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

/// The two halves of a guest: one for whoever follows it, one for the control thread.
pub(in crate::hypervisor) fn follow(
    path: PathBuf,
    waker: Arc<EventFd>,
    reports: Arc<Reports>,
) -> (Followed, Guest, Arc<Slot>) {
    let first = dark(SurfaceState::Connecting, "the guest's monitor has not been looked at yet");
    let slot = Arc::new(Slot::new(first, waker, reports));
    slot.story().begin();
    (Followed { slot: Arc::clone(&slot), seen: 0 }, Guest::new(path, Arc::clone(&slot)), slot)
}

impl Followed {
    /// What the guest shows, if that has changed since the last call.
    pub fn news(&mut self) -> Option<Screen> {
        self.slot.news(&mut self.seen).map(|found| match found {
            Found::Live(vram, surface) => Screen::Live(surface, vram.bytes),
            Found::Dark(View::Dark { state, text }) => Screen::Dark { state, text },
            Found::Dark(View::Live(_)) => unreachable!("a dark view is dark"),
            Found::Bar(..) => unreachable!("a monitor finds no device of this machine"),
        })
    }

    /// The guest's video memory, once it was found; it may show nothing yet. `None` again when its QEMU has ended.
    #[must_use]
    pub fn memory(&self) -> Option<GuestMemory> {
        self.slot.story().memory().map(GuestMemory)
    }

    /// Somebody watches at `now`: the mode is asked for often for a while.
    pub fn note_view(&self, now: Instant) {
        self.slot.note_view(now);
    }

    /// The oldest happening that was not fetched.
    #[must_use]
    pub fn happened(&self) -> Option<Happening> {
        self.slot.story().next()
    }

    /// Wants something done to the guest's power; [`Happening::Ordered`] says under `ticket` what became of it. Says
    /// whether there was room for it.
    #[must_use]
    pub fn order(&self, ticket: u64, power: Power) -> bool {
        let is_taken = self.slot.story().order(ticket, power);
        self.slot.wake();
        is_taken
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.slot.close();
    }
}
