//! Digests: comparing what a client says it shows with what it was sent, and with what there is.

use std::collections::VecDeque;

use crate::geometry::CellRect;
use crate::limits::DIGESTS_PENDING_MAX;
use crate::logic::{DigestRequest, Digested, SessionKey, Sum};
use crate::scan::TickState;
use crate::session::live::Live;
use crate::session::stats::SessionStats;
use crate::session::surface::Surface;
use crate::units::PacketNumber;
use lfp_proto::frame::{Digest, DigestReply, Verdict};

/// Digests of a session that wait: for the sum of the server's own pixels, or for a packet to be answered in.
///
/// | state | event | next |
/// | --- | --- | --- |
/// | none | DIGEST of cells that are not settled | answered: unsettled |
/// | none | DIGEST whose contents differ | answered: differs |
/// | none | DIGEST whose contents agree | waits for the sum |
/// | waits for the sum | it comes, something changed meanwhile | answered: unsettled |
/// | waits for the sum | it comes, the pixels agree | answered: exact |
/// | waits for the sum | it comes, the pixels differ | answered: differs |
/// | answered | the packet with the answer is lost | answered again |
#[derive(Clone, Debug, Default)]
pub(super) struct Digests {
    waiting: VecDeque<Digest>,
    /// Requests to hand out, for the newest of `waiting`.
    requests: VecDeque<DigestRequest>,
    replies: VecDeque<DigestReply>,
    /// The newest of the client's packets whose ack confirmed pixels. A digest from before it says what was true before.
    confirmed_by: PacketNumber,
}

impl Digests {
    /// Pixels were confirmed by the client's packet `number`.
    pub(super) fn on_confirmed(&mut self, number: PacketNumber) {
        self.confirmed_by = self.confirmed_by.max(number);
    }

    /// The client's packet `number` brought a digest.
    pub(super) fn on_digest(
        &mut self,
        session: SessionKey,
        number: PacketNumber,
        digest: Digest,
        surface: Option<&mut Surface>,
        stats: &mut SessionStats,
    ) {
        // SPEC [LFP-11.3]: A server MUST answer *unsettled* in every other case, and keep at most 64 digests of a
        // session waiting; what is beyond that it ignores.
        if self.waiting.len() + self.replies.len() >= DIGESTS_PENDING_MAX {
            stats.digests_ignored += 1;
            return;
        }
        if self.waiting.iter().any(|waiting| waiting.id == digest.id) {
            return;
        }
        let surface = surface.filter(|surface| surface.has_cells(digest.epoch, digest.cells));
        let Some((surface, source, fit)) = surface.map(|surface| {
            let (source, fit) = (surface.watched().source, surface.fit());
            (surface, source, fit)
        }) else {
            return self.reply(digest.id, Verdict::Unsettled, stats);
        };
        let Some(live) = surface.live_mut() else { return self.reply(digest.id, Verdict::Unsettled, stats) };
        if number < self.confirmed_by || !live.cells().settled(digest.cells) {
            return self.reply(digest.id, Verdict::Unsettled, stats);
        }
        if live.cells().contents_checksum(digest.cells) != digest.contents {
            return self.differs(&digest, live, stats);
        }
        let Digest { id, epoch, cells, .. } = digest;
        self.waiting.push_back(digest);
        let sum = Sum::Proof { id };
        self.requests.push_back(DigestRequest { session, source, fit, epoch, cells, sum });
    }

    /// A sum to be made.
    pub(super) fn request(&mut self) -> Option<DigestRequest> {
        self.requests.pop_front()
    }

    /// A sum is made.
    pub(super) fn on_digested(
        &mut self,
        digested: &Digested,
        surfaces: &mut [Surface],
        stats: &mut SessionStats,
    ) {
        let DigestRequest { epoch, cells, sum, .. } = &digested.request;
        let matches = |digest: &Digest| {
            (Sum::Proof { id: digest.id }, digest.epoch, digest.cells) == (sum.clone(), *epoch, *cells)
        };
        let Some(at) = self.waiting.iter().position(matches) else { return };
        let Some(digest) = self.waiting.remove(at) else { return };
        let live =
            surfaces.get_mut(usize::from(digest.surface.0)).and_then(|surface| surface.live_in(digest.epoch));
        let (Some(live), Some(pixels)) = (live, digested.pixels) else {
            return self.reply(digest.id, Verdict::Unsettled, stats);
        };
        let cells = live.cells();
        let steady = cells.grid().contains(digest.cells)
            && cells.settled(digest.cells)
            && cells.contents_checksum(digest.cells) == digest.contents;
        if steady && pixels == digest.pixels {
            // SPEC [LFP-11.1]: A server MUST answer *exact* only if the epoch is the surface's, contents and pixels of
            // all cells are those which it has itself, and it knows of nothing newer for them.
            live.stale_mut().on_proven(digest.cells);
            self.reply(digest.id, Verdict::Exact, stats);
        } else if steady && summed_what_was_sent(live, digest.cells, digested.tick) {
            self.differs(&digest, live, stats);
        } else {
            self.reply(digest.id, Verdict::Unsettled, stats);
        }
    }

    /// The answer to send next.
    pub(super) fn next_reply(&self) -> Option<DigestReply> {
        self.replies.front().copied()
    }

    /// The answer to send next was put into a packet.
    pub(super) fn pop_reply(&mut self) {
        self.replies.pop_front();
    }

    /// The packet with this answer is lost.
    pub(super) fn on_reply_lost(&mut self, reply: DigestReply) {
        // If there is no room the client will ask again.
        if self.waiting.len() + self.replies.len() < DIGESTS_PENDING_MAX {
            self.replies.push_back(reply);
        }
    }

    fn differs(&mut self, digest: &Digest, live: &mut Live, stats: &mut SessionStats) {
        // SPEC [LFP-11.2]: A server MUST answer *differs*, and make the cells wanted, if nothing is under way for the
        // cells, their contents are those that it counts as shown, and the pixels differ; or if nothing is under way
        // and the contents differ.
        stats.cells_repaired += live.distrust(digest.cells);
        self.reply(digest.id, Verdict::Differs, stats);
    }

    fn reply(&mut self, id: u32, verdict: Verdict, stats: &mut SessionStats) {
        match verdict {
            Verdict::Exact => stats.digests_exact += 1,
            Verdict::Unsettled => stats.digests_unsettled += 1,
            Verdict::Differs => stats.digests_differing += 1,
        }
        self.replies.push_back(DigestReply { id, verdict });
    }
}

/// Whether the picture of tick `tick` is, in `cells`, the one that was sent: it is one that is known, and none of the
/// cells, which are settled, changed after it.
fn summed_what_was_sent(live: &Live, cells: CellRect, tick: u64) -> bool {
    let TickState::Live { picture, .. } = &live.tick().state else { return false };
    tick <= live.tick().number && picture.newest_change(cells) <= tick
}
