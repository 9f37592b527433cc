//! Artificial heat: where the user clicks or types, something is about to change.

use std::time::Duration;

use crate::geometry::{CellRect, Grid, Size};
use crate::limits::{CELL, HEAT_SPOTS_MAX};
use crate::time::{Instant, micros};

/// Heat right under the input, in the moment of it.
const STRENGTH: u32 = 64;
/// Cells around the input that are warmed too: each step away halves it.
const REACH: u16 = 3;
/// Time in which a spot loses half of its heat.
const HALF_LIFE: Duration = Duration::from_millis(250);

/// Where input makes a change likely.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hint {
    /// At a pixel: the pointer moved there, or did something there.
    At {
        /// Its column.
        x: u16,
        /// Its row.
        y: u16,
    },
    /// Where something small changed last, as a cursor does: a key was pressed.
    LastChange,
}

/// The places of the latest inputs.
#[derive(Debug)]
pub(super) struct Spots {
    grid: Grid,
    spots: Vec<Spot>,
}

#[derive(Clone, Copy, Debug)]
struct Spot {
    x: u16,
    y: u16,
    at: Instant,
}

impl Spots {
    pub(super) fn new(size: Size) -> Self {
        Self { grid: size.grid(), spots: Vec::with_capacity(HEAT_SPOTS_MAX) }
    }

    /// Warms the cell of the pixel at (`x`, `y`) and those around it. What lies outside warms the edge.
    pub(super) fn warm(&mut self, x: u16, y: u16, at: Instant) {
        let spot =
            Spot { x: (x / CELL).min(self.grid.columns - 1), y: (y / CELL).min(self.grid.rows - 1), at };
        self.spots.retain(|known| (known.x, known.y) != (spot.x, spot.y) && strength(*known, at) > 0);
        if self.spots.len() == HEAT_SPOTS_MAX {
            self.spots.remove(0);
        }
        self.spots.push(spot);
    }

    /// The artificial heat of the cell at column `x`, row `y`.
    pub(super) fn heat(&self, x: u16, y: u16, now: Instant) -> u32 {
        let of = |spot: &Spot| {
            let steps = x.abs_diff(spot.x).max(y.abs_diff(spot.y));
            if steps > REACH { 0 } else { strength(*spot, now) >> steps }
        };
        self.spots.iter().map(of).max().unwrap_or(0)
    }

    /// The rectangles that have artificial heat.
    pub(super) fn areas(&self, now: Instant) -> impl Iterator<Item = CellRect> {
        let warm = self.spots.iter().filter(move |spot| strength(**spot, now) > 0);
        warm.map(|spot| {
            let (x, y) = (spot.x.saturating_sub(REACH), spot.y.saturating_sub(REACH));
            let width = (spot.x + REACH + 1).min(self.grid.columns) - x;
            let height = (spot.y + REACH + 1).min(self.grid.rows) - y;
            CellRect { x, y, width, height }
        })
    }
}

fn strength(spot: Spot, now: Instant) -> u32 {
    let halvings = micros(now.saturating_since(spot.at)) / micros(HALF_LIFE);
    STRENGTH.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_warms_its_surroundings_and_cools_down() {
        let at = |millis: u64| Instant::from_micros(millis * 1000);
        let mut spots = Spots::new(Size { width: 640, height: 480 });
        spots.warm(100, 100, at(0));
        assert_eq!((spots.heat(6, 6, at(0)), spots.heat(8, 6, at(0)), spots.heat(10, 6, at(0))), (64, 16, 0));
        assert_eq!((spots.heat(6, 6, at(500)), spots.heat(6, 6, at(60_000))), (16, 0));
        assert_eq!(spots.areas(at(0)).collect::<Vec<_>>(), [CellRect { x: 3, y: 3, width: 7, height: 7 }]);
        assert_eq!(spots.areas(at(60_000)).count(), 0);
        for x in 0..100 {
            spots.warm(x * 16, 9_999, at(1_000));
        }
        assert_eq!(spots.areas(at(1_000)).count(), HEAT_SPOTS_MAX);
        assert_eq!(spots.heat(39, 29, at(1_000)), 64, "outside is at the edge");
    }
}
