//! What the pipeline's threads do.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::collections::VecDeque;

use rayon::ThreadPool;

use crate::ablation::Without;
use crate::clock;
use crate::context::Watcher;
use crate::hypervisor::{Source, SourceId, View};
use crate::limits::{SOURCES_MAX, TICKS_UNREAD_MAX};
use crate::logic::{Digested, Encoded, Encoder, EncoderCounters, SessionKey};
use crate::pipeline::lines::{Lines, Request};
use crate::pipeline::slot::{Slot, Task};
use crate::pipeline::{Event, inline};
use crate::pixel::{Bounds, Fit};
use crate::scan::{Mode, ScanCounters, Tick, TickState};
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

/// A pipeline has as many sources as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there are {SOURCES_MAX} sources, which are all that one server scans; end a service first")]
pub struct PipelineFull;

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
    /// How it was looked at last.
    pub mode: Mode,
    /// What the scanner found, and how much it read for that.
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
    /// Ascends whenever a source shows something else than before.
    seen: AtomicU64,
    without: Without,
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
    scanner: Watcher,
    task: Task,
    bounds: Arc<[Bounds]>,
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
            seen: AtomicU64::new(0),
            without,
            wake,
        }
    }

    /// Has `source` looked at soon, and scanned when there is a demand.
    pub(super) fn add(&self, id: SourceId, source: Box<dyn Source>) -> Result<(), PipelineFull> {
        let slot = Slot::new(Watcher::new(id, source).without(self.without), clock::now());
        let mut state = self.lock();
        assert!(state.slots.iter().all(|slot| slot.id != id), "source {} is there already", id.0);
        if state.slots.len() >= SOURCES_MAX {
            return Err(PipelineFull);
        }
        state.slots.push(slot);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Forgets a source, and whatever of it was not fetched.
    pub(super) fn remove(&self, source: SourceId) {
        let mut state = self.lock();
        let Some(at) = state.slots.iter().position(|slot| slot.id == source) else { return };
        let slot = state.slots.remove(at);
        let is_its = |event: &Event| matches!(event, Event::Tick(tick) if tick.source == source);
        let (its, others): (VecDeque<_>, _) = std::mem::take(&mut state.events).into_iter().partition(is_its);
        state.events = others;
        drop(state);
        // Unmapping and thousands of tiles take their time: the caller does not wait for that.
        self.scans.spawn_fifo(move || let_go(source, (slot, its)));
    }

    /// What each source showed when it was looked at last; `None`: it has not been yet.
    pub(super) fn views(&self) -> Vec<(SourceId, Option<View>)> {
        self.lock().slots.iter().map(|slot| (slot.id, slot.seen.clone())).collect()
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
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

    pub(super) fn demand(&self, demand: &Demand) {
        let now = clock::now();
        let mut state = self.lock();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == demand.source) {
            slot.demand(demand, now);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn poll(&self) -> Option<Event> {
        let mut state = self.lock();
        let event = state.events.pop_front()?;
        if let Event::Tick(tick) = &event {
            let slot = state.slots.iter_mut().find(|slot| slot.id == tick.source);
            // What was made of a tick lies before it.
            if let Some(slot) = slot.filter(|_| tick.fit.is_native()) {
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
                    let Some(scan) = state.begin(slot, now) else { continue };
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
        let (began, id) = (clock::now(), scan.scanner.id());
        let scanned = panic::catch_unwind(AssertUnwindSafe(|| {
            let scanner = &mut scan.scanner;
            let tick = match scan.task {
                Task::Scan => scanner.tick(began),
                Task::Look => scanner.look(began),
                Task::Peek => {
                    let tick = scanner.look(began);
                    scanner.release();
                    tick
                }
            };
            (tick, scanner.fit(&scan.bounds))
        }));
        let panicked = scanned.is_err();
        let (scanner, tick, fitted) = match scanned {
            Ok((tick, fitted)) => (Some(scan.scanner), tick, fitted),
            Err(_) => (None, retire(scan.scanner, began), Vec::new()),
        };
        let ended = clock::now();
        let mut state = self.lock();
        state.counters.panics += u64::from(panicked);
        let State { slots, events, .. } = &mut *state;
        let Some(slot) = slots.iter_mut().find(|slot| slot.id == id) else {
            // It was removed meanwhile: nobody is to hear of it any more.
            drop(state);
            return let_go(id, scanner);
        };
        let is_news = match (&scanner, &tick) {
            (Some(scanner), _) => slot.see(scanner.seen()),
            (None, Some(tick)) => slot.see(dark(tick).as_ref()),
            (None, None) => false,
        };
        let known = std::mem::replace(&mut slot.fitted, fitted.clone());
        let fresh = fitted.into_iter().filter(|tick| !known.iter().any(|known| Arc::ptr_eq(known, tick)));
        let before = events.len();
        events.extend(fresh.chain(tick.clone()).map(Event::Tick));
        let published = events.len() > before;
        let past = (slot.settle(scanner, tick, began, ended), known);
        drop(state);
        // Thousands of tiles may go with it; nobody need wait for that.
        drop(past);
        if is_news {
            self.seen.fetch_add(1, Ordering::Release);
        }
        if published || is_news {
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
        let tick = match &request {
            Request::Encode(request) => state.newest(request.source, request.profile.fit),
            Request::Digest(request) => state.newest(request.source, request.fit),
        };
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

    fn begin(&mut self, slot: usize, now: Instant) -> Option<Scan> {
        // Where nobody else waits for the thread that keeps the time, no other need be woken.
        let crowded = self.slots.iter().filter(|slot| slot.is_watched()).count() > 1;
        let source = &mut self.slots[slot];
        let (slow, bounds) = (crowded && source.is_slow(), Arc::clone(&source.bounds));
        let (scanner, task) = source.begin(now)?;
        Some(Scan { scanner, task, bounds, slow })
    }

    fn newest(&self, source: SourceId, fit: Fit) -> Option<Arc<Tick>> {
        let slot = self.slots.iter().find(|slot| slot.id == source)?;
        slot.newest.iter().chain(&slot.fitted).find(|tick| tick.fit == fit).cloned()
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

/// Drops what is left of `source`.
fn let_go<T>(source: SourceId, remains: T) {
    if panic::catch_unwind(AssertUnwindSafe(|| drop(remains))).is_err() {
        tracing::error!(source = source.0, "a source failed when it was let go of; please report this");
    }
}

/// What a tick says that has no pixels.
fn dark(tick: &Tick) -> Option<View> {
    match &tick.state {
        TickState::Dark { state, text } => Some(View::Dark { state: *state, text: text.clone() }),
        TickState::Live { .. } => None,
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
