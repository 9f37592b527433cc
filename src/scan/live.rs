//! A mode of a source under way: its bytes as of the last scan, its picture, its past.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::geometry::{CellRect, CellSet};
use crate::hypervisor::{Reading, Source, SourceError, SourceId, Surface};
use crate::limits::{CELL, CELL_PIXELS, PROBE_AFTER, TICKS_SPARE_MAX};
use crate::pixel::{self, Fit};
use crate::scan::classic::Classic;
use crate::scan::trough::Trough;
use crate::scan::{CellRow, Contexts, Delta, Picture, Refiner, Strategy, Tick, TickState, Tile, TimeArray};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::record::Context;

const SIDE: usize = CELL as usize;

/// A mode under way.
pub(super) struct Live {
    pub(super) surface: Surface,
    /// The source's bytes as of the last scan, rows without padding.
    shadow: Vec<u8>,
    /// Cells whose bytes changed since the picture was brought up to date: more than one scan's if the last
    /// one failed half way.
    pub(super) changed: CellSet,
    picture: Picture,
    spare: Spare,
    past: Past,
    /// The tick to be written next, if its memory is an older one's.
    shell: Option<Arc<Tick>>,
    /// What changed in the newest tick, and what each of these cells holds.
    delta: Delta,
    contexts: Vec<Context>,
    pub(super) history: TimeArray,
    trough: Trough,
    /// What finds changes in place of a sweep, for benches.
    classic: Option<Classic>,
    /// Cells where input makes a change likely.
    pub(super) hinted: CellSet,
    /// Since when nothing has happened where nothing was expected to.
    calm_since: Instant,
    /// It was not scanned for a while: what it shows is not known before all of it has been swept.
    pub(super) rested: bool,
    /// Whether the source said, at the last scan, what had changed.
    pub(super) notified: bool,
    /// Whether a tick of this mode was published. Until then what was published before stays true.
    pub(super) published: bool,
    /// Whether the last scan found the memory gone.
    pub(super) lost: bool,
}

impl Live {
    pub(super) fn new(surface: Surface, floor: u64, now: Instant) -> Self {
        let grid = surface.size.grid();
        Self {
            surface,
            shadow: vec![0; surface.shadow_bytes()],
            changed: CellSet::new(grid),
            picture: Picture::black(surface.size),
            spare: Spare::default(),
            past: Past::default(),
            shell: None,
            delta: Delta { tick: 0, at: Instant::ZERO, cells: CellSet::new(grid) },
            contexts: Vec::new(),
            history: TimeArray::new(grid, floor),
            trough: Trough::new(surface.size),
            classic: None,
            hinted: CellSet::new(grid),
            calm_since: now,
            rested: false,
            notified: false,
            published: false,
            lost: false,
        }
    }

    /// Whether the scan at `now` is to probe instead of sweep.
    pub(super) fn is_to_probe(&self, strategy: Strategy, now: Instant) -> bool {
        let is_calm = || self.hinted.is_empty() && now.saturating_since(self.calm_since) >= PROBE_AFTER;
        let wants = match strategy {
            Strategy::Sweep => false,
            Strategy::Auto => is_calm(),
            Strategy::Probe => true,
        };
        wants && self.published && !self.notified && !self.rested
    }

    /// Scans all of the source, or what it says has changed.
    pub(super) fn sweep(&mut self, source: &mut dyn Source) -> Result<Reading, SourceError> {
        let Self { classic, surface, shadow, changed, .. } = self;
        match classic.as_mut().filter(|_| self.published && !self.notified) {
            Some(classic) => classic.scan(source, surface, shadow, changed),
            None => source.sweep(surface, shadow, changed),
        }
    }

    /// Has changes found by `refiner`.
    pub(super) fn refine(&mut self, refiner: Refiner) {
        self.classic = (refiner == Refiner::Classic).then(|| Classic::new(&self.surface));
    }

    /// Takes note of whether what the sweep at `now` found was to be expected: if not, the source is none to be probed.
    pub(super) fn stir(&mut self, now: Instant) {
        if !self.changed.is_empty() {
            self.trough.expect(&self.history, now);
            if self.trough.is_surprised(&self.changed) {
                self.calm_since = now;
            }
        }
    }

    /// Probes the source; sweeps it after all if that found something where nothing was expected, unless it is to be probed
    /// whatever happens. Says whether it did.
    pub(super) fn probe(
        &mut self,
        source: &mut dyn Source,
        strategy: Strategy,
        now: Instant,
    ) -> Result<(Reading, bool), SourceError> {
        let Self { trough, surface, hinted, shadow, changed, history, .. } = self;
        trough.expect(history, now);
        let mut reading = trough.probe(source, surface, hinted, shadow, changed)?;
        let surprised = trough.is_surprised(changed) && !reading.notified;
        if surprised && strategy != Strategy::Probe {
            self.calm_since = now;
            reading.bytes += self.sweep(source)?.bytes;
        }
        Ok((reading, surprised))
    }

    /// Takes a published tick back once nobody else holds it.
    pub(super) fn keep(&mut self, tick: &Arc<Tick>) {
        self.past.keep(tick);
    }

    /// Brings the picture up to the shadow as tick `number`; says how many cells look different, all of them
    /// in the first tick.
    pub(super) fn refresh(&mut self, at: Instant, number: u64) -> usize {
        if self.changed.is_empty() && self.published {
            return 0;
        }
        let grid = self.picture.size.grid();
        // First of all, so that what the old tick alone held can be used again.
        self.shell = self.shell.take().or_else(|| self.past.take(usize::from(grid.rows)));
        let first = !self.published;
        if first {
            self.changed.fill();
        }
        (self.delta.tick, self.delta.at) = (number, at);
        self.delta.cells.clear();
        self.contexts.clear();
        let columns = usize::from(grid.columns);
        for index in self.changed.iter() {
            let (x, y) = ((index % columns) as u16, (index / columns) as u16);
            let mut tile = self.spare.take();
            let fresh = Arc::get_mut(&mut tile).expect("nobody else holds it");
            convert_cell(&self.surface, &self.shadow, x, y, fresh);
            if first || *tile != *self.picture.tile(x, y) {
                let past = self.picture.put_with(x, y, tile, number, &mut self.past.rows);
                // Before the first tick all cells have one black tile together, which is of no use to any.
                if !first {
                    self.spare.retire(past);
                }
                self.delta.cells.insert(index);
                let is_flat = self.picture.detail(x, y) == 0;
                self.contexts.push(if is_flat { Context::Flat } else { Context::Unknown });
            } else {
                self.spare.give_back(tile);
            }
        }
        let found = self.contexts.len();
        if !first {
            self.spare.settle(found);
        }
        self.changed.clear();
        if found > 0 {
            self.history.record(&self.delta, &self.contexts);
        }
        found
    }

    /// The picture as it stands, and what changed last, as a tick whose other fields are to be filled in.
    pub(super) fn shown(&mut self) -> Arc<Tick> {
        if let Some(mut shell) = self.shell.take() {
            if let Some(Tick { state: TickState::Live { picture, delta }, .. }) = Arc::get_mut(&mut shell) {
                picture.copy_from(&self.picture);
                (delta.tick, delta.at) = (self.delta.tick, self.delta.at);
                delta.cells.clear();
                delta.cells.union(&self.delta.cells);
                return shell;
            }
        }
        Arc::new(Tick {
            source: SourceId(0),
            fit: Fit::NATIVE,
            full: self.surface.size,
            number: self.delta.tick,
            captured: self.delta.at,
            epoch: Epoch(0),
            state: TickState::Live { picture: self.picture.clone(), delta: self.delta.clone() },
            contexts: Contexts::unknown(),
        })
    }
}

/// Tiles that were replaced, to be used again once no past picture holds them. Without it a screen that changes
/// all the time would take and give back its whole size from the system in every tick.
#[derive(Default)]
struct Spare {
    tiles: VecDeque<Arc<Tile>>,
    /// As many as the last ticks needed, and some: falls slowly, so that small ticks between large ones cost those nothing.
    level: usize,
}

impl Spare {
    /// A tile that nobody else holds, with anything in it.
    fn take(&mut self) -> Arc<Tile> {
        // Those at the front are the oldest: if they are still held, so are the others, but for a few that somebody keeps for
        // long, as a session does what is in a client's cache. Those must not hold up all behind them.
        for _ in 0..HELD_MAX {
            if self.tiles.front_mut().is_none_or(|tile| Arc::get_mut(tile).is_some()) {
                break;
            }
            self.tiles.rotate_left(1);
        }
        let free = self.tiles.front_mut().is_some_and(|tile| Arc::get_mut(tile).is_some());
        let reused = if free { self.tiles.pop_front() } else { None };
        reused.unwrap_or_else(|| Arc::new([0; CELL_PIXELS]))
    }

    fn give_back(&mut self, tile: Arc<Tile>) {
        self.tiles.push_front(tile);
    }

    fn retire(&mut self, tile: Arc<Tile>) {
        self.tiles.push_back(tile);
    }

    /// Lets go of what the last ticks, of which this one put `count` tiles in place, did not need. Tiles that readers of past
    /// ticks still hold cost nothing here; but who holds one for long must not keep all that come behind it.
    fn settle(&mut self, count: usize) {
        self.level = count.max(self.level - self.level / LEVEL_FALL).max(LEVEL_MIN);
        let free = self.tiles.iter_mut().map(Arc::get_mut).take_while(Option::is_some).count();
        let beyond = self.tiles.len().saturating_sub(self.level * READERS_TICKS);
        self.tiles.drain(..beyond.max(free.saturating_sub(self.level)));
    }
}

/// Tiles that are still held of which the next is tried instead.
const HELD_MAX: usize = 2;
/// Ticks in a row that readers hold without the tiles of more having to be allocated.
const READERS_TICKS: usize = 4;
/// The part of the tiles kept in vain that goes with each tick, and as many as are kept always.
const LEVEL_FALL: usize = 64;
const LEVEL_MIN: usize = 64;

/// Ticks that were published, and rows of their pictures: to be written again once nobody holds them.
#[derive(Default)]
struct Past {
    /// Oldest first.
    ticks: VecDeque<Arc<Tick>>,
    rows: Vec<Arc<CellRow>>,
}

impl Past {
    fn keep(&mut self, tick: &Arc<Tick>) {
        if self.ticks.len() == TICKS_SPARE_MAX {
            self.ticks.pop_front();
        }
        self.ticks.push_back(Arc::clone(tick));
    }

    /// The oldest tick, if nobody else holds it any more, without its picture, so that what that alone held is free. Of its
    /// rows at most `rows_max` are kept.
    fn take(&mut self, rows_max: usize) -> Option<Arc<Tick>> {
        self.ticks.front_mut().and_then(Arc::get_mut)?;
        let mut shell = self.ticks.pop_front()?;
        let tick = Arc::get_mut(&mut shell)?;
        tick.contexts = Contexts::unknown();
        let TickState::Live { picture, .. } = &mut tick.state else { return None };
        for mut row in picture.rows.drain(..) {
            if let Some(free) = Arc::get_mut(&mut row).filter(|_| self.rows.len() < rows_max) {
                free.tiles.clear();
                self.rows.push(row);
            }
        }
        Some(shell)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_that_somebody_keeps_does_not_keep_the_others_from_being_used_again() {
        let mut spare = Spare::default();
        let kept = Arc::new([1; CELL_PIXELS]);
        spare.retire(Arc::clone(&kept));
        (2..6).for_each(|colour| spare.retire(Arc::new([colour; CELL_PIXELS])));
        let used: Vec<u32> = (0..4).map(|_| spare.take()[0]).collect();
        assert_eq!(used, [2, 3, 4, 5]);
        assert_eq!(spare.take()[0], 0, "a new one, since the only one left is kept");
        drop(kept);
        assert_eq!(spare.take()[0], 1);
    }
}
