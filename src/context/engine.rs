//! The context of one source, in one epoch.

use std::sync::Arc;
use std::time::Duration;

use super::cell::Cell;
use super::groups::{Group, Kind, Warmth};
use super::look::{is_picture, look};
use super::motion::Search;
use super::video::Videos;
use crate::ablation::{Part, Without};
use crate::geometry::{CellRect, CellSet, Grid, Size};
use crate::heat::{Heat, around, common};
use crate::kernel::join::Joiner;
use crate::limits::{CELL, CONTEXTS_SPARE_MAX, REGIONS_MAX};
use crate::scan::{CellContext, Contexts, Delta, Picture, Region, Vector};
use crate::time::Instant;
use lfp_proto::record::Context;

/// Changes per second, and buckets in which they fell, from which a cell is busy.
const BUSY_HZ: u32 = 6;
const BUSY_HITS: u32 = 3;
/// Changes per second of a cell in which a video has a few pixels.
const EDGE_HZ: u32 = 2;
/// Changes per second beyond which a cell does not blink: nobody makes a cursor that fast.
const BLINK_HZ_MAX: u32 = 8;
/// Time for which a slide says what its surroundings are.
const SLIDE_MEMORY: Duration = Duration::from_millis(500);
/// Slides that are remembered.
const SLIDES_MAX: usize = 16;

/// Finds out what has moved, what hangs together, and what it is.
#[derive(Debug)]
pub struct Engine {
    grid: Grid,
    /// What is not done.
    without: Without,
    search: Search,
    joiner: Joiner,
    cells: Vec<Cell>,
    kinds: Vec<Kind>,
    /// Of each cell that is in `busy`: what heat says.
    warmths: Vec<Warmth>,
    /// The cells that changed in the last second; and as of the tick before.
    active: CellSet,
    past: CellSet,
    groups: Vec<Group>,
    /// Per cell: the place of its group in `groups`.
    places: Vec<u32>,
    videos: Videos,
    slides: Vec<Slide>,
    shown: Vec<CellContext>,
    regions: Vec<Region>,
    /// What was published, oldest first, to be written again once nobody holds it.
    spare: std::collections::VecDeque<Arc<Contexts>>,
}

/// Something moved.
#[derive(Clone, Copy, Debug)]
struct Slide {
    /// From where and to where.
    cells: CellRect,
    /// Cells that moved.
    count: usize,
    vector: Vector,
    at: Instant,
}

impl Engine {
    /// An engine that has seen nothing, and does without some parts. All that grows with the surface is allocated now.
    #[must_use]
    pub fn new(size: Size, without: Without) -> Self {
        let grid = size.grid();
        let cells = grid.cells();
        let cold = Warmth { rate: 0, hits: 0, trend: Default::default(), class: Default::default() };
        Self {
            grid,
            without,
            search: Search::new(size),
            joiner: Joiner::new(usize::from(grid.columns), usize::from(grid.rows)),
            cells: vec![Cell::NEW; cells],
            kinds: vec![Kind::default(); cells],
            warmths: vec![cold; cells],
            active: CellSet::new(grid),
            past: CellSet::new(grid),
            groups: Vec::with_capacity(cells),
            places: vec![0; cells],
            videos: Videos::default(),
            slides: Vec::with_capacity(SLIDES_MAX),
            shown: vec![CellContext::default(); cells],
            regions: Vec::with_capacity(REGIONS_MAX),
            spare: std::collections::VecDeque::with_capacity(CONTEXTS_SPARE_MAX),
        }
    }

    /// Says what the cells of `new` are. `old` is the picture of the tick before, `None` in an epoch's first tick;
    /// `heat` has taken in the tick already.
    ///
    /// # Panics
    /// If something is of another size than the engine.
    pub fn observe(
        &mut self,
        delta: &Delta,
        old: Option<&Picture>,
        new: &Picture,
        heat: &Heat,
    ) -> Arc<Contexts> {
        let now = delta.at;
        match old {
            Some(old) => self.search.find(old, new, &delta.cells),
            None => &[],
        };
        self.change(delta, old.is_some(), new, heat);
        self.gather(delta, old.is_some(), heat);
        self.group(now);
        self.judge(now);
        self.settle(now);
        self.publish()
    }

    /// Takes in what changed, cell by cell.
    fn change(&mut self, delta: &Delta, has_moved: bool, new: &Picture, heat: &Heat) {
        let (now, columns) = (delta.at, usize::from(self.grid.columns));
        for index in delta.cells.iter() {
            let vector = if has_moved { self.search.vector(index) } else { None };
            let cell = &mut self.cells[index];
            cell.look = look(&heat.features(index));
            cell.change(vector, now);
            let is_slow = vector.is_none() && heat.rate(index, now) <= BLINK_HZ_MAX;
            cell.hold(is_slow.then(|| new.tile((index % columns) as u16, (index / columns) as u16)));
        }
        self.slides.retain(|slide| now.saturating_since(slide.at) <= SLIDE_MEMORY);
        for one in self.search.moves().iter().filter(|_| has_moved) {
            let from = CellRect {
                x: one.source.x / CELL,
                y: one.source.y / CELL,
                width: one.source.width.div_ceil(CELL),
                height: one.source.height.div_ceil(CELL),
            };
            let count = one.cells.cells();
            let slide = Slide { cells: around(one.cells, from), count, vector: one.vector, at: now };
            // Of many pieces the first ones, which have most on them, are enough.
            let known = self.slides.iter().position(|known| known.at == now && known.vector == slide.vector);
            match known {
                Some(place) => {
                    let known = &mut self.slides[place];
                    known.cells = around(known.cells, slide.cells);
                    known.count += slide.count;
                }
                None if self.slides.len() < SLIDES_MAX => self.slides.push(slide),
                None => {}
            }
        }
    }

    /// Finds out which cells are active, and of what kind. In an epoch's first tick all of them are.
    fn gather(&mut self, delta: &Delta, has_past: bool, heat: &Heat) {
        let now = delta.at;
        std::mem::swap(&mut self.active, &mut self.past);
        self.active.clear();
        if has_past {
            let active = &mut self.active;
            heat.active(self.grid.rect(), now, &mut |index| {
                active.insert(index);
            });
        } else {
            self.active.fill();
        }
        for index in self.active.iter() {
            let (rate, hits) = (heat.rate(index, now), heat.buckets_hit(index, now));
            let cell = &self.cells[index];
            self.warmths[index] =
                Warmth { rate, hits, trend: heat.trend(index, now), class: heat.class(index, now) };
            self.kinds[index] = match cell.vector(now) {
                Some(_) => Kind::Moved,
                None if cell.blinks() => Kind::Flipping,
                None if rate >= BUSY_HZ && hits >= BUSY_HITS && is_picture(cell.look) => Kind::Film,
                None if rate >= BUSY_HZ && hits >= BUSY_HITS => Kind::Busy,
                None if is_picture(cell.look) => Kind::Picture,
                None => Kind::Graphic,
            };
        }
    }

    /// Joins the active cells into groups.
    fn group(&mut self, now: Instant) {
        let Self { joiner, active, kinds, groups, places, cells, warmths, .. } = self;
        joiner.join(active.iter(), |a, b| kinds[a] == kinds[b]);
        groups.clear();
        let columns = usize::from(self.grid.columns);
        for index in active.iter() {
            let first = joiner.first(index);
            let (x, y) = ((index % columns) as u16, (index / columns) as u16);
            // The first cell of a group leads, and comes first.
            if first == index {
                places[index] = groups.len() as u32;
                groups.push(Group::new(kinds[index], x, y));
            } else {
                places[index] = places[first];
            }
            groups[places[index] as usize].add(x, y, &cells[index], warmths[index], now);
        }
    }

    /// Asks the rules about each group, and follows the videos.
    fn judge(&mut self, now: Instant) {
        for group in &mut self.groups {
            let near = self.slides.iter().filter(|slide| common(slide.cells, group.cells) > 0);
            let (straight, oblique) = near.fold((0, 0), |(straight, oblique), slide| {
                let counts = if slide.vector.is_straight() { (slide.count, 0) } else { (0, slide.count) };
                (straight.max(counts.0), oblique.max(counts.1))
            });
            // A hand moves along an axis now and then; chance makes small oblique pieces in any page.
            let dragging = oblique * 2 >= straight.max(1);
            let is_edge = group.kind != Kind::Moved
                && self
                    .slides
                    .iter()
                    .any(|slide| common(slide.cells, group.cells) * 2 >= group.cells.cells());
            group.judge(dragging, is_edge, self.without);
            if group.context == Context::Video {
                self.videos.note(group.cells, now);
            }
        }
        let Self { cells, active, kinds, warmths, grid, without, .. } = self;
        let slides = |index: usize| active.contains(index) && kinds[index] == Kind::Moved;
        let changes = |x: u16, y: u16| {
            let index = grid.index(x, y);
            active.contains(index) && warmths[index].rate >= EDGE_HZ && !slides(index)
        };
        let busy = |x: u16, y: u16| {
            let index = grid.index(x, y);
            active.contains(index) && [Kind::Film, Kind::Busy].contains(&kinds[index])
        };
        let alike = |x: u16, y: u16| {
            let index = grid.index(x, y);
            cells[index].look == Context::Photo && !slides(index)
        };
        let seeks = !without.contains(Part::Boundary);
        self.videos.settle(*grid, now, busy, changes, |x, y| seeks && alike(x, y));
    }

    /// Says of each cell what it is taken for, and lists the regions.
    fn settle(&mut self, now: Instant) {
        self.regions.clear();
        for video in self.videos.iter() {
            self.regions.push(Region {
                cells: video.cells,
                count: video.cells.cells() as u32,
                context: Context::Video,
                rule: "film",
                rate_hz: 0,
                trend: Default::default(),
                persistence_ms: video.age_ms(),
                vector: None,
            });
        }
        let videos = self.regions.len();
        for group in &mut self.groups {
            let inside = self.regions[..videos]
                .iter()
                .position(|video| common(video.cells, group.cells) * 2 >= group.cells.cells());
            match inside {
                Some(place) => {
                    group.context = Context::Video;
                    let video = &mut self.regions[place];
                    video.rate_hz = video.rate_hz.max(group.region().rate_hz);
                }
                None if self.regions.len() < REGIONS_MAX => self.regions.push(group.region()),
                None => {}
            }
        }
        for index in self.past.iter().filter(|index| !self.active.contains(*index)) {
            let look = self.cells[index].look;
            self.cells[index].take_for(look, now);
            self.shown[index] = CellContext { context: look, look, class: Default::default() };
        }
        for index in self.active.iter() {
            let look = self.cells[index].look;
            let context = blend(self.groups[self.places[index] as usize].context, look);
            self.cells[index].take_for(context, now);
            self.shown[index] = CellContext { context, look, class: self.warmths[index].class };
        }
    }

    /// What was found out, as a value that nobody changes any more.
    fn publish(&mut self) -> Arc<Contexts> {
        let free = self.spare.front_mut().is_some_and(|contexts| Arc::get_mut(contexts).is_some());
        let reused = if free { self.spare.pop_front() } else { None };
        let mut contexts = reused.unwrap_or_default();
        let fresh = Arc::get_mut(&mut contexts).expect("nobody else holds it");
        fresh.grid = self.grid;
        fresh.cells.clear();
        fresh.cells.extend_from_slice(&self.shown);
        fresh.regions.clear();
        fresh.regions.reserve_exact(REGIONS_MAX);
        fresh.regions.extend_from_slice(&self.regions);
        fresh.moves.clear();
        fresh.moves.extend_from_slice(self.search.moves());
        if self.spare.len() == CONTEXTS_SPARE_MAX {
            self.spare.pop_front();
        }
        self.spare.push_back(Arc::clone(&contexts));
        contexts
    }
}

/// What a cell is in a region: what happens to the region happens to it; what the region looks like is finer known of
/// the cell itself, but for controls beside writing, which are then likely to be writing too.
const fn blend(region: Context, look: Context) -> Context {
    match (region, look) {
        (Context::Video | Context::Scroll | Context::Drag | Context::Blink, _) => region,
        (Context::Text, Context::Interface) => Context::Text,
        _ => look,
    }
}
