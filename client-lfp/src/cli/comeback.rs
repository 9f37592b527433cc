//! Coming back where a session has ended without its user's wish.

use std::time::Duration;

use client_lfp::State;
use lfp_proto::frame::CloseReason;
use lfp_proto::hello::RefuseReason;
use lfp_proto::time::Instant;

/// Pause before the second attempt; it doubles from there.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether and when to ask for another session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comeback {
    /// For how long it is tried after a loss; zero: not at all.
    within: Duration,
    /// There has been a session.
    had_session: bool,
    /// When it was lost that was there last.
    lost_at: Option<Instant>,
    /// When to ask next.
    due: Option<Instant>,
    pause: Duration,
    /// Sessions that were had after another was lost.
    times: u64,
}

impl Comeback {
    /// There has been no session; once one is lost, another is asked for, `within` so long.
    pub(crate) const fn new(within: Duration) -> Self {
        Self { within, had_session: false, lost_at: None, due: None, pause: Duration::ZERO, times: 0 }
    }

    /// From now on what is lost stays lost.
    pub(crate) const fn give_up(&mut self) {
        self.within = Duration::ZERO;
        self.due = None;
    }

    /// Takes note of how the client stands at `now`. Says whether it has just lost its session, and will come back.
    pub(crate) fn look(&mut self, state: &State, now: Instant) -> bool {
        if *state == State::Established {
            self.times += u64::from(self.lost_at.take().is_some());
            (self.had_session, self.pause) = (true, Duration::ZERO);
            return false;
        }
        if self.due.is_some() || !state.is_final() || !self.had_session || !is_worth_it(state) {
            return false;
        }
        let is_news = self.lost_at.is_none();
        let until = *self.lost_at.get_or_insert(now) + self.within;
        if now + self.pause < until {
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).clamp(PAUSE, PAUSE_MAX);
        }
        is_news && self.due.is_some()
    }

    /// When [`Comeback::take`] has something.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It is time to ask: for how long.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Duration> {
        self.due.take_if(|due| *due <= now)?;
        let until = self.lost_at? + self.within;
        Some(until.saturating_since(now))
    }

    /// Whether a session was lost and could not be had again.
    pub(crate) const fn has_failed(&self) -> bool {
        self.lost_at.is_some() && self.due.is_none() && !self.within.is_zero()
    }

    /// Sessions that were had after another was lost.
    pub(crate) const fn times(&self) -> u64 {
        self.times
    }
}

/// Whether another session may be had after one ended like this, or was refused.
const fn is_worth_it(state: &State) -> bool {
    match state {
        State::TimedOut | State::Unreachable => true,
        State::Closed { reason, .. } => {
            matches!(reason, CloseReason::Unknown | CloseReason::ShuttingDown | CloseReason::Idle)
        }
        // A service that was there may yet be given to a server that has just begun.
        State::Refused { reason, .. } => {
            matches!(reason, RefuseReason::Full | RefuseReason::ShuttingDown | RefuseReason::UnknownService)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn closed(reason: CloseReason) -> State {
        State::Closed { reason, text: String::new() }
    }

    #[test]
    fn it_is_tried_at_once_then_ever_more_seldom_and_not_for_ever() {
        let mut comeback = Comeback::new(Duration::from_secs(10));
        assert!(!comeback.look(&State::TimedOut, at(0)), "there was no session");
        comeback.look(&State::Established, at(0));
        assert!(comeback.look(&closed(CloseReason::Unknown), at(1_000)), "it is lost");
        assert_eq!(comeback.take(at(1_000)), Some(Duration::from_secs(10)));
        let full = State::Refused { reason: RefuseReason::Full, text: String::new() };
        let mut pauses = Vec::new();
        let mut now = at(1_000);
        loop {
            assert!(!comeback.look(&full, now));
            let Some(due) = comeback.due() else { break };
            pauses.push(due.saturating_since(now).as_millis());
            now = due;
            assert_eq!(comeback.take(now), Some(at(11_000).saturating_since(now)));
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000]);
        assert!(comeback.has_failed() && comeback.times() == 0);
        comeback.look(&State::Established, now);
        assert!(!comeback.has_failed() && comeback.times() == 1);
    }

    #[test]
    fn what_somebody_wanted_or_nobody_can_mend_is_the_end() {
        let wanted = [CloseReason::Done, CloseReason::Protocol, CloseReason::Ended].map(closed);
        for state in [State::Ended, State::NoAnswer].into_iter().chain(wanted) {
            let mut comeback = Comeback::new(Duration::from_secs(10));
            comeback.look(&State::Established, at(0));
            assert!(!comeback.look(&state, at(1)) && comeback.due().is_none(), "{state:?}");
        }
        let mut comeback = Comeback::new(Duration::ZERO);
        comeback.look(&State::Established, at(0));
        assert!(!comeback.look(&State::TimedOut, at(1)) && !comeback.has_failed(), "nobody wants that");
        let mut comeback = Comeback::new(Duration::from_secs(10));
        comeback.look(&State::Established, at(0));
        comeback.give_up();
        assert!(!comeback.look(&State::TimedOut, at(1)) && comeback.due().is_none());
    }
}
