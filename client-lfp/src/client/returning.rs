//! A client that comes back: what it keeps, what it offers of that, what holds.

use lfp_proto::frame::Keep;
use lfp_proto::offer::OfferKey;
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, Epoch};

use super::Client;
use crate::config::Config;
use crate::handshake::Handshake;
use crate::offer::Kept;
use crate::security::Security;
use crate::surface::Surface;

impl Client {
    /// As [`Client::new`], with what was [`Client::kept`] of a session that has ended: the picture stays on display, the server
    /// sends of it only what differs, and counting goes on.
    #[must_use]
    pub fn returning(
        config: &Config,
        security: Security,
        connection: ConnectionId,
        now: Instant,
        kept: Kept,
    ) -> Self {
        let Kept { framebuffer, depth, stats, painted_at } = kept;
        let framebuffer = framebuffer.filter(|_| depth == config.depth);
        let returns = framebuffer.is_some();
        let lost_before = stats.packets_lost;
        Self {
            handshake: Handshake::new(config, security.clone(), connection, returns, now),
            // No surface has this epoch, nor a cell of it any content.
            kept: framebuffer.map(|framebuffer| framebuffer.anew(Epoch(0), 0)),
            stats,
            lost_before,
            painted_at,
            ..Self::new(config, security, connection, now)
        }
    }

    /// What is left of a session: its last picture, if something of it was ever painted, and what was counted.
    #[must_use]
    pub fn kept(self) -> Kept {
        let Self { surface, kept, depth, stats, painted_at, .. } = self;
        let is_painted =
            |surface: &Surface| surface.last().is_some_and(|last| last.blank() < last.grid().cells());
        let framebuffer = match surface {
            Some(surface) if is_painted(&surface) || surface.shows_kept() => surface.into_last(),
            Some(_) => None,
            None => kept,
        };
        Kept { framebuffer, depth, stats, painted_at }
    }

    /// A surface has a new epoch: if it is the first that is live, what was kept is offered.
    pub(super) fn offer_kept(&mut self, now: Instant) {
        let Some(surface) = &mut self.surface else { return };
        self.offering.end();
        let Some(same) = surface.take_return() else { return };
        let key = match &self.sealed {
            Some(sealed) => OfferKey::sealed(&sealed.keys.send),
            None => OfferKey::plain(self.connection),
        };
        let (names, live) = ((surface.id(), surface.epoch()), surface.live().filter(|_| same));
        self.offering.begin(now, key, names, live);
    }

    /// The server says what of a part holds.
    pub(super) fn on_keep(&mut self, now: Instant, keep: &Keep) {
        let plots = self.offering.on_keep(keep);
        let Some(framebuffer) = self.surface.as_mut().and_then(Surface::live_mut) else { return };
        for plot in plots {
            self.stats.cells_kept += framebuffer.keep(plot) as u64;
            self.digests.on_change(plot, framebuffer, now);
            self.notes.on_kept(plot, framebuffer, now);
        }
        if framebuffer.blank() == 0 {
            self.painted_at.get_or_insert(now);
        }
    }
}
