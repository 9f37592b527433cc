//! A scanner with the engines behind it: what it publishes says what it shows.

use std::sync::Arc;

use super::Engine;
use crate::ablation::Without;
use crate::heat::{Heat, Hint};
use crate::hypervisor::{Source, SourceId, View};
use crate::pixel::Bounds;
use crate::scan::{Fittings, Mode, Picture, ScanCounters, Scanner, Strategy, Tick, TickState, TimeArray};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;

/// Watches one source. See [`Scanner`] for what its calls do; ticks come with [`Tick::contexts`].
pub struct Watcher {
    scanner: Scanner,
    engines: Option<Engines>,
    newest: Option<Arc<Tick>>,
    fittings: Fittings,
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
        let scanner = Scanner::new(id, source);
        let (newest, fittings) = (None, Fittings::default());
        Self { scanner, engines: None, newest, fittings, without: Without::NOTHING }
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

    /// What the source showed when it was looked at last; `None` before the first time.
    #[must_use]
    pub const fn seen(&self) -> Option<&View> {
        self.scanner.seen()
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

    /// How the source was looked at last.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.scanner.mode()
    }

    /// How the source is to be scanned from now on.
    pub const fn follow(&mut self, strategy: Strategy) {
        self.scanner.follow(strategy);
    }

    /// Notes input: what is there is likely to change, is scanned in every tick for a while, and sent first.
    pub fn warm(&mut self, hint: Hint, at: Instant) {
        if let Some(engines) = &mut self.engines {
            engines.heat.warm(hint, at);
        }
    }

    /// Scans the source once, and says what the picture holds if anything changed.
    pub fn tick(&mut self, now: Instant) -> Option<Arc<Tick>> {
        if let Some(engines) = &self.engines {
            self.scanner.hint(engines.heat.hints(now));
        }
        let tick = self.scanner.tick(now);
        self.explain(tick)
    }

    /// Looks at the state of a source that nobody watches.
    pub fn look(&mut self, now: Instant) -> Option<Arc<Tick>> {
        let tick = self.scanner.look(now);
        self.explain(tick)
    }

    /// Lets go of the source's memory.
    pub fn release(&mut self) {
        self.scanner.release();
    }

    /// Says that the source has nothing to show, unless that was said already.
    pub fn darken(&mut self, now: Instant, state: SurfaceState, text: String) -> Option<Arc<Tick>> {
        let tick = self.scanner.darken(now, state, text);
        self.explain(tick)
    }

    /// What displays of `bounds` show of the newest tick, as [`Fittings::follow`] has it.
    pub fn fit(&mut self, bounds: &[Bounds]) -> Vec<Arc<Tick>> {
        self.newest.as_ref().map(|newest| self.fittings.follow(newest, bounds)).unwrap_or_default()
    }

    fn explain(&mut self, tick: Option<Arc<Tick>>) -> Option<Arc<Tick>> {
        self.newest = Some(self.explained(tick?));
        self.newest.clone()
    }

    fn explained(&mut self, mut tick: Arc<Tick>) -> Arc<Tick> {
        let fresh = Arc::get_mut(&mut tick).expect("a scanner keeps no tick");
        let TickState::Live { picture, delta } = &fresh.state else {
            self.engines = None;
            return tick;
        };
        let engines = match &mut self.engines {
            Some(engines) if engines.epoch == fresh.epoch => engines,
            engines => engines.insert(Engines::new(fresh.epoch, picture, self.without)),
        };
        engines.heat.observe(delta, picture, engines.picture.is_none());
        let contexts = engines.context.observe(delta, engines.picture.as_ref(), picture, &engines.heat);
        match &mut engines.picture {
            Some(known) => known.copy_from(picture),
            known => *known = Some(picture.clone()),
        }
        if let Some(history) = self.scanner.history_mut() {
            history.note_each(fresh.number, |cell| contexts.cell(cell).context);
        }
        fresh.contexts = contexts;
        self.scanner.keep(&tick);
        tick
    }
}

impl Engines {
    fn new(epoch: Epoch, picture: &Picture, without: Without) -> Self {
        let context = Engine::new(picture.size, without);
        Self { epoch, heat: Heat::new(picture.size), context, picture: None }
    }
}
