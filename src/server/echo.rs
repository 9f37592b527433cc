//! Which actions a hypervisor is to answer for, and whose events they are.

use std::collections::VecDeque;

use crate::hypervisor::Accepted;
use crate::limits::ECHO_AWAITED_MAX;
use crate::logic::SessionKey;
use crate::session::{AcceptedEvent, Wish};
use crate::time::Instant;
use crate::units::SurfaceId;

/// Actions whose acceptance is waited for, in order: at most [`ECHO_AWAITED_MAX`], the newest.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// The number of the newest.
    last: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    session: SessionKey,
    surface: SurfaceId,
    sequence: u64,
    arrived: Instant,
}

impl Awaited {
    /// The event of `session` that `wish` is, which came at `now`, goes to the guest. Gives the number of that action, if
    /// the screen is expected to answer it.
    pub(super) fn expect(&mut self, now: Instant, session: SessionKey, wish: &Wish) -> Option<u64> {
        let (surface, sequence) = wish.awaits_echo()?;
        if self.waiting.len() == ECHO_AWAITED_MAX {
            self.waiting.pop_front();
        }
        self.last += 1;
        self.waiting.push_back(Waiting { number: self.last, session, surface, sequence, arrived: now });
        Some(self.last)
    }

    /// An action was accepted. Says which event of which session that was; nobody's, if it was not waited for.
    pub(super) fn on_accepted(&mut self, accepted: Accepted) -> Option<(SessionKey, AcceptedEvent)> {
        let at = self.waiting.iter().position(|waiting| waiting.number == accepted.number)?;
        let Waiting { session, surface, sequence, arrived, .. } = self.waiting.remove(at)?;
        Some((session, AcceptedEvent { surface, sequence, arrived, accepted: accepted.at }))
    }
}
