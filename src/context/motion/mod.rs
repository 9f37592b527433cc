//! Motion: which parts of a picture are parts of an older one, moved.
//!
//! Anchors (places that are recognised wherever they go) of the changed cells in both pictures vote on vectors; the
//! vectors with most votes are then tried on every changed cell, and a cell counts as moved only if each of its
//! pixels is the one that the vector says. So the search may miss a motion, and never invents one.

mod search;
#[cfg(test)]
mod tests;
mod verify;
mod votes;

pub use search::Search;

use crate::geometry::{CellRect, PixelRect};

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
