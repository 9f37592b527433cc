//! The scanner of one source: follows its mode, sweeps it, and publishes what changed as ticks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, Size};
use crate::hypervisor::{Source, SourceError, SourceId, Surface, View};
use crate::limits::{CELL, CELL_PIXELS};
use crate::pixel::{self, Fit};
use crate::scan::{Contexts, Delta, Entry, Picture, Tick, TickState, Tile, TimeArray};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;
use lfp_proto::record::Context;

const SIDE: usize = CELL as usize;

/// What a scanner has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanCounters {
    /// Sweeps that came to an end.
    pub sweeps: u64,
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

/// Scans one source. Everything that grows with the surface is allocated when a mode begins.
pub struct Scanner {
    id: SourceId,
    source: Box<dyn Source>,
    /// Of the newest tick; 0 before the first.
    number: u64,
    /// Of the newest tick; 0 before the first.
    epoch: Epoch,
    /// What the newest tick said in the dark; `None` if it had pixels, or there is none.
    dark: Option<(SurfaceState, String)>,
    live: Option<Live>,
    counters: ScanCounters,
}

/// A mode under way.
struct Live {
    surface: Surface,
    /// The source's bytes as of the last sweep, rows without padding.
    shadow: Vec<u8>,
    /// Cells whose bytes changed since the picture was brought up to date: more than one sweep's if the last
    /// one failed half way.
    changed: CellSet,
    picture: Picture,
    spare: Spare,
    history: TimeArray,
    /// Whether a tick of this mode was published. Until then what was published before stays true.
    published: bool,
    /// Whether the last sweep found the memory gone.
    lost: bool,
}

impl Scanner {
    /// A scanner that has not looked yet.
    #[must_use]
    pub fn new(id: SourceId, source: Box<dyn Source>) -> Self {
        let counters = ScanCounters::default();
        Self { id, source, number: 0, epoch: Epoch(0), dark: None, live: None, counters }
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

    /// Scans the source once. A tick comes back if the mode, the state or a pixel changed; the first one of
    /// an epoch holds every cell.
    pub fn tick(&mut self, now: Instant) -> Option<Arc<Tick>> {
        match self.source.view(now) {
            View::Dark { state, text } => self.darken(now, state, text),
            View::Live(surface) => self.sweep(now, &surface),
        }
    }

    /// Looks at the state of a source that nobody watches, without reading pixels. A tick comes back if the
    /// source has gone dark, or says something else in the dark.
    pub fn look(&mut self, now: Instant) -> Option<Arc<Tick>> {
        match self.source.view(now) {
            View::Dark { state, text } => self.darken(now, state, text),
            View::Live(_) => None,
        }
    }

    /// Says, in a new epoch, that the source has nothing to show, unless that was said already.
    pub fn darken(&mut self, now: Instant, state: SurfaceState, text: String) -> Option<Arc<Tick>> {
        self.live = None;
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

    fn sweep(&mut self, now: Instant, surface: &Surface) -> Option<Arc<Tick>> {
        if Size::new(surface.size.width, surface.size.height).is_none() {
            let text = format!("a surface cannot have {}x{} pixels", surface.size.width, surface.size.height);
            return self.darken(now, SurfaceState::Faulty, text);
        }
        let live = match &mut self.live {
            Some(live) if live.surface == *surface => live,
            live => {
                self.source.restart();
                live.insert(Live::new(*surface, self.number))
            }
        };
        match self.source.sweep(&live.surface, &mut live.shadow, &mut live.changed) {
            Ok(()) => live.lost = false,
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
        let swept = live.changed.len();
        let delta = live.refresh(now, self.number + 1);
        self.counters.cells_same += swept.saturating_sub(delta.cells.len()) as u64;
        if delta.cells.is_empty() {
            return None;
        }
        self.counters.cells_changed += delta.cells.len() as u64;
        self.epoch.0 += u32::from(!live.published);
        live.published = true;
        self.dark = None;
        let picture = live.picture.clone();
        Some(self.publish(now, TickState::Live { picture, delta }))
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

impl Live {
    fn new(surface: Surface, floor: u64) -> Self {
        let grid = surface.size.grid();
        Self {
            surface,
            shadow: vec![0; surface.shadow_bytes()],
            changed: CellSet::new(grid),
            picture: Picture::black(surface.size),
            spare: Spare::default(),
            history: TimeArray::new(grid, floor),
            published: false,
            lost: false,
        }
    }

    /// Brings the picture up to the shadow as tick `number`; says which cells look different, all of them
    /// in the first tick.
    fn refresh(&mut self, at: Instant, number: u64) -> Delta {
        let mut delta = Delta { tick: number, at, cells: CellSet::new(self.picture.size.grid()) };
        if self.changed.is_empty() && self.published {
            return delta;
        }
        let first = !self.published;
        if first {
            self.changed.fill();
        }
        let columns = usize::from(self.picture.size.grid().columns);
        let mut contexts = Vec::new();
        for index in self.changed.iter() {
            let (x, y) = ((index % columns) as u16, (index / columns) as u16);
            let mut tile = self.spare.take();
            convert_cell(
                &self.surface,
                &self.shadow,
                x,
                y,
                Arc::get_mut(&mut tile).expect("nobody else holds it"),
            );
            if first || *tile != *self.picture.tile(x, y) {
                let past = self.picture.put(x, y, tile, number);
                self.spare.retire(past);
                delta.cells.insert(index);
                contexts.push(if self.picture.detail(x, y) == 0 { Context::Flat } else { Context::Unknown });
            } else {
                self.spare.give_back(tile);
            }
        }
        self.spare.keep_at_most(contexts.len());
        self.changed.clear();
        if !contexts.is_empty() {
            self.history.push(Entry { delta: delta.clone(), contexts });
        }
        delta
    }
}

/// Tiles that were replaced, to be used again once no past picture holds them. Without it a screen that changes
/// all the time would take and give back its whole size from the system in every tick.
#[derive(Default)]
struct Spare(VecDeque<Arc<Tile>>);

impl Spare {
    /// A tile that nobody else holds, with anything in it.
    fn take(&mut self) -> Arc<Tile> {
        // Those at the front are the oldest: if it is still held, so are the others.
        let free = self.0.front_mut().is_some_and(|tile| Arc::get_mut(tile).is_some());
        let reused = if free { self.0.pop_front() } else { None };
        reused.unwrap_or_else(|| Arc::new([0; CELL_PIXELS]))
    }

    fn give_back(&mut self, tile: Arc<Tile>) {
        self.0.push_front(tile);
    }

    fn retire(&mut self, tile: Arc<Tile>) {
        self.0.push_back(tile);
    }

    /// Lets the oldest go until `count` are left: as many as the last tick needed.
    fn keep_at_most(&mut self, count: usize) {
        self.0.drain(..self.0.len().saturating_sub(count));
    }
}

/// Writes the pixels of one cell, from a surface's rows, to `tile`.
fn convert_cell(surface: &Surface, shadow: &[u8], x: u16, y: u16, tile: &mut Tile) {
    let area = surface.size.clip(CellRect { x, y, width: 1, height: 1 });
    let (bytes, row_len, width) = (surface.format.bytes(), surface.row_bytes(), usize::from(area.width));
    if area.pixels() < CELL_PIXELS {
        tile.fill(0);
    }
    let rows = shadow[usize::from(area.y) * row_len..].chunks_exact(row_len);
    for (row, pixels) in rows.take(usize::from(area.height)).zip(tile.chunks_exact_mut(SIDE)) {
        let start = usize::from(area.x) * bytes;
        pixel::convert_row(surface.format, &row[start..start + width * bytes], &mut pixels[..width]);
    }
}
