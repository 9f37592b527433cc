//! The pipeline without threads: the same scanners and encoder, called directly.

use std::sync::Arc;

use crate::context::Watcher;
use crate::hypervisor::{Source, SourceId};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded, Encoder};
use crate::pixel::{Bounds, Fit};
use crate::scan::Tick;
use crate::time::Instant;

/// For simulations, tests and commands, where the caller keeps the time.
pub struct Inline {
    sources: Vec<Watched>,
    encoder: Encoder,
}

struct Watched {
    scanner: Watcher,
    newest: Option<Arc<Tick>>,
    /// The newest for each fit that is asked for and not the source's own.
    fitted: Vec<Arc<Tick>>,
}

impl Inline {
    /// A pipeline that has not looked at any source yet.
    #[must_use]
    pub fn new(sources: Vec<(SourceId, Box<dyn Source>)>) -> Self {
        let mut inline = Self { sources: Vec::new(), encoder: Encoder::default() };
        sources.into_iter().for_each(|(id, source)| inline.add(id, source));
        inline
    }

    /// Takes up one more source, which it has not looked at yet.
    pub fn add(&mut self, id: SourceId, source: Box<dyn Source>) {
        self.sources.push(Watched { scanner: Watcher::new(id, source), newest: None, fitted: Vec::new() });
    }

    /// Lets go of a source. Says whether there was one.
    pub fn remove(&mut self, source: SourceId) -> bool {
        let before = self.sources.len();
        self.sources.retain(|watched| watched.scanner.id() != source);
        self.sources.len() < before
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
        self.watched(source)?.newest.as_ref()
    }

    /// What displays of `bounds` show of the newest tick of a source, as far as it differs from what they showed when this
    /// was asked last.
    pub fn fit(&mut self, source: SourceId, bounds: &[Bounds]) -> Vec<Arc<Tick>> {
        let Some(watched) = self.sources.iter_mut().find(|watched| watched.scanner.id() == source) else {
            return Vec::new();
        };
        let known = std::mem::replace(&mut watched.fitted, watched.scanner.fit(bounds));
        let is_fresh = |tick: &&Arc<Tick>| !known.iter().any(|known| Arc::ptr_eq(known, tick));
        watched.fitted.iter().filter(is_fresh).cloned().collect()
    }

    /// Answers from the newest tick.
    #[must_use]
    pub fn encode(&self, request: &EncodeRequest) -> Encoded {
        encode(&self.encoder, request, self.newest_as(request.source, request.profile.fit), &|| false)
    }

    /// Answers from the newest tick.
    #[must_use]
    pub fn digest(&self, request: &DigestRequest) -> Digested {
        digest(&self.encoder, request, self.newest_as(request.source, request.fit))
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
        let watched = self.sources.iter_mut().find(|watched| watched.scanner.id() == source)?;
        let tick = scan(&mut watched.scanner)?;
        watched.newest = Some(Arc::clone(&tick));
        Some(tick)
    }

    fn watched(&self, source: SourceId) -> Option<&Watched> {
        self.sources.iter().find(|watched| watched.scanner.id() == source)
    }

    fn newest_as(&self, source: SourceId, fit: Fit) -> Option<&Tick> {
        let watched = self.watched(source)?;
        watched.newest.iter().chain(&watched.fitted).find(|tick| tick.fit == fit).map(|tick| &**tick)
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
