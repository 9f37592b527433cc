//! Parity over packets: a lost one comes back without a round trip.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::frame::Parity;
use crate::limits::{PARITY_KEPT, PARITY_PACKETS_MAX};
use crate::units::PacketNumber;

/// The packets that the next PARITY covers, as their sender sums them up.
#[derive(Clone, Debug, Default)]
pub struct ParityGroup {
    first: PacketNumber,
    count: u8,
    len: u16,
    payload: Vec<u8>,
}

impl ParityGroup {
    /// How many packets it has.
    #[must_use]
    pub fn packets(&self) -> usize {
        usize::from(self.count)
    }

    /// Adds packet `number`, which holds `payload`. Packets that do not follow one another, or are too many, begin anew.
    pub fn add(&mut self, number: PacketNumber, payload: &[u8]) {
        let follows = number.0 == self.first.0 + u64::from(self.count);
        if !follows || self.packets() >= PARITY_PACKETS_MAX {
            self.clear();
        }
        if self.count == 0 {
            self.first = number;
        }
        self.count += 1;
        self.len ^= payload.len() as u16;
        add(&mut self.payload, payload);
    }

    /// The PARITY to send in packet `number`, if there is something to cover.
    #[must_use]
    pub fn parity(&self, number: PacketNumber) -> Option<Parity<'_>> {
        let back = number.0.checked_sub(self.first.0).filter(|back| *back <= PARITY_KEPT as u64)?;
        let parity = Parity { back: back as u8, count: self.count, len: self.len, payload: &self.payload };
        (self.count > 0).then_some(parity)
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        (self.count, self.len) = (0, 0);
        self.payload.clear();
    }
}

/// What came lately, as its receiver keeps it to recover what did not.
#[derive(Clone, Debug, Default)]
pub struct ParityKeeper {
    /// In order of arrival; at most [`PARITY_KEPT`].
    kept: VecDeque<(PacketNumber, Vec<u8>)>,
}

impl ParityKeeper {
    /// Packet `number` came for the first time, with `payload`.
    pub fn keep(&mut self, number: PacketNumber, payload: &[u8]) {
        let mut buffer = match self.kept.len() {
            PARITY_KEPT => self.kept.pop_front().map(|(_, buffer)| buffer).unwrap_or_default(),
            _ => Vec::new(),
        };
        buffer.clear();
        buffer.extend_from_slice(payload);
        self.kept.push_back((number, buffer));
    }

    /// The one packet that `parity`, which packet `number` carried, covers and that is not kept: its number and payload.
    /// `None` if there is none, or more than one.
    #[must_use]
    pub fn recover(&self, parity: &Parity<'_>, number: PacketNumber) -> Option<(PacketNumber, Vec<u8>)> {
        let covered = parity.packets(number)?;
        let (mut sum, mut len, mut missing) = (parity.payload.to_vec(), parity.len, None);
        for packet in covered.map(PacketNumber) {
            match self.kept.iter().find(|(kept, _)| *kept == packet) {
                // The longest gives the sum its length.
                Some((_, payload)) if payload.len() > sum.len() => return None,
                Some((_, payload)) => {
                    len ^= payload.len() as u16;
                    add(&mut sum, payload);
                }
                None if missing.is_none() => missing = Some(packet),
                None => return None,
            }
        }
        // SPEC [LFP-9.11]: A receiver MUST NOT act on a recovered payload whose length is not within that of the PARITY's, or
        // behind whose length a byte is not zero.
        let len = usize::from(len);
        if len > sum.len() || sum[len..].iter().any(|byte| *byte != 0) {
            return None;
        }
        sum.truncate(len);
        missing.map(|packet| (packet, sum))
    }

    /// Bytes that it takes beside itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.kept.iter().map(|(_, payload)| payload.capacity()).sum()
    }
}

/// Adds `payload` to `sum`, which grows to its length.
fn add(sum: &mut Vec<u8>, payload: &[u8]) {
    if sum.len() < payload.len() {
        sum.resize(payload.len(), 0);
    }
    sum.iter_mut().zip(payload).for_each(|(sum, byte)| *sum ^= byte);
}
