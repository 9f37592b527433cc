//! When packets are covered by others, so that a lost one comes back without a round trip.

use std::time::Duration;

use crate::limits::{PARITY_FAILURES_PERMILLE, PARITY_PACKETS_MAX, PARITY_RTT_MIN};
use crate::session::losses::Losses;
use crate::time::Instant;
use crate::units::PacketNumber;
use lfp_proto::frame::Parity;
use lfp_proto::window::ParityGroup;

/// The packets that the next PARITY covers.
///
/// It pays where losses are seen and a repair takes longer than the next picture: then one in as many packets as leave
/// about one group of a hundred with two losses. On a clean path, and on a short one, nothing is covered.
#[derive(Debug, Default)]
pub(super) struct Redundancy {
    group: ParityGroup,
    /// One of its packets has pixels: it is worth covering.
    worth_it: bool,
    /// How many packets one PARITY covers; 0: there is none.
    most: usize,
}

impl Redundancy {
    /// What was learnt of the old path does not hold for the new one.
    pub(super) const fn on_path_change(&mut self) {
        self.most = 0;
    }

    /// Decides anew how much is covered, on a path of round-trip time `rtt` that loses what `losses` says.
    pub(super) fn decide(&mut self, now: Instant, rtt: Duration, losses: &Losses) {
        let pays = losses.are_recent(now) && rtt >= PARITY_RTT_MIN;
        self.most = if pays { packets_at(losses.permille()) } else { 0 };
        if self.most == 0 {
            self.begin_anew();
        }
    }

    /// How many packets one PARITY covers; 0: there is none.
    pub(super) const fn packets(&self) -> usize {
        self.most
    }

    /// Packet `number` goes out with `payload`.
    pub(super) fn on_sent(&mut self, number: PacketNumber, payload: &[u8], paints: bool) {
        if self.most > 0 {
            self.group.add(number, payload);
            self.worth_it = paints || (self.worth_it && self.group.packets() > 1);
        }
    }

    /// How many packets sent last are not covered yet, if they are worth it.
    pub(super) fn uncovered(&self) -> usize {
        if self.worth_it { self.group.packets() } else { 0 }
    }

    /// What covers these, to be sent in packet `number`.
    pub(super) fn parity(&self, number: PacketNumber) -> Option<Parity<'_>> {
        self.group.parity(number)
    }

    /// What was sent up to now is covered, or need not be.
    pub(super) fn begin_anew(&mut self) {
        self.group.clear();
        self.worth_it = false;
    }
}

/// Packets to a PARITY with which few groups lose two, where so many thousandths are lost.
fn packets_at(permille: u64) -> usize {
    // Of n packets and their PARITY, two are lost with probability of about n (n + 1) / 2 p^2.
    let fails = |packets: u64| packets * (packets + 1) / 2 * permille * permille / 1_000;
    (1..=PARITY_PACKETS_MAX)
        .rev()
        .find(|packets| fails(*packets as u64) <= PARITY_FAILURES_PERMILLE)
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOSS_MEMORY;
    use lfp_proto::window::AckSummary;

    const FAR: Duration = Duration::from_millis(100);

    /// A path that loses every 33rd packet.
    fn lossy() -> Losses {
        let mut losses = Losses::default();
        let summary = AckSummary { acked_packets: 32, lost_packets: 1, ..AckSummary::default() };
        (0..100).for_each(|_| losses.on_summary(Instant::ZERO, &summary, 0));
        losses
    }

    fn covering() -> Redundancy {
        let mut redundancy = Redundancy::default();
        redundancy.decide(Instant::ZERO, FAR, &lossy());
        redundancy
    }

    #[test]
    fn the_more_is_lost_the_fewer_share_a_parity() {
        let sizes: Vec<_> = [0, 10, 30, 50, 100, 200].map(packets_at).into();
        assert_eq!(sizes, [16, 14, 4, 2, 1, 1]);
    }

    #[test]
    fn near_and_clean_paths_are_not_covered() {
        let mut redundancy = covering();
        assert_eq!(redundancy.packets(), 4);
        redundancy.decide(Instant::ZERO, Duration::from_millis(2), &lossy());
        assert_eq!(redundancy.packets(), 0);
        redundancy.decide(Instant::from_micros(1) + LOSS_MEMORY, FAR, &lossy());
        assert_eq!(redundancy.packets(), 0);
        redundancy.decide(Instant::ZERO, FAR, &Losses::default());
        assert_eq!(redundancy.packets(), 0);
    }

    #[test]
    fn what_has_no_pixels_is_not_worth_it() {
        let mut redundancy = covering();
        redundancy.on_sent(PacketNumber(7), b"ack", false);
        assert_eq!(redundancy.uncovered(), 0);
        redundancy.on_sent(PacketNumber(8), b"pixels", true);
        redundancy.on_sent(PacketNumber(9), b"ack", false);
        assert_eq!(redundancy.uncovered(), 3);
        redundancy.begin_anew();
        assert_eq!(redundancy.uncovered(), 0);
    }
}
