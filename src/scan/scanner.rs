//! The scanner of one source: follows its mode, sweeps it, and publishes what changed as ticks.

use std::sync::Arc;

use crate::geometry::{CellRect, Size};
use crate::hypervisor::{Source, SourceError, SourceId, Surface, View};
use crate::pixel::Fit;
use crate::scan::live::Live;
use crate::scan::{Contexts, Mode, Refiner, Strategy, Tick, TickState, TimeArray};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;

/// What a scanner has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanCounters {
    /// Scans that came to an end, whichever way.
    pub sweeps: u64,
    /// Scans that began by probing.
    pub probes: u64,
    /// Probes that found something where nothing was expected.
    pub surprises: u64,
    /// Bytes of the source that were read, without those of captures that were given up.
    pub bytes_read: u64,
    /// The same of the last scan.
    pub bytes_last: u64,
    /// Sweeps given up because the source was being painted all the time.
    pub torn: u64,
    /// Sweeps given up because the source's memory was gone.
    pub lost: u64,
    /// Ticks published.
    pub ticks: u64,
    /// Cells of published ticks.
    pub cells_changed: u64,
    /// Cells whose bytes changed and whose pixels did not.
    pub cells_same: u64,
}

/// Scans one source, which it sweeps unless told otherwise. Everything that grows with the surface is allocated when a mode begins.
pub struct Scanner {
    id: SourceId,
    source: Box<dyn Source>,
    /// Of the newest tick; 0 before the first.
    number: u64,
    /// Of the newest tick; 0 before the first.
    epoch: Epoch,
    /// What the newest tick said in the dark; `None` if it had pixels, or there is none.
    dark: Option<(SurfaceState, String)>,
    /// What the source showed when it was looked at last.
    seen: Option<View>,
    live: Option<Live>,
    strategy: Strategy,
    mode: Mode,
    counters: ScanCounters,
}

impl Scanner {
    /// A scanner that has not looked yet.
    #[must_use]
    pub fn new(id: SourceId, source: Box<dyn Source>) -> Self {
        let counters = ScanCounters::default();
        let (strategy, mode) = (Strategy::Sweep, Mode::Paused);
        let (number, epoch, dark, seen, live) = (0, Epoch(0), None, None, None);
        Self { id, source, number, epoch, dark, seen, live, strategy, mode, counters }
    }

    /// Which source.
    #[must_use]
    pub const fn id(&self) -> SourceId {
        self.id
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> ScanCounters {
        self.counters
    }

    /// What the source showed when it was looked at last, be it by a scan or not; `None` before the first time.
    #[must_use]
    pub const fn seen(&self) -> Option<&View> {
        self.seen.as_ref()
    }

    /// Whether the newest published tick has pixels.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.published)
    }

    /// The time-based array of the mode under way.
    #[must_use]
    pub fn history(&self) -> Option<&TimeArray> {
        self.live.as_ref().map(|live| &live.history)
    }

    /// The same, for engines that learn what changed cells hold.
    pub fn history_mut(&mut self) -> Option<&mut TimeArray> {
        self.live.as_mut().map(|live| &mut live.history)
    }

    /// How the source was looked at last.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How the source is to be scanned from now on.
    pub const fn follow(&mut self, strategy: Strategy) {
        self.strategy = strategy;
    }

    /// How what has changed in the mode under way is found: for benches, which compare.
    pub fn refine(&mut self, refiner: Refiner) {
        if let Some(live) = &mut self.live {
            live.refine(refiner);
        }
    }

    /// Where input makes a change likely, in place of what was said before.
    pub fn hint(&mut self, areas: impl Iterator<Item = CellRect>) {
        let Some(live) = &mut self.live else { return };
        live.hinted.clear();
        let grid = live.hinted.grid();
        for cell in areas.filter(|area| grid.contains(*area)).flat_map(|area| area.indices(grid)) {
            live.hinted.insert(cell);
        }
    }

    /// Takes a published tick back, as soon as nobody else holds it, to be written again.
    pub fn keep(&mut self, tick: &Arc<Tick>) {
        if let Some(live) = self.live.as_mut().filter(|_| matches!(tick.state, TickState::Live { .. })) {
            live.keep(tick);
        }
    }

    /// Scans the source once. A tick comes back if the mode, the state or a pixel changed; the first one of
    /// an epoch holds every cell.
    pub fn tick(&mut self, now: Instant) -> Option<Arc<Tick>> {
        match self.source.view(now) {
            View::Dark { state, text } => self.darken(now, state, text),
            View::Live(surface) => self.scan(now, &surface),
        }
    }

    /// Looks at the state of a source that nobody watches, without reading pixels. A tick comes back if the
    /// source has gone dark, or says something else in the dark.
    pub fn look(&mut self, now: Instant) -> Option<Arc<Tick>> {
        self.mode = Mode::Paused;
        if let Some(live) = &mut self.live {
            live.rested = true;
        }
        match self.source.view(now) {
            View::Dark { state, text } => self.darken(now, state, text),
            View::Live(surface) => {
                self.seen = Some(View::Live(surface));
                None
            }
        }
    }

    /// Lets go of the source's memory. What was seen of it stays, so that the next scan finds what has changed since.
    pub fn release(&mut self) {
        self.mode = Mode::Released;
        self.source.release();
    }

    /// Says, in a new epoch, that the source has nothing to show, unless that was said already.
    pub fn darken(&mut self, now: Instant, state: SurfaceState, text: String) -> Option<Arc<Tick>> {
        self.live = None;
        let is_seen = |view: &View| matches!(view, View::Dark { state: seen, text: said } if (*seen, said) == (state, &text));
        if !self.seen.as_ref().is_some_and(is_seen) {
            self.seen = Some(View::Dark { state, text: text.clone() });
        }
        let dark = Some((state, text));
        if self.dark == dark {
            return None;
        }
        self.dark.clone_from(&dark);
        // SPEC [LFP-7.1]: A server MUST start a new epoch whenever the mode or the state of a surface changes, and MUST
        // NOT use an epoch's number again in the session.
        self.epoch.0 += 1;
        dark.map(|(state, text)| self.publish(now, TickState::Dark { state, text }))
    }

    fn scan(&mut self, now: Instant, surface: &Surface) -> Option<Arc<Tick>> {
        if Size::new(surface.size.width, surface.size.height).is_none() {
            let text = format!("a surface cannot have {}x{} pixels", surface.size.width, surface.size.height);
            return self.darken(now, SurfaceState::Faulty, text);
        }
        self.seen = Some(View::Live(*surface));
        let live = match &mut self.live {
            Some(live) if live.surface == *surface => live,
            live => {
                self.source.restart();
                live.insert(Live::new(*surface, self.number, now))
            }
        };
        let probes = live.is_to_probe(self.strategy, now);
        self.mode = if probes { Mode::Probe } else { Mode::Sweep };
        let read = if probes {
            live.probe(self.source.as_mut(), self.strategy, now)
        } else {
            live.sweep(self.source.as_mut()).map(|reading| (reading, false))
        };
        match read {
            Ok((reading, surprised)) => {
                self.counters.probes += u64::from(probes);
                self.counters.surprises += u64::from(surprised);
                live.lost = false;
                live.rested &= probes;
                live.notified = reading.notified;
                self.counters.bytes_read += reading.bytes;
                self.counters.bytes_last = reading.bytes;
                if reading.notified {
                    self.mode = Mode::Notified;
                } else if !probes {
                    live.stir(now);
                }
            }
            Err(SourceError::Torn { .. }) => {
                self.counters.torn += 1;
                return None;
            }
            Err(error @ SourceError::Lost(_)) => {
                self.counters.lost += 1;
                // The source's next view should say what became of it; one that goes on to claim pixels
                // that cannot be read is not believed.
                let believed = !std::mem::replace(&mut live.lost, true);
                let text = error.to_string();
                return if believed { None } else { self.darken(now, SurfaceState::Faulty, text) };
            }
        }
        self.counters.sweeps += 1;
        let read = live.changed.len();
        let found = live.refresh(now, self.number + 1);
        self.counters.cells_same += read.saturating_sub(found) as u64;
        if found == 0 {
            return None;
        }
        self.counters.cells_changed += found as u64;
        self.epoch.0 += u32::from(!live.published);
        live.published = true;
        self.dark = None;
        self.number += 1;
        self.counters.ticks += 1;
        let mut tick = live.shown();
        let fresh = Arc::get_mut(&mut tick).expect("nobody else holds it");
        (fresh.source, fresh.number, fresh.captured, fresh.epoch) = (self.id, self.number, now, self.epoch);
        Some(tick)
    }

    fn publish(&mut self, captured: Instant, state: TickState) -> Arc<Tick> {
        self.number += 1;
        self.counters.ticks += 1;
        let contexts = Contexts::unknown();
        let full = match &state {
            TickState::Live { picture, .. } => picture.size,
            TickState::Dark { .. } => Size::default(),
        };
        let (source, number, epoch) = (self.id, self.number, self.epoch);
        Arc::new(Tick { source, fit: Fit::NATIVE, full, number, captured, epoch, state, contexts })
    }
}
