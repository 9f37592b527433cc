//! What hangs on a loss: records on their way that build on what is missing will be refused.
//!
//! To wait for the client to say so takes another round trip, in which still more records would build on them.

use crate::geometry::{CellRect, Grid};
use crate::heat::{around, common};
use crate::session::carried::{BuiltOn, Cargo, Item, Load};
use crate::session::surface::Surface;
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::window::SendWindow;

/// What is known to be missing, and what hangs on it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    surfaces: Vec<(SurfaceId, Missing)>,
    refused: Vec<Refused>,
}

/// A record that was refused for what it builds on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// The packet that carried it.
    pub(super) packet: PacketNumber,
    /// Of which surface.
    pub(super) surface: SurfaceId,
    /// In which epoch.
    pub(super) epoch: Epoch,
    /// Which cells it was of.
    pub(super) cells: CellRect,
    /// At which content.
    pub(super) content: ContentNumber,
    /// What it builds on.
    pub(super) on: BuiltOn,
    /// It is known why.
    pub(super) explained: bool,
}

/// Of each cell of a surface, the content of it that is missing; 0: none.
#[derive(Debug)]
struct Missing {
    grid: Grid,
    contents: Vec<u64>,
    /// Around all of them.
    bounds: CellRect,
}

impl Doubts {
    /// `cells` at `content` are lost, or refused. `grid` is that of surface `surface`.
    pub(super) fn add(&mut self, surface: SurfaceId, grid: Grid, cells: CellRect, content: ContentNumber) {
        if !grid.contains(cells) {
            return;
        }
        let at = self.surfaces.iter().position(|(id, _)| *id == surface).unwrap_or_else(|| {
            let missing = Missing { grid, contents: vec![0; grid.cells()], bounds: cells };
            self.surfaces.push((surface, missing));
            self.surfaces.len() - 1
        });
        let missing = &mut self.surfaces[at].1;
        for index in cells.indices(grid) {
            missing.contents[index] = missing.contents[index].max(content.0);
        }
        missing.bounds = around(missing.bounds, cells);
    }

    /// A record was refused for what it builds on.
    pub(super) fn add_refused(&mut self, refused: Refused) {
        self.refused.push(refused);
    }

    /// Whether nothing is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.surfaces.is_empty() && self.refused.is_empty()
    }

    /// Has the cells of all records that hang on what is missing sent again. Returns how many cells that are.
    pub(super) fn spread(
        mut self,
        window: &SendWindow<Load>,
        cargo: &Cargo,
        surfaces: &mut [Surface],
    ) -> u64 {
        let mut wanted = 0;
        for sent in window.flying() {
            for item in cargo.of(sent.info) {
                let Item::Pixels { surface: id, epoch, cells, content, on, .. } = *item else { continue };
                let surface = surfaces.get_mut(usize::from(id.0));
                let Some(live) = surface.and_then(|surface| surface.live_in(epoch)) else { continue };
                let grid = live.cells().grid();
                let hangs = on.is_some_and(|on| self.hangs(id, on));
                if self.blame(sent.number, id, cells, content) || hangs {
                    wanted += live.on_missing(cells, content);
                    self.add(id, grid, cells, content);
                } else if let Some((_, missing)) = self.surfaces.iter_mut().find(|(of, _)| *of == id) {
                    missing.heal(cells, content);
                }
            }
        }
        for refused in self.refused.iter().filter(|refused| !refused.explained) {
            let surface = surfaces.get_mut(usize::from(refused.surface.0));
            if let Some(live) = surface.and_then(|surface| surface.live_in(refused.epoch)) {
                live.go_plain(refused.cells, refused.content);
            }
        }
        wanted
    }

    /// Whether something that a record builds on is missing.
    fn hangs(&self, surface: SurfaceId, on: BuiltOn) -> bool {
        let missing = self.surfaces.iter().find(|(id, _)| *id == surface);
        missing.is_some_and(|(_, missing)| missing.reaches(on))
    }

    /// Whether `cells` at `content`, in packet `number` whose fate is open, may be why a record was refused: it builds on
    /// them, and came though it was sent later.
    fn blame(
        &mut self,
        number: PacketNumber,
        id: SurfaceId,
        cells: CellRect,
        content: ContentNumber,
    ) -> bool {
        let mut blamed = false;
        for refused in &mut self.refused {
            let earlier = number < refused.packet && id == refused.surface && content <= refused.on.through;
            if earlier && common(refused.on.cells, cells) > 0 {
                (blamed, refused.explained) = (true, true);
            }
        }
        blamed
    }
}

impl Missing {
    fn reaches(&self, on: BuiltOn) -> bool {
        common(self.bounds, on.cells) > 0
            && on.cells.indices(self.grid).any(|index| (1..=on.through.0).contains(&self.contents[index]))
    }

    /// `cells` went out again as `content`, which is not missing.
    fn heal(&mut self, cells: CellRect, content: ContentNumber) {
        if common(self.bounds, cells) > 0 {
            for index in cells.indices(self.grid) {
                if self.contents[index] < content.0 {
                    self.contents[index] = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { columns: 8, rows: 4 };

    const fn at(x: u16, y: u16, width: u16, height: u16) -> CellRect {
        CellRect { x, y, width, height }
    }

    fn on(cells: CellRect, through: u64) -> BuiltOn {
        BuiltOn { cells, through: ContentNumber(through) }
    }

    #[test]
    fn only_what_reads_the_missing_content_hangs_on_it() {
        let id = SurfaceId(0);
        let mut doubts = Doubts::default();
        doubts.add(id, GRID, at(2, 1, 2, 1), ContentNumber(10));
        assert!(doubts.hangs(id, on(at(0, 0, 8, 4), 10)));
        assert!(!doubts.hangs(id, on(at(0, 0, 8, 4), 9)), "its base was made before");
        assert!(!doubts.hangs(id, on(at(4, 0, 4, 4), 10)), "other cells");
        assert!(!doubts.hangs(SurfaceId(1), on(at(0, 0, 8, 4), 10)), "another surface");
        // What went out again and came is missing no more; what went out before does not matter.
        let missing = &mut doubts.surfaces[0].1;
        missing.heal(at(2, 1, 1, 1), ContentNumber(12));
        missing.heal(at(3, 1, 1, 1), ContentNumber(9));
        assert!(!doubts.hangs(id, on(at(2, 1, 1, 1), 20)) && doubts.hangs(id, on(at(3, 1, 1, 1), 20)));
    }

    #[test]
    fn an_earlier_packet_that_holds_of_the_base_is_to_blame() {
        let mut doubts = Doubts::default();
        let (surface, epoch, cells) = (SurfaceId(0), Epoch(1), at(0, 0, 1, 1));
        let refused = Refused {
            packet: PacketNumber(20),
            surface,
            epoch,
            cells,
            content: ContentNumber(20),
            on: on(at(1, 1, 2, 2), 18),
            explained: false,
        };
        doubts.add_refused(refused);
        let mut blame = |packet, cells, content| {
            doubts.blame(PacketNumber(packet), surface, cells, ContentNumber(content))
        };
        assert!(!blame(21, at(1, 1, 1, 1), 17), "it was sent later");
        assert!(!blame(17, at(4, 1, 1, 1), 17), "it holds other cells");
        assert!(!blame(19, at(1, 1, 1, 1), 19), "the base was made before");
        assert!(blame(17, at(2, 2, 1, 1), 17));
        assert!(doubts.refused[0].explained);
    }
}
