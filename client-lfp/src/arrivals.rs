//! Which packets are missing: for frame marks, and to tell repairs from changes.

use std::collections::VecDeque;

use lfp_proto::frame::AckRange;
use lfp_proto::units::PacketNumber;

use crate::limits::{GAPS_REMEMBERED, LOSS_PACKETS};

/// Remembers the packet numbers that were skipped.
///
/// The receive window knows what to ack; it takes what the server gave up for received. This one does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    largest: PacketNumber,
    /// Ascending, disjoint; none came. At most [`GAPS_REMEMBERED`].
    missing: VecDeque<AckRange>,
    /// Packets skipped that have not come, remembered or not.
    absent: u64,
    /// Losses up to here have been noticed.
    noticed: PacketNumber,
}

/// Whether a span of packets has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Span {
    /// All of it.
    Whole,
    /// Some may still come.
    Partial,
}

impl Arrivals {
    /// Packet `number` came, for the first time. Returns the packets that are given up because too many ranges
    /// are missing.
    pub(crate) fn on_packet(&mut self, number: PacketNumber) -> Option<AckRange> {
        if number > self.largest {
            if number.0 - self.largest.0 > 1 {
                let first = PacketNumber(self.largest.0 + 1);
                self.absent += number.0 - first.0;
                self.missing.push_back(AckRange { first, last: PacketNumber(number.0 - 1) });
            }
            self.largest = number;
        } else {
            self.fill(number);
        }
        if self.missing.len() > GAPS_REMEMBERED { self.missing.pop_front() } else { None }
    }

    fn fill(&mut self, number: PacketNumber) {
        let at = self.missing.partition_point(|range| range.last < number);
        let Some(range) = self.missing.get_mut(at).filter(|range| range.first <= number) else { return };
        self.absent -= 1;
        match (range.first == number, range.last == number) {
            (true, true) => {
                self.missing.remove(at);
            }
            (true, false) => range.first.0 += 1,
            (false, true) => range.last.0 -= 1,
            (false, false) => {
                let rest = AckRange { first: PacketNumber(number.0 + 1), last: range.last };
                range.last.0 = number.0 - 1;
                self.missing.insert(at + 1, rest);
            }
        }
    }

    /// The server waits for nothing below `floor`: calls `lost` with each range that is given up.
    pub(crate) fn on_floor(&mut self, floor: PacketNumber, mut lost: impl FnMut(AckRange)) {
        let floor = floor.min(self.largest);
        while let Some(range) = self.missing.front_mut().filter(|range| range.first < floor) {
            if range.last < floor {
                lost(*range);
                self.missing.pop_front();
            } else {
                lost(AckRange { first: range.first, last: PacketNumber(floor.0 - 1) });
                range.first = floor;
                return;
            }
        }
    }

    /// Whether packets `first` to `last` have come, as far as is remembered.
    pub(crate) fn span(&self, first: PacketNumber, last: PacketNumber) -> Span {
        let at = self.missing.partition_point(|range| range.last < first);
        let hole = self.missing.get(at).is_some_and(|range| range.first <= last);
        if hole || last > self.largest { Span::Partial } else { Span::Whole }
    }

    /// Packets that were skipped and have not come.
    pub(crate) const fn absent(&self) -> u64 {
        self.absent
    }

    /// Whether packets have been missing for so long that the server must take them for lost, and were not
    /// when this was last asked.
    pub(crate) fn notice_loss(&mut self) -> bool {
        let newest = self.missing.iter().rev().map(|range| range.last);
        let lost = newest.into_iter().find(|last| self.largest.0 - last.0 >= LOSS_PACKETS);
        let news = lost.filter(|last| *last > self.noticed);
        self.noticed = news.unwrap_or(self.noticed);
        news.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for number in numbers {
            assert_eq!(arrivals.on_packet(PacketNumber(*number)), None);
        }
        arrivals
    }

    fn whole(arrivals: &Arrivals, first: u64, last: u64) -> bool {
        arrivals.span(PacketNumber(first), PacketNumber(last)) == Span::Whole
    }

    #[test]
    fn late_packets_close_their_gaps() {
        let mut arrivals = after(&[1, 2, 9]);
        assert!(whole(&arrivals, 1, 2) && !whole(&arrivals, 2, 3) && !whole(&arrivals, 9, 10));
        for number in [5, 3, 8, 4, 7] {
            arrivals.on_packet(PacketNumber(number));
        }
        assert!(whole(&arrivals, 1, 5) && !whole(&arrivals, 5, 7));
        assert!(arrivals.notice_loss() && !arrivals.notice_loss());
        assert_eq!(arrivals.absent(), 1);
        arrivals.on_packet(PacketNumber(6));
        assert!(whole(&arrivals, 1, 9) && arrivals.absent() == 0);
    }

    #[test]
    fn a_floor_gives_up_what_is_below_it() {
        let mut arrivals = after(&[1, 5, 10]);
        let mut lost = 0;
        arrivals.on_floor(PacketNumber(8), |range| lost += range.last.0 - range.first.0 + 1);
        assert_eq!(lost, 5);
        assert!(whole(&arrivals, 1, 7) && !whole(&arrivals, 8, 9));
        arrivals.on_floor(PacketNumber(u64::MAX), |range| lost += range.last.0 - range.first.0 + 1);
        assert_eq!(lost, 7);
    }

    #[test]
    fn memory_is_bounded() {
        let mut arrivals = Arrivals::default();
        for number in 1..10_000 {
            arrivals.on_packet(PacketNumber(number * 2));
        }
        assert_eq!(arrivals.missing.len(), GAPS_REMEMBERED);
    }
}
