//! The two kinds of other sides that the control thread talks to about a guest.

use std::os::fd::BorrowedFd;

use crate::hypervisor::ivshmem::Port;
use crate::hypervisor::qemu::{Guest, Readiness};
use crate::time::Instant;

/// Somebody who knows a guest's mode and takes its input.
#[derive(Debug)]
pub(super) enum Peer {
    /// The guest's QEMU, on this host.
    Monitor(Box<Guest>),
    /// The host's side, from within another guest.
    Port(Box<Port>),
}

impl Peer {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Monitor(guest) => guest.is_closed(),
            Self::Port(port) => port.is_closed(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Monitor(guest) => guest.is_idle(),
            Self::Port(port) => port.is_idle(),
        }
    }

    pub(super) fn release_all(&mut self, now: Instant) {
        match self {
            Self::Monitor(guest) => guest.release_all(now),
            Self::Port(port) => port.release_all(now),
        }
    }

    pub(super) fn on_tick(&mut self, now: Instant) {
        match self {
            Self::Monitor(guest) => guest.on_tick(now),
            Self::Port(port) => port.on_tick(now),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        match self {
            Self::Monitor(guest) => guest.deadline(),
            Self::Port(port) => port.deadline(),
        }
    }

    pub(super) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        match self {
            Self::Monitor(guest) => guest.socket(),
            Self::Port(port) => port.socket(),
        }
    }

    pub(super) fn on_ready(&mut self, now: Instant, ready: Readiness, scratch: &mut [u8]) {
        match self {
            Self::Monitor(guest) => guest.on_ready(now, ready, scratch),
            Self::Port(port) => port.on_ready(now, ready, scratch),
        }
    }
}
