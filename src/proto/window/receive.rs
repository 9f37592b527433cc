//! The receive window: which packets came, what was refused, when to say so.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::frame::{Ack, AckRange, Refusal, Refused};
use crate::limits::{ACK_DELAY, ACK_PACKETS, ACK_RANGES_MAX, ACK_REFUSALS_MAX};
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

/// Packets that acks with refusals were sent in, up to which refusal each.
const CARRIERS_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Held {
    id: u64,
    packet: PacketNumber,
    records: Vec<(u16, Refusal)>,
}

/// Remembers received packets as ranges, and their refused records until the peer knows of them.
#[derive(Clone, Debug, Default)]
pub struct ReceiveWindow {
    /// Ascending, disjoint, not adjacent.
    ranges: VecDeque<AckRange>,
    floor: PacketNumber,
    largest_at: Instant,
    refused: VecDeque<Held>,
    next_refusal: u64,
    /// (own packet, id of the last refusal that it carried).
    carriers: VecDeque<(PacketNumber, u64)>,
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
        let known = number <= self.floor
            || self.ranges.iter().any(|range| range.first <= number && number <= range.last);
        if known { Arrival::Known } else { Arrival::New }
    }

    /// Notes that a new packet has been applied, with the records that were refused (ascending by index). Only
    /// from here on may it be acked.
    pub fn on_applied(
        &mut self,
        number: PacketNumber,
        now: Instant,
        elicits: bool,
        refused: Vec<(u16, Refusal)>,
    ) {
        let gap = number.0 > self.largest().0 + 1 || number < self.largest();
        if number > self.largest() {
            self.largest_at = now;
        }
        self.insert(number);
        if !refused.is_empty() {
            let held = Held { id: self.next_refusal, packet: number, records: refused };
            self.next_refusal += 1;
            self.refused.push_back(held);
            self.bound_refusals();
        }
        if elicits {
            self.unacked += 1;
            let due = if gap || self.unacked >= ACK_PACKETS { now } else { now + ACK_DELAY };
            self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
        }
    }

    /// When an ack should go, if one is owed.
    #[must_use]
    pub const fn ack_due(&self) -> Option<Instant> {
        self.ack_at
    }

    /// The ack to send now, in packet `carrier`; `None` before anything came. Settles what is owed.
    pub fn ack(&mut self, now: Instant, carrier: PacketNumber) -> Option<Ack> {
        let ranges: Vec<_> = self.ranges.iter().rev().take(ACK_RANGES_MAX).copied().collect();
        let oldest = ranges.last()?.first;
        let mut refused: Vec<_> = self
            .refused
            .iter()
            .filter(|held| held.packet >= oldest)
            .map(|held| Refused { packet: held.packet, records: held.records.clone() })
            .collect();
        refused.sort_by_key(|refused| core::cmp::Reverse(refused.packet));
        if let Some(last) = self.refused.back() {
            if self.carriers.len() == CARRIERS_MAX {
                self.carriers.pop_front();
            }
            self.carriers.push_back((carrier, last.id));
        }
        self.unacked = 0;
        self.ack_at = None;
        Some(Ack { delay_us: micros(now.saturating_since(self.largest_at)), ranges, refused })
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
        let below = PacketNumber(floor.0.saturating_sub(1)).min(self.largest());
        if below <= self.floor {
            return;
        }
        self.floor = below;
        while let Some(range) = self.ranges.front_mut() {
            if range.last < below {
                self.ranges.pop_front();
                continue;
            }
            range.first = range.first.max(below);
            break;
        }
        self.refused.retain(|held| held.packet > below);
    }

    fn insert(&mut self, number: PacketNumber) {
        let at = self.ranges.partition_point(|range| range.last.0 + 1 < number.0);
        match self.ranges.get_mut(at) {
            Some(range) if range.first.0 <= number.0 + 1 => {
                range.first = range.first.min(number);
                range.last = range.last.max(number);
                let last = range.last;
                let next = self.ranges.get(at + 1).filter(|next| next.first.0 <= last.0 + 1).copied();
                if let Some(next) = next {
                    self.ranges[at].last = next.last;
                    self.ranges.remove(at + 1);
                }
            }
            _ => self.ranges.insert(at, AckRange { first: number, last: number }),
        }
        // An ack names at most so many ranges. What falls off here counts as lost with the peer, which sends
        // its content again: slow, and still right.
        while self.ranges.len() > ACK_RANGES_MAX {
            if let Some(range) = self.ranges.pop_front() {
                self.forget_through(range.last);
            }
        }
    }

    /// Keeps the refusals within what one ack can list. A packet whose refusals do not fit is forgotten as if it
    /// had never come, so that it is never acked without them.
    fn bound_refusals(&mut self) {
        while self.refused.iter().map(|held| held.records.len()).sum::<usize>() > ACK_REFUSALS_MAX {
            let Some(held) = self.refused.pop_front() else { return };
            self.forget_through(held.packet);
        }
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
