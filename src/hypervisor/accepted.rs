//! What hypervisors have accepted, for whoever is to be told.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::limits::ACCEPTED_UNREAD_MAX;
use crate::time::Instant;

/// A guest's hypervisor has accepted an [`super::Action`] that has a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The action's.
    pub number: u64,
    /// When its answer came: the guest may have had the event a moment before.
    pub at: Instant,
}

/// What was accepted and not been told yet: at most [`ACCEPTED_UNREAD_MAX`], beyond which the oldest is forgotten.
pub(super) struct Reports {
    unread: Mutex<VecDeque<Accepted>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Reports {
    /// `wake` is called when there is something to [`Reports::next`].
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { unread: Mutex::default(), wake: Box::new(wake) }
    }

    /// Control: these were accepted at `at`.
    pub(super) fn put(&self, numbers: &[u64], at: Instant) {
        if numbers.is_empty() {
            return;
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.extend(numbers.iter().map(|number| Accepted { number: *number, at }));
        let beyond = unread.len().saturating_sub(ACCEPTED_UNREAD_MAX);
        unread.drain(..beyond);
        drop(unread);
        (self.wake)();
    }

    /// Control: there is other news.
    pub(super) fn wake(&self) {
        (self.wake)();
    }

    /// Any thread: the oldest that nobody was told of.
    pub(super) fn next(&self) -> Option<Accepted> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("unread", &self.unread).finish_non_exhaustive()
    }
}
