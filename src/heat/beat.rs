//! How often a cell changed lately: a second in eight buckets.

use std::time::Duration;

use crate::scan::Trend;
use crate::time::{Instant, micros};

/// Length of a bucket.
pub(super) const BUCKET: Duration = Duration::from_millis(125);
/// Buckets that are kept: together one second.
pub(super) const BUCKETS: u32 = 8;

const _: () = assert!(BUCKET.as_millis() * BUCKETS as u128 == 1_000, "a rate is per second");

/// The bucket that `at` lies in; the first is 1.
pub(super) fn bucket(at: Instant) -> u32 {
    u32::try_from(micros(at.saturating_since(Instant::ZERO)) / micros(BUCKET))
        .unwrap_or(u32::MAX - 1)
        .saturating_add(1)
}

/// The changes of one cell: a byte for each bucket, the newest lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beat {
    counts: u64,
    newest: u32,
}

impl Beat {
    /// Counts a change.
    pub(super) fn strike(&mut self, bucket: u32) {
        self.counts = self.as_of(bucket);
        self.newest = self.newest.max(bucket);
        if self.counts & 0xff < 0xff {
            self.counts += 1;
        }
    }

    /// Changes in the last second.
    pub(super) fn rate(self, bucket: u32) -> u32 {
        self.as_of(bucket).to_le_bytes().iter().map(|count| u32::from(*count)).sum()
    }

    /// How the newer half of the second compares with the older one. The newest bucket is not over: it counts for the
    /// newer half and does not weigh against it.
    pub(super) fn trend(self, bucket: u32) -> Trend {
        let counts = self.as_of(bucket).to_le_bytes().map(u32::from);
        let (newer, older) = (counts[..4].iter().sum::<u32>(), counts[4..].iter().sum::<u32>());
        let complete = newer - counts[0];
        if newer * 2 > older * 3 + 1 {
            Trend::Warming
        } else if complete * 2 < older {
            Trend::Cooling
        } else {
            Trend::Steady
        }
    }

    /// Half seconds' worth of buckets in which there was a change: how steadily it beats, 0 to 8.
    pub(super) fn buckets_hit(self, bucket: u32) -> u32 {
        self.as_of(bucket).to_le_bytes().iter().map(|count| u32::from(*count > 0)).sum()
    }

    fn as_of(self, bucket: u32) -> u64 {
        let passed = bucket.saturating_sub(self.newest);
        if passed >= BUCKETS { 0 } else { self.counts << (8 * passed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_remembered() {
        let mut beat = Beat::default();
        for tick in 0..60_u64 {
            beat.strike(bucket(Instant::from_micros(tick * 33_333)));
        }
        let end = bucket(Instant::from_micros(59 * 33_333));
        assert!((27..=31).contains(&beat.rate(end)), "{}", beat.rate(end));
        assert_eq!((beat.trend(end), beat.buckets_hit(end)), (Trend::Steady, 8));
        assert_eq!(beat.trend(end + 4), Trend::Cooling);
        assert_eq!((beat.rate(end + 8), beat.trend(end + 8)), (0, Trend::Steady));
        beat.strike(end + 20);
        beat.strike(end + 20);
        assert_eq!((beat.rate(end + 20), beat.trend(end + 20)), (2, Trend::Warming));
    }

    #[test]
    fn nothing_overflows() {
        let mut beat = Beat::default();
        for _ in 0..1_000 {
            beat.strike(u32::MAX);
        }
        assert_eq!(beat.rate(u32::MAX), 255);
        beat.strike(5);
        assert_eq!(beat.rate(u32::MAX), 255, "a clock that goes back is survived");
    }
}
