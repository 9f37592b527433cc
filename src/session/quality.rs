//! How well what moves is sent: as well as its path carries it, and no better than its speed lets anyone see.

use crate::scan::Contexts;
use crate::units::Bitrate;
use lfp_proto::record::Context;

/// Qualities, and how the bytes of a cell at each compare: 16 at the third.
const LEVELS: [(u8, u64); 6] = [(30, 10), (45, 13), (60, 16), (70, 19), (76, 22), (82, 26)];
/// The level of what changes so often or more, in hertz, at most.
const TOPS: [(u64, usize); 2] = [(40, 4), (0, 5)];
/// Bytes that a cell is taken to need at 16 before any was sent, in 256ths.
const CELL_GUESS_256: u64 = 40 * 256;
/// Percent of what a path delivers that may be filled with what moves.
const SHARE_PERCENT: u64 = 50;
/// Percent of that which a better level may take, so that levels do not flicker.
const CLIMB_PERCENT: u64 = 80;

/// What a session may send that is not exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// What its path delivers.
    pub(super) rate: Bitrate,
    /// Whether it may be what moves only since a moment ago.
    pub(super) any_age: bool,
}

/// Chooses the quality for one surface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    level: usize,
    /// Bytes that a cell took lately, in 256ths, as if sent at the level of 16.
    cell_256: u64,
}

impl Default for Quality {
    fn default() -> Self {
        Self { level: LEVELS.len() - 1, cell_256: CELL_GUESS_256 }
    }
}

impl Quality {
    /// A record of so many cells and bytes was made at `quality`.
    pub(super) fn on_record(&mut self, quality: u8, cells: usize, bytes: usize) {
        let weight = LEVELS.iter().find(|(known, _)| *known == quality).map_or(16, |(_, weight)| *weight);
        let now = bytes as u64 * 256 * 16 / weight / (cells as u64).max(1);
        self.cell_256 = (self.cell_256 * 15 + now) / 16;
    }

    /// The quality for what moves, as `contexts` says, on a path that delivers `rate`.
    pub(super) fn choose(&mut self, contexts: &Contexts, rate: Bitrate) -> u8 {
        let moving = contexts
            .regions()
            .iter()
            .filter(|region| matches!(region.context, Context::Video | Context::Photo));
        let (cells, changes) = moving.fold((0, 0), |(cells, changes), region| {
            let count = u64::from(region.count);
            (cells + count, changes + count * u64::from(region.rate_hz))
        });
        let hertz = changes / cells.max(1);
        let top = TOPS.iter().find(|(from, _)| hertz >= *from).map_or(0, |(_, top)| *top);
        let allowed = rate.as_bps() / 8 * SHARE_PERCENT / 100;
        let needs = |level: usize| changes * (self.cell_256 * LEVELS[level].1 / 16) / 256;
        let fits = |level: usize| {
            let percent = if level > self.level { CLIMB_PERCENT } else { 100 };
            needs(level) <= allowed * percent / 100
        };
        self.level = (0..=top).rev().find(|level| fits(*level)).unwrap_or(0);
        LEVELS[self.level].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::CellRect;
    use crate::scan::{Region, Trend};

    fn video(count: u32, rate_hz: u32) -> Contexts {
        let cells = CellRect { x: 0, y: 0, width: 40, height: 30 };
        let region = Region {
            cells,
            count,
            context: Context::Video,
            rule: "film",
            rate_hz,
            trend: Trend::Steady,
            persistence_ms: 1_000,
            vector: None,
        };
        Contexts { regions: vec![region], ..Contexts::default() }
    }

    #[test]
    fn a_slow_path_gives_up_quality_and_a_fast_one_does_not() {
        let contexts = video(1_200, 30);
        let at = |mbit: u64| Quality::default().choose(&contexts, Bitrate::from_bps(mbit * 1_000_000));
        assert_eq!((at(1_000), at(1)), (82, 30));
        let qualities: Vec<_> = (1..60).map(at).collect();
        assert!(qualities.is_sorted() && qualities.windows(2).any(|pair| pair[0] < pair[1]), "{qualities:?}");
    }

    #[test]
    fn what_is_fast_need_not_be_fine() {
        let rate = Bitrate::from_bps(1_000_000_000);
        assert_eq!(Quality::default().choose(&video(300, 60), rate), 76);
        assert_eq!(Quality::default().choose(&video(300, 12), rate), 82);
    }

    #[test]
    fn it_learns_what_cells_take_and_does_not_flicker() {
        let contexts = video(500, 30);
        let mut quality = Quality::default();
        let rate = Bitrate::from_bps(8_000_000);
        let first = quality.choose(&contexts, rate);
        (0..100).for_each(|_| quality.on_record(first, 10, 4_000));
        let learnt = quality.choose(&contexts, rate);
        assert!(learnt < first, "{learnt} after {first}");
        // A path that wavers by a tenth around what a level takes does not change it each time.
        let needed = 500 * 30 * 400 * 8 * 2;
        let mut turns = 0;
        let mut last = quality.choose(&contexts, Bitrate::from_bps(needed));
        for wave in 0..20 {
            let now = quality.choose(&contexts, Bitrate::from_bps(needed * (95 + wave % 2 * 10) / 100));
            turns += u32::from(now != last);
            last = now;
        }
        assert!(turns <= 1, "{turns} turns");
    }
}
