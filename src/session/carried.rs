//! What a packet carried: the information to repair if it is lost, and to rely on once it is acked.

use std::collections::VecDeque;
use std::collections::vec_deque;

use crate::geometry::CellRect;
use crate::limits::CARGO_KEPT;
use crate::units::{ContentNumber, Epoch, SurfaceId};
use lfp_proto::frame::DigestReply;
use lfp_proto::stream::Carried;
use lfp_proto::technique::cache::Stored;

/// What the packets carried whose fate is open, in the order in which they were sent.
///
/// One queue for all of them, since they are forgotten in the order in which they were sent, too: what is settled behind an
/// older packet stays until that one is, and a session in its stride allocates nothing for what it sends.
#[derive(Debug, Default)]
pub(super) struct Cargo {
    items: VecDeque<Item>,
    /// Items that have been forgotten: the number of the first that is there.
    first: u64,
}

/// What of a [`Cargo`] one packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Load {
    first: u64,
    count: u32,
}

impl Cargo {
    /// Takes note of what the next packet carries.
    pub(super) fn load(&mut self, items: &[Item]) -> Load {
        let load = Load { first: self.first + self.items.len() as u64, count: items.len() as u32 };
        self.items.extend(items);
        load
    }

    /// What a packet carried that is not forgotten.
    pub(super) fn of(&self, load: Load) -> vec_deque::Iter<'_, Item> {
        let from = load.first.checked_sub(self.first).expect("a packet is forgotten before what it carried")
            as usize;
        self.items.range(from..from + load.count as usize)
    }

    /// Forgets what all packets before the one with `oldest` carried; `None`: what any of them did.
    pub(super) fn forget_before(&mut self, oldest: Option<Load>) {
        let gone = oldest.map_or(self.items.len(), |oldest| (oldest.first - self.first) as usize);
        self.items.drain(..gone);
        self.first += gone as u64;
        if self.items.is_empty() {
            self.items.shrink_to(CARGO_KEPT);
        }
    }

    /// Bytes that this takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.items.capacity() * size_of::<Item>()
    }
}

// SPEC [LFP-10.1]: A server MUST remember which cells at which content each packet in flight carried,
/// One thing that a packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item {
    /// A record that paints. The n-th record of a packet, of both kinds, is the one with index n.
    Pixels {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Which cells.
        cells: CellRect,
        /// At which content.
        content: ContentNumber,
        /// What it builds on, if that is a reference.
        on: Option<BuiltOn>,
        /// It paints what a slot of the cache holds.
        used: Option<Stored>,
    },
    /// A record that stores something in the cache.
    Store {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// As what.
        stored: Stored,
    },
    /// HOLD.
    Hold {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Which reference.
        slot: u8,
        /// Up to which content.
        through: ContentNumber,
    },
    /// SURFACE.
    Surface {
        /// Of which surface.
        surface: SurfaceId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// MARK.
    Mark {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Of which tick.
        tick: u64,
    },
    /// PROVE.
    Prove,
    /// KEEP.
    Keep {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// Of which part.
        part: u8,
    },
    /// DIGEST_REPLY.
    Verdict(DigestReply),
    /// PARITY.
    Parity,
    /// INPUT_ACK.
    InputAck,
    /// ECHO.
    Echo {
        /// Of which surface.
        surface: SurfaceId,
        /// In which epoch.
        epoch: Epoch,
        /// The number of the first event that it names.
        first: u64,
    },
    /// TICKET.
    Ticket,
    /// STREAM, STREAM_CREDIT or STREAM_RESET.
    Stream(Carried),
}

/// What of a reference a record builds on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BuiltOn {
    /// Which cells.
    pub(super) cells: CellRect,
    /// The newest content that they may have there.
    pub(super) through: ContentNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_carried_is_there_until_it_is_forgotten() {
        let mut cargo = Cargo::default();
        let loads = [[Item::Prove, Item::Parity].as_slice(), &[], &[Item::InputAck], &[Item::Ticket; 2_000]];
        let [first, nothing, second, many] = loads.map(|items| cargo.load(items));
        cargo.forget_before(Some(first));
        assert!(cargo.of(first).eq(&[Item::Prove, Item::Parity]) && cargo.of(nothing).next().is_none());
        cargo.forget_before(Some(nothing));
        assert!(cargo.of(nothing).next().is_none() && cargo.of(second).eq(&[Item::InputAck]));
        cargo.forget_before(Some(second));
        assert_eq!((cargo.of(second).len(), cargo.of(many).len()), (1, 2_000));
        cargo.forget_before(None);
        assert!(cargo.memory_bytes() <= 2 * CARGO_KEPT * size_of::<Item>(), "{} bytes", cargo.memory_bytes());
        let next = cargo.load(&[Item::Prove]);
        assert!(cargo.of(next).eq(&[Item::Prove]));
    }
}
