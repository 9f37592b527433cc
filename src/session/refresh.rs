//! How often a client takes a newer picture: no more often than its display shows one.
//!
//! What is repaired or refined is not bound to that, nor is a new epoch. Ticks that come too early wait, the newest in place
//! of those before, so that a cell which changes all the time is sent as often as it can be seen, and whole pictures
//! belong together.

use std::sync::Arc;
use std::time::Duration;

use crate::scan::Tick;
use crate::time::Instant;

/// Part of the interval by which a tick may come early, one in so many: scans are not exactly on time.
const EARLY_ONE_IN: u32 = 4;

/// The bound of one surface.
#[derive(Debug)]
pub(super) struct Refresh {
    /// Between two ticks; `None` where the source is not scanned faster than that.
    interval: Option<Duration>,
    /// When the next tick may be taken, but for what it may be early.
    next_at: Instant,
    /// The newest tick that came too early.
    held: Option<Arc<Tick>>,
}

impl Refresh {
    /// Of a display of `refresh_hz` on a source that is scanned at `rate_hz` at most.
    pub(super) fn new(refresh_hz: u32, rate_hz: u32) -> Self {
        let mut refresh = Self { interval: None, next_at: Instant::ZERO, held: None };
        refresh.ease(refresh_hz, rate_hz);
        refresh
    }

    /// Of `refresh_hz` from now on. What waits comes when it would have come.
    pub(super) fn ease(&mut self, refresh_hz: u32, rate_hz: u32) {
        self.interval = (refresh_hz < rate_hz).then(|| Duration::from_secs(1) / refresh_hz.max(1));
    }

    // SPEC [LFP-7.10]: A server MUST NOT take new pixels of a cell from its source, but for repair and to make exact what is
    // lossy, more often than the display's refresh says, taken over a second or more and but for two.
    /// Whether `tick`, of the epoch under way, is to be taken at `now`. If not, it waits.
    pub(super) fn takes(&mut self, now: Instant, tick: &Arc<Tick>) -> bool {
        let Some(interval) = self.interval else {
            self.held = None;
            return true;
        };
        if now + interval / EARLY_ONE_IN < self.next_at {
            self.held = Some(Arc::clone(tick));
            return false;
        }
        self.held = None;
        self.next_at = self.next_at.max(now) + interval;
        true
    }

    /// When [`Refresh::release`] has something.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|_| self.next_at)
    }

    /// The tick that has waited for long enough at `now`.
    pub(super) fn release(&mut self, now: Instant) -> Option<Arc<Tick>> {
        self.due().filter(|due| *due <= now)?;
        let tick = self.held.take()?;
        self.takes(now, &tick).then_some(tick)
    }

    /// Nothing waits any more: an epoch begins.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::SourceId;
    use crate::pixel::Fit;
    use crate::scan::{Contexts, TickState};
    use crate::units::Epoch;
    use lfp_proto::frame::SurfaceState;

    fn tick(number: u64) -> Arc<Tick> {
        Arc::new(Tick {
            source: SourceId(0),
            fit: Fit::NATIVE,
            full: crate::geometry::Size::default(),
            number,
            captured: Instant::ZERO,
            epoch: Epoch(1),
            state: TickState::Dark { state: SurfaceState::Gone, text: String::new() },
            contexts: Contexts::unknown(),
        })
    }

    /// Ticks at `rate_hz`, each up to a fifth of the interval late; how many are taken in 10 s, and the last of them.
    fn taken(refresh_hz: u32, rate_hz: u32) -> (u64, u64) {
        let mut refresh = Refresh::new(refresh_hz, rate_hz);
        let (mut count, mut last) = (0, 0);
        let interval = 1_000_000 / u64::from(rate_hz);
        for number in 1..=u64::from(rate_hz) * 10 {
            let at = number * interval + number * 7_919 % (interval / 5);
            if let Some(tick) =
                refresh.due().filter(|due| due.as_micros() <= at).and_then(|due| refresh.release(due))
            {
                (count, last) = (count + 1, tick.number);
            }
            if refresh.takes(Instant::from_micros(at), &tick(number)) {
                (count, last) = (count + 1, number);
            }
        }
        if let Some(tick) = refresh.due().and_then(|due| refresh.release(due)) {
            (count, last) = (count + 1, tick.number);
        }
        (count, last)
    }

    #[test]
    fn no_more_ticks_are_taken_than_the_display_shows_and_the_last_always_is() {
        for (refresh_hz, rate_hz) in [(10, 60), (25, 60), (59, 60), (1, 60), (24, 144)] {
            let (count, last) = taken(refresh_hz, rate_hz);
            assert_eq!(last, u64::from(rate_hz) * 10, "{refresh_hz} of {rate_hz}");
            let most = u64::from(refresh_hz) * 10 + 2;
            assert!((most * 9 / 10 - 1..=most).contains(&count), "{count} at {refresh_hz} of {rate_hz}");
        }
        assert_eq!(taken(60, 60), (600, 600));
        assert_eq!(taken(144, 60), (600, 600));
    }
}
