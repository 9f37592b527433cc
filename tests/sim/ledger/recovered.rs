//! Packets that come out of a PARITY: which one a client may take for received, going by the wire alone.

use std::collections::{BTreeMap, VecDeque};

use lfp::units::PacketNumber;
use lfp_proto::frame::Frame;
use lfp_proto::limits::{PARITY_KEPT, PARITY_PACKETS_MAX};
use lfp_proto::packet::View;

use super::Ledger;

/// Datagrams remembered.
const SENT_KEPT: usize = 2_048;

/// What a client can recover packets from.
#[derive(Debug, Default)]
pub(super) struct Recoverable {
    /// The server's newest datagrams, by number: more than are on their way to a client.
    sent: BTreeMap<u64, Vec<u8>>,
    /// The packets that the client took, in that order: as many as it keeps.
    taken: VecDeque<u64>,
}

impl Recoverable {
    /// The server sends packet `number`.
    pub(super) fn on_sent(&mut self, number: u64, bytes: &[u8]) {
        self.sent.insert(number, bytes.to_vec());
        while self.sent.len() > SENT_KEPT {
            self.sent.pop_first();
        }
    }

    /// The client takes packet `number`.
    pub(super) fn on_taken(&mut self, number: u64) {
        self.taken.push_back(number);
        if self.taken.len() > PARITY_KEPT {
            self.taken.pop_front();
        }
    }
}

impl Ledger {
    /// The datagram that a client recovers if `view` comes to it, which it may have already; `None` if there is none.
    pub(crate) fn recovered_by(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let number = view.number(PacketNumber(self.down_largest));
        let covered = view.frames().flatten().find_map(|frame| match frame {
            Frame::Parity(parity) => Some((parity.packets(number), usize::from(parity.count))),
            _ => None,
        });
        let (packets, count) = covered?;
        let packets = packets.expect("a server covers what it has sent");
        assert!(
            count <= PARITY_PACKETS_MAX && packets.end <= number.0,
            "a PARITY over {packets:?} in {number:?}"
        );
        let mut missing = packets.filter(|packet| !self.recoverable.taken.contains(packet));
        let one = missing.next().filter(|_| missing.next().is_none())?;
        self.recoverable.sent.get(&one).cloned()
    }
}
