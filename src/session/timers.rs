//! When a session must be looked after though nothing comes.

use crate::limits::{INPUT_SILENCE, KEEP_ALIVE};
use crate::session::Session;
use crate::session::surface::Surface;
use crate::time::Instant;

/// The timers of a session.
///
/// | timer | interval | set | cleared | when it fires |
/// | --- | --- | --- | --- | --- |
/// | ack | at most 5 ms | a packet came that asks for an ack | an ack is sent | an ack is sent |
/// | window | see `SendWindow` | something is in flight | nothing is | packets count as lost, or a probe is sent |
/// | pace | a packet at the rate | something is encoded (and fills a packet, or has waited 1 ms for more) and the window is open | it is sent | it is sent |
/// | stream | a share of the rate | bytes of streams wait that the client takes, and the window is open | they are sent | they are sent |
/// | repeat | 5 ms, doubling | a small update was sent, and losses were seen lately | it is known to have come, or was said often enough | it is said again |
/// | retry | 10 ms, 200 ms | an encoder had nothing; a pass began over a surface that is aside | a tick comes, or it is asked again | it is asked again |
/// | refresh | one of the display | a tick came sooner | an epoch begins | the tick is taken |
/// | keep-alive | 5 s | anything is sent | | PING is sent |
/// | silence | 3 s | something is held; anything comes | nothing is held | everything held is released |
/// | idle | as configured; 10 s for a client that has not shown the keys of a sealed session | anything comes | | the session is closed |
/// | close | 20 to 200 ms | the session is closing | CLOSE was sent often enough | CLOSE is sent again |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    Ack,
    Window,
    Pace,
    Stream,
    Repeat,
    Retry,
    Refresh,
    KeepAlive,
    Silence,
    Idle,
    Close,
}

impl Timer {
    /// Every timer of a session that is open; and then that of one that is closing.
    const OPEN: [Self; 10] = [
        Self::Ack,
        Self::Window,
        Self::Pace,
        Self::Stream,
        Self::Repeat,
        Self::Retry,
        Self::Refresh,
        Self::KeepAlive,
        Self::Silence,
        Self::Idle,
    ];
}

impl Session {
    /// When [`Session::poll`] must be called though nothing comes; `None` only once the session is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.closing.is_some() {
            return self.timer_at(Timer::Close);
        }
        Timer::OPEN.into_iter().filter_map(|timer| self.timer_at(timer)).min()
    }

    /// When `timer` fires, if it is set.
    pub(super) fn timer_at(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::Ack => self.receive.ack_due(),
            Timer::Window => self.window.deadline(),
            Timer::Pace => {
                // What covers the packets sent last waits for nothing else.
                let parity = self.parity_waits().then_some(Instant::ZERO);
                let ready =
                    self.packet_at().into_iter().chain(parity).min().filter(|_| self.window_is_open());
                ready.map(|at| at.max(self.pacer.next_send()))
            }
            Timer::Stream => self.stream_at(),
            Timer::Repeat => {
                let due = self.repeat_at().filter(|_| self.window_is_open());
                due.map(|at| at.max(self.pacer.next_send()))
            }
            Timer::Retry => self.surfaces.iter().filter_map(|surface| surface.shown()?.retry_at()).min(),
            Timer::Refresh => self.surfaces.iter().filter_map(Surface::refresh_at).min(),
            Timer::KeepAlive => Some(self.spoke_at + KEEP_ALIVE),
            Timer::Silence => self.input.holds().then(|| self.heard_at + INPUT_SILENCE),
            Timer::Idle => Some(self.heard_at + self.guard.patience(self.terms.idle_timeout)),
            Timer::Close => self.closing.as_ref().map(|closing| closing.next_at),
        }
    }

    /// Whether `timer` has fired.
    pub(super) fn is_due(&self, timer: Timer, now: Instant) -> bool {
        self.timer_at(timer).is_some_and(|at| at <= now)
    }
}
