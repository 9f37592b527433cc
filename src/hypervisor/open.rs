//! Opening the source that a spec names, whatever it takes to reach it.

use std::io;

use super::{
    Control, QemuSource, Reading, Source, SourceError, SourceId, SourceSpec, Span, Surface, View, open_local,
};
use crate::geometry::CellSet;
use crate::time::Instant;

/// The source that `spec` names; guests of a hypervisor are followed by `control`, which then takes actions for `id`.
/// What is absent or broken is a dark source that is looked for again, never an error.
#[must_use]
pub fn open(spec: &SourceSpec, id: SourceId, control: &Control) -> Box<dyn Source> {
    match (spec, open_local(spec)) {
        (_, Some(source)) => source,
        (spec, None) => Box::new(follow(spec, id, control)),
    }
}

fn follow(spec: &SourceSpec, id: SourceId, control: &Control) -> QemuSource {
    match spec {
        SourceSpec::Qemu(path) => control.watch(id, path.clone()),
        SourceSpec::Ivshmem(spec) => control.watch_device(id, spec.clone()),
        spec => unreachable!("{spec} is neither local nor a guest"),
    }
}

/// The source that `spec` names, for a command that watches it alone: a control thread comes and goes with it where
/// it needs one.
///
/// # Errors
/// If the system has no thread or file descriptor left.
pub fn open_alone(spec: &SourceSpec) -> io::Result<Box<dyn Source>> {
    if let Some(source) = open_local(spec) {
        return Ok(source);
    }
    let control = Control::start(|| ())?;
    let source = follow(spec, SourceId(0), &control);
    Ok(Box::new(Alone { source, _control: control }))
}

/// A guest with a control thread of its own. The source goes first.
struct Alone {
    source: QemuSource,
    _control: Control,
}

impl Source for Alone {
    fn view(&mut self, now: Instant) -> View {
        self.source.view(now)
    }

    fn restart(&mut self) {
        self.source.restart();
    }

    fn release(&mut self) {
        self.source.release();
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        self.source.sweep(surface, shadow, changed)
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        self.source.probe(surface, spans, shadow, changed)
    }
}
