//! What the control thread and the pipeline thread share of one guest: findings one way, actions the other. Each
//! lock is held for a few moves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::EventFd;

use super::input::ActionQueue;
use super::story::Story;
use super::vram::Vram;
use crate::hypervisor::accepted::Reports;
use crate::hypervisor::ivshmem::Bar;
use crate::hypervisor::{Action, Surface, View};
use crate::limits::MODE_POLL_IDLE;
use crate::time::Instant;

/// What was found out about a guest's screen.
#[derive(Clone, Debug)]
pub(in crate::hypervisor) enum Found {
    /// A mode of this memory.
    Live(Arc<Vram>, Surface),
    /// A mode of this memory, which another machine shares with this one.
    Bar(Arc<Bar>, Surface),
    /// A view that is dark.
    Dark(View),
}

impl Found {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Live(vram, surface), Self::Live(other, mode)) => {
                Arc::ptr_eq(vram, other) && surface == mode
            }
            (Self::Bar(bar, surface), Self::Bar(other, mode)) => Arc::ptr_eq(bar, other) && surface == mode,
            (Self::Dark(view), Self::Dark(other)) => view == other,
            _ => false,
        }
    }
}

/// How a guest's input fares. Counts of [`Action`]s since its source was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InputCounters {
    /// That wait to be done.
    pub pending: u64,
    /// That QEMU has taken.
    pub accepted: u64,
    /// That were not given to the guest: too old, too many, or it has no device for them.
    pub dropped: u64,
}

/// The meeting point.
#[derive(Debug)]
pub(in crate::hypervisor) struct Slot {
    found: Mutex<Found>,
    /// Ascends whenever `found` changes.
    generation: AtomicU64,
    /// When the pipeline last asked, in microseconds.
    viewed_at: AtomicU64,
    /// The memory cannot be read any more: it has to be found again.
    is_lost: AtomicBool,
    /// Nobody watches any more.
    is_closed: AtomicBool,
    actions: Mutex<ActionQueue>,
    accepted: AtomicU64,
    dropped: AtomicU64,
    /// What a follower is told beside what was found.
    story: Story,
    waker: Arc<EventFd>,
    reports: Arc<Reports>,
}

impl Slot {
    pub(in crate::hypervisor) fn new(first: View, waker: Arc<EventFd>, reports: Arc<Reports>) -> Self {
        Self {
            found: Mutex::new(Found::Dark(first)),
            generation: AtomicU64::new(1),
            viewed_at: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            actions: Mutex::new(ActionQueue::default()),
            accepted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            story: Story::default(),
            waker,
            reports,
        }
    }

    /// Any thread: the control thread has something to do.
    pub(super) fn wake(&self) {
        // It fails only when the counter is full, and then the thread is woken anyway.
        let _ = self.waker.write(1);
    }

    /// Control: publishes what was found, if it is new; says whether it was.
    pub(in crate::hypervisor) fn publish(&self, found: Found) -> bool {
        let mut current = lock(&self.found);
        let is_new = !current.is_same(&found);
        if is_new {
            *current = found;
            self.generation.fetch_add(1, Ordering::Release);
            self.tell_follower();
        }
        is_new
    }

    /// What a follower is told beside what was found.
    pub(super) const fn story(&self) -> &Story {
        &self.story
    }

    /// Control: there is news for whoever follows.
    pub(super) fn tell_follower(&self) {
        if self.story.is_followed() {
            self.reports.wake();
        }
    }

    /// Control: whether the last thing published was a picture.
    pub(super) fn is_live(&self) -> bool {
        matches!(*lock(&self.found), Found::Live(..) | Found::Bar(..))
    }

    /// Pipeline: what was found, if it has changed since generation `seen`, which is brought up to date.
    pub(super) fn news(&self, seen: &mut u64) -> Option<Found> {
        if self.generation.load(Ordering::Acquire) == *seen {
            return None;
        }
        let found = lock(&self.found);
        *seen = self.generation.load(Ordering::Acquire);
        Some(found.clone())
    }

    /// Pipeline: somebody watches. Wakes the control thread after a pause, so that the mode is fresh soon.
    pub(super) fn note_view(&self, now: Instant) {
        let before = Instant::from_micros(self.viewed_at.swap(now.as_micros(), Ordering::Relaxed));
        if now.saturating_since(before) > MODE_POLL_IDLE {
            self.wake();
        }
    }

    /// Control: when the pipeline last asked.
    pub(in crate::hypervisor) fn viewed_at(&self) -> Instant {
        Instant::from_micros(self.viewed_at.load(Ordering::Relaxed))
    }

    /// Pipeline: the memory cannot be read any more.
    pub(super) fn report_loss(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Control: whether a loss was reported since the last call.
    pub(in crate::hypervisor) fn take_loss(&self) -> bool {
        self.is_lost.swap(false, Ordering::Relaxed)
    }

    /// Pipeline: nobody watches any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Control: whether nobody watches any more.
    pub(in crate::hypervisor) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Any thread: wants an action done. Never blocks for long.
    pub(in crate::hypervisor) fn act(&self, action: Action) {
        if self.queue().push(action) {
            self.wake();
        } else {
            self.count(0, 1);
        }
    }

    /// Control: the actions that wait.
    pub(in crate::hypervisor) fn queue(&self) -> MutexGuard<'_, ActionQueue> {
        lock(&self.actions)
    }

    /// Control: so many actions are done, so many never will be.
    pub(in crate::hypervisor) fn count(&self, accepted: u64, dropped: u64) {
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Control: actions with these numbers were accepted at `at`.
    pub(in crate::hypervisor) fn report(&self, numbers: &[u64], at: Instant) {
        self.reports.put(numbers, at);
    }

    pub(in crate::hypervisor) fn counters(&self) -> InputCounters {
        InputCounters {
            pending: self.queue().len(),
            accepted: self.accepted.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// A thread that panicked while it held one of these locks has left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
