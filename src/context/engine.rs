//! The context of one source, in one epoch.

use std::sync::Arc;
use std::time::Duration;

use super::cell::Cell;
use super::groups::{Group, Kind, Warmth};
use super::look::{is_picture, look};
use super::motion::Search;
use super::video::{Sight, Videos};
use crate::ablation::{Part, Without};
use crate::geometry::{CellRect, CellSet, Grid, PixelRect, Size};
use crate::heat::{Heat, around, common};
use crate::kernel::join::Joiner;
use crate::limits::{CELL, CONTEXTS_SPARE_MAX, HEAT_SPOTS_MAX, MOTION_MOVES_MAX, REGIONS_MAX};
use crate::scan::{CellContext, Contexts, Delta, Picture, Region, Vector};
use crate::time::Instant;
use lfp_proto::record::Context;

/// Changes per second of a cell in which a video has a few pixels.
const EDGE_HZ: u32 = 2;
/// Rest after which such a cell is no longer the edge.
const EDGE_REST: Duration = Duration::from_millis(500);
/// Changes per second beyond which a cell does not blink: nobody makes a cursor that fast.
const BLINK_HZ_MAX: u32 = 8;
/// Time for which a slide says what its surroundings are.
const SLIDE_MEMORY: Duration = Duration::from_millis(500);
/// Of what slides as one, so many parts lie as close together as a window's: its plain parts have not been seen to move.
const WHOLE_PART: usize = 4;
/// Cells around what slides that slide with it: a window's title and shadow, which look the same wherever they are.
const RIM: u16 = 3;
/// Slides that are remembered.
const SLIDES_MAX: usize = 64;

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
    /// From where and to where; partly covered cells are part of it.
    from: CellRect,
    to: CellRect,
    /// Cells that moved.
    count: usize,
    vector: Vector,
    at: Instant,
}

impl Slide {
    /// Whether most of what lies there moved: scattered pieces of one vector are chance.
    fn is_whole(&self) -> bool {
        self.count * WHOLE_PART >= self.to.cells()
    }

    /// Everything between where it was and where it is.
    fn cells(&self) -> CellRect {
        around(self.from, self.to)
    }
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
        self.publish(heat, now)
    }

    /// Takes in what changed, cell by cell.
    fn change(&mut self, delta: &Delta, has_moved: bool, new: &Picture, heat: &Heat) {
        let (now, columns) = (delta.at, usize::from(self.grid.columns));
        for index in delta.cells.iter() {
            let vector = if has_moved { self.search.vector(index) } else { None };
            let cell = &mut self.cells[index];
            cell.look = look(&heat.features(index));
            let is_slow = vector.is_none() && heat.rate(index, now) <= BLINK_HZ_MAX;
            let tile = is_slow.then(|| new.tile((index % columns) as u16, (index / columns) as u16));
            cell.change(vector, tile, now);
        }
        self.slides.retain(|slide| now.saturating_since(slide.at) <= SLIDE_MEMORY);
        if has_moved {
            self.slide(now);
        }
    }

    /// Notes what slides, and over which cells: what those show next has been uncovered, whatever it is.
    fn slide(&mut self, now: Instant) {
        for one in self.search.moves() {
            let from = touched(one.source);
            let slide = Slide { from, to: one.cells, count: one.cells.cells(), vector: one.vector, at: now };
            // Of many pieces the first ones, which have most on them, are enough.
            let known = self.slides.iter().position(|known| known.at == now && known.vector == slide.vector);
            match known {
                Some(place) => {
                    let known = &mut self.slides[place];
                    known.from = around(known.from, slide.from);
                    known.to = around(known.to, slide.to);
                    known.count += slide.count;
                }
                None if self.slides.len() < SLIDES_MAX => self.slides.push(slide),
                // They stand in the order of their times: the oldest makes room.
                None if self.slides[0].at < now => {
                    self.slides.remove(0);
                    self.slides.push(slide);
                }
                None => {}
            }
        }
        for slide in self.slides.iter().filter(|slide| slide.at == now && slide.is_whole()) {
            for cells in [slide.from, slide.to] {
                with_rim(cells, self.grid).indices(self.grid).for_each(|index| self.cells[index].sweep());
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
                None => Kind::of(self.warmths[index].is_busy() && cell.is_fresh(now), cell),
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
            let near = self.slides.iter().filter(|slide| common(slide.cells(), group.cells) > 0);
            let (straight, oblique) = near.fold((0, 0), |(straight, oblique), slide| {
                let counts = if slide.vector.is_straight() { (slide.count, 0) } else { (0, slide.count) };
                (straight.max(counts.0), oblique.max(counts.1))
            });
            // A hand moves along an axis now and then; chance makes small oblique pieces in any page.
            let dragging = oblique * 2 >= straight.max(1);
            group.judge(dragging, self.without);
            if group.context == Context::Video {
                self.videos.note(group.cells, now);
            }
        }
        self.bound(now);
    }

    /// Finds where the videos are.
    fn bound(&mut self, now: Instant) {
        let Self { cells, active, kinds, warmths, grid, without, .. } = self;
        let seeks = !without.contains(Part::Boundary);
        let slides = |index: usize| active.contains(index) && kinds[index] == Kind::Moved;
        let sight = Sight {
            busy: &|x, y| {
                let index = grid.index(x, y);
                let is_otherwise = matches!(kinds[index], Kind::Moved | Kind::Flipping);
                active.contains(index)
                    && warmths[index].is_busy()
                    && cells[index].is_fresh(now)
                    && !is_otherwise
            },
            changed: &|x, y| {
                let index = grid.index(x, y);
                active.contains(index)
                    && warmths[index].rate >= EDGE_HZ
                    && cells[index].rested(now) <= EDGE_REST
                    && !slides(index)
            },
            fresh: &|x, y| cells[grid.index(x, y)].is_fresh(now),
            picture: &|x, y| is_picture(cells[grid.index(x, y)].look),
            photo: &|x, y| matches!(cells[grid.index(x, y)].look, Context::Photo | Context::Noise),
            alike: &|x, y| {
                let index = grid.index(x, y);
                seeks && cells[index].look == Context::Photo && !slides(index)
            },
        };
        self.videos.settle(*grid, now, sight);
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
    fn publish(&mut self, heat: &Heat, now: Instant) -> Arc<Contexts> {
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
        fresh.moves.reserve_exact(MOTION_MOVES_MAX);
        fresh.moves.extend_from_slice(self.search.moves());
        fresh.warm.clear();
        fresh.warm.reserve_exact(HEAT_SPOTS_MAX);
        fresh.warm.extend(heat.hints(now));
        if self.spare.len() == CONTEXTS_SPARE_MAX {
            self.spare.pop_front();
        }
        self.spare.push_back(Arc::clone(&contexts));
        contexts
    }
}

/// The cells that a rectangle of pixels touches.
fn touched(pixels: PixelRect) -> CellRect {
    let (x, y) = (pixels.x / CELL, pixels.y / CELL);
    let (right, bottom) = (pixels.x + pixels.width, pixels.y + pixels.height);
    CellRect { x, y, width: right.div_ceil(CELL) - x, height: bottom.div_ceil(CELL) - y }
}

/// `cells`, and around them what moves with them and may not have been seen to.
fn with_rim(cells: CellRect, grid: Grid) -> CellRect {
    let (x, y) = (cells.x.saturating_sub(RIM), cells.y.saturating_sub(RIM));
    let right = (cells.x + cells.width + RIM).min(grid.columns);
    let bottom = (cells.y + cells.height + RIM).min(grid.rows);
    CellRect { x, y, width: right - x, height: bottom - y }
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
