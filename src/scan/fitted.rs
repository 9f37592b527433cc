//! Ticks for displays that show a source smaller, or in fewer colours, than it is.
//!
//! What is shown is made once for each [`Fit`] in use, from the source's tick, and only of the cells that changed. It is a
//! tick like any other: so bases, references, digests and the encoders' caches know nothing of it. A cell that changed in
//! the source and looks the same here has not changed.

use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, PixelRect, Size};
use crate::kernel::detail::detail;
use crate::limits::{CELL, CELL_PIXELS};
use crate::pixel::{Bounds, Fit, Shrink};
use crate::scan::{CellRow, Contexts, Delta, Picture, Region, Tick, TickState, Tile};

/// Everything that is made of one source.
#[derive(Debug, Default)]
pub struct Fittings {
    fitted: Vec<Fitted>,
    scratch: Scratch,
}

/// What is made for one fit.
#[derive(Debug)]
struct Fitted {
    /// The newest that differs from the one before.
    tick: Arc<Tick>,
    /// The source's tick that was looked at last.
    seen: u64,
}

/// Kept between cells.
#[derive(Debug, Default)]
struct Scratch {
    shrink: Shrink,
    pixels: Vec<u32>,
}

impl Fittings {
    /// What displays of `bounds` show of a source whose newest tick is `newest`: one tick for each fit that is not the
    /// source's own. One in which nothing differs from the last time is that of the last time.
    pub fn follow(&mut self, newest: &Arc<Tick>, bounds: &[Bounds]) -> Vec<Arc<Tick>> {
        let TickState::Live { picture, delta } = &newest.state else {
            self.fitted.clear();
            return Vec::new();
        };
        let mut fits: Vec<Fit> = bounds.iter().map(|bounds| bounds.fit(picture.size)).collect();
        fits.sort_unstable();
        fits.dedup();
        fits.retain(|fit| !fit.is_native());
        let Self { fitted, scratch } = self;
        fitted.retain(|fitted| fits.contains(&fitted.tick.fit) && fitted.tick.epoch == newest.epoch);
        for fit in fits {
            match fitted.iter_mut().find(|fitted| fitted.tick.fit == fit) {
                Some(fitted) => fitted.follow(newest, picture, delta, scratch),
                None => fitted.push(Fitted::new(newest, picture, fit, scratch)),
            }
        }
        fitted.iter().map(|fitted| Arc::clone(&fitted.tick)).collect()
    }
}

impl Fitted {
    fn new(newest: &Tick, picture: &Picture, fit: Fit, scratch: &mut Scratch) -> Self {
        let mut shown = Picture::black(fit.size(picture.size));
        let all = CellSet::full(shown.size.grid());
        scratch.refresh(&mut shown, picture, fit, &all, newest.number);
        // Also what is black has come to be with this tick.
        for row in &mut shown.rows {
            Arc::make_mut(row).changed_at.fill(newest.number);
        }
        let tick = shown_tick(newest, picture.size, fit, shown, all);
        Self { tick, seen: newest.number }
    }

    fn follow(&mut self, newest: &Tick, picture: &Picture, delta: &Delta, scratch: &mut Scratch) {
        let seen = std::mem::replace(&mut self.seen, newest.number);
        if seen == newest.number {
            return;
        }
        let fit = self.tick.fit;
        let TickState::Live { picture: shown, .. } = &self.tick.state else { return };
        let mut touched = CellSet::new(shown.size.grid());
        let mut touch = |x: u16, y: u16| {
            let cells = fit.cells(CellRect { x, y, width: 1, height: 1 }, picture.size);
            cells.indices(shown.size.grid()).for_each(|index| {
                touched.insert(index);
            });
        };
        if seen + 1 == newest.number {
            let columns = usize::from(picture.size.grid().columns);
            delta.cells.iter().for_each(|index| touch((index % columns) as u16, (index / columns) as u16));
        } else {
            for (y, row) in (0..).zip(&picture.rows) {
                let changed = (0..).zip(&row.changed_at).filter(|(_, at)| **at > seen);
                changed.for_each(|(x, _)| touch(x, y));
            }
        }
        let mut shown = shown.clone();
        let changed = scratch.refresh(&mut shown, picture, fit, &touched, newest.number);
        if !changed.is_empty() {
            self.tick = shown_tick(newest, picture.size, fit, shown, changed);
        }
    }
}

/// The tick that says what is shown of `newest`.
fn shown_tick(newest: &Tick, full: Size, fit: Fit, picture: Picture, cells: CellSet) -> Arc<Tick> {
    let contexts = if fit.step == Fit::NATIVE.step {
        Arc::clone(&newest.contexts)
    } else {
        Arc::new(shown_contexts(&newest.contexts, full, fit))
    };
    let delta = Delta { tick: newest.number, at: newest.captured, cells };
    let state = TickState::Live { picture, delta };
    Arc::new(Tick { fit, full, state, contexts, ..*newest })
}

/// What is known of a source, in the cells of a smaller picture: each is what the source has under its middle. What has
/// moved is not told, since less of it has moved by whole pixels.
fn shown_contexts(contexts: &Contexts, full: Size, fit: Fit) -> Contexts {
    if contexts.cells.is_empty() {
        return Contexts::default();
    }
    let size = fit.size(full);
    let grid = size.grid();
    let cells = grid.rect().indices(grid).map(|index| {
        let (x, y) = (index % usize::from(grid.columns), index / usize::from(grid.columns));
        let area = size.clip(CellRect { x: x as u16, y: y as u16, width: 1, height: 1 });
        let (x, y) = fit.under(area.x + area.width / 2, area.y + area.height / 2, full);
        contexts.cell(contexts.grid.index(x / CELL, y / CELL))
    });
    let regions = contexts.regions.iter().map(|region| {
        let cells = fit.cells(region.cells, full);
        let count = region.count as usize * cells.cells() / region.cells.cells().max(1);
        Region { cells, count: count as u32, vector: None, ..*region }
    });
    let warm = contexts.warm.iter().map(|area| fit.cells(*area, full)).collect();
    Contexts { grid, cells: cells.collect(), regions: regions.collect(), moves: Vec::new(), warm }
}

impl Scratch {
    /// Makes those of `cells` of `shown` anew that are not as `picture` has them, as of tick `number`; says which.
    fn refresh(
        &mut self,
        shown: &mut Picture,
        picture: &Picture,
        fit: Fit,
        cells: &CellSet,
        number: u64,
    ) -> CellSet {
        let mut changed = CellSet::new(cells.grid());
        let columns = usize::from(cells.grid().columns);
        for index in cells.iter() {
            let (x, y) = (index % columns, index / columns);
            let mut tile = [0; CELL_PIXELS];
            self.cell(picture, fit, (x as u16, y as u16), &mut tile);
            if *shown.rows[y].tiles[x] == tile {
                continue;
            }
            let area = shown.size.clip(CellRect { x: x as u16, y: y as u16, width: 1, height: 1 });
            let CellRow { tiles, changed_at, detail: details } = Arc::make_mut(&mut shown.rows[y]);
            details[x] = detail(&tile, area.width.into(), area.height.into());
            (tiles[x], changed_at[x]) = (Arc::new(tile), number);
            changed.insert(index);
        }
        changed
    }

    /// Makes one cell of what `picture` has there; what lies outside stays 0.
    fn cell(&mut self, picture: &Picture, fit: Fit, (x, y): (u16, u16), tile: &mut Tile) {
        if fit.step == Fit::NATIVE.step {
            *tile = *picture.tile(x, y);
        } else {
            let source = fit.source(x, y, picture.size);
            self.pixels.clear();
            for y in source.y..source.y + source.height {
                picture.read_row(PixelRect { y, height: 1, ..source }, &mut self.pixels);
            }
            self.shrink.cell(&self.pixels, source.width.into(), fit.step, tile);
        }
        // Black is 0 in every depth.
        fit.depth.reduce_all(tile);
    }
}
