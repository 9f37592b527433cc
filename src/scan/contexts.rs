//! What later engines say about a tick: plain values that ride in it, so that everyone who has the tick has them.

use std::sync::{Arc, OnceLock};

use crate::geometry::{CellRect, Grid, PixelRect};
use lfp_proto::record::Context;

/// How often a cell changes, in words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Class {
    /// Not in the last second.
    #[default]
    Cold,
    /// Once or twice.
    Cool,
    /// A few times.
    Warm,
    /// All the time.
    Hot,
}

/// Whether something changes more often than before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Trend {
    /// About as often.
    #[default]
    Steady,
    /// More often.
    Warming,
    /// Less often.
    Cooling,
}

/// How far and where to something moved, in pixels: right and down are positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Vector {
    /// To the right.
    pub dx: i32,
    /// Down.
    pub dy: i32,
}

impl Vector {
    /// The vector from one pixel to another.
    #[must_use]
    pub fn between(from: (u16, u16), to: (u16, u16)) -> Self {
        Self { dx: i32::from(to.0) - i32::from(from.0), dy: i32::from(to.1) - i32::from(from.1) }
    }

    /// Steps along the axes.
    #[must_use]
    pub const fn length(self) -> u32 {
        self.dx.unsigned_abs() + self.dy.unsigned_abs()
    }

    /// Whether it runs along one axis.
    #[must_use]
    pub const fn is_straight(self) -> bool {
        self.dx == 0 || self.dy == 0
    }
}

/// A rectangle of cells that shows what another place of the older picture showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Whole cells of the new picture. All their pixels (clipped to the surface) equal those of `source`. Among them
    /// there may be cells that did not change, where that makes one rectangle of two.
    pub cells: CellRect,
    /// Where the pixels lay in the old picture: as large as the cells, clipped to the surface.
    pub source: PixelRect,
    /// From `source` to `cells`.
    pub vector: Vector,
    /// The sum of the changed cells' [`crate::scan::Picture::detail`]: what a copy saves, roughly in bytes.
    pub detail: u32,
}

/// What one cell is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CellContext {
    /// What is happening to it, or what it holds if nothing is.
    pub context: Context,
    /// What its pixels look like, whatever is happening to them.
    pub look: Context,
    /// How often it changed lately.
    pub class: Class,
}

/// Cells that changed lately, hang together, and are one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// The rectangle around them; with a video its whole picture, also where it rests.
    pub cells: CellRect,
    /// How many of the rectangle's cells belong to the region.
    pub count: u32,
    /// What they are taken for.
    pub context: Context,
    /// The name of the rule that says so.
    pub rule: &'static str,
    /// Changes per second and cell, on average.
    pub rate_hz: u32,
    /// Whether that grows.
    pub trend: Trend,
    /// How long it is likely to stay what it is, in milliseconds: about as long as it has been.
    pub persistence_ms: u32,
    /// How it moved in this tick, if it did.
    pub vector: Option<Vector>,
}

/// What the engines after the scan say about a tick. Cells are named by row-major index.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    pub(crate) grid: Grid,
    pub(crate) cells: Vec<CellContext>,
    pub(crate) regions: Vec<Region>,
    pub(crate) moves: Vec<Move>,
    pub(crate) warm: Vec<CellRect>,
}

impl Contexts {
    /// What is said where no engine has looked: nothing is known of any cell.
    #[must_use]
    pub fn unknown() -> Arc<Self> {
        static UNKNOWN: OnceLock<Arc<Contexts>> = OnceLock::new();
        Arc::clone(UNKNOWN.get_or_init(Arc::default))
    }

    /// What a cell is taken for; the default where nothing is known.
    #[must_use]
    pub fn cell(&self, index: usize) -> CellContext {
        self.cells.get(index).copied().unwrap_or_default()
    }

    /// What most of those of `cells` are taken for that have more than one colour; of two that are equally many the
    /// one with the smaller number.
    #[must_use]
    pub fn most_but_flat(&self, cells: CellRect) -> Context {
        if self.cells.is_empty() || !self.grid.contains(cells) {
            return Context::Unknown;
        }
        let mut counts = [0_u32; Context::ALL.len()];
        for index in cells.indices(self.grid) {
            counts[usize::from(self.cells[index].context as u8)] += 1;
        }
        let most =
            counts.iter().enumerate().max_by_key(|(number, count)| (**count, std::cmp::Reverse(*number)));
        most.map_or(Context::Unknown, |(number, _)| Context::from_wire(number as u8))
    }

    /// What changed lately, as regions: at most [`crate::limits::REGIONS_MAX`], videos first, then from top to bottom.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The rectangles, at most [`crate::limits::HEAT_SPOTS_MAX`], where input came lately: what is there goes first.
    #[must_use]
    pub fn warm(&self) -> &[CellRect] {
        &self.warm
    }

    /// What moved since the tick before: each pixel compared.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }
}
