//! PARITY: what one of several packets can be recovered from.

use alloc::vec::Vec;

use crate::limits::{DATAGRAM_MAX, PARITY_KEPT, PARITY_PACKETS_MAX};
use crate::units::PacketNumber;
use crate::wire::{Malformed, Put, Reader};

/// The exclusive or of the payloads of some packets: whoever has all of them but one has that one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parity<'a> {
    /// How far the first of these packets lies before the one that carries this: at least `count`, at most
    /// [`PARITY_KEPT`].
    pub back: u8,
    /// How many packets, one after another: 1 to [`PARITY_PACKETS_MAX`].
    pub count: u8,
    /// The exclusive or of the lengths of their payloads in bytes.
    pub len: u16,
    /// That of the payloads, each filled up with zeros to the length of the longest.
    pub payload: &'a [u8],
}

impl<'a> Parity<'a> {
    /// The packets that it covers, carried in packet `number`; `None` if that makes no sense.
    #[must_use]
    pub fn packets(&self, number: PacketNumber) -> Option<core::ops::Range<u64>> {
        let first = number.0.checked_sub(u64::from(self.back)).filter(|first| *first > 0)?;
        Some(first..first + u64::from(self.count))
    }

    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        const FIELD: Malformed = Malformed::Field("parity packets");
        let (back, count) = (reader.u8()?, reader.u8()?);
        if count == 0 || usize::from(count) > PARITY_PACKETS_MAX || count > back {
            return Err(FIELD);
        }
        if usize::from(back) > PARITY_KEPT {
            return Err(FIELD);
        }
        let len = reader.u16()?;
        let payload = reader.prefixed(DATAGRAM_MAX, "parity payload")?;
        Ok(Self { back, count, len, payload })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_u8(self.back);
        out.put_u8(self.count);
        out.put_u16(self.len);
        out.put_prefixed(self.payload);
    }
}
