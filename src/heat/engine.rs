//! The heat of one source, in one epoch.

use super::beat::{BUCKETS, Beat, bucket};
use super::spots::Spots;
use super::{Changes, Hint, Pyramid, around};
use crate::geometry::{CellRect, Grid, Size};
use crate::kernel::dispatch::features;
use crate::kernel::features::Features;
use crate::kernel::join::Joiner;
use crate::limits::{CELL, HEAT_RECTS_MAX};
use crate::scan::{Class, Delta, Picture, Trend};
use crate::time::Instant;

/// Changes per second from which a cell is warm, and hot.
const WARM: u32 = 3;
const HOT: u32 = 8;
/// A hot cell is measured again after so many buckets, or when it has become another by its detail.
const MEASURE_BUCKETS: u32 = 3;
/// Cells of the largest change that says where the next key has its effect: a word, a cell of a table, a menu's entry.
const SMALL: usize = 32;

/// What is known of each cell's past.
#[derive(Debug)]
pub struct Heat {
    grid: Grid,
    beats: Vec<Beat>,
    /// The bucket of each cell's newest change.
    activity: Pyramid,
    colours: Pyramid,
    contrast: Pyramid,
    features: Vec<Measure>,
    spots: Spots,
    changes: Changes,
    joiner: Joiner,
    /// The rectangles of the tick that is taken in: the first cell of each, and its extent.
    rects: Vec<(usize, CellRect)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    features: Features,
    bucket: u32,
    detail: u8,
}

impl Heat {
    /// A cold surface.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let grid = size.grid();
        Self {
            grid,
            beats: vec![Beat::default(); grid.cells()],
            activity: Pyramid::new(grid),
            colours: Pyramid::new(grid),
            contrast: Pyramid::new(grid),
            features: vec![Measure::default(); grid.cells()],
            spots: Spots::new(size),
            changes: Changes::default(),
            joiner: Joiner::new(usize::from(grid.columns), usize::from(grid.rows)),
            rects: Vec::with_capacity(HEAT_RECTS_MAX),
        }
    }

    /// Takes in the newest entry of the time-based array, and the picture as of then. The first entry of an epoch is
    /// no change: everything is new.
    ///
    /// # Panics
    /// If the picture or the delta is of another size.
    pub fn observe(&mut self, delta: &Delta, picture: &Picture, is_first: bool) {
        assert_eq!((delta.cells.grid(), picture.size.grid()), (self.grid, self.grid), "another surface");
        let now = bucket(delta.at);
        for index in delta.cells.iter() {
            if !is_first {
                self.beats[index].strike(now);
                self.activity.set(index, now);
            }
            self.measure(index, picture, now);
        }
        if !is_first {
            self.record(delta);
        }
    }

    /// Measures a cell, unless it was measured just now and has hardly become another: in this bucket, or lately if it
    /// changes all the time.
    fn measure(&mut self, index: usize, picture: &Picture, now: u32) {
        let columns = usize::from(self.grid.columns);
        let (x, y) = ((index % columns) as u16, (index / columns) as u16);
        let detail = picture.detail(x, y);
        let known = &mut self.features[index];
        let age = now.saturating_sub(known.bucket);
        let is_alike = known.features.colours > 0
            && detail.abs_diff(known.detail) <= 8 + known.detail / 8
            && (detail == 0) == (known.detail == 0);
        if is_alike && (age == 0 || age < MEASURE_BUCKETS && self.beats[index].rate(now) >= HOT) {
            return;
        }
        let measured = if detail == 0 {
            Features { colours: 1, same: crate::kernel::features::PAIRS as u8, ..Features::default() }
        } else {
            let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
            features(picture.tile(x, y), usize::from(area.width), usize::from(area.height))
        };
        *known = Measure { features: measured, bucket: now, detail };
        self.colours.set(index, u32::from(measured.colours));
        self.contrast.set(index, u32::from(measured.contrast));
    }

    /// Enters the rectangles that changed into the database.
    fn record(&mut self, delta: &Delta) {
        self.joiner.join(delta.cells.iter(), |_, _| true);
        self.rects.clear();
        let columns = usize::from(self.grid.columns);
        for index in delta.cells.iter() {
            let first = self.joiner.first(index);
            let cell =
                CellRect { x: (index % columns) as u16, y: (index / columns) as u16, width: 1, height: 1 };
            let known = self.rects.iter().rposition(|(known, _)| *known == first);
            match known {
                Some(place) => self.rects[place].1 = around(self.rects[place].1, cell),
                None if self.rects.len() < HEAT_RECTS_MAX => self.rects.push((first, cell)),
                // What is scattered all over is one change.
                None => self.rects[0].1 = around(self.rects[0].1, cell),
            }
        }
        for (_, rect) in self.rects.drain(..) {
            self.changes.note(rect, delta.at);
        }
    }

    /// Notes input: what is around there is likely to change.
    pub fn warm(&mut self, hint: Hint, at: Instant) {
        let place = match hint {
            Hint::At { x, y } => Some((x, y)),
            Hint::LastChange => self.changes.newest(SMALL).map(|cells| {
                let middle = |start: u16, span: u16| start.saturating_add(span / 2).saturating_mul(CELL);
                (middle(cells.x, cells.width), middle(cells.y, cells.height))
            }),
        };
        if let Some((x, y)) = place {
            self.spots.warm(x, y, at);
        }
    }

    /// Changes of a cell in the last second.
    #[must_use]
    pub fn rate(&self, index: usize, now: Instant) -> u32 {
        self.beats[index].rate(bucket(now))
    }

    /// Whether a cell changes more often than half a second ago.
    #[must_use]
    pub fn trend(&self, index: usize, now: Instant) -> Trend {
        self.beats[index].trend(bucket(now))
    }

    /// In how many of the eight buckets of the last second a cell changed.
    #[must_use]
    pub fn buckets_hit(&self, index: usize, now: Instant) -> u32 {
        self.beats[index].buckets_hit(bucket(now))
    }

    /// How often a cell changes, in words.
    #[must_use]
    pub fn class(&self, index: usize, now: Instant) -> Class {
        match self.rate(index, now) {
            0 => Class::Cold,
            rate if rate < WARM => Class::Cool,
            rate if rate < HOT => Class::Warm,
            _ => Class::Hot,
        }
    }

    /// The heat that input gives to a cell: 64 at its place and moment, 0 far away and later.
    #[must_use]
    pub fn artificial(&self, index: usize, now: Instant) -> u32 {
        let columns = usize::from(self.grid.columns);
        self.spots.heat((index % columns) as u16, (index / columns) as u16, now)
    }

    /// The rectangles that have artificial heat: where a scan had best look next.
    pub fn hints(&self, now: Instant) -> impl Iterator<Item = CellRect> {
        self.spots.areas(now)
    }

    /// Shows `visit` every cell of `area` that changed in the last second, block by block.
    pub fn active(&self, area: CellRect, now: Instant, visit: &mut dyn FnMut(usize)) {
        self.activity.search(area, bucket(now).saturating_sub(BUCKETS - 1).max(1), visit);
    }

    /// Shows `visit` every cell of `area` that has at least so many colours (64 is as far as is counted).
    pub fn colourful(&self, area: CellRect, colours: u32, visit: &mut dyn FnMut(usize)) {
        self.colours.search(area, colours, visit);
    }

    /// Shows `visit` every cell of `area` whose darkest and brightest pixel are at least so far apart.
    pub fn contrasting(&self, area: CellRect, contrast: u32, visit: &mut dyn FnMut(usize)) {
        self.contrast.search(area, contrast, visit);
    }

    /// What a cell looked like when it was measured last.
    #[must_use]
    pub fn features(&self, index: usize) -> Features {
        self.features[index].features
    }

    /// The changed-region database.
    #[must_use]
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::geometry::CellSet;
    use crate::limits::CELL_PIXELS;

    struct Rig {
        heat: Heat,
        picture: Picture,
        tick: u64,
    }

    impl Rig {
        fn new() -> Self {
            let size = Size { width: 320, height: 160 };
            let mut rig = Self { heat: Heat::new(size), picture: Picture::black(size), tick: 0 };
            let all = CellSet::full(size.grid());
            rig.observe(0, &all);
            rig
        }

        fn observe(&mut self, millis: u64, cells: &CellSet) {
            self.tick += 1;
            let delta = Delta { tick: self.tick, at: at(millis), cells: cells.clone() };
            self.heat.observe(&delta, &self.picture, self.tick == 1);
        }

        fn change(&mut self, millis: u64, cells: &[usize], tile: fn(usize) -> u32) {
            let mut set = CellSet::new(self.picture.size.grid());
            for cell in cells {
                set.insert(*cell);
                let tile: [u32; CELL_PIXELS] = std::array::from_fn(tile);
                self.picture.put((cell % 20) as u16, (cell / 20) as u16, Arc::new(tile), self.tick + 1);
            }
            self.observe(millis, &set);
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn active(heat: &Heat, now: Instant) -> Vec<usize> {
        let mut cells = Vec::new();
        heat.active(heat.grid.rect(), now, &mut |index| cells.push(index));
        cells.sort_unstable();
        cells
    }

    #[test]
    fn the_first_picture_is_no_activity() {
        let rig = Rig::new();
        assert!(active(&rig.heat, at(0)).is_empty());
        assert_eq!(rig.heat.features(0).colours, 1);
        assert_eq!(rig.heat.changes().query(rig.heat.grid.rect(), at(0)).count(), 0);
    }

    #[test]
    fn rates_rise_and_fall_with_time_alone() {
        let mut rig = Rig::new();
        for tick in 0..45 {
            rig.change(1_000 + tick * 33, &[21, 22, 41], |at| at as u32 * 3);
            if tick % 30 == 0 {
                rig.change(1_001 + tick * 33, &[155], |at| at as u32 % 2);
            }
        }
        let now = at(1_000 + 44 * 33);
        assert!((26..=31).contains(&rig.heat.rate(21, now)), "{}", rig.heat.rate(21, now));
        assert_eq!(
            (rig.heat.class(21, now), rig.heat.class(155, now), rig.heat.class(0, now)),
            (Class::Hot, Class::Cool, Class::Cold)
        );
        assert_eq!(rig.heat.trend(21, now), Trend::Steady);
        assert_eq!(active(&rig.heat, now), [21, 22, 41, 155]);
        assert_eq!(rig.heat.trend(21, at(3_000)), Trend::Cooling);
        assert!(active(&rig.heat, at(9_000)).is_empty());
        let found: Vec<_> = rig.heat.changes().query(rig.heat.grid.rect(), at(0)).copied().collect();
        assert_eq!(found.len(), 3, "the blink is two entries, the rest one: {found:?}");
        assert!(
            found
                .iter()
                .any(|change| change.cells == CellRect { x: 1, y: 1, width: 2, height: 2 }
                    && change.ticks == 45)
        );
    }

    #[test]
    fn the_search_runs_over_colours_and_contrast_too() {
        let mut rig = Rig::new();
        rig.change(10, &[7], |at| (at as u32).wrapping_mul(0x9e37_79b1) >> 8);
        rig.change(20, &[100], |at| if at % 2 == 0 { 0 } else { 0xff_ff_ff });
        let (mut colourful, mut contrasting) = (Vec::new(), Vec::new());
        rig.heat.colourful(rig.heat.grid.rect(), 24, &mut |index| colourful.push(index));
        rig.heat.contrasting(rig.heat.grid.rect(), 255, &mut |index| contrasting.push(index));
        assert_eq!((colourful, contrasting), (vec![7], vec![100]));
    }

    #[test]
    fn a_cell_that_cools_or_changes_its_kind_is_measured_anew() {
        let mut rig = Rig::new();
        for tick in 0..20 {
            rig.change(tick * 33 + 10, &[5], |at| (at as u32).wrapping_mul(0x9e37_79b1) >> 8);
        }
        rig.change(700, &[5], |_| 3);
        assert_eq!(rig.heat.features(5).colours, 1, "one colour is known at once");
        rig.change(720, &[5], |at| at as u32 / 128 * 0xff_ff_ff);
        assert_eq!(rig.heat.features(5).colours, 2);
    }

    #[test]
    fn input_warms() {
        let mut rig = Rig::new();
        rig.heat.warm(Hint::LastChange, at(90));
        assert_eq!(rig.heat.hints(at(90)).count(), 0, "nothing has changed yet");
        rig.heat.warm(Hint::At { x: 40, y: 20 }, at(100));
        assert_eq!((rig.heat.artificial(22, at(100)), rig.heat.artificial(190, at(100))), (64, 0));
        assert_eq!(rig.heat.hints(at(100)).count(), 1);
        assert_eq!(rig.heat.hints(at(10_000)).count(), 0);
        rig.change(10_000, &[23, 24], |at| at as u32);
        let large: Vec<_> = (60..120).collect();
        rig.change(10_050, &large, |at| at as u32);
        rig.heat.warm(Hint::LastChange, at(10_100));
        assert_eq!(rig.heat.artificial(24, at(10_100)), 64, "what was large says nothing");
    }
}
