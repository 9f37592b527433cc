//! When packets are covered by others, so that a lost one comes back without a round trip.

use std::time::Duration;

use crate::limits::{PARITY_AFTER_LOSS, PARITY_FAILURES_PERMILLE, PARITY_PACKETS_MAX, PARITY_RTT_MIN};
use crate::time::Instant;
use crate::units::PacketNumber;
use lfp_proto::frame::Parity;
use lfp_proto::window::ParityGroup;

/// Packets that the share of lost ones is of; older ones count half, and so on.
const SPAN: u32 = 1_024;
/// Packets that are taken to have come before any did, so that the first loss does not count for a storm.
const CAME_BEFORE: u32 = 64;

/// What a path loses, and the packets that the next PARITY covers.
///
/// It pays where losses are seen and a repair takes longer than the next picture: then one in as many packets as leave
/// about one group of a hundred with two losses. On a clean path, and on a short one, nothing is covered.
#[derive(Debug, Default)]
pub(super) struct Redundancy {
    group: ParityGroup,
    /// One of its packets has pixels: it is worth covering.
    worth_it: bool,
    came: u32,
    lost: u32,
    lost_at: Option<Instant>,
    /// Packets recovered, as the client has counted them.
    recovered: u64,
    /// How many packets one PARITY covers; 0: there is none.
    most: usize,
}

impl Redundancy {
    /// A packet came, or was recovered.
    pub(super) fn on_came(&mut self) {
        self.came += 1;
        if self.came >= SPAN {
            self.came /= 2;
            self.lost /= 2;
        }
    }

    /// So many packets count as lost now.
    pub(super) fn on_lost(&mut self, now: Instant, packets: u64) {
        if packets > 0 {
            self.lost = self.lost.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX)).min(SPAN);
            self.lost_at = Some(now);
        }
    }

    /// So many that counted as lost came after all.
    pub(super) fn on_late(&mut self, packets: u64) {
        self.lost = self.lost.saturating_sub(u32::try_from(packets).unwrap_or(u32::MAX));
    }

    /// The client has recovered `all` packets so far. Returns how many of them are news.
    pub(super) fn on_recovered(&mut self, now: Instant, all: u64) -> u64 {
        let news = all.saturating_sub(self.recovered);
        self.recovered = self.recovered.max(all);
        self.on_lost(now, news);
        news
    }

    /// What was learnt of the old path does not hold for the new one.
    pub(super) fn on_path_change(&mut self) {
        (self.came, self.lost, self.lost_at, self.most) = (0, 0, None, 0);
    }

    /// Decides anew how much is covered, on a path of round-trip time `rtt`.
    pub(super) fn decide(&mut self, now: Instant, rtt: Duration) {
        let seen = self.lost_at.is_some_and(|at| now.saturating_since(at) < PARITY_AFTER_LOSS);
        self.most = if seen && rtt >= PARITY_RTT_MIN { self.packets_at_this_loss() } else { 0 };
        if self.most == 0 {
            self.begin_anew();
        }
    }

    /// Packets to a PARITY, with which few groups lose two.
    fn packets_at_this_loss(&self) -> usize {
        let share = u64::from(self.lost) * 1_000 / u64::from(self.came + self.lost + CAME_BEFORE);
        // Of n packets and their PARITY, two are lost with probability of about n (n + 1) / 2 p^2.
        let fails = |packets: u64| packets * (packets + 1) / 2 * share * share / 1_000;
        (1..=PARITY_PACKETS_MAX)
            .rev()
            .find(|packets| fails(*packets as u64) <= PARITY_FAILURES_PERMILLE)
            .unwrap_or(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(100);

    /// After `came` packets of which every `each`-th was lost; 0: none.
    fn after(came: u32, each: u32) -> Redundancy {
        let mut redundancy = Redundancy::default();
        for packet in 1..=came {
            if each > 0 && packet % each == 0 {
                redundancy.on_lost(Instant::ZERO, 1);
            } else {
                redundancy.on_came();
            }
        }
        redundancy.decide(Instant::ZERO, FAR);
        redundancy
    }

    #[test]
    fn the_more_is_lost_the_fewer_share_a_parity() {
        let sizes: Vec<_> = [0, 100, 33, 20, 10, 5].map(|each| after(10_000, each).packets()).into();
        assert_eq!(sizes, [0, 15, 4, 2, 1, 1]);
    }

    #[test]
    fn one_early_loss_is_no_storm() {
        let mut redundancy = after(10, 0);
        redundancy.on_lost(Instant::ZERO, 1);
        redundancy.decide(Instant::ZERO, FAR);
        assert!(redundancy.packets() >= 8);
    }

    #[test]
    fn near_and_clean_paths_are_not_covered() {
        let mut redundancy = after(1_000, 33);
        redundancy.decide(Instant::ZERO, Duration::from_millis(2));
        assert_eq!(redundancy.packets(), 0);
        redundancy.decide(Instant::ZERO + PARITY_AFTER_LOSS, FAR);
        assert_eq!(redundancy.packets(), 0);
    }

    #[test]
    fn what_was_recovered_was_lost() {
        let mut redundancy = after(1_000, 0);
        assert_eq!(redundancy.on_recovered(Instant::ZERO, 30), 30);
        assert_eq!(redundancy.on_recovered(Instant::ZERO, 20), 0, "an old ack");
        redundancy.decide(Instant::ZERO, FAR);
        assert!((3..=5).contains(&redundancy.packets()));
    }

    #[test]
    fn what_has_no_pixels_is_not_worth_it() {
        let mut redundancy = after(1_000, 33);
        redundancy.on_sent(PacketNumber(7), b"ack", false);
        assert_eq!(redundancy.uncovered(), 0);
        redundancy.on_sent(PacketNumber(8), b"pixels", true);
        redundancy.on_sent(PacketNumber(9), b"ack", false);
        assert_eq!(redundancy.uncovered(), 3);
        redundancy.begin_anew();
        assert_eq!(redundancy.uncovered(), 0);
    }
}
