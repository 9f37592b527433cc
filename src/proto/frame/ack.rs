//! ACK: which packets came, and which of their records were refused.

use alloc::vec::Vec;

use crate::limits::{ACK_DELAY_MAX_US, ACK_RANGES_MAX, ACK_REFUSALS_MAX, RECORDS_MAX};
use crate::units::PacketNumber;
use crate::wire::{Malformed, Put, Reader, varint_len};

/// Why a record was not applied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// The surface is not known, or shows nothing.
    Surface = 1,
    /// The epoch is not the surface's.
    Epoch = 2,
    /// The cells lie outside the surface, or are too many.
    Cells = 3,
    /// The content number is not above zero.
    Content = 4,
    /// The technique is not one that the client decodes.
    Technique = 5,
    /// The base is not there, or its check differs.
    Base = 6,
    /// The payload does not decode to exactly the record's pixels.
    Payload = 7,
    /// The cache has no such slot, or not what is to be used of it.
    Cache = 8,
}

impl Refusal {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Surface,
        Self::Epoch,
        Self::Cells,
        Self::Content,
        Self::Technique,
        Self::Base,
        Self::Payload,
        Self::Cache,
    ];

    fn from_wire(value: u8) -> Result<Self, Malformed> {
        let index = usize::from(value).wrapping_sub(1);
        Self::ALL.get(index).copied().ok_or(Malformed::Field("refusal reason"))
    }
}

/// The records of one packet that were refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The packet, which one of the ranges holds.
    pub packet: PacketNumber,
    /// Index of the record within its datagram, and why; ascending by index.
    pub records: Vec<(u16, Refusal)>,
}

/// Packets `first..=last` came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AckRange {
    /// Smallest number.
    pub first: PacketNumber,
    /// Largest number.
    pub last: PacketNumber,
}

/// Which packets came, and which of their records were refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// Time from the arrival of the largest packet to the sending of this frame, in microseconds; sent as at
    /// most [`ACK_DELAY_MAX_US`].
    pub delay_us: u64,
    /// The sender's clock when the largest packet came: the low 32 bits of its microseconds.
    pub arrived_us: u32,
    /// How many packets have been recovered from a PARITY so far; the ranges hold them too.
    pub recovered: u64,
    /// 1 to [`ACK_RANGES_MAX`] ranges, descending, with at least one missing number between any two.
    pub ranges: Vec<AckRange>,
    /// Refused records by packet, descending by packet; at most [`ACK_REFUSALS_MAX`] records in all.
    pub refused: Vec<Refused>,
}

impl Ack {
    /// The largest packet number acked.
    #[must_use]
    pub fn largest(&self) -> PacketNumber {
        self.ranges.first().map_or(PacketNumber(0), |range| range.last)
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let largest = reader.varint()?;
        let delay_us = reader.varint_max(ACK_DELAY_MAX_US, "ack delay")?;
        let arrived_us = reader.u32()?;
        let recovered = reader.varint()?;
        let ranges = parse_ranges(reader, largest)?;
        let refused = parse_refused(reader, largest, &ranges)?;
        Ok(Self { delay_us, arrived_us, recovered, ranges, refused })
    }

    /// Bytes that the frame takes, its type included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let largest = self.largest().0;
        let mut len = 1
            + varint_len(largest)
            + varint_len(self.delay_us.min(ACK_DELAY_MAX_US))
            + 4
            + varint_len(self.recovered)
            + varint_len(self.ranges.len() as u64)
            + varint_len(self.refused.len() as u64);
        for pair in self.ranges.windows(2) {
            len += varint_len(pair[0].first.0 - pair[1].last.0 - 2);
        }
        for range in &self.ranges {
            len += varint_len(range.last.0 - range.first.0);
        }
        for refused in &self.refused {
            len += varint_len(largest - refused.packet.0) + varint_len(refused.records.len() as u64);
            len += refused.records.iter().map(|(index, _)| varint_len(u64::from(*index)) + 1).sum::<usize>();
        }
        len
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        assert!((1..=ACK_RANGES_MAX).contains(&self.ranges.len()), "an ack of {} ranges", self.ranges.len());
        let largest = self.largest().0;
        out.put_varint(largest);
        out.put_varint(self.delay_us.min(ACK_DELAY_MAX_US));
        out.put_u32(self.arrived_us);
        out.put_varint(self.recovered);
        out.put_varint(self.ranges.len() as u64);
        let mut below = None;
        for range in &self.ranges {
            if let Some(previous_first) = below {
                let gap: u64 = previous_first - range.last.0;
                out.put_varint(gap - 2);
            }
            out.put_varint(range.last.0 - range.first.0);
            below = Some(range.first.0);
        }
        out.put_varint(self.refused.len() as u64);
        for refused in &self.refused {
            out.put_varint(largest - refused.packet.0);
            out.put_varint(refused.records.len() as u64);
            for (index, reason) in &refused.records {
                out.put_varint(u64::from(*index));
                out.put_u8(*reason as u8);
            }
        }
    }
}

fn parse_ranges(reader: &mut Reader<'_>, largest: u64) -> Result<Vec<AckRange>, Malformed> {
    const FIELD: Malformed = Malformed::Field("ack ranges");
    let count = reader.varint_max(ACK_RANGES_MAX as u64, "ack range count")?;
    if count == 0 {
        return Err(FIELD);
    }
    let mut ranges = Vec::with_capacity(count as usize);
    let mut last = largest;
    for at in 0..count {
        if at > 0 {
            let gap = reader.varint()?;
            last = last.checked_sub(2).and_then(|rest| rest.checked_sub(gap)).ok_or(FIELD)?;
        }
        let first = last.checked_sub(reader.varint()?).filter(|first| *first > 0).ok_or(FIELD)?;
        ranges.push(AckRange { first: PacketNumber(first), last: PacketNumber(last) });
        last = first;
    }
    Ok(ranges)
}

fn parse_refused(
    reader: &mut Reader<'_>,
    largest: u64,
    ranges: &[AckRange],
) -> Result<Vec<Refused>, Malformed> {
    const FIELD: Malformed = Malformed::Field("refused records");
    let packets = reader.varint_max(ACK_REFUSALS_MAX as u64, "refused packet count")?;
    let mut refused: Vec<Refused> = Vec::with_capacity(packets as usize);
    let mut total = 0;
    for _ in 0..packets {
        let packet = largest.checked_sub(reader.varint()?).map(PacketNumber).ok_or(FIELD)?;
        let descends = refused.last().is_none_or(|previous| packet < previous.packet);
        // SPEC [LFP-9.5]: A receiver MUST take an ack as malformed that lists refusals of a packet outside its ranges.
        if !descends || !ranges.iter().any(|range| range.first <= packet && packet <= range.last) {
            return Err(FIELD);
        }
        let count = reader.varint_max(ACK_REFUSALS_MAX as u64, "refused record count")? as usize;
        total += count;
        if total > ACK_REFUSALS_MAX || count == 0 {
            return Err(FIELD);
        }
        let mut records: Vec<(u16, Refusal)> = Vec::with_capacity(count);
        for _ in 0..count {
            let index = reader.varint_max(RECORDS_MAX as u64 - 1, "refused record index")? as u16;
            if records.last().is_some_and(|(previous, _)| index <= *previous) {
                return Err(FIELD);
            }
            records.push((index, Refusal::from_wire(reader.u8()?)?));
        }
        refused.push(Refused { packet, records });
    }
    Ok(refused)
}
