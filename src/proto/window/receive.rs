//! The receive window: which packets came, what was refused, when to say so.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::frame::{Ack, AckRange, Refusal, Refused};
use crate::limits::{ACK_DELAY, ACK_LEN_MAX, ACK_PACKETS, ACK_RANGES_MAX, ACK_REFUSALS_MAX};
use crate::time::{Instant, micros};
use crate::units::PacketNumber;

/// What an arriving packet number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Never seen: apply it.
    New,
    /// Seen before, or so old that nobody waits for it: drop it.
    Known,
}

/// Packets that acks with refusals were sent in that are remembered. Of one that is not, the refusals are
/// repeated once more.
const CARRIERS_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Held {
    id: u64,
    packet: PacketNumber,
    records: Vec<(u16, Refusal)>,
}

/// Remembers received packets as ranges, and their refused records until the peer knows of them.
///
/// Everything that does not fit an ack is *forgotten*: the window then takes it for packets that never came and never
/// will, so the peer counts them as lost and sends their content again. That is slow and still right, whereas an
/// ack without its refusals would be wrong.
#[derive(Clone, Debug, Default)]
pub struct ReceiveWindow {
    /// Ascending, disjoint, not adjacent, all above `floor`; at most [`ACK_RANGES_MAX`].
    ranges: VecDeque<AckRange>,
    /// What is at or below this is forgotten.
    floor: PacketNumber,
    largest_at: Instant,
    /// In order of arrival; packets that a range holds; at most [`ACK_REFUSALS_MAX`] records in all.
    refused: VecDeque<Held>,
    next_refusal: u64,
    /// (own packet, id of the last refusal that it carried).
    carriers: VecDeque<(PacketNumber, u64)>,
    recovered: u64,
    unacked: u32,
    ack_at: Option<Instant>,
}

impl ReceiveWindow {
    /// The largest packet number seen.
    #[must_use]
    pub fn largest(&self) -> PacketNumber {
        self.ranges.back().map_or(self.floor, |range| range.last)
    }

    /// Whether `number` is new. Changes nothing: call [`ReceiveWindow::on_applied`] once the packet is applied.
    #[must_use]
    pub fn examine(&self, number: PacketNumber) -> Arrival {
        // SPEC [LFP-3.5]: A receiver MUST drop a packet whose number it has seen or has forgotten
        let known = number <= self.floor
            || self.ranges.iter().any(|range| range.first <= number && number <= range.last);
        if known { Arrival::Known } else { Arrival::New }
    }

    /// Notes that a new packet has been applied, with the records that were refused (ascending by index, at most
    /// [`crate::limits::RECORDS_MAX`]). Only from here on may it be acked. A packet that is not new changes nothing.
    pub fn on_applied(
        &mut self,
        number: PacketNumber,
        now: Instant,
        elicits: bool,
        refused: Vec<(u16, Refusal)>,
    ) {
        if self.examine(number) == Arrival::Known {
            return;
        }
        let largest = self.largest();
        let gap = number < largest || number.0 - largest.0 > 1;
        if number > largest {
            self.largest_at = now;
        }
        if !refused.is_empty() {
            let held = Held { id: self.next_refusal, packet: number, records: refused };
            self.next_refusal += 1;
            self.refused.push_back(held);
        }
        self.insert(number);
        self.bound_refusals();
        if elicits {
            self.unacked = self.unacked.saturating_add(1);
            // SPEC [LFP-9.2]: A receiver MUST send an ACK at once when a packet that asks for one comes out of order,
            let due = if gap || self.unacked >= ACK_PACKETS { now } else { now + ACK_DELAY };
            self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
        }
    }

    /// The packet to be applied next did not come: a PARITY gave what it held.
    pub const fn on_recovered(&mut self) {
        self.recovered += 1;
    }

    /// When an ack should go, if one is owed.
    #[must_use]
    pub const fn ack_due(&self) -> Option<Instant> {
        self.ack_at
    }

    /// The ack to send now, in packet `carrier`, of at most [`ACK_LEN_MAX`] bytes; `None` if there is nothing to
    /// ack. Settles what is owed. If the packet is not sent after all, nothing is lost: the next ack repeats all.
    pub fn ack(&mut self, now: Instant, carrier: PacketNumber) -> Option<Ack> {
        self.unacked = 0;
        self.ack_at = None;
        let ack = loop {
            let oldest = self.ranges.front()?.last;
            let ack = self.whole_ack(now);
            if ack.encoded_len() <= ACK_LEN_MAX {
                break ack;
            }
            // Only a peer whose packet numbers leap far makes an ack so long. What the largest packet needs always fits.
            self.forget_through(self.oldest_refused().map_or(oldest, |refused| refused.min(oldest)));
        };
        // SPEC [LFP-9.7]: A receiver MUST repeat the refusals of a packet in every ack until one of the packets that carried
        // them is acked.
        if let Some(last) = self.refused.back() {
            if self.carriers.len() == CARRIERS_MAX {
                self.carriers.pop_front();
            }
            self.carriers.push_back((carrier, last.id));
        }
        Some(ack)
    }

    fn whole_ack(&self, now: Instant) -> Ack {
        let mut refused: Vec<_> = self
            .refused
            .iter()
            .map(|held| Refused { packet: held.packet, records: held.records.clone() })
            .collect();
        refused.sort_by_key(|refused| core::cmp::Reverse(refused.packet));
        Ack {
            delay_us: micros(now.saturating_since(self.largest_at)),
            arrived_us: micros(self.largest_at.saturating_since(Instant::ZERO)) as u32,
            recovered: self.recovered,
            ranges: self.ranges.iter().rev().copied().collect(),
            refused,
        }
    }

    /// The peer has packet `own` of ours: what it carried need not be said again.
    pub fn on_carrier_acked(&mut self, own: PacketNumber) {
        let Some(at) = self.carriers.iter().position(|(carrier, _)| *carrier == own) else { return };
        let (_, through) = self.carriers[at];
        self.carriers.retain(|(_, id)| *id > through);
        self.refused.retain(|held| held.id > through);
    }

    /// The peer does not wait for acks below `floor` any more.
    pub fn on_floor(&mut self, floor: PacketNumber) {
        // SPEC [LFP-9.8]: A receiver MUST forget packets below the largest FLOOR that came, but none beyond the largest
        // number that came. A floor beyond it would make packets that are under way look like old ones.
        self.forget_through(PacketNumber(floor.0.saturating_sub(1)).min(self.largest()));
    }

    fn insert(&mut self, number: PacketNumber) {
        let at = self.ranges.partition_point(|range| range.last < number);
        let joins_next = self.ranges.get(at).is_some_and(|next| next.first.0 - number.0 == 1);
        let joins_previous = at > 0 && number.0 - self.ranges[at - 1].last.0 == 1;
        match (joins_previous, joins_next) {
            (true, true) => {
                self.ranges[at - 1].last = self.ranges[at].last;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].last = number,
            (false, true) => self.ranges[at].first = number,
            (false, false) => self.ranges.insert(at, AckRange { first: number, last: number }),
        }
        // SPEC [LFP-9.3]: A receiver MUST keep what it needs for acks within 32 ranges and 128 refused records,
        while self.ranges.len() > ACK_RANGES_MAX {
            self.forget_through(self.ranges[0].last);
        }
    }

    /// Keeps the refusals within what one ack can list.
    fn bound_refusals(&mut self) {
        // SPEC [LFP-9.4]: A receiver MUST NOT ack a packet in a frame that leaves out one of its refused records, unless it
        // knows that the peer has them.
        while self.refused.iter().map(|held| held.records.len()).sum::<usize>() > ACK_REFUSALS_MAX {
            let Some(oldest) = self.oldest_refused() else { return };
            self.forget_through(oldest);
        }
    }

    fn oldest_refused(&self) -> Option<PacketNumber> {
        self.refused.iter().map(|held| held.packet).min()
    }

    fn forget_through(&mut self, number: PacketNumber) {
        self.floor = self.floor.max(number);
        while let Some(range) = self.ranges.front_mut() {
            if range.last <= number {
                self.ranges.pop_front();
                continue;
            }
            range.first = range.first.max(PacketNumber(number.0 + 1));
            break;
        }
        self.refused.retain(|held| held.packet > number);
    }
}
