//! What the pipeline's threads do.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::collections::VecDeque;

use rayon::ThreadPool;

use crate::ablation::Without;
use crate::clock;
use crate::context::Watcher;
use crate::hypervisor::{Source, SourceId};
use crate::limits::TICKS_UNREAD_MAX;
use crate::logic::{Digested, Encoded, Encoder, EncoderCounters, SessionKey};
use crate::pipeline::lines::{Lines, Request};
use crate::pipeline::slot::Slot;
use crate::pipeline::{Event, inline};
use crate::scan::{ScanCounters, Tick};
use crate::server::Demand;
use crate::time::{Instant, micros};
use lfp_proto::frame::SurfaceState;

/// What a pipeline has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PipelineCounters {
    /// Encode requests answered by workers.
    pub encodes: u64,
    /// Workers' time for them, in microseconds.
    pub encode_us: u64,
    /// Longest time that one took, in microseconds.
    pub encode_us_max: u64,
    /// Digest requests answered by workers.
    pub digests: u64,
    /// Workers' time for them, in microseconds.
    pub digest_us: u64,
    /// Faults of ours that were caught in a scan or a worker.
    pub panics: u64,
    /// What the encoder did.
    pub encoder: EncoderCounters,
}

/// What was done for one source so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceCounters {
    /// Looks and sweeps.
    pub scans: u64,
    /// Time for them, in microseconds.
    pub scan_us: u64,
    /// Time for the last one, in microseconds.
    pub scan_us_last: u64,
    /// Longest time that one took, in microseconds.
    pub scan_us_max: u64,
    /// Scans that were due and left out, because an earlier one took too long or its tick lay unread.
    pub scans_skipped: u64,
    /// What the scanner found.
    pub scan: ScanCounters,
}

impl SourceCounters {
    pub(super) fn took(&mut self, time: Duration) {
        self.scans += 1;
        self.scan_us_last = micros(time);
        self.scan_us += self.scan_us_last;
        self.scan_us_max = self.scan_us_max.max(self.scan_us_last);
    }
}

/// What the handle, the thread that keeps the time, and the workers share.
pub(super) struct Pipeline {
    state: Mutex<State>,
    /// Something changed that decides when the next scan begins.
    changed: Condvar,
    encoder: Encoder,
    pool: ThreadPool,
    /// What scans that take long run on: no encode waits behind one, and none behind an encode.
    scans: ThreadPool,
    /// Somebody waits whose turn it is: a worker should soon be done. Set and cleared under the lock of `state`.
    pressed: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct State {
    slots: Vec<Slot>,
    lines: Lines,
    /// Bounded by [`TICKS_UNREAD_MAX`] for each source and the requests of each session.
    events: VecDeque<Event>,
    counters: PipelineCounters,
    stopping: bool,
}

/// A scan that is due.
struct Scan {
    slot: usize,
    scanner: Watcher,
    watched: bool,
    slow: bool,
}

impl Pipeline {
    pub(super) fn new(
        sources: Vec<(SourceId, Box<dyn Source>)>,
        without: Without,
        [pool, scans]: [ThreadPool; 2],
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let now = clock::now();
        let slot = |(id, source)| Slot::new(Watcher::new(id, source).without(without), now);
        let state = State {
            slots: sources.into_iter().map(slot).collect(),
            lines: Lines::default(),
            events: VecDeque::new(),
            counters: PipelineCounters::default(),
            stopping: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            encoder: Encoder::default(),
            pool,
            scans,
            pressed: AtomicBool::new(false),
            wake,
        }
    }

    pub(super) fn waiting(&self, session: SessionKey) -> usize {
        self.lock().lines.waiting(session)
    }

    /// Puts `request` in its session's line, and has a worker serve whoever is then first.
    pub(super) fn ask(self: &Arc<Self>, request: Request) {
        let workers = self.pool.current_num_threads();
        let mut state = self.lock();
        if state.lines.push(request, workers) {
            self.pressed.store(true, Ordering::Relaxed);
        }
        drop(state);
        let pipeline = Arc::clone(self);
        self.pool.spawn_fifo(move || pipeline.serve());
    }

    /// Lays `event` out for the network thread.
    pub(super) fn answer(&self, event: Event) {
        self.lock().events.push_back(event);
        (self.wake)();
    }

    pub(super) fn demand(&self, demand: Demand) {
        let now = clock::now();
        let mut state = self.lock();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == demand.source) {
            slot.demand(demand.rate_hz, now);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn poll(&self) -> Option<Event> {
        let mut state = self.lock();
        let event = state.events.pop_front()?;
        if let Event::Tick(tick) = &event {
            let slot = state.slots.iter_mut().find(|slot| slot.id == tick.source);
            if let Some(slot) = slot {
                slot.unread -= 1;
                if slot.unread + 1 == TICKS_UNREAD_MAX {
                    self.changed.notify_one();
                }
            }
        }
        Some(event)
    }

    pub(super) fn counters(&self) -> PipelineCounters {
        PipelineCounters { encoder: self.encoder.counters(), ..self.lock().counters }
    }

    pub(super) fn source_counters(&self) -> Vec<(SourceId, SourceCounters)> {
        self.lock().slots.iter().map(|slot| (slot.id, slot.counters)).collect()
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// The pipeline thread: begins each scan when it is due.
    pub(super) fn keep_time(self: Arc<Self>) {
        let mut state = self.lock();
        while !state.stopping {
            let now = clock::now();
            let next = state.next();
            match next {
                Some((slot, due)) if due <= now => {
                    let Some(scan) = state.begin(slot) else { continue };
                    drop(state);
                    if scan.slow {
                        let pipeline = Arc::clone(&self);
                        self.scans.spawn_fifo(move || pipeline.scan(scan));
                    } else {
                        self.scan(scan);
                    }
                    state = self.lock();
                }
                Some((_, due)) => {
                    let wait = due.saturating_since(now);
                    let woken = self.changed.wait_timeout(state, wait);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Scans, and publishes what was found. A scanner that panics is not used again, and its source faulty.
    fn scan(&self, mut scan: Scan) {
        let began = clock::now();
        let scanned = panic::catch_unwind(AssertUnwindSafe(|| {
            let scanner = &mut scan.scanner;
            if scan.watched { scanner.tick(began) } else { scanner.look(began) }
        }));
        let panicked = scanned.is_err();
        let (scanner, tick) = match scanned {
            Ok(tick) => (Some(scan.scanner), tick),
            Err(_) => (None, retire(scan.scanner, began)),
        };
        let ended = clock::now();
        let mut state = self.lock();
        state.counters.panics += u64::from(panicked);
        if let Some(tick) = &tick {
            state.events.push_back(Event::Tick(Arc::clone(tick)));
        }
        let published = tick.is_some();
        let past = state.slots[scan.slot].settle(scanner, tick, began, ended);
        drop(state);
        // Thousands of tiles may go with it; nobody need wait for that.
        drop(past);
        if published {
            (self.wake)();
        }
        if scan.slow {
            self.changed.notify_one();
        }
    }

    /// A worker: answers the request whose turn it is.
    fn serve(&self) {
        let mut state = self.lock();
        if state.stopping {
            return;
        }
        let Some(request) = state.lines.pop() else { return };
        self.pressed.store(false, Ordering::Relaxed);
        let tick = state.newest(match &request {
            Request::Encode(request) => request.source,
            Request::Digest(request) => request.source,
        });
        drop(state);
        let began = clock::now();
        let answer = panic::catch_unwind(AssertUnwindSafe(|| self.work(&request, tick.as_deref())));
        drop(tick);
        let took = clock::now().saturating_since(began);
        let panicked = answer.is_err();
        let event = answer.unwrap_or_else(|_| {
            tracing::error!(session = request.session().0, "a worker failed; please report this");
            match &request {
                Request::Encode(request) => Event::Encoded(Encoded::nothing(request)),
                Request::Digest(request) => Event::Digested(Digested::nothing(request)),
            }
        });
        let mut state = self.lock();
        state.lines.charge(request.session(), took);
        state.counters.panics += u64::from(panicked);
        state.counters.served(&request, micros(took));
        state.events.push_back(event);
        drop(state);
        (self.wake)();
    }

    fn work(&self, request: &Request, tick: Option<&Tick>) -> Event {
        match request {
            Request::Encode(request) => {
                let pressed = || self.pressed.load(Ordering::Relaxed);
                Event::Encoded(inline::encode(&self.encoder, request, tick, &pressed))
            }
            Request::Digest(request) => Event::Digested(inline::digest(&self.encoder, request, tick)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What can panic runs without the lock; where an assertion of ours fails under it, going on is better
        // than taking every session down.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The source whose scan is due first, and when.
    fn next(&self) -> Option<(usize, Instant)> {
        let next = self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.next()?)));
        next.min_by_key(|(_, due)| *due)
    }

    fn begin(&mut self, slot: usize) -> Option<Scan> {
        // Where nobody else waits for the thread that keeps the time, no other need be woken.
        let crowded = self.slots.iter().filter(|slot| slot.is_watched()).count() > 1;
        let source = &mut self.slots[slot];
        let scanner = source.scanner.take()?;
        Some(Scan { slot, scanner, watched: source.is_watched(), slow: crowded && source.is_slow() })
    }

    fn newest(&self, source: SourceId) -> Option<Arc<Tick>> {
        self.slots.iter().find(|slot| slot.id == source)?.newest.clone()
    }
}

impl PipelineCounters {
    fn served(&mut self, request: &Request, took_us: u64) {
        match request {
            Request::Encode(_) => {
                self.encodes += 1;
                self.encode_us += took_us;
                self.encode_us_max = self.encode_us_max.max(took_us);
            }
            Request::Digest(_) => {
                self.digests += 1;
                self.digest_us += took_us;
            }
        }
    }
}

/// The last tick of a scanner that has panicked.
fn retire(mut scanner: Watcher, now: Instant) -> Option<Arc<Tick>> {
    let source = scanner.id();
    tracing::error!(source = source.0, "the source failed and is given up; please report this");
    let text = "reading this source failed inside the server; restart the server and report this".to_owned();
    let tick = scanner.darken(now, SurfaceState::Faulty, text);
    // What has panicked once may do so again when it is taken apart.
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(scanner)));
    tick
}
