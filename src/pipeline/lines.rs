//! Requests that wait for a worker: a line per session, served so that each gets the same time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::logic::{DigestRequest, EncodeRequest, SessionKey};

/// What a session asks of a worker.
#[derive(Debug)]
pub(super) enum Request {
    Encode(EncodeRequest),
    Digest(DigestRequest),
}

impl Request {
    pub(super) const fn session(&self) -> SessionKey {
        match self {
            Self::Encode(request) => request.session,
            Self::Digest(request) => request.session,
        }
    }
}

/// The lines of all sessions. A line is served when its session has had the least time; one that comes anew, or
/// back, starts level with those that are being served, and debts are kept until the others have caught up.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: BTreeMap<SessionKey, Line>,
    /// The time that the line served last had had: nobody who waits has had less.
    level: Duration,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Request>,
    served: Duration,
    /// Requests in workers' hands.
    under_way: usize,
}

impl Lines {
    /// How many requests of `session` wait.
    pub(super) fn waiting(&self, session: SessionKey) -> usize {
        self.lines.get(&session).map_or(0, |line| line.waiting.len())
    }

    /// Puts a request at the end of its session's line. Says whether one of the `workers` should end early what it
    /// does for another session: all are at work, none for this one, which has had no more time than one that is served.
    pub(super) fn push(&mut self, request: Request, workers: usize) -> bool {
        let session = request.session();
        let line = self.lines.entry(session).or_default();
        if line.waiting.is_empty() {
            line.served = line.served.max(self.level);
        }
        line.waiting.push_back(request);
        let (served, idle) = (line.served, line.under_way == 0);
        let busy = || self.lines.values().filter(|other| other.under_way > 0);
        let at_work: usize = busy().map(|other| other.under_way).sum();
        idle && at_work >= workers && busy().any(|other| other.served >= served)
    }

    /// Takes the request whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Request> {
        let waiting = self.lines.values_mut().filter(|line| !line.waiting.is_empty());
        let line = waiting.min_by_key(|line| (line.served, line.under_way))?;
        self.level = self.level.max(line.served);
        line.under_way += 1;
        line.waiting.pop_front()
    }

    /// Notes that a worker spent `time` on a request of `session`.
    pub(super) fn charge(&mut self, session: SessionKey, time: Duration) {
        if let Some(line) = self.lines.get_mut(&session) {
            line.under_way = line.under_way.saturating_sub(1);
            line.served += time;
        }
        let level = self.level;
        self.lines.retain(|_, line| line.under_way > 0 || !line.waiting.is_empty() || line.served > level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::CellRect;
    use crate::hypervisor::SourceId;
    use crate::logic::Sum;
    use crate::pixel::Fit;
    use crate::units::Epoch;

    fn request(session: u64) -> Request {
        let (source, epoch) = (SourceId(0), Epoch(1));
        let session = SessionKey(session);
        Request::Digest(DigestRequest {
            session,
            source,
            fit: Fit::NATIVE,
            epoch,
            cells: CellRect::default(),
            sum: Sum::Proof { id: 0 },
        })
    }

    fn serve(lines: &mut Lines, cost: impl Fn(u64) -> u64) -> Option<u64> {
        let session = lines.pop()?.session();
        lines.charge(session, Duration::from_micros(cost(session.0)));
        Some(session.0)
    }

    #[test]
    fn a_heavy_session_gets_no_more_time_than_a_light_one() {
        let mut lines = Lines::default();
        let mut spent = [0; 3];
        for _ in 0..2_000 {
            for session in 0..3 {
                while lines.waiting(SessionKey(session)) < 4 {
                    lines.push(request(session), 1);
                }
            }
            let cost = |session: u64| [5_000, 100, 900][session as usize];
            let session = serve(&mut lines, cost).unwrap();
            spent[session as usize] += cost(session);
        }
        let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
        assert!(most - least <= 10_000, "{spent:?}");
    }

    #[test]
    fn who_comes_back_has_saved_nothing_up_and_nothing_is_left_behind() {
        let mut lines = Lines::default();
        lines.push(request(1), 1);
        assert_eq!(serve(&mut lines, |_| 10), Some(1));
        for _ in 0..50 {
            lines.push(request(2), 1);
            assert_eq!(serve(&mut lines, |_| 100), Some(2));
        }
        for _ in 0..4 {
            lines.push(request(1), 1);
            lines.push(request(2), 1);
        }
        let order: Vec<_> = std::iter::from_fn(|| serve(&mut lines, |_| 100)).collect();
        assert_eq!(order.len(), 8);
        let early = order[..4].iter().filter(|session| **session == 1).count();
        assert!((2..=3).contains(&early), "{order:?}");
        for session in 3..1_000 {
            lines.push(request(session), 1);
            serve(&mut lines, |_| 0);
        }
        assert!(lines.lines.len() <= 3, "{} lines are kept", lines.lines.len());
    }

    #[test]
    fn a_session_that_waits_presses_others_and_never_itself() {
        let mut lines = Lines::default();
        assert!(!lines.push(request(1), 1), "a worker is free");
        lines.pop();
        assert!(!lines.push(request(1), 1), "it would only hurry itself");
        assert!(lines.push(request(2), 1));
        assert!(!lines.push(request(3), 2), "another worker is free");
        lines.charge(SessionKey(1), Duration::from_micros(500));
        let second = lines.pop().map(|request| request.session());
        assert_eq!(second, Some(SessionKey(2)));
        lines.charge(SessionKey(2), Duration::from_micros(900));
        lines.pop();
        assert!(!lines.push(request(2), 1), "it has had more than the one that is served");
    }
}
