//! Opening the sources that need nothing but a path.

use super::{FbdevSource, ShmSource, Source, SourceSpec, SyntheticSource, TraceSource, XwdSource};

/// The source that `spec` names, if it can be reached without the control thread; `None` for a hypervisor's guest.
/// What is absent or broken is a dark source that is looked for again, never an error.
#[must_use]
pub fn open_local(spec: &SourceSpec) -> Option<Box<dyn Source>> {
    Some(match spec {
        SourceSpec::Qemu(_) | SourceSpec::Ivshmem(_) => return None,
        SourceSpec::Trace { path, repeat } => Box::new(TraceSource::new(path.clone(), *repeat)),
        SourceSpec::Synthetic(spec) => Box::new(SyntheticSource::new(*spec)),
        SourceSpec::Shm(path) => Box::new(ShmSource::new(path.clone())),
        SourceSpec::Fbdev(path) => Box::new(FbdevSource::new(path.clone())),
        SourceSpec::Xwd(path) => Box::new(XwdSource::new(path.clone())),
    })
}
