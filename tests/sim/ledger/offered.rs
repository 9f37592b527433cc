//! What a client that comes back has offered, and what the server has said of that.

use std::collections::{BTreeMap, BTreeSet};

use client_lfp::Picture as Shown;
use lfp::geometry::CellRect;
use lfp_proto::frame::{Keep, Offer};
use lfp_proto::offer::Plots;

use super::Ledger;
use crate::epoch::EpochLedger;
use crate::totals::Totals;
use crate::truth::Truth;

/// The content of what was kept.
const KEPT: u64 = 1;

/// What was offered of an epoch, and what holds.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// By part, the pixels of its plots whenever it was offered.
    parts: BTreeMap<u8, Vec<Vec<Vec<u32>>>>,
    /// By part, what was said of it.
    said: BTreeMap<u8, u128>,
    /// Cells that are kept, and those of them that the server knows to be so.
    cells: BTreeSet<usize>,
    known: BTreeSet<usize>,
}

impl Offered {
    /// A base has a cell of `content`.
    // LFP-11.8: nothing builds on what the client is not known to have kept.
    pub(crate) fn assert_known(&self, index: usize, content: u64) {
        let kept = content == KEPT && self.cells.contains(&index);
        assert!(!kept || self.known.contains(&index), "LFP-11.8: nobody knows whether cell {index} was kept");
    }
}

fn pixels_of(shown: &Shown<'_>, cells: CellRect) -> Vec<u32> {
    let (area, width) = (shown.size.clip(cells), usize::from(shown.size.width));
    let rows = (area.y..area.y + area.height).map(|y| usize::from(y) * width + usize::from(area.x));
    rows.flat_map(|start| shown.pixels[start..start + usize::from(area.width)].iter().copied()).collect()
}

impl EpochLedger {
    fn plots(&self, part: u8, bits: u128) -> Vec<CellRect> {
        let plots = Plots::of(self.size.grid()).part(part);
        let named = (0..).zip(plots).filter(|(at, _)| bits >> at & 1 == 1);
        named.map(|(_, plot)| plot).collect()
    }

    /// The server says what holds.
    // LFP-11.7, LFP-11.8.
    fn on_keep(&mut self, keep: &Keep, truth: &mut Truth, totals: &mut Totals) {
        if let Some(said) = self.offered.said.insert(keep.part, keep.plots) {
            assert_eq!(said, keep.plots, "LFP-11.7: part {} was compared twice", keep.part);
            return totals.one("keeps repeated");
        }
        totals.one("keeps");
        let all = Plots::of(self.size.grid()).part(keep.part);
        let named = (0..).zip(all).filter(|(at, _)| keep.plots >> at & 1 == 1);
        for (at, plot) in named {
            let at: usize = at;
            let versions = self.offered.parts.get(&keep.part).into_iter().flatten();
            let tick = versions.filter_map(|plots| truth.newest_match(keep.epoch, plot, &plots[at])).max();
            let tick = tick.unwrap_or_else(|| panic!("LFP-11.8: {plot:?} is kept, and never looked so"));
            for index in plot.indices(self.size.grid()) {
                assert!(self.cells[index].is_empty(), "LFP-11.8: cell {index} is kept, and was sent");
                self.cells[index].push((KEPT, tick));
                self.offered.cells.insert(index);
            }
            totals.many("cells kept by digest", plot.cells() as u64);
        }
    }
}

impl Ledger {
    pub(super) fn on_keep(&mut self, keep: &Keep, truth: &mut Truth, totals: &mut Totals) {
        assert_eq!(keep.epoch, self.epoch, "LFP-10.3: only what is kept of the newest epoch is said");
        let epoch = self.epochs.get_mut(&keep.epoch.0).expect("SURFACE precedes KEEP");
        epoch.on_keep(keep, truth, totals);
    }

    pub(super) fn on_offer(&mut self, offer: &Offer, shown: Option<&Shown<'_>>, totals: &mut Totals) {
        totals.one(if offer.digests.is_empty() { "offers of nothing" } else { "offers" });
        let shown = shown.filter(|shown| shown.epoch == offer.epoch && !offer.digests.is_empty());
        let Some((epoch, shown)) = self.epochs.get_mut(&offer.epoch.0).zip(shown) else { return };
        let plots = Plots::of(epoch.size.grid()).part(offer.part);
        assert_eq!(plots.len(), offer.digests.len(), "LFP-11.6: the whole part is offered");
        let version = plots.into_iter().map(|plot| pixels_of(shown, plot)).collect();
        epoch.offered.parts.entry(offer.part).or_default().push(version);
    }

    /// The client has taken a packet.
    // LFP-11.10.
    pub(super) fn follow_keep(&mut self, keep: &Keep) {
        if keep.epoch == self.heard {
            let epoch = self.epochs.get_mut(&keep.epoch.0).expect("it was announced");
            for plot in epoch.plots(keep.part, keep.plots) {
                let cells: Vec<_> = plot.indices(epoch.size.grid()).collect();
                epoch.came.on_keep(&cells, KEPT);
            }
        }
    }

    /// The server is told that packet `number` came.
    pub(super) fn on_keeps_told(&mut self, number: u64) {
        let Some(sent) = self.sent.get(&number) else { return };
        let Some(epoch) = self.epochs.get_mut(&sent.epoch.0) else { return };
        for (part, bits) in &sent.keeps {
            for plot in epoch.plots(*part, *bits) {
                // What has been painted since may have come before, and then there was nothing left to keep.
                let cells = plot.indices(epoch.size.grid()).filter(|index| epoch.cells[*index].len() == 1);
                epoch.offered.known.extend(cells);
            }
        }
    }
}
