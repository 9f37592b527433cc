//! A scanner with the engines behind it: what it publishes says what it shows.

use std::sync::Arc;

use super::Engine;
use crate::ablation::Without;
use crate::heat::Heat;
use crate::hypervisor::{Source, SourceId};
use crate::scan::{Picture, ScanCounters, Scanner, Tick, TickState, TimeArray};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;

/// Watches one source. See [`Scanner`] for what its calls do; ticks come with [`Tick::contexts`].
pub struct Watcher {
    scanner: Scanner,
    engines: Option<Engines>,
    /// What the engines do not do.
    without: Without,
}

/// What is known of an epoch. Everything that grows with the surface is allocated when it begins.
struct Engines {
    epoch: Epoch,
    heat: Heat,
    context: Engine,
    /// As of the newest tick; `None` before the first.
    picture: Option<Picture>,
}

impl Watcher {
    /// A watcher that has not looked yet.
    #[must_use]
    pub fn new(id: SourceId, source: Box<dyn Source>) -> Self {
        Self { scanner: Scanner::new(id, source), engines: None, without: Without::NOTHING }
    }

    /// The same watcher, whose engines do without some parts.
    #[must_use]
    pub const fn without(mut self, without: Without) -> Self {
        self.without = without;
        self
    }

    /// Which source.
    #[must_use]
    pub const fn id(&self) -> SourceId {
        self.scanner.id()
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> ScanCounters {
        self.scanner.counters()
    }

    /// Whether the newest published tick has pixels.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.scanner.is_live()
    }

    /// The time-based array of the mode under way.
    #[must_use]
    pub fn history(&self) -> Option<&TimeArray> {
        self.scanner.history()
    }

    /// The heat of the mode under way.
    #[must_use]
    pub fn heat(&self) -> Option<&Heat> {
        self.engines.as_ref().map(|engines| &engines.heat)
    }

    /// Notes input at the pixel (`x`, `y`): what is there is likely to change.
    pub fn warm(&mut self, x: u16, y: u16, at: Instant) {
        if let Some(engines) = &mut self.engines {
            engines.heat.warm(x, y, at);
        }
    }

    /// Scans the source once, and says what the picture holds if anything changed.
    pub fn tick(&mut self, now: Instant) -> Option<Arc<Tick>> {
        let tick = self.scanner.tick(now);
        self.explain(tick)
    }

    /// Looks at the state of a source that nobody watches.
    pub fn look(&mut self, now: Instant) -> Option<Arc<Tick>> {
        let tick = self.scanner.look(now);
        self.explain(tick)
    }

    /// Says that the source has nothing to show, unless that was said already.
    pub fn darken(&mut self, now: Instant, state: SurfaceState, text: String) -> Option<Arc<Tick>> {
        let tick = self.scanner.darken(now, state, text);
        self.explain(tick)
    }

    fn explain(&mut self, tick: Option<Arc<Tick>>) -> Option<Arc<Tick>> {
        let mut tick = tick?;
        let fresh = Arc::get_mut(&mut tick).expect("a scanner keeps no tick");
        let TickState::Live { picture, delta } = &fresh.state else {
            self.engines = None;
            return Some(tick);
        };
        let engines = match &mut self.engines {
            Some(engines) if engines.epoch == fresh.epoch => engines,
            engines => engines.insert(Engines::new(fresh.epoch, picture, self.without)),
        };
        engines.heat.observe(delta, picture, engines.picture.is_none());
        let contexts = engines.context.observe(delta, engines.picture.as_ref(), picture, &engines.heat);
        engines.picture = Some(picture.clone());
        if let Some(history) = self.scanner.history_mut() {
            history.note_each(fresh.number, |cell| contexts.cell(cell).context);
        }
        fresh.contexts = contexts;
        Some(tick)
    }
}

impl Engines {
    fn new(epoch: Epoch, picture: &Picture, without: Without) -> Self {
        let context = Engine::new(picture.size, without);
        Self { epoch, heat: Heat::new(picture.size), context, picture: None }
    }
}
