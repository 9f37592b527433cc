//! The pipeline without threads: the same scanners and encoder, called directly.

use std::sync::Arc;

use crate::context::Watcher;
use crate::hypervisor::{Source, SourceId};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded, Encoder};
use crate::scan::Tick;
use crate::time::Instant;

/// For simulations, tests and commands, where the caller keeps the time.
pub struct Inline {
    sources: Vec<(Watcher, Option<Arc<Tick>>)>,
    encoder: Encoder,
}

impl Inline {
    /// A pipeline that has not looked at any source yet.
    #[must_use]
    pub fn new(sources: Vec<(SourceId, Box<dyn Source>)>) -> Self {
        let scanner = |(id, source)| (Watcher::new(id, source), None);
        Self { sources: sources.into_iter().map(scanner).collect(), encoder: Encoder::default() }
    }

    /// Scans a source, as one that is watched. A tick comes back if something changed.
    pub fn scan(&mut self, source: SourceId, now: Instant) -> Option<Arc<Tick>> {
        self.with(source, |scanner| scanner.tick(now))
    }

    /// Looks at the state of a source that nobody watches. A tick comes back if it has gone dark.
    pub fn look(&mut self, source: SourceId, now: Instant) -> Option<Arc<Tick>> {
        self.with(source, |scanner| scanner.look(now))
    }

    /// The newest tick of a source.
    #[must_use]
    pub fn newest(&self, source: SourceId) -> Option<&Arc<Tick>> {
        self.sources.iter().find(|(scanner, _)| scanner.id() == source)?.1.as_ref()
    }

    /// Answers from the newest tick.
    #[must_use]
    pub fn encode(&self, request: &EncodeRequest) -> Encoded {
        encode(&self.encoder, request, self.newest(request.source).map(|tick| &**tick), &|| false)
    }

    /// Answers from the newest tick.
    #[must_use]
    pub fn digest(&self, request: &DigestRequest) -> Digested {
        digest(&self.encoder, request, self.newest(request.source).map(|tick| &**tick))
    }

    /// What encodes.
    #[must_use]
    pub const fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn with(
        &mut self,
        source: SourceId,
        scan: impl FnOnce(&mut Watcher) -> Option<Arc<Tick>>,
    ) -> Option<Arc<Tick>> {
        let (scanner, newest) = self.sources.iter_mut().find(|(scanner, _)| scanner.id() == source)?;
        let tick = scan(scanner)?;
        *newest = Some(Arc::clone(&tick));
        Some(tick)
    }
}

/// Answers `request` from `tick`, or with no records if there is no tick yet; soon once `pressed` says so.
pub(super) fn encode(
    encoder: &Encoder,
    request: &EncodeRequest,
    tick: Option<&Tick>,
    pressed: &dyn Fn() -> bool,
) -> Encoded {
    tick.map_or_else(|| Encoded::nothing(request), |tick| encoder.encode_until(request, tick, pressed))
}

/// Answers `request` from `tick`, or with no checksum if there is no tick yet.
pub(super) fn digest(encoder: &Encoder, request: &DigestRequest, tick: Option<&Tick>) -> Digested {
    tick.map_or_else(|| Digested::nothing(request), |tick| encoder.digest(request, tick))
}
