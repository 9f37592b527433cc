//! What is remembered of one cell from tick to tick.

use std::time::Duration;

use crate::scan::{Tile, Vector};
use crate::time::{Instant, micros};
use lfp_proto::record::Context;

/// Time for which what changed or moved last is still taken to be at it.
pub(super) const SLIDE: Duration = Duration::from_millis(250);
/// Returns of the content before last that make a blink: there, back, and there again.
const FLIPS: u8 = 2;
/// For how long each content of a blink is shown: longer than what passes by on its way to something else, and no longer
/// than a slow cursor rests.
const SHOWN: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(1_250);

/// One cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// What its pixels look like.
    pub(super) look: Context,
    /// What it is taken for, and since when.
    pub(super) context: Context,
    pub(super) since: Instant,
    /// How it changed last, if it moved.
    moved: Vector,
    changed_at: Instant,
    has_moved: bool,
    /// Changes since something last slid over it, as far as they are counted.
    unswept: u8,
    /// Hashes of the newest content and the one before.
    contents: [u32; 2],
    flips: u8,
}

impl Cell {
    pub(super) const NEW: Self = Self {
        look: Context::Unknown,
        context: Context::Unknown,
        since: Instant::ZERO,
        moved: Vector { dx: 0, dy: 0 },
        changed_at: Instant::ZERO,
        has_moved: false,
        unswept: 0,
        contents: [0; 2],
        flips: 0,
    };

    /// Notes that its content moved here, or came to be here in another way: `tile`, or `None` if that is not worth a look,
    /// because it moved or changes too fast to blink.
    pub(super) fn change(&mut self, vector: Option<Vector>, tile: Option<&Tile>, at: Instant) {
        self.hold(tile, at.saturating_since(self.changed_at));
        self.has_moved = vector.is_some();
        self.moved = vector.unwrap_or_default();
        self.changed_at = at;
        self.unswept = self.unswept.saturating_add(1);
    }

    /// Notes that something slid over it, which explains whatever changed in it.
    pub(super) const fn sweep(&mut self) {
        self.unswept = 0;
    }

    /// How often it has changed since something last slid over it.
    pub(super) const fn unswept(&self) -> u8 {
        self.unswept
    }

    /// How it is moving.
    pub(super) fn vector(&self, now: Instant) -> Option<Vector> {
        (self.has_moved && self.is_fresh(now)).then_some(self.moved)
    }

    /// Whether what happened to it last is still taken to be happening.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.rested(now) <= SLIDE
    }

    /// Time since it changed last.
    pub(super) fn rested(&self, now: Instant) -> Duration {
        now.saturating_since(self.changed_at)
    }

    /// Notes its new content; the one before was there for `shown`.
    fn hold(&mut self, tile: Option<&Tile>, shown: Duration) {
        let Some(hash) = tile.map(hash) else {
            self.flips = 0;
            self.contents = [0; 2];
            return;
        };
        let returns = hash == self.contents[1] && SHOWN.contains(&shown);
        self.flips = if returns { (self.flips + 1).min(FLIPS) } else { 0 };
        self.contents = [hash, self.contents[0]];
    }

    pub(super) const fn blinks(&self) -> bool {
        self.flips >= FLIPS
    }

    pub(super) fn take_for(&mut self, context: Context, now: Instant) {
        if self.context != context {
            (self.context, self.since) = (context, now);
        }
    }

    /// For how long it has been what it is, in milliseconds.
    pub(super) fn age_ms(&self, now: Instant) -> u64 {
        micros(now.saturating_since(self.since)) / 1_000
    }
}

/// A hash of a cell's pixels: four sums, so that they need not wait for each other. Never 0.
fn hash(tile: &Tile) -> u32 {
    let mut sums = [0x9e37_79b1_u32, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f];
    for pixels in tile.chunks_exact(sums.len()) {
        for (sum, pixel) in sums.iter_mut().zip(pixels) {
            *sum = (sum.rotate_left(5) ^ pixel).wrapping_mul(0x9e37_79b1);
        }
    }
    sums.iter().fold(0, |hash: u32, sum| hash.rotate_left(9).wrapping_add(*sum)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CELL_PIXELS;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn a_content_that_comes_back_twice_blinks_and_a_new_one_ends_it() {
        let mut cell = Cell::NEW;
        let tiles = [1, 2, 3, 4].map(|colour| [colour; CELL_PIXELS]);
        let mut now = 1_000;
        let mut blinks = |order: &[usize], step_ms: u64| {
            order
                .iter()
                .map(|which| {
                    now += step_ms;
                    cell.change(None, Some(&tiles[*which]), at(now));
                    cell.blinks()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(blinks(&[0, 1, 0, 1, 0], 500), [false, false, false, true, true]);
        assert_eq!(blinks(&[2, 3, 2], 500), [false; 3], "it has not come back twice");
        assert_eq!(blinks(&[0, 1, 0, 1, 0], 33), [false; 5], "lines that pass by");
        assert_eq!(blinks(&[0, 1, 0, 1, 0], 2_000), [false; 5], "windows that come and go");
        cell.change(None, None, at(now + 500));
        assert!(!cell.blinks());
    }

    #[test]
    fn what_slides_over_a_cell_explains_its_changes() {
        let mut cell = Cell::NEW;
        for millis in 0..300_u64 {
            cell.change(None, None, at(millis * 33));
        }
        assert_eq!(cell.unswept(), u8::MAX);
        cell.sweep();
        assert_eq!(cell.unswept(), 0);
    }
}
