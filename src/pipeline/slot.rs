//! The place of one source in the pipeline: its scanner, its pace, and its newest tick.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Watcher;
use crate::heat::Hint;
use crate::hypervisor::{SourceId, View};
use crate::limits::{
    HINTS_MAX, PROBE_RATE_MIN_HZ, REDISCOVER_INTERVAL, RELEASE_AFTER, RELEASED_INTERVAL, SCAN_INLINE_MAX,
    SCAN_RATE_MAX_HZ, TICKS_UNREAD_MAX,
};
use crate::pipeline::SourceCounters;
use crate::pixel::Bounds;
use crate::scan::{Mode, Strategy, Tick};
use crate::server::Demand;
use crate::time::Instant;

/// What is to be done with a source whose time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Task {
    /// Scan it.
    Scan,
    /// See what state it is in.
    Look,
    /// The same, and let go of its memory again.
    Peek,
}

/// One source.
pub(super) struct Slot {
    pub(super) id: SourceId,
    /// `None` while a scan is under way, and for good after one has panicked.
    pub(super) scanner: Option<Watcher>,
    pub(super) newest: Option<Arc<Tick>>,
    /// The newest for each fit that is watched and not the source's own.
    pub(super) fitted: Vec<Arc<Tick>>,
    /// What displays can show that show it otherwise than it is.
    pub(super) bounds: Arc<[Bounds]>,
    /// Ticks that nobody has fetched yet.
    pub(super) unread: usize,
    /// What the source showed when it was looked at last.
    pub(super) seen: Option<View>,
    /// Scans per second; 0 if nobody watches.
    rate_hz: u32,
    strategy: Strategy,
    /// Places of input that the scanner has not been told of, with the times at which they came.
    hints: Vec<(Hint, Instant)>,
    /// Since when nobody has watched.
    unwatched_since: Instant,
    /// When the next scan is to begin.
    due: Instant,
    live: bool,
    /// Scans in a row, up to now, that took long.
    slow_scans: u32,
    pub(super) counters: SourceCounters,
}

impl Slot {
    pub(super) fn new(scanner: Watcher, now: Instant) -> Self {
        Self {
            id: scanner.id(),
            scanner: Some(scanner),
            newest: None,
            fitted: Vec::new(),
            bounds: Arc::new([]),
            unread: 0,
            seen: None,
            rate_hz: 0,
            strategy: Strategy::default(),
            hints: Vec::with_capacity(HINTS_MAX),
            unwatched_since: now,
            due: now,
            live: false,
            slow_scans: 0,
            counters: SourceCounters::default(),
        }
    }

    /// Whether anybody wants its pixels.
    pub(super) const fn is_watched(&self) -> bool {
        self.rate_hz > 0
    }

    /// Whether its scans are better done elsewhere than by the thread that keeps the time. One that took long says
    /// little: the thread may have been kept from running.
    pub(super) const fn is_slow(&self) -> bool {
        self.slow_scans >= SLOW_SCANS
    }

    /// Sets the pace, the strategy and what is watched, and takes in where input came.
    pub(super) fn demand(&mut self, demand: &Demand, now: Instant) {
        if *self.bounds != *demand.bounds {
            self.bounds = demand.bounds.as_slice().into();
            // Somebody waits for a picture.
            self.due = self.due.min(now);
        }
        let before = std::mem::replace(&mut self.rate_hz, demand.rate_hz.min(SCAN_RATE_MAX_HZ));
        self.strategy = demand.strategy;
        for hint in &demand.hints {
            if self.hints.len() == HINTS_MAX {
                self.hints.remove(0);
            }
            self.hints.push((*hint, now));
        }
        if self.rate_hz == before {
            return;
        }
        if self.rate_hz == 0 {
            self.unwatched_since = now;
        }
        let soonest = if before == 0 { now } else { now + self.interval(now) };
        self.due = self.due.min(soonest);
    }

    /// Takes the scanner for a scan that begins at `now`, told all that it has to know.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(Watcher, Task)> {
        let mut scanner = self.scanner.take()?;
        for (hint, at) in self.hints.drain(..) {
            scanner.warm(hint, at);
        }
        // Where a scan comes seldom, a sweep costs little, and a row that is probed late comes very late.
        let is_slow = self.rate_hz < PROBE_RATE_MIN_HZ && self.strategy == Strategy::Auto;
        scanner.follow(if is_slow { Strategy::Sweep } else { self.strategy });
        let task = match self.is_watched() {
            true => Task::Scan,
            false if self.is_released(now) => Task::Peek,
            false => Task::Look,
        };
        Some((scanner, task))
    }

    /// Whether nobody has watched for so long that the source's memory is let go of.
    fn is_released(&self, now: Instant) -> bool {
        !self.is_watched() && now.saturating_since(self.unwatched_since) >= RELEASE_AFTER
    }

    /// When the next scan can begin; `None` while one is under way or its ticks lie unread.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.scanner.is_some() && self.unread < TICKS_UNREAD_MAX).then_some(self.due)
    }

    /// Takes the scanner back, with what a scan that began at `began` and ended at `ended` has found.
    /// Returns the tick that is no longer the newest.
    pub(super) fn settle(
        &mut self,
        scanner: Option<Watcher>,
        tick: Option<Arc<Tick>>,
        began: Instant,
        ended: Instant,
    ) -> Option<Arc<Tick>> {
        if let Some(scanner) = &scanner {
            self.live = scanner.is_live();
            self.counters.scan = scanner.counters();
            self.note_mode(scanner.mode());
        }
        self.scanner = scanner;
        let took = ended.saturating_since(began);
        self.counters.took(took);
        self.slow_scans = if took > SCAN_INLINE_MAX { self.slow_scans.saturating_add(1) } else { 0 };
        self.due = self.after(ended, took);
        let tick = tick?;
        self.unread += 1;
        self.newest.replace(tick)
    }

    /// Takes over what `view` says of the source; says whether that is news.
    pub(super) fn see(&mut self, view: Option<&View>) -> bool {
        let is_news = view.is_some() && self.seen.as_ref() != view;
        if is_news {
            self.seen = view.cloned();
        }
        is_news
    }

    fn note_mode(&mut self, mode: Mode) {
        let before = std::mem::replace(&mut self.counters.mode, mode);
        if mode != before {
            let bytes = self.counters.scan.bytes_last;
            tracing::debug!(source = self.id.0, mode = mode.name(), before = before.name(), bytes, "mode");
        }
    }

    /// The first time on the source's beat after `ended`, or later if a scan takes so long that the source would
    /// keep a thread more than half of the time.
    fn after(&mut self, ended: Instant, took: Duration) -> Instant {
        let interval = self.interval(ended);
        let late = ended.saturating_since(self.due).as_micros() / interval.as_micros();
        let late = u32::try_from(late).unwrap_or(u32::MAX);
        if self.is_watched() && self.live {
            self.counters.scans_skipped += u64::from(late);
        }
        let beat = self.due + interval.saturating_mul(late.saturating_add(1));
        if took * 2 > interval { beat.max(ended + took) } else { beat }
    }

    fn interval(&self, now: Instant) -> Duration {
        match self.rate_hz {
            rate_hz if rate_hz > 0 && self.live => Duration::from_secs(1) / rate_hz,
            _ if self.is_released(now) => RELEASED_INTERVAL,
            _ => REDISCOVER_INTERVAL,
        }
    }
}

/// Long scans in a row after which a source counts as slow.
const SLOW_SCANS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::Source;
    use crate::pixel::PixelFormat;
    use crate::scan::fake::fake;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    /// Does what is to be done at `now`, as the pipeline does; says what it was.
    fn turn(slot: &mut Slot, now: Instant) -> Task {
        let (mut scanner, task) = slot.begin(now).unwrap();
        let tick = match task {
            Task::Scan => scanner.tick(now),
            Task::Look | Task::Peek => scanner.look(now),
        };
        if task == Task::Peek {
            scanner.release();
        }
        slot.settle(Some(scanner), tick, now, now);
        slot.unread = 0;
        task
    }

    #[test]
    fn a_source_is_scanned_paused_released_and_scanned_again_as_sessions_come_and_go() {
        let (screen, source) = fake(640, 480, PixelFormat::Xrgb8888);
        let mut slot = Slot::new(Watcher::new(SourceId(0), source as Box<dyn Source>), at(0));
        let watch = |rate_hz| Demand { rate_hz, ..Demand::none(SourceId(0)) };
        assert_eq!((turn(&mut slot, at(0)), slot.counters.mode), (Task::Look, Mode::Paused));
        slot.demand(&watch(60), at(10));
        assert_eq!(slot.next(), Some(at(10)), "whoever comes waits for nothing");
        assert_eq!((turn(&mut slot, at(10)), slot.counters.mode), (Task::Scan, Mode::Sweep));
        turn(&mut slot, at(2_100));
        assert_eq!(slot.counters.mode, Mode::Probe, "nothing happens");
        slot.demand(&watch(PROBE_RATE_MIN_HZ - 1), at(2_101));
        turn(&mut slot, at(2_200));
        assert_eq!(slot.counters.mode, Mode::Sweep, "at this rate a probe may come late");
        slot.demand(&watch(0), at(2_300));
        let released = 2_300 + RELEASE_AFTER.as_millis() as u64;
        assert_eq!((turn(&mut slot, at(released - 1)), slot.counters.mode), (Task::Look, Mode::Paused));
        assert_eq!((turn(&mut slot, at(released)), slot.counters.mode), (Task::Peek, Mode::Released));
        let next = slot.next().expect("its state is followed");
        assert!(
            next > at(released) && next <= at(released) + RELEASED_INTERVAL + REDISCOVER_INTERVAL,
            "{next:?}"
        );
        assert_eq!(screen.lock().unwrap().releases, 1);
        slot.demand(&watch(60), at(released + 5));
        assert_eq!((slot.next(), turn(&mut slot, at(released + 5))), (Some(at(released + 5)), Task::Scan));
        assert_eq!(slot.counters.mode, Mode::Sweep);
    }

    #[test]
    fn where_input_came_is_told_to_the_scanner_and_swept() {
        let (_, source) = fake(640, 480, PixelFormat::Xrgb8888);
        let mut slot = Slot::new(Watcher::new(SourceId(0), source as Box<dyn Source>), at(0));
        let mut demand = Demand { rate_hz: 60, ..Demand::none(SourceId(0)) };
        slot.demand(&demand, at(0));
        turn(&mut slot, at(0));
        turn(&mut slot, at(5_000));
        assert_eq!(slot.counters.mode, Mode::Probe);
        demand.hints = (0..40).map(|x| Hint::At { x: x * 16, y: 100 }).collect();
        slot.demand(&demand, at(5_001));
        assert_eq!(slot.hints.len(), HINTS_MAX, "the newest");
        turn(&mut slot, at(5_017));
        assert_eq!((slot.counters.mode, slot.hints.len()), (Mode::Sweep, 0));
        turn(&mut slot, at(60_000));
        assert_eq!(slot.counters.mode, Mode::Probe, "hints grow cold");
    }
}
