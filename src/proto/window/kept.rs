//! Whether others keep a queue before the bottleneck, whatever we leave to it.
//!
//! A bulk transfer that goes by losses fills every queue there is. Who goes by the shortest round trip then has as much in
//! flight as an empty path would hold, which is next to nothing of a path with a queue of many round trips: it starves. So
//! it has to be seen that the queue does not go away, and what is in flight has to be measured by it.
//!
//! Flows like ours drain their queues, but not all at once, and for a while after they began together not at all.

use core::time::Duration;

use crate::time::Instant;

/// A queue is kept if for two spans in a row the round trip is never shorter than so many of the shortest; it is gone when one
/// is shorter than so many.
const SPAN: Duration = Duration::from_millis(750);
const SPANS: u32 = 2;
/// It is not asked so soon after a start, or after we have lost much: what several have piled up takes a while to go.
const NOT_BEFORE: Duration = Duration::from_secs(3);
const ROUND_TRIPS_KEPT: u32 = 3;
const ROUND_TRIPS_GONE: u32 = 2;

/// Whether others keep a queue before the bottleneck, as a bulk transfer does: the round trip is never short.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptQueue {
    /// The shortest round trip of this span, and when it began.
    shortest: Option<Duration>,
    since: Instant,
    /// Spans in a row that were long, and the round trip that the last one of enough of them had.
    long_spans: u32,
    rtt: Option<Duration>,
}

impl KeptQueue {
    /// Nothing is known, and nothing is asked for a while.
    pub(super) fn anew(now: Instant) -> Self {
        Self { shortest: Some(Duration::MAX), since: now + NOT_BEFORE, ..Self::default() }
    }

    /// Takes a round trip; `base` is that of an empty path.
    pub(super) fn on_rtt(&mut self, now: Instant, rtt: Duration, base: Duration) {
        let shortest = self.shortest.map_or(rtt, |shortest| shortest.min(rtt));
        if shortest < base * ROUND_TRIPS_GONE {
            (self.long_spans, self.rtt) = (0, None);
        }
        if self.shortest.is_some() && now.saturating_since(self.since) < SPAN {
            self.shortest = Some(shortest);
            return;
        }
        let is_long = shortest >= base * ROUND_TRIPS_KEPT;
        self.long_spans = if is_long { self.long_spans + 1 } else { 0 };
        if self.rtt.is_some() || self.long_spans >= SPANS {
            self.rtt = Some(shortest);
        }
        (self.shortest, self.since) = (Some(rtt), now);
    }

    /// The round trip with that queue; `None` if there is none.
    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(40);

    /// What is kept after round trips of so many milliseconds, one every 10 ms for so many milliseconds each.
    fn after(queue: &mut KeptQueue, from_ms: u64, spans: &[(u64, u64)]) -> Option<u64> {
        let mut now = from_ms;
        for (rtt, span) in spans {
            for _ in 0..span / 10 {
                now += 10;
                queue.on_rtt(Instant::from_micros(now * 1_000), Duration::from_millis(*rtt), BASE);
            }
        }
        queue.rtt().map(|rtt| rtt.as_millis() as u64)
    }

    #[test]
    fn a_queue_is_kept_that_does_not_go_away_and_gone_with_the_first_short_round_trip() {
        let mut queue = KeptQueue::default();
        assert_eq!(after(&mut queue, 0, &[(45, 1_000), (300, 1_000)]), None);
        assert_eq!(after(&mut queue, 2_000, &[(300, 2_000)]), Some(300));
        assert_eq!(after(&mut queue, 4_000, &[(100, 2_000)]), Some(100), "shorter, and not gone");
        assert_eq!(after(&mut queue, 6_000, &[(70, 10)]), None);
    }

    #[test]
    fn a_queue_that_is_drained_now_and_then_is_nobodys() {
        let drained = [(300, 500), (60, 20)].repeat(20);
        assert_eq!(after(&mut KeptQueue::default(), 0, &drained), None);
    }

    #[test]
    fn what_several_have_piled_up_has_time_to_go() {
        let mut queue = KeptQueue::anew(Instant::ZERO);
        assert_eq!(after(&mut queue, 0, &[(300, 3_500)]), None);
        assert_eq!(after(&mut queue, 3_500, &[(300, 2_000)]), Some(300));
    }
}
