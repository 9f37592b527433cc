//! The place of one source in the pipeline: its scanner, its pace, and its newest tick.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Watcher;
use crate::hypervisor::SourceId;
use crate::limits::{REDISCOVER_INTERVAL, SCAN_INLINE_MAX, SCAN_RATE_MAX_HZ, TICKS_UNREAD_MAX};
use crate::pipeline::SourceCounters;
use crate::pixel::Bounds;
use crate::scan::Tick;
use crate::time::Instant;

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
    /// Scans per second; 0 if nobody watches.
    rate_hz: u32,
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
            rate_hz: 0,
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

    /// Sets the pace, and what is watched.
    pub(super) fn demand(&mut self, rate_hz: u32, bounds: &[Bounds], now: Instant) {
        if *self.bounds != *bounds {
            self.bounds = bounds.into();
            // Somebody waits for a picture.
            self.due = self.due.min(now);
        }
        let before = std::mem::replace(&mut self.rate_hz, rate_hz.min(SCAN_RATE_MAX_HZ));
        if self.rate_hz != before {
            let soonest = if before == 0 { now } else { now + self.interval() };
            self.due = self.due.min(soonest);
        }
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

    /// The first time on the source's beat after `ended`, or later if a scan takes so long that the source would
    /// keep a thread more than half of the time.
    fn after(&mut self, ended: Instant, took: Duration) -> Instant {
        let interval = self.interval();
        let late = ended.saturating_since(self.due).as_micros() / interval.as_micros();
        let late = u32::try_from(late).unwrap_or(u32::MAX);
        if self.is_watched() && self.live {
            self.counters.scans_skipped += u64::from(late);
        }
        let beat = self.due + interval.saturating_mul(late.saturating_add(1));
        if took * 2 > interval { beat.max(ended + took) } else { beat }
    }

    fn interval(&self) -> Duration {
        match self.rate_hz {
            rate_hz if rate_hz > 0 && self.live => Duration::from_secs(1) / rate_hz,
            _ => REDISCOVER_INTERVAL,
        }
    }
}

/// Long scans in a row after which a source counts as slow.
const SLOW_SCANS: u32 = 2;
