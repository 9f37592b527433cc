//! Union: cells that changed lately become regions.

use super::cell::Cell;
use super::look::is_picture;
use super::rules::{Rule, Shape, judge};
use crate::ablation::Without;
use crate::geometry::CellRect;
use crate::heat::around;
use crate::scan::{Class, Region, Trend, Vector};
use crate::time::Instant;
use lfp_proto::record::Context;

/// What cells of one region have in common beside touching each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    /// They moved a moment ago.
    Moved,
    /// They flip between two contents.
    Flipping,
    /// They change all the time and look like a picture.
    Film,
    /// They change all the time and look like anything else.
    Busy,
    /// They look like a picture.
    Picture,
    /// They look like anything else.
    #[default]
    Graphic,
}

impl Kind {
    /// Of a cell that neither moved nor flips, and changes all the time or does not.
    pub(super) const fn of(is_busy: bool, cell: &Cell) -> Self {
        match (is_busy, is_picture(cell.look)) {
            (true, true) if !is_uncovered(cell) => Self::Film,
            (_, true) => Self::Picture,
            (true, false) => Self::Busy,
            (false, false) => Self::Graphic,
        }
    }
}

/// Whether what slid over a cell explains that it changed.
const fn is_uncovered(cell: &Cell) -> bool {
    cell.unswept() < FILM_CHANGES
}

/// What is added up about a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) cells: CellRect,
    pub(super) count: u32,
    rate: u64,
    hits: u64,
    warming: u32,
    cooling: u32,
    uncovered: u32,
    age_ms: u64,
    vector: Option<(Vector, u32)>,
    looks: [u32; Context::ALL.len()],
    pub(super) rule: Option<&'static Rule>,
    pub(super) context: Context,
}

/// What heat says about a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warmth {
    pub(super) rate: u32,
    pub(super) hits: u32,
    pub(super) trend: Trend,
    pub(super) class: Class,
}

/// Changes from which a cell shows a film: so many that nothing which slid over it explains.
const FILM_CHANGES: u8 = 6;
/// Changes per second, and buckets in which they fell, from which a cell is busy.
const BUSY_HZ: u32 = 6;
const BUSY_HITS: u32 = 3;
/// Longest time that is foretold.
const PERSISTENCE_MAX_MS: u64 = 60_000;

impl Warmth {
    /// Whether it changes all the time.
    pub(super) const fn is_busy(self) -> bool {
        self.rate >= BUSY_HZ && self.hits >= BUSY_HITS
    }
}

impl Group {
    pub(super) fn new(kind: Kind, x: u16, y: u16) -> Self {
        Self {
            kind,
            cells: CellRect { x, y, width: 1, height: 1 },
            count: 0,
            rate: 0,
            hits: 0,
            warming: 0,
            cooling: 0,
            uncovered: 0,
            age_ms: 0,
            vector: None,
            looks: [0; Context::ALL.len()],
            rule: None,
            context: Context::Unknown,
        }
    }

    pub(super) fn add(&mut self, x: u16, y: u16, cell: &Cell, warmth: Warmth, now: Instant) {
        // The vector of most cells, if most have one: each other one strikes one of its votes.
        if let Some(vector) = cell.vector(now) {
            match &mut self.vector {
                Some((known, votes)) if *known == vector => *votes += 1,
                Some((_, votes)) if *votes > 0 => *votes -= 1,
                other => *other = Some((vector, 1)),
            }
        }
        self.cells = around(self.cells, CellRect { x, y, width: 1, height: 1 });
        self.count += 1;
        self.rate += u64::from(warmth.rate);
        self.hits += u64::from(warmth.hits);
        self.warming += u32::from(warmth.trend == Trend::Warming);
        self.cooling += u32::from(warmth.trend == Trend::Cooling);
        self.uncovered += u32::from(is_uncovered(cell));
        self.age_ms += cell.age_ms(now);
        self.looks[usize::from(cell.look as u8)] += 1;
    }

    /// Asks the rules; `dragging` says whether most of what moves there moved across the axes lately.
    pub(super) fn judge(&mut self, dragging: bool, without: Without) {
        let shape = self.shape(dragging);
        let rule = judge(&shape, without);
        self.rule = Some(rule);
        self.context = rule.context;
    }

    fn shape(&self, dragging: bool) -> Shape {
        let count = self.count.max(1);
        let share = |context: Context| self.looks[usize::from(context as u8)] * 100 / count;
        let all = |holds: bool| if holds { 100 } else { 0 };
        Shape {
            sides: (self.cells.width, self.cells.height),
            cells: self.count,
            fill: self.count * 100 / self.cells.cells().max(1) as u32,
            rate_hz: self.rate_hz(),
            hits: (self.hits * 10 / u64::from(count)) as u32,
            flat: share(Context::Flat),
            text: share(Context::Text),
            interface: share(Context::Interface),
            photo: share(Context::Photo),
            gradient: share(Context::Gradient),
            noise: share(Context::Noise),
            moved: all(self.kind == Kind::Moved),
            dragging,
            uncovered: self.uncovered * 100 / count,
            flipping: all(self.kind == Kind::Flipping),
        }
    }

    pub(super) fn vector(&self) -> Option<Vector> {
        self.vector.filter(|_| self.kind == Kind::Moved).map(|(vector, _)| vector)
    }

    fn rate_hz(&self) -> u32 {
        (self.rate / u64::from(self.count.max(1))) as u32
    }

    pub(super) fn region(&self) -> Region {
        let trend = match (self.warming * 2 > self.count, self.cooling * 2 > self.count) {
            (true, _) => Trend::Warming,
            (_, true) => Trend::Cooling,
            (false, false) => Trend::Steady,
        };
        Region {
            cells: self.cells,
            count: self.count,
            context: self.context,
            rule: self.rule.map_or("anything", |rule| rule.name),
            rate_hz: self.rate_hz(),
            trend,
            persistence_ms: (self.age_ms / u64::from(self.count.max(1))).min(PERSISTENCE_MAX_MS) as u32,
            vector: self.vector(),
        }
    }
}
