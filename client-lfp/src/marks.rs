//! Frame marks: how old the picture is.

use std::collections::VecDeque;

use lfp_proto::frame::{AckRange, Mark};
use lfp_proto::time::Instant;

use crate::arrivals::{Arrivals, Span};
use crate::limits::MARKS_PENDING_MAX;
use crate::stats::Stats;

/// The server's clock less the client's, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ClockOffset(pub(crate) i64);

impl ClockOffset {
    /// The age at `now` of what the server captured at `captured_us`, in microseconds; 0 if it lies ahead.
    fn age_us(self, now: Instant, captured_us: u64) -> u64 {
        let here = i128::from(now.as_micros()) + i128::from(self.0);
        u64::try_from(here - i128::from(captured_us)).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    mark: Mark,
    /// A packet of its span was given up: only a newer mark or a proof makes up for it.
    broken: bool,
}

/// Marks that wait for the last of their packets.
///
/// A mark is complete when every packet of its span has come, when a newer mark is, or when the whole picture is
/// proven exact.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// In order of arrival; at most [`MARKS_PENDING_MAX`].
    pending: VecDeque<Pending>,
    /// The newest tick that is complete.
    reached: Option<u64>,
    /// When the session began, on the server's clock. What was captured before says how long the screen had been
    /// still, not how old the picture is.
    began_us: u64,
}

impl Marks {
    /// The session began when the server's clock stood at `server_us`.
    pub(crate) fn on_begin(&mut self, server_us: u64) {
        self.began_us = server_us;
    }

    /// A mark of the surface's epoch came.
    pub(crate) fn on_mark(&mut self, mark: Mark, stats: &mut Stats) {
        if self.reached.is_some_and(|reached| mark.tick <= reached) {
            return;
        }
        if self.pending.len() == MARKS_PENDING_MAX {
            self.pending.pop_front();
            stats.marks_incomplete += 1;
        }
        self.pending.push_back(Pending { mark, broken: false });
    }

    /// Packets were given up.
    pub(crate) fn on_lost(&mut self, lost: AckRange) {
        for pending in &mut self.pending {
            pending.broken |= lost.first <= pending.mark.last && pending.mark.first <= lost.last;
        }
    }

    /// A packet has been applied: takes the age of each mark that is complete now.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        arrivals: &Arrivals,
        offset: ClockOffset,
        stats: &mut Stats,
    ) {
        let complete = self
            .pending
            .iter()
            .filter(|pending| {
                let Mark { first, last, .. } = pending.mark;
                !pending.broken && (last.0 == 0 || arrivals.span(first, last) == Span::Whole)
            })
            .map(|pending| pending.mark.tick)
            .max();
        if let Some(tick) = complete {
            self.reach(tick, now, offset, stats);
        }
    }

    /// The whole picture is proven exact.
    pub(crate) fn on_exact(&mut self, now: Instant, offset: ClockOffset, stats: &mut Stats) {
        if let Some(tick) = self.pending.iter().map(|pending| pending.mark.tick).max() {
            self.reach(tick, now, offset, stats);
        }
    }

    fn reach(&mut self, tick: u64, now: Instant, offset: ClockOffset, stats: &mut Stats) {
        self.reached = self.reached.max(Some(tick));
        self.pending.retain(|pending| {
            let done = pending.mark.tick <= tick;
            if done && pending.mark.captured_us >= self.began_us {
                stats.staleness_us.record(offset.age_us(now, pending.mark.captured_us));
            }
            !done
        });
    }

    /// A new epoch: what is pending will never be complete.
    pub(crate) fn on_epoch(&mut self, stats: &mut Stats) {
        stats.marks_incomplete += self.pending.len() as u64;
        *self = Self { began_us: self.began_us, ..Self::default() };
    }
}
