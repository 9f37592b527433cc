//! What is said of references, and which records may be refused for them.

use lfp::units::PacketNumber;
use lfp_proto::frame::{Ack, Frame, Hold, Refusal};
use lfp_proto::packet::View;

use super::{Ledger, Sent};
use crate::kept::Kept;
use crate::totals::Totals;

impl Ledger {
    /// The server sends HOLD.
    pub(super) fn on_hold(
        &mut self,
        number: PacketNumber,
        hold: &Hold,
        sent: &mut Sent,
        totals: &mut Totals,
    ) {
        assert_eq!(hold.epoch, self.epoch, "LFP-10.3: references are of the newest epoch");
        let epoch = self.epochs.get_mut(&hold.epoch.0).expect("SURFACE precedes HOLD");
        totals.one(if epoch.holds.on_hold(hold, number) { "holds" } else { "holds repeated" });
        sent.holds.push((hold.slot, hold.through(number).map_or(0, |through| through.0)));
    }

    /// Takes note of what the client has from now on to build on, and of the records that it has to refuse.
    pub(super) fn follow_bases(&mut self, view: &View<'_>) {
        let Ok(frames) = view.frames().collect::<Result<Vec<_>, _>>() else { return };
        let (number, mut index) = (view.number(PacketNumber(self.down_largest)), 0);
        for frame in &frames {
            match frame {
                Frame::Surface(surface) => self.heard = self.heard.max(surface.epoch),
                Frame::Hold(hold) if hold.epoch == self.heard => {
                    let epoch = self.epochs.get_mut(&hold.epoch.0).expect("it was announced");
                    epoch.came.on_hold(hold.slot, hold.through(number).map_or(0, |through| through.0));
                }
                Frame::Keep(keep) => self.follow_keep(keep),
                Frame::Pixels(pixels) => {
                    for record in pixels.records() {
                        let epoch = self.epochs.get_mut(&pixels.epoch.0).filter(|_| !self.tampered);
                        let epoch = epoch.filter(|_| pixels.epoch == self.heard);
                        if let Some(refused) = epoch.and_then(|epoch| epoch.on_taken(&record, number)) {
                            self.unbased.insert((number.0, index), refused);
                        }
                        index += 1;
                    }
                }
                _ => {}
            }
        }
    }

    /// LFP-8.1 to LFP-8.3, LFP-8.6 and LFP-8.8: exactly those records are refused for their base whose base is not there, and
    /// for the cache whose slot has another generation.
    pub(super) fn assert_bases(&self, number: u64, index: u16, refused: Option<Refusal>) {
        let expected = self.unbased.get(&(number, index)).filter(|_| !self.tampered);
        let Some((reason, expected)) = expected else { return };
        assert_eq!(
            *expected,
            refused == Some(*reason),
            "LFP-8.1, LFP-8.8: record {index} of packet {number} is refused for {reason:?} if that is missing: {refused:?}"
        );
    }

    /// The server is told what was refused, and what came: of a record that is said more than once, a copy may come before
    /// another is refused, or after that.
    pub(super) fn on_refusals_delivered(&mut self, ack: &Ack) {
        let mut news = false;
        for refused in &ack.refused {
            let Some(came) = self.delivered.get(&refused.packet.0) else { continue };
            for (index, _) in &refused.records {
                if !self.refusals_told.insert((refused.packet.0, *index)) {
                    continue;
                }
                news = true;
                let Some(part) = came.records.get(usize::from(*index)) else { continue };
                let epoch = self.epochs.get_mut(&part.epoch.0);
                let Some((epoch, content)) = epoch.zip(part.content.filter(|_| part.paints)) else {
                    continue;
                };
                let grid = epoch.size.grid();
                if grid.contains(part.cells) {
                    epoch.holds.refused.extend(part.cells.indices(grid).map(|cell| (cell, content.0)));
                }
            }
        }
        let before = std::mem::take(&mut self.told);
        let now = ack.ranges.iter().flat_map(|range| range.first.0..=range.last.0);
        if self.epochs.values().any(|epoch| !epoch.holds.refused.is_empty()) {
            let again = before.iter().copied().filter(|_| news);
            now.clone().chain(again).for_each(|number| self.on_came_told(number));
        }
        self.told = before;
        self.told.extend(now);
    }

    /// The server is told that packet `number` came, and has been told which of its records were refused.
    fn on_came_told(&mut self, number: u64) {
        let Some(came) = self.delivered.get(&number) else { return };
        for (index, part) in (0..).zip(&came.records) {
            let taken = part.paints && !self.refusals_told.contains(&(number, index));
            let epoch = self.epochs.get_mut(&part.epoch.0).filter(|_| taken);
            let Some((epoch, content)) = epoch.zip(part.content) else { continue };
            let grid = epoch.size.grid();
            if grid.contains(part.cells) {
                part.cells.indices(grid).for_each(|cell| {
                    epoch.holds.refused.remove(&(cell, content.0));
                });
            }
        }
    }
}

impl Sent {
    /// The server is told that packet `number`, which this is, came: what became of its stores.
    pub(super) fn tell(&mut self, number: u64, ack: &Ack, kept: &mut Kept) {
        // What is refused is said with the first ack that comes.
        let refused = ack.refused.iter().find(|refused| refused.packet.0 == number);
        let refused = refused.map_or(&[][..], |refused| &refused.records);
        for (store, name) in std::mem::take(&mut self.stores) {
            kept.on_told(name, refused.iter().any(|(index, _)| *index == store));
        }
    }
}
