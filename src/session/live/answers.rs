//! Pixels that answer input.

use super::Live;
use crate::geometry::CellSet;
use crate::scan::Tick;
use crate::session::carried::Item;
use crate::session::stats::SessionStats;
use crate::time::Instant;
use crate::units::PacketNumber;
use lfp_proto::frame::Echoed;
use lfp_proto::packet::Builder;

impl Live {
    /// `tick`, which may not be taken yet, changed `changed`, and so answers `events`.
    pub(in crate::session) fn on_answered(&mut self, tick: &Tick, changed: &CellSet, events: &[Echoed]) {
        if changed.grid() == self.cells.grid() {
            self.echoes.on_answered((tick.number, tick.captured), changed, events, &self.cells);
        }
    }

    /// Takes note of what the packet that is built paints of this surface, as `items` says.
    pub(in crate::session) fn note_answers(
        &mut self,
        now: Instant,
        items: &[Item],
        stats: &mut SessionStats,
    ) {
        for item in items {
            if let Item::Pixels { surface, cells, content, .. } = *item {
                if surface == self.surface {
                    self.echoes.on_sent(now, cells, content, &self.cells, stats);
                }
            }
        }
    }

    /// Puts into packet `number` what the client is to be told of answers.
    pub(in crate::session) fn put_echoes(
        &mut self,
        number: PacketNumber,
        builder: &mut Builder,
        items: &mut Vec<Item>,
    ) {
        self.echoes.put((self.surface, self.epoch), number, builder, items);
    }
}
