//! What a client shows, and when it has something to say.

use client_lfp::Picture as Shown;
use lfp::geometry::CellRect;
use lfp::time::Instant;
use lfp::units::PacketNumber;
use lfp_proto::packet::View;

use super::{Ledger, Part, SILENCE_MAX};

impl Ledger {
    /// LFP-7.6: within an epoch, no cell's content ever goes back.
    pub(crate) fn assert_never_back(&mut self, shown: &Shown<'_>) {
        let (epoch, contents) = &self.contents;
        assert!(*epoch <= shown.epoch, "the client goes back to {:?}", shown.epoch);
        if *epoch == shown.epoch {
            let back = contents.iter().zip(shown.contents).position(|(before, after)| after < before);
            assert_eq!(back, None, "LFP-7.6: the content of this cell has gone back");
        }
        self.contents = (shown.epoch, shown.contents.to_vec());
    }

    /// The cells that the records of a packet, as it came, name.
    pub(crate) fn delivered_cells(&self, view: &View<'_>) -> Vec<CellRect> {
        let number = view.number(PacketNumber(self.down_largest)).0;
        let parts = self.delivered.get(&number).into_iter().flat_map(|delivered| &delivered.records);
        parts.map(|part| part.cells).collect()
    }

    /// LFP-9.2, LFP-14.4: nobody owes a word.
    pub(crate) fn assert_timely(&self, now: Instant) {
        if !self.open {
            return;
        }
        assert!(self.ack_due.is_none_or(|due| now <= due), "LFP-9.2: an ack was due at {:?}", self.ack_due);
        for (who, at) in [("server", self.down_at), ("client", self.up_at)] {
            let silence = now.saturating_since(at);
            assert!(
                at == Instant::ZERO || silence <= SILENCE_MAX,
                "LFP-14.4: the {who} is silent since {at:?}"
            );
        }
    }
}

/// Whether the client shows a record, or had no reason to keep it.
pub(super) fn is_applied(part: &Part, shown: Option<&Shown<'_>>) -> bool {
    let Some(shown) = shown else { return false };
    // The epoch is over; a surface that went dark keeps the picture of one that is.
    if shown.epoch > part.epoch || !shown.live {
        return true;
    }
    if !part.paints {
        return true;
    }
    let (grid, Some(content)) = (shown.size.grid(), part.content) else { return false };
    shown.epoch == part.epoch
        && grid.contains(part.cells)
        && part.cells.indices(grid).all(|index| shown.contents[index] >= content.0)
}
