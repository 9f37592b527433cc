//! What a client that comes back still has: its offers, what of them holds, and whether it knows that.

use crate::geometry::{CellRect, Grid};
use crate::limits::{OFFER_PARTS_MAX, OFFER_WAIT};
use crate::logic::{Digested, OfferSums};
use crate::session::carried::Item;
use crate::session::live::{self, Live};
use crate::session::stats::SessionStats;
use crate::time::Instant;
use crate::units::{ContentNumber, Epoch, SurfaceId};
use lfp_proto::frame::{Frame, Keep};
use lfp_proto::offer::Plots;
use lfp_proto::packet::Builder;

/// The content of cells that a client kept. No record paints it: the packet that carries the first SURFACE has this number.
pub(super) const KEPT: ContentNumber = ContentNumber(1);

/// One part of an offer.
///
/// | state | event | next |
/// | --- | --- | --- |
/// | missing | OFFER | offered |
/// | offered | a worker is asked | asked |
/// | asked | its sums come | due: what agrees is kept, and counts as lost |
/// | due | KEEP is put into a packet | told |
/// | told | that packet is lost | due |
/// | due, told | such a packet is acked | known: what is kept is confirmed |
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Missing,
    Offered(Vec<u64>),
    Asked(Vec<u64>),
    Due(u128),
    Told(u128),
    Known,
}

/// The offers of one surface in the first epoch in which it is live.
#[derive(Clone, Debug)]
pub(super) struct Offers {
    plots: Plots,
    parts: Vec<Part>,
    /// Nothing is held back from then on.
    until: Instant,
}

impl Offers {
    /// Of a client that has announced them, for a surface that began at `now`.
    pub(super) fn new(grid: Grid, now: Instant) -> Self {
        let plots = Plots::of(grid);
        Self { plots, parts: vec![Part::Missing; plots.parts()], until: now + OFFER_WAIT }
    }

    /// The client offers a part, or has nothing at all to offer.
    // SPEC [LFP-11.7]: A server MUST compare each part of a surface at most once in a session, and ignore OFFER in every other
    // case.
    pub(super) fn on_offer(&mut self, part: u8, digests: Vec<u64>) {
        if digests.is_empty() {
            self.until = Instant::ZERO;
            return;
        }
        let expected = self.plots.part(part).len();
        if let Some(known) = self.parts.get_mut(usize::from(part)).filter(|known| **known == Part::Missing) {
            if digests.len() == expected {
                *known = Part::Offered(digests);
            }
        }
    }

    /// A part that is to be summed up, and the cells around it.
    pub(super) fn request(&mut self, grid: Grid) -> Option<(u8, CellRect)> {
        let at = self.parts.iter().position(|part| matches!(part, Part::Offered(_)))?;
        if let Part::Offered(digests) = &mut self.parts[at] {
            self.parts[at] = Part::Asked(std::mem::take(digests));
        }
        let plots = self.plots.part(at as u8);
        let (first, last) = (plots.first()?, plots.last()?);
        let cells = CellRect { y: first.y, height: last.y + last.height - first.y, ..grid.rect() };
        Some((at as u8, cells))
    }

    /// Takes note of the time: what has not come by now is not waited for any more.
    pub(super) fn on_time(&mut self, now: Instant) {
        if self.until <= now {
            self.until = Instant::ZERO;
        }
    }

    /// Until when pixels are held back for what is still to come; `None`: they are not.
    // SPEC [LFP-11.9]: A server MUST NOT hold pixels back for offers for more than 1 s, nor once each part has been compared or
    // the client has nothing to offer.
    pub(super) fn holds_until(&self) -> Option<Instant> {
        let open = |part: &Part| matches!(part, Part::Missing | Part::Offered(_) | Part::Asked(_));
        (self.until > Instant::ZERO && self.parts.iter().any(open)).then_some(self.until)
    }

    /// Whether something is to be told.
    pub(super) fn is_due(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Due(_)))
    }

    /// Puts what is to be told into a packet, as far as it fits.
    fn put(&mut self, surface: SurfaceId, epoch: Epoch, builder: &mut Builder, items: &mut Vec<Item>) {
        for (part, state) in (0..).zip(&mut self.parts) {
            let Part::Due(plots) = *state else { continue };
            if !builder.push(&Frame::Keep(Keep { surface, epoch, part, plots })) {
                return;
            }
            *state = Part::Told(plots);
            items.push(Item::Keep { surface, epoch, part });
        }
    }

    /// The packet with what was told of a part is lost.
    fn on_lost(&mut self, part: u8) {
        if let Some(state) = self.parts.get_mut(usize::from(part)) {
            if let Part::Told(plots) = *state {
                *state = Part::Due(plots);
            }
        }
    }

    /// The client knows of a part: gives what of it is kept, if that is news.
    fn on_known(&mut self, part: u8) -> Vec<CellRect> {
        let Some(state) = self.parts.get_mut(usize::from(part)) else { return Vec::new() };
        let kept = match *state {
            Part::Due(kept) | Part::Told(kept) => kept,
            _ => return Vec::new(),
        };
        *state = Part::Known;
        (0..).zip(self.plots.part(part)).filter(|(at, _)| kept >> at & 1 == 1).map(|(_, plot)| plot).collect()
    }

    /// Bytes that this takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        let digests = |part: &Part| match part {
            Part::Offered(digests) | Part::Asked(digests) => digests.capacity() * size_of::<u64>(),
            _ => 0,
        };
        self.parts.iter().map(|part| size_of::<Part>() + digests(part)).sum()
    }
}

impl Live {
    /// A worker has summed up what a part would be.
    pub(super) fn on_offer_summed(&mut self, part: u8, digested: &Digested, stats: &mut SessionStats) {
        let Some(offers) = &mut self.offers else { return };
        let plots = offers.plots.part(part);
        let Some(state) = offers.parts.get_mut(usize::from(part)) else { return };
        let Part::Asked(digests) = state else { return };
        let digests = std::mem::take(digests);
        let kept = match &digested.offered {
            Some(sums) => self.keep_offered(&plots, &digests, digested.tick, sums, stats),
            None => 0,
        };
        if let Some(offers) = &mut self.offers {
            offers.parts[usize::from(part)] = Part::Due(kept);
        }
    }

    /// Counts as sent what the client has of `plots`, whose `digests` it has offered: those that agree with the server's own
    /// and of which nothing is on its way. Gives them, a bit each.
    // SPEC [LFP-11.8]: A server MUST NOT say in KEEP that a plot holds unless its digest is that of one picture of the epoch and
    // no record of any of its cells has been chosen; such cells it has sent then, as content 1 and those pixels, and it MUST NOT
    // count them as shown, nor use them as a base, before a packet with that KEEP is acked.
    fn keep_offered(
        &mut self,
        plots: &[CellRect],
        digests: &[u64],
        tick: u64,
        sums: &OfferSums,
        stats: &mut SessionStats,
    ) -> u128 {
        let mut kept = 0;
        for (at, ((plot, offered), own)) in plots.iter().zip(digests).zip(&sums.digests).enumerate() {
            if offered == own && self.cells.are_blank(*plot) && self.count_kept(*plot, tick, sums) {
                kept |= 1 << at;
                stats.cells_returned += plot.cells() as u64;
            }
        }
        kept
    }

    fn count_kept(&mut self, plot: CellRect, tick: u64, sums: &OfferSums) -> bool {
        let Some(newest) = live::picture(&self.tick) else { return false };
        self.cells.on_kept(plot, tick, KEPT, newest);
        self.references.on_sent(plot, KEPT, Some(&sums.picture));
        self.stale.on_sent(plot);
        true
    }

    /// Puts KEEPs that are due into a packet.
    pub(super) fn put_keeps(&mut self, builder: &mut Builder, items: &mut Vec<Item>) {
        if let Some(offers) = &mut self.offers {
            offers.put(self.surface, self.epoch, builder, items);
        }
    }

    /// The packet with a KEEP is lost.
    pub(super) fn on_keep_lost(&mut self, part: u8) {
        if let Some(offers) = &mut self.offers {
            offers.on_lost(part);
        }
    }

    /// A packet with a KEEP came: the client shows what it kept as content 1.
    pub(super) fn on_keep_known(&mut self, part: u8) {
        let Some(picture) = live::picture(&self.tick) else { return };
        for plot in self.offers.as_mut().map(|offers| offers.on_known(part)).unwrap_or_default() {
            self.cells.on_confirmed(plot, KEPT, picture);
            for y in plot.y..plot.y + plot.height {
                for x in plot.x..plot.x + plot.width {
                    // What has been sent since may have come before, and then there was nothing left to keep.
                    if self.cells.contents()[self.cells.grid().index(x, y)] == KEPT.0 {
                        self.references.on_kept(CellRect { x, y, width: 1, height: 1 }, KEPT);
                    }
                }
            }
        }
    }
}

const _: () = assert!(OFFER_PARTS_MAX <= u8::MAX as usize);

#[cfg(test)]
mod tests;
