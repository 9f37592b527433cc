//! `ivshmem:PCI-ADDRESS`: the video memory of a guest that the hypervisor shows this machine as a PCI device, in the
//! mode that the host's side says over a port of that guest.
//!
//! As with `qemu:`, the pipeline's half is a [`QemuSource`] and the control thread's, here a `Port`, publishes what it
//! finds; the two meet in a slot.

mod bar;
mod link;
mod list;
mod port;
mod spec;
mod talk;
#[cfg(test)]
mod tests;

pub(super) use bar::Bar;
pub use bar::{Bandwidth, BarError, Survey, Trial, Way, survey};
pub use list::{Listed, Served, devices, table};
pub(super) use port::Port;
pub(super) use spec::parse;
pub use spec::{Guide, IvshmemSpec};
pub(super) use talk::overhear;

use std::sync::Arc;

use lfp_proto::frame::SurfaceState;
use nix::sys::eventfd::EventFd;

use super::accepted::Reports;
use super::lookup::dark;
use super::qemu::{QemuSource, Slot};
use super::sysfs::Root;

/// The two halves of a source: one for the pipeline, one for the control thread.
pub(super) fn watch(
    spec: IvshmemSpec,
    root: Root,
    waker: Arc<EventFd>,
    reports: Arc<Reports>,
) -> (QemuSource, Port, Arc<Slot>) {
    let text = format!("ivshmem device {} has not been looked at yet", spec.address);
    let first = dark(SurfaceState::Connecting, &text);
    let slot = Arc::new(Slot::new(first.clone(), waker, reports));
    let source = QemuSource::new(Arc::clone(&slot), first);
    (source, Port::new(spec, root, Arc::clone(&slot)), slot)
}
