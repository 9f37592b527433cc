//! One surface of a session: what its source shows, and whether the client knows.

use std::sync::Arc;
use std::time::Duration;

use crate::directory::ServiceSource;
use crate::geometry::{CellRect, Size};
use crate::limits::{ASIDE_RATE_HZ, REFINE_REST};
use crate::pixel::Fit;
use crate::scan::{Tick, TickState};
use crate::session::carried::Item;
use crate::session::echo::Unanswered;
use crate::session::live::Live;
use crate::session::offer::Offers;
use crate::session::refresh::Refresh;
use crate::session::stats::SessionStats;
use crate::session::{Shows, Watch};
use crate::time::Instant;
use crate::units::{Epoch, PacketNumber, SurfaceId};
use lfp_proto::depth::Depth;
use lfp_proto::frame::{self, Attention, Frame, SurfaceState};
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
    /// The picture of a session before this one, until a surface is live.
    pub(super) picture: bool,
}

/// One surface of a session.
#[derive(Debug)]
pub(super) struct Surface {
    id: SurfaceId,
    watched: ServiceSource,
    shows: Shows,
    refresh: Refresh,
    /// How often the pictures that the client is shown have been halved, because it cannot keep up.
    halved: u32,
    attention: Attention,
    /// The packet that said so; 0: none did.
    attended_by: PacketNumber,
    /// 0 before the source's first tick.
    epoch: Epoch,
    announcement: Announcement,
    state: SurfaceState,
    text: String,
    /// The size that the surface had last.
    size: Option<Size>,
    /// The source's size then, and how it was shown.
    full: Option<Size>,
    fit: Fit,
    live: Option<Live>,
    keeps: Keeps,
    unanswered: Unanswered,
}

impl Surface {
    /// Of a source that nothing is known of yet, on a display.
    pub(super) fn new(id: SurfaceId, watched: ServiceSource, shows: Shows, keeps: Keeps) -> Self {
        Self {
            id,
            watched,
            shows,
            refresh: Refresh::new(shows.refresh_hz, watched.rate_hz),
            halved: 0,
            attention: Attention::InView,
            attended_by: PacketNumber(0),
            epoch: Epoch(0),
            announcement: Announcement::Confirmed,
            state: SurfaceState::Connecting,
            text: String::new(),
            size: None,
            full: None,
            fit: Fit::NATIVE,
            live: None,
            keeps,
            unanswered: Unanswered::default(),
        }
    }

    pub(super) const fn watched(&self) -> &ServiceSource {
        &self.watched
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether `tick` is of its source, as its display shows it.
    pub(super) fn shows(&self, tick: &Tick) -> bool {
        let fit = match tick.state {
            TickState::Live { .. } => self.shows.bounds.fit(tick.full),
            TickState::Dark { .. } => Fit::NATIVE,
        };
        (self.watched.source, fit) == (tick.source, tick.fit)
    }

    /// The size that the source has, or had before it went dark.
    pub(super) const fn full(&self) -> Option<Size> {
        self.full
    }

    /// How the display shows, or showed, that.
    pub(super) const fn fit(&self) -> Fit {
        self.fit
    }

    /// The pixels, while there are any.
    pub(super) const fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    /// The pixels, while there are any.
    pub(super) const fn live_mut(&mut self) -> Option<&mut Live> {
        self.live.as_mut()
    }

    /// The pixels, while there are any and the client's user sees them.
    pub(super) fn shown(&self) -> Option<&Live> {
        self.live.as_ref().filter(|_| self.attention != Attention::Hidden)
    }

    /// The pixels, while there are any and the client's user sees them.
    pub(super) fn shown_mut(&mut self) -> Option<&mut Live> {
        self.live.as_mut().filter(|_| self.attention != Attention::Hidden)
    }

    /// The client says, in packet `number`, how much its user sees. Says whether that is news.
    pub(super) fn attend(&mut self, number: PacketNumber, attention: Attention) -> bool {
        // SPEC [LFP-7.11]: A server MUST follow, for each surface, the ATTENTION of the packet with the largest number.
        if number < self.attended_by {
            return false;
        }
        self.attended_by = number;
        if let Some(live) = self.live.as_mut().filter(|_| attention == Attention::Hidden) {
            live.echoes_mut().on_hidden();
        }
        std::mem::replace(&mut self.attention, attention) != attention
    }

    /// From now on the client is shown half as many pictures, and half of these, `halved` times.
    pub(super) fn ease(&mut self, halved: u32) {
        self.halved = halved;
        self.refresh.ease(self.refresh_hz(), self.watched.rate_hz);
    }

    /// How often the client is shown another picture, at most.
    fn refresh_hz(&self) -> u32 {
        (self.shows.refresh_hz.min(self.watched.rate_hz) >> self.halved).max(1)
    }

    /// What it wants of its source.
    pub(super) fn watch(&self) -> Watch {
        let ServiceSource { source, rate_hz, scan: strategy, .. } = self.watched;
        let bounds = self.shows.bounds;
        let rate_hz = match self.attention {
            Attention::InView => rate_hz.min(self.refresh_hz()),
            Attention::Aside => rate_hz.min(self.refresh_hz()).min(ASIDE_RATE_HZ),
            Attention::Hidden => 0,
        };
        Watch { source, rate_hz, strategy, bounds }
    }

    /// The least time between two passes over what has changed.
    pub(super) fn pace(&self) -> Duration {
        match self.attention {
            Attention::Aside => Duration::from_secs(1) / ASIDE_RATE_HZ,
            Attention::InView | Attention::Hidden => Duration::ZERO,
        }
    }

    /// The pixels of `epoch`, if it is the surface's.
    pub(super) fn live_in(&mut self, epoch: Epoch) -> Option<&mut Live> {
        self.live.as_mut().filter(|_| epoch == self.epoch)
    }

    /// The source's newest tick, as the display shows it.
    pub(super) fn on_tick(&mut self, now: Instant, tick: &Arc<Tick>) {
        if tick.epoch > self.epoch {
            self.refresh.forget();
            self.begin_epoch(now, tick);
        } else if tick.epoch == self.epoch && self.refresh.takes(now, tick) {
            self.take(tick);
        }
        self.answer(tick);
    }

    /// Input events that wait for an answer.
    pub(super) const fn unanswered_mut(&mut self) -> &mut Unanswered {
        &mut self.unanswered
    }

    /// What has changed in `tick` answers the input before it, if somebody sees it.
    fn answer(&mut self, tick: &Tick) {
        let TickState::Live { delta, .. } = &tick.state else { return };
        if tick.epoch != self.epoch || delta.cells.is_empty() {
            return;
        }
        let events = self.unanswered.answered(tick.captured);
        if let Some(live) = self.shown_mut().filter(|_| !events.is_empty()) {
            live.on_answered(tick, &delta.cells, &events);
        }
    }

    /// When [`Surface::on_time`] is to be called for a tick that waits.
    pub(super) fn refresh_at(&self) -> Option<Instant> {
        self.refresh.due()
    }

    /// Whether what moves may be sent so that it is not exact: not where few colours have made of a photograph what is none,
    /// nor where every change is followed by a rest, in which it would be sent again.
    pub(super) fn takes_lossy(&self) -> bool {
        self.fit.depth != Depth::Bits8 && Duration::from_secs(1) / self.shows.refresh_hz.max(1) < REFINE_REST
    }

    /// Takes note of the time.
    pub(super) fn on_time(&mut self, now: Instant, stats: &mut SessionStats) {
        if let Some(tick) = self.refresh.release(now) {
            self.take(&tick);
        }
        if let Some(live) = &mut self.live {
            live.on_time(now, stats);
        }
    }

    fn take(&mut self, tick: &Arc<Tick>) {
        if let (Some(live), TickState::Live { picture, delta }) = (&mut self.live, &tick.state) {
            live.on_tick(tick, picture, delta);
        }
    }

    /// Whether a packet must go out though no pixels are ready.
    pub(super) fn has_news(&self) -> bool {
        self.announcement == Announcement::Due || self.live.as_ref().is_some_and(Live::has_news)
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

    fn begin_epoch(&mut self, now: Instant, tick: &Arc<Tick>) {
        // SPEC [LFP-7.1]: A server MUST start a new epoch whenever the mode or the state of a surface changes, and
        // MUST NOT use an epoch's number again in the session.
        // SPEC [LFP-10.3]: A server MUST NOT send anything more of an epoch after it has started the next.
        self.epoch = tick.epoch;
        self.announcement = Announcement::Due;
        match &tick.state {
            TickState::Live { picture, .. } => {
                self.state = SurfaceState::Live;
                self.text.clear();
                (self.size, self.full, self.fit) = (Some(picture.size), Some(tick.full), tick.fit);
                let offers = self.keeps.picture.then(|| Offers::new(picture.size.grid(), now));
                self.keeps.picture = false;
                self.live = Some(Live::new(self.id, Arc::clone(tick), picture.size, self.keeps, offers));
            }
            TickState::Dark { state, text } => {
                self.state = *state;
                self.text.clone_from(text);
                self.live = None;
            }
        }
    }
}
