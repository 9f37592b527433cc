//! Coming back: the picture of a session that has ended, and the offer of it to the next.

use core::time::Duration;

use lfp_proto::depth::Depth;
use lfp_proto::frame::{Keep, Offer};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::offer::{OfferKey, Plots};
use lfp_proto::time::Instant;
use lfp_proto::units::{Epoch, SurfaceId};

use crate::framebuffer::Framebuffer;
use crate::limits::{OFFER_INTERVAL_MAX, OFFER_INTERVAL_MIN, OFFER_TRIES_MAX};
use crate::stats::Stats;

/// What a client has left of its session: the picture, for the next session ([`crate::Client::returning`]), and what was counted.
#[derive(Clone, Debug)]
pub struct Kept {
    pub(crate) framebuffer: Option<Framebuffer>,
    pub(crate) depth: Depth,
    pub(crate) stats: Stats,
    pub(crate) painted_at: Option<Instant>,
}

impl Kept {
    /// The size of the picture, if there is one.
    #[must_use]
    pub fn size(&self) -> Option<Size> {
        self.framebuffer.as_ref().map(Framebuffer::size)
    }
}

/// A part of an offer that is not answered.
#[derive(Clone, Copy, Debug)]
struct Part {
    part: u8,
    again_at: Instant,
    tries: u32,
}

/// What is offered of the picture: each part until the server has answered it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offering {
    key: Option<OfferKey>,
    surface: SurfaceId,
    epoch: Epoch,
    /// `None`: there is nothing to offer, and that is what is said.
    plots: Option<Plots>,
    parts: Vec<Part>,
    /// Parts that were offered, a bit each: what holds of them may be said as long as the epoch lasts.
    offered: u32,
}

impl Offering {
    /// The first surface is live, in `epoch`: `framebuffer` has the pixels that were kept, unless that is `None`.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        key: OfferKey,
        (surface, epoch): (SurfaceId, Epoch),
        framebuffer: Option<&Framebuffer>,
    ) {
        let plots = framebuffer.map(|framebuffer| Plots::of(framebuffer.grid()));
        let parts = plots.map_or(1, Plots::parts) as u8;
        let part = |part| Part { part, again_at: now, tries: 0 };
        let parts = (0..parts).map(part).collect();
        *self = Self { key: Some(key), surface, epoch, plots, parts, offered: 0 };
    }

    /// The epoch is over, or nobody waits any more.
    pub(crate) fn end(&mut self) {
        self.parts.clear();
        self.offered = 0;
    }

    /// Whether the client says that it has nothing to offer.
    pub(crate) const fn is_empty(&self) -> bool {
        self.plots.is_none()
    }

    /// When [`Offering::take`] next has something.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.parts.iter().map(|part| part.again_at).min()
    }

    /// A part that is due at `now`, to be sent; expects its answer within `answer_time`.
    // SPEC [LFP-11.6]: A client whose HELLO has bit 31 of the decoders set MUST offer each part of the first live epoch of a
    // surface, or say once that it has nothing to offer; it repeats what is not answered.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        framebuffer: &Framebuffer,
        answer_time: Duration,
    ) -> Option<Offer> {
        let Self { surface, epoch, .. } = *self;
        let key = self.key.as_ref()?;
        while let Some(at) = self.parts.iter().position(|part| part.again_at <= now) {
            let part = &mut self.parts[at];
            let digests: Vec<u64> = self.plots.map_or_else(Vec::new, |plots| {
                let plots = plots.part(part.part);
                // What has been painted meanwhile needs no answer.
                let open = plots.iter().any(|plot| framebuffer.has_blank(*plot));
                let digest = |plot: CellRect| key.digest(framebuffer.size(), plot, framebuffer.rows(plot));
                if open { plots.into_iter().map(digest).collect() } else { Vec::new() }
            });
            let over = part.tries == OFFER_TRIES_MAX || (digests.is_empty() && self.plots.is_some());
            if over {
                self.parts.swap_remove(at);
                continue;
            }
            let wait = answer_time.clamp(OFFER_INTERVAL_MIN, OFFER_INTERVAL_MAX) * 2_u32.pow(part.tries);
            (part.again_at, part.tries) = (now + wait.min(OFFER_INTERVAL_MAX), part.tries + 1);
            self.offered |= 1 << part.part;
            return Some(Offer { surface, epoch, part: part.part, digests });
        }
        None
    }

    /// The server says what holds of a part: gives the plots that do, if they were offered.
    pub(crate) fn on_keep(&mut self, keep: &Keep) -> Vec<CellRect> {
        let Some(plots) = self.plots.filter(|_| (self.surface, self.epoch) == (keep.surface, keep.epoch))
        else {
            return Vec::new();
        };
        if self.offered >> keep.part & 1 == 0 {
            return Vec::new();
        }
        self.parts.retain(|part| part.part != keep.part);
        let named = (0..).zip(plots.part(keep.part)).filter(|(at, _)| keep.plots >> at & 1 == 1);
        named.map(|(_, plot)| plot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lfp_proto::units::{ConnectionId, ContentNumber};

    const ANSWER: Duration = Duration::from_millis(50);

    fn begun(width: u16, height: u16) -> (Offering, Framebuffer) {
        let framebuffer = Framebuffer::new(Size::new(width, height).expect("legal"), Epoch(1), 2);
        let mut offering = Offering::default();
        let key = OfferKey::plain(ConnectionId(5));
        offering.begin(Instant::ZERO, key, (SurfaceId(0), Epoch(1)), Some(&framebuffer));
        (offering, framebuffer)
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn each_part_is_said_until_it_is_answered_and_not_for_ever() {
        let (mut offering, picture) = begun(1_280, 800);
        let mut parts: Vec<_> = std::iter::from_fn(|| offering.take(at(0), &picture, ANSWER)).collect();
        parts.sort_by_key(|offer| offer.part);
        assert_eq!(parts.iter().map(|offer| offer.digests.len()).collect::<Vec<_>>(), [128, 128, 4]);
        assert_eq!((offering.due(), offering.take(at(49), &picture, ANSWER)), (Some(at(50)), None));
        let keep = Keep { surface: SurfaceId(0), epoch: Epoch(1), part: 2, plots: 0b1010 };
        assert_eq!(offering.on_keep(&Keep { epoch: Epoch(2), ..keep }), []);
        assert_eq!(offering.on_keep(&keep).len(), 2);
        assert_eq!(std::iter::from_fn(|| offering.take(at(60), &picture, ANSWER)).count(), 2);
        let mut now = at(60);
        let mut more = 0;
        while let Some(due) = offering.due() {
            now = now.max(due);
            more += usize::from(offering.take(now, &picture, ANSWER).is_some());
        }
        assert_eq!(more, 2 * (OFFER_TRIES_MAX as usize - 2));
        assert_eq!(
            offering.on_keep(&Keep { part: 0, ..keep }).len(),
            2,
            "the server counts on it, however late"
        );
        offering.end();
        assert_eq!(offering.on_keep(&Keep { part: 0, ..keep }), []);
    }

    #[test]
    fn what_was_painted_is_not_offered_and_a_kept_cell_shows_content_1() {
        let (mut offering, mut picture) = begun(64, 64);
        let all = picture.grid().rect();
        assert_eq!(offering.on_keep(&Keep { surface: SurfaceId(0), epoch: Epoch(1), part: 0, plots: 1 }), []);
        assert!(offering.take(at(0), &picture, ANSWER).is_some());
        picture.paint(CellRect { x: 1, y: 1, width: 1, height: 1 }, ContentNumber(9), &[7; 256]);
        assert_eq!(picture.keep(all), 15, "what was painted since is newer");
        let shown = picture.picture(Depth::Bits24, true);
        assert_eq!((shown.contents[5], shown.contents.iter().sum::<u64>()), (9, 9 + 15));
        assert_eq!(picture.blank(), 0);
        assert_eq!(offering.take(at(100), &picture, ANSWER), None);
        assert_eq!(offering.due(), None);
    }
}
