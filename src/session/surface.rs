//! One surface of a session: what its source shows, and whether the client knows.

use std::sync::Arc;

use crate::directory::ServiceSource;
use crate::geometry::{CellRect, Size};
use crate::scan::{Tick, TickState};
use crate::session::carried::Item;
use crate::session::live::Live;
use crate::units::{Epoch, SurfaceId};
use lfp_proto::frame::{self, Frame, SurfaceState};
use lfp_proto::packet::Builder;

/// Whether the client knows the surface's epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Announcement {
    /// A packet must go out for it.
    Due,
    /// It is under way; every packet repeats it.
    Sent,
    /// A packet that carried it was acked.
    Confirmed,
}

/// What a client keeps of each surface beside the picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keeps {
    /// References.
    pub(super) references: u8,
    /// A bitmap cache.
    pub(super) cache: bool,
}

/// One surface of a session.
#[derive(Debug)]
pub(super) struct Surface {
    id: SurfaceId,
    watched: ServiceSource,
    /// 0 before the source's first tick.
    epoch: Epoch,
    announcement: Announcement,
    state: SurfaceState,
    text: String,
    /// The size that the surface had last.
    size: Option<Size>,
    live: Option<Live>,
    keeps: Keeps,
}

impl Surface {
    /// Of a source that nothing is known of yet.
    pub(super) const fn new(id: SurfaceId, watched: ServiceSource, keeps: Keeps) -> Self {
        Self {
            id,
            watched,
            epoch: Epoch(0),
            announcement: Announcement::Confirmed,
            state: SurfaceState::Connecting,
            text: String::new(),
            size: None,
            live: None,
            keeps,
        }
    }

    pub(super) const fn watched(&self) -> &ServiceSource {
        &self.watched
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The size that the surface has, or had before it went dark.
    pub(super) const fn size(&self) -> Option<Size> {
        self.size
    }

    /// The pixels, while there are any.
    pub(super) const fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    /// The pixels, while there are any.
    pub(super) const fn live_mut(&mut self) -> Option<&mut Live> {
        self.live.as_mut()
    }

    /// The pixels of `epoch`, if it is the surface's.
    pub(super) fn live_in(&mut self, epoch: Epoch) -> Option<&mut Live> {
        self.live.as_mut().filter(|_| epoch == self.epoch)
    }

    /// The source's newest tick.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>) {
        if tick.epoch > self.epoch {
            self.begin_epoch(tick);
        } else if tick.epoch == self.epoch {
            if let (Some(live), TickState::Live { picture, delta }) = (&mut self.live, &tick.state) {
                live.on_tick(tick, picture, delta);
            }
        }
    }

    /// Whether a packet must go out though no pixels are ready.
    pub(super) fn has_news(&self) -> bool {
        self.announcement == Announcement::Due
            || self.live.as_ref().is_some_and(|live| live.mark_due() || live.stale().due().is_some())
    }

    /// Whether the client knows the epoch, or will from a packet that holds `items`.
    pub(super) fn may_have_pixels(&self, items: &[Item]) -> bool {
        // SPEC [LFP-7.4]: A server MUST put the SURFACE of an epoch, before any PIXELS of that epoch, into every
        // packet with PIXELS of it until a packet that carried the SURFACE is acked.
        let named = |item: &Item| matches!(item, Item::Surface { surface, .. } if *surface == self.id);
        self.announcement == Announcement::Confirmed || items.iter().any(named)
    }

    /// Puts SURFACE into a packet unless the client is known to have it.
    pub(super) fn announce(&mut self, builder: &mut Builder, items: &mut Vec<Item>) {
        if self.announcement == Announcement::Confirmed {
            return;
        }
        let frame = frame::Surface {
            surface: self.id,
            epoch: self.epoch,
            state: self.state,
            size: self.size.filter(|_| self.state == SurfaceState::Live),
            text: &self.text,
        };
        if builder.push(&Frame::Surface(frame)) {
            self.announcement = Announcement::Sent;
            items.push(Item::Surface { surface: self.id, epoch: self.epoch });
        }
    }

    /// A packet came that carried the SURFACE of `epoch`.
    pub(super) fn on_announced(&mut self, epoch: Epoch) {
        if epoch == self.epoch {
            self.announcement = Announcement::Confirmed;
        }
    }

    /// A packet is lost that carried the SURFACE of `epoch`.
    pub(super) fn on_announcement_lost(&mut self, epoch: Epoch) {
        if epoch == self.epoch && self.announcement == Announcement::Sent {
            self.announcement = Announcement::Due;
        }
    }

    /// Cells of `epoch` that a digest names, if there are such cells.
    pub(super) fn has_cells(&self, epoch: Epoch, cells: CellRect) -> bool {
        let live = self.live.as_ref().filter(|_| epoch == self.epoch);
        live.is_some_and(|live| live.cells().grid().contains(cells))
    }

    fn begin_epoch(&mut self, tick: &Arc<Tick>) {
        // SPEC [LFP-7.1]: A server MUST start a new epoch whenever the mode or the state of a surface changes, and
        // MUST NOT use an epoch's number again in the session.
        // SPEC [LFP-10.3]: A server MUST NOT send anything more of an epoch after it has started the next.
        self.epoch = tick.epoch;
        self.announcement = Announcement::Due;
        match &tick.state {
            TickState::Live { picture, .. } => {
                self.state = SurfaceState::Live;
                self.text.clear();
                self.size = Some(picture.size);
                self.live = Some(Live::new(self.id, Arc::clone(tick), picture.size, self.keeps));
            }
            TickState::Dark { state, text } => {
                self.state = *state;
                self.text.clone_from(text);
                self.live = None;
            }
        }
    }
}
