//! What a path loses: the one measure by which everything is decided that answers to it.
//!
//! Repeats, parity and the patience of probes ask the same question, so they get the same answer. A packet that the client
//! recovered from what covered it was lost to the path, whatever the ack says of it.

use std::time::Duration;

use crate::limits::LOSS_MEMORY;
use crate::time::Instant;
use lfp_proto::window::AckSummary;

/// Packets that the share looks back on, about: older ones count less. A session in which somebody types sends as many in ten
/// seconds, one that shows a film in less than one.
const LOOK_BACK: u64 = 512;
/// Packets are counted in sixteenths.
const PART: u64 = 16;
/// Packets that are taken to have come before any did, so that the first loss does not count for a storm.
const CAME_BEFORE: u64 = 16;

/// What a path lost lately, of the packets that ask for an ack.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// In sixteenths of a packet.
    came_16: u64,
    lost_16: u64,
    lost_at: Option<Instant>,
    /// Packets recovered, as the client has counted them.
    recovered: u64,
}

impl Losses {
    /// The client has recovered `all` packets so far, of `came` that an ack tells of now. Returns how many of these did not
    /// come by themselves.
    pub(super) fn on_recovered(&mut self, all: u64, came: u64) -> u64 {
        let news = all.saturating_sub(self.recovered);
        self.recovered = self.recovered.max(all);
        news.min(came)
    }

    /// Takes what an ack, or the time, has settled; `recovered` of the packets acked did not come by themselves.
    pub(super) fn on_summary(&mut self, now: Instant, summary: &AckSummary, recovered: u64) {
        let lost = summary.lost_packets + recovered;
        if lost > 0 {
            self.lost_at = Some(now);
        }
        self.came_16 += summary.acked_packets.saturating_sub(recovered) * PART;
        self.lost_16 = (self.lost_16 + lost * PART).saturating_sub(summary.late_packets * PART);
        while self.came_16 + self.lost_16 > LOOK_BACK * PART {
            self.came_16 = self.came_16 * 7 / 8;
            self.lost_16 = self.lost_16 * 7 / 8;
        }
    }

    /// The path is another one. What the client has counted stays counted.
    pub(super) fn on_path_change(&mut self) {
        *self = Self { recovered: self.recovered, ..Self::default() };
    }

    /// Thousandths of the packets that were lost lately.
    pub(super) const fn permille(&self) -> u64 {
        self.lost_16 * 1_000 / (self.came_16 + self.lost_16 + CAME_BEFORE * PART)
    }

    /// How long ago the last loss became known; `None` if there was none.
    pub(super) fn since(&self, now: Instant) -> Option<Duration> {
        self.lost_at.map(|at| now.saturating_since(at))
    }

    /// Whether losses were seen so lately that more are likely.
    pub(super) fn are_recent(&self, now: Instant) -> bool {
        self.since(now).is_some_and(|since| since <= LOSS_MEMORY)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::session) const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    pub(in crate::session) fn summary(acked_packets: u64, lost_packets: u64) -> AckSummary {
        AckSummary { acked_packets, lost_packets, ..AckSummary::default() }
    }

    #[test]
    fn what_was_recovered_was_lost() {
        let mut losses = Losses::default();
        assert_eq!(losses.on_recovered(30, 1_000), 30);
        losses.on_summary(at(5), &summary(1_000, 0), 30);
        assert_eq!(losses.on_recovered(20, 10), 0, "an old ack");
        assert!((25..=30).contains(&losses.permille()), "{}", losses.permille());
        assert_eq!(losses.since(at(7)), Some(Duration::from_millis(2)));
        losses.on_path_change();
        assert_eq!((losses.permille(), losses.since(at(7))), (0, None));
        assert_eq!(losses.on_recovered(30, 10), 0, "it was counted on the other path");
    }

    #[test]
    fn one_early_loss_is_no_storm_and_the_share_follows_the_path() {
        let mut losses = Losses::default();
        losses.on_summary(at(0), &summary(9, 1), 0);
        assert!(losses.permille() < 50 && losses.are_recent(at(0)));
        (0..300).for_each(|now| losses.on_summary(at(now), &summary(9, 1), 0));
        assert!((90..=100).contains(&losses.permille()));
        (300..600).for_each(|now| losses.on_summary(at(now), &summary(10, 0), 0));
        assert_eq!(losses.permille(), 0);
        assert!(losses.are_recent(at(300)) && !losses.are_recent(at(301) + LOSS_MEMORY));
    }

    #[test]
    fn what_came_late_was_not_lost() {
        let mut losses = Losses::default();
        losses.on_summary(at(0), &summary(100, 5), 0);
        losses.on_summary(at(1), &AckSummary { late_packets: 5, ..summary(5, 0) }, 0);
        assert_eq!(losses.permille(), 0);
    }
}
