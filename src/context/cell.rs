//! What is remembered of one cell from tick to tick.

use std::time::Duration;

use crate::scan::{Tile, Vector};
use crate::time::{Instant, micros};
use lfp_proto::record::Context;

/// Time for which what moved last is still taken to be moving.
pub(super) const SLIDE: Duration = Duration::from_millis(250);
/// Returns of the content before last that make a blink: there, back, and there again.
const FLIPS: u8 = 2;

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
    moved_at: Instant,
    has_moved: bool,
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
        moved_at: Instant::ZERO,
        has_moved: false,
        contents: [0; 2],
        flips: 0,
    };

    /// Notes that its content moved here, or came to be here in another way.
    pub(super) fn change(&mut self, vector: Option<Vector>, at: Instant) {
        self.has_moved = vector.is_some();
        self.moved = vector.unwrap_or_default();
        self.moved_at = at;
    }

    /// How it is moving.
    pub(super) fn vector(&self, now: Instant) -> Option<Vector> {
        (self.has_moved && now.saturating_since(self.moved_at) <= SLIDE).then_some(self.moved)
    }

    /// Notes its new content; `None` if that is not worth a look, because it changes too fast to blink.
    pub(super) fn hold(&mut self, tile: Option<&Tile>) {
        let Some(hash) = tile.map(hash) else {
            self.flips = 0;
            self.contents = [0; 2];
            return;
        };
        self.flips = if hash == self.contents[1] { (self.flips + 1).min(FLIPS) } else { 0 };
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

    #[test]
    fn a_content_that_comes_back_twice_blinks_and_a_new_one_ends_it() {
        let mut cell = Cell::NEW;
        let tiles = [1, 2, 3, 4].map(|colour| [colour; CELL_PIXELS]);
        let mut blinks = |order: &[usize]| {
            order
                .iter()
                .map(|which| {
                    cell.hold(Some(&tiles[*which]));
                    cell.blinks()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(blinks(&[0, 1, 0, 1, 0]), [false, false, false, true, true]);
        assert_eq!(blinks(&[2, 3, 2]), [false; 3], "it has not come back twice");
        cell.hold(None);
        assert!(!cell.blinks());
    }
}
