//! When an unacked packet counts as lost: thresholds by packets and by time that adapt to reordering.

use core::time::Duration;

use crate::limits::{LOSS_PACKETS, LOSS_PACKETS_MAX};
use crate::window::Rtt;

/// The time threshold in eighths of a round trip, and the largest that it grows to.
const EIGHTHS: u32 = 9;
const EIGHTHS_MAX: u32 = 16;
/// Shortest time threshold: what timers resolve.
const GRANULARITY: Duration = Duration::from_millis(1);
/// Packets acked in time after which thresholds that have grown go back by one step.
const CALM_PACKETS: u32 = 4_096;

/// How far behind a packet must be to count as lost.
///
/// RFC 9002's two thresholds. Each time that a packet which counted as lost comes after all, both grow to what would
/// have been right; on a path that has stopped to reorder they shrink again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LossThresholds {
    packets: u64,
    eighths: u32,
    calm: u32,
}

impl Default for LossThresholds {
    fn default() -> Self {
        Self { packets: LOSS_PACKETS, eighths: EIGHTHS, calm: 0 }
    }
}

impl LossThresholds {
    /// Packets behind the largest acked one at which a packet is lost.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Time since it was sent after which a packet behind an acked one is lost.
    #[must_use]
    pub fn delay(&self, rtt: &Rtt) -> Duration {
        (rtt.smoothed().max(rtt.latest()) * self.eighths / 8).max(GRANULARITY)
    }

    /// A packet that counted as lost was acked after all, `behind` packets behind the largest acked one.
    pub fn on_late(&mut self, behind: u64) {
        self.packets = self.packets.max(behind.saturating_add(1)).min(LOSS_PACKETS_MAX);
        self.eighths = (self.eighths + 1).min(EIGHTHS_MAX);
        self.calm = 0;
    }

    /// A packet was acked in time.
    pub fn on_in_time(&mut self) {
        self.calm += 1;
        if self.calm >= CALM_PACKETS {
            self.calm = 0;
            self.packets = (self.packets - 1).max(LOSS_PACKETS);
            self.eighths = (self.eighths - 1).max(EIGHTHS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reordering_widens_both_and_calm_narrows_them() {
        let mut thresholds = LossThresholds::default();
        let rtt = Rtt::new(Duration::from_millis(80));
        assert_eq!((thresholds.packets(), thresholds.delay(&rtt)), (3, Duration::from_millis(90)));
        thresholds.on_late(9);
        assert_eq!((thresholds.packets(), thresholds.delay(&rtt)), (10, Duration::from_millis(100)));
        thresholds.on_late(u64::MAX);
        assert_eq!(thresholds.packets(), LOSS_PACKETS_MAX);
        for _ in 0..1_000 * CALM_PACKETS {
            thresholds.on_in_time();
        }
        assert_eq!(thresholds, LossThresholds { calm: 0, ..LossThresholds::default() });
    }
}
