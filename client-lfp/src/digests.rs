//! Digests: the proof, band by band, that the picture is the server's.

use core::time::Duration;

use lfp_proto::frame::{Digest, DigestReply, Prove, Verdict};
use lfp_proto::geometry::CellRect;
use lfp_proto::time::Instant;

use crate::framebuffer::{Framebuffer, band_rows};
use crate::limits::{
    DIGEST_INTERVAL_MAX, DIGEST_QUIET, DIGEST_QUIET_BLANK, DIGESTS_PENDING_MAX, RECORD_CELLS_MAX,
};
use crate::surface::Surface;

/// What is known of a band.
///
/// | state | event | next |
/// | --- | --- | --- |
/// | any | a cell changes | unproven, asked once it has stood still |
/// | unproven, asked | its time comes | asked, with a digest of what it shows now |
/// | asked | exact | proven |
/// | asked | unsettled, differs | unproven, asked later |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    Unproven { ask_at: Instant, backoff: Duration },
    Asked { id: u32, again_at: Instant, backoff: Duration, checksums: (u32, u32) },
    Proven,
}

#[derive(Clone, Copy, Debug)]
struct Band {
    cells: CellRect,
    proof: Proof,
    /// Packets have been lost since it was last proven.
    lossy: bool,
}

/// The proofs of a surface's bands. A band that changes while its digest is under way is not proven by the reply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    bands: Vec<Band>,
    rows: u16,
    next_id: u32,
    /// What the server has asked for.
    asked_for: Option<CellRect>,
}

impl Digests {
    /// A new picture: nothing is proven.
    pub(crate) fn on_epoch(&mut self, framebuffer: Option<&Framebuffer>, now: Instant) {
        let unproven = Proof::Unproven { ask_at: now + DIGEST_QUIET_BLANK, backoff: DIGEST_QUIET };
        self.bands.clear();
        self.asked_for = None;
        if let Some(framebuffer) = framebuffer {
            self.rows = band_rows(framebuffer.grid());
            let band = |cells| Band { cells, proof: unproven, lossy: false };
            self.bands.extend(framebuffer.bands().map(band));
        }
    }

    /// The server asks for a digest, which is sent next; says whether there is such a picture.
    // SPEC [LFP-11.5]: A client MUST answer PROVE, if the epoch is that of the live surface and the cells, at most 4,096, lie
    // inside its grid, with a DIGEST of just these cells, as they are when it is sent.
    pub(crate) fn on_prove(&mut self, prove: &Prove, surface: Option<&Surface>) -> bool {
        let surface = surface.filter(|surface| surface.epoch() == prove.epoch);
        let live = surface.and_then(Surface::live).filter(|live| live.grid().contains(prove.cells));
        let known = live.is_some() && prove.cells.cells() <= RECORD_CELLS_MAX;
        if known {
            self.asked_for = Some(prove.cells);
        }
        known
    }

    /// Packets were lost: what comes now may repair.
    pub(crate) fn on_loss(&mut self) {
        for band in &mut self.bands {
            band.lossy = true;
        }
    }

    /// Some of `cells` changed. Says whether packets have been lost since a band of theirs was last proven.
    pub(crate) fn on_change(&mut self, cells: CellRect, framebuffer: &Framebuffer, now: Instant) -> bool {
        let rows = self.rows.max(1);
        let last = (cells.y + cells.height - 1) / rows;
        let mut lossy = false;
        for band in &mut self.bands[usize::from(cells.y / rows)..=usize::from(last)] {
            let quiet = if framebuffer.has_blank(band.cells) { DIGEST_QUIET_BLANK } else { DIGEST_QUIET };
            band.proof = Proof::Unproven { ask_at: now + quiet, backoff: DIGEST_QUIET };
            lossy |= band.lossy;
        }
        lossy
    }

    /// The server answered. Returns the band and the verdict if the digest still counts.
    pub(crate) fn on_reply(&mut self, reply: DigestReply, now: Instant) -> Option<(CellRect, Verdict)> {
        let band = self
            .bands
            .iter_mut()
            .find(|band| matches!(band.proof, Proof::Asked { id, .. } if id == reply.id))?;
        let Proof::Asked { backoff, .. } = band.proof else { return None };
        let later = (backoff * 2).min(DIGEST_INTERVAL_MAX);
        if reply.verdict == Verdict::Exact {
            band.proof = Proof::Proven;
            band.lossy = false;
        } else {
            band.proof = Proof::Unproven { ask_at: now + backoff, backoff: later };
        }
        Some((band.cells, reply.verdict))
    }

    /// Whether there is a picture and all of it is proven.
    pub(crate) fn all_proven(&self) -> bool {
        !self.bands.is_empty() && self.bands.iter().all(|band| band.proof == Proof::Proven)
    }

    /// When [`Digests::take`] next has something.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.asked_for.is_some() {
            return Some(Instant::ZERO);
        }
        let full = self.asked() >= DIGESTS_PENDING_MAX;
        self.bands
            .iter()
            .filter_map(|band| match band.proof {
                Proof::Unproven { ask_at, .. } => (!full).then_some(ask_at),
                Proof::Asked { again_at, .. } => Some(again_at),
                Proof::Proven => None,
            })
            .min()
    }

    /// A digest that is due at `now`, to be sent; expects its answer within `answer_time`.
    pub(crate) fn take(&mut self, now: Instant, surface: &Surface, answer_time: Duration) -> Option<Digest> {
        let Some(framebuffer) = surface.live() else {
            self.asked_for = None;
            return None;
        };
        let digest = |id, cells, (contents, pixels)| Digest {
            id,
            surface: surface.id(),
            epoch: surface.epoch(),
            cells,
            contents,
            pixels,
        };
        if let Some(cells) = self.asked_for.take() {
            self.next_id = self.next_id.wrapping_add(1);
            return Some(digest(self.next_id, cells, framebuffer.checksums(cells)));
        }
        let full = self.asked() >= DIGESTS_PENDING_MAX;
        let band = self.bands.iter_mut().find(|band| match band.proof {
            Proof::Unproven { ask_at, .. } => !full && ask_at <= now,
            Proof::Asked { again_at, .. } => again_at <= now,
            Proof::Proven => false,
        })?;
        let cells = band.cells;
        let (id, backoff, checksums) = match band.proof {
            Proof::Asked { id, backoff, checksums, .. } => {
                (id, (backoff * 2).min(DIGEST_INTERVAL_MAX), checksums)
            }
            Proof::Unproven { backoff, .. } => {
                self.next_id = self.next_id.wrapping_add(1);
                (self.next_id, backoff, framebuffer.checksums(cells))
            }
            Proof::Proven => return None,
        };
        band.proof = Proof::Asked { id, again_at: now + answer_time.max(backoff), backoff, checksums };
        Some(digest(id, cells, checksums))
    }

    /// The path is there again after a silence: what was asked meanwhile is lost, and asked again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        for band in &mut self.bands {
            if let Proof::Asked { again_at, .. } = &mut band.proof {
                *again_at = now.min(*again_at);
            }
        }
    }

    fn asked(&self) -> usize {
        self.bands.iter().filter(|band| matches!(band.proof, Proof::Asked { .. })).count()
    }
}
