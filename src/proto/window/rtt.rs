//! Round-trip time: RFC 9002, section 5, in whole microseconds.

use core::time::Duration;

use crate::limits::ACK_DELAY;
use crate::time::Instant;

/// Smallest allowance for the variation of the round-trip time in a probe timeout: what timers resolve.
const GRANULARITY: Duration = Duration::from_millis(1);

/// An estimate of the round-trip time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rtt {
    latest: Duration,
    smoothed: Duration,
    variation: Duration,
    /// `None` before the first sample.
    min: Option<Duration>,
}

impl Rtt {
    /// A guess, until the first sample replaces it.
    #[must_use]
    pub fn new(guess: Duration) -> Self {
        Self { latest: guess, smoothed: guess, variation: guess / 2, min: None }
    }

    /// Takes a sample: the time from sending a packet to its ack, of which the peer says it spent `ack_delay`
    /// before answering.
    pub fn on_sample(&mut self, sample: Duration, ack_delay: Duration) {
        let min = self.min.map_or(sample, |min| min.min(sample));
        let first = self.min.is_none();
        self.min = Some(min);
        // A delay that would take the sample below the minimum is not believed.
        let adjusted = sample.checked_sub(ack_delay).filter(|rest| *rest >= min).unwrap_or(sample);
        self.latest = adjusted;
        if first {
            self.smoothed = adjusted;
            self.variation = adjusted / 2;
            return;
        }
        let off = self.smoothed.abs_diff(adjusted);
        self.variation = (self.variation * 3 + off) / 4;
        self.smoothed = (self.smoothed * 7 + adjusted) / 8;
    }

    /// The newest sample, without the peer's delay.
    #[must_use]
    pub const fn latest(&self) -> Duration {
        self.latest
    }

    /// The smoothed round-trip time.
    #[must_use]
    pub const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The smoothed deviation from it.
    #[must_use]
    pub const fn variation(&self) -> Duration {
        self.variation
    }

    /// The smallest sample, the peer's delay included; `None` before the first.
    #[must_use]
    pub const fn min(&self) -> Option<Duration> {
        self.min
    }

    /// Time without an ack after which a peer that is there would have answered.
    #[must_use]
    pub fn probe_timeout(&self) -> Duration {
        self.smoothed + (self.variation * 4).max(GRANULARITY) + ACK_DELAY
    }
}

/// For how long the longest round trip is remembered, at least; at most twice as long.
const LONGEST_LIFETIME: Duration = Duration::from_secs(2);

/// The longest round trip of late: with it, the queue is full, or as full as anybody makes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LongestRtt {
    before: Duration,
    now: Duration,
    since: Instant,
}

impl LongestRtt {
    pub(super) fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        if now.saturating_since(self.since) > LONGEST_LIFETIME {
            (self.before, self.now, self.since) = (self.now, rtt, now);
        }
        self.now = self.now.max(rtt);
    }

    pub(super) fn rtt(&self) -> Duration {
        self.before.max(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_sample_replaces_the_guess() {
        let mut rtt = Rtt::new(ms(300));
        assert_eq!(rtt.min(), None);
        rtt.on_sample(ms(20), ms(5));
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.min()), (ms(20), ms(10), Some(ms(20))));
    }

    #[test]
    fn the_peers_delay_counts_unless_it_cannot_be_true() {
        let mut rtt = Rtt::new(ms(300));
        rtt.on_sample(ms(20), ms(0));
        rtt.on_sample(ms(30), ms(5));
        assert_eq!(rtt.latest(), ms(25));
        rtt.on_sample(ms(30), ms(29));
        assert_eq!(rtt.latest(), ms(30), "a delay of 29 ms would mean a path faster than ever seen");
    }

    #[test]
    fn it_settles_on_a_steady_path() {
        let mut rtt = Rtt::new(ms(300));
        for _ in 0..200 {
            rtt.on_sample(ms(40), ms(0));
        }
        assert_eq!(rtt.smoothed().as_millis(), 40);
        assert!(rtt.variation() < ms(1));
        assert_eq!(rtt.probe_timeout().as_millis(), 46);
    }

    #[test]
    fn the_longest_is_remembered_for_a_while() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let mut longest = LongestRtt::default();
        longest.on_rtt(at(10_000), ms(90));
        longest.on_rtt(at(11_000), ms(50));
        longest.on_rtt(at(13_000), ms(50));
        assert_eq!(longest.rtt(), ms(90));
        longest.on_rtt(at(15_500), ms(50));
        assert_eq!(longest.rtt(), ms(50));
    }
}
