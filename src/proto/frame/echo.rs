//! ECHO: which pixels answer input, and what the time went into at the server.

use alloc::vec::Vec;

use crate::limits::{CELL, ECHO_EVENTS_MAX, SURFACE_SIDE_MAX};
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use crate::wire::{Malformed, Put, Reader};

/// An event that some pixels answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echoed {
    /// Its number, as in INPUT.
    pub sequence: u64,
    /// From its arrival at the server until the hypervisor had accepted it, in microseconds.
    pub injection_us: u32,
    /// From then until the capture began that found the change, in microseconds.
    pub wait_us: u32,
}

/// The first pixels that changed after some events were accepted. They are shown once a cell shows a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Which surface.
    pub surface: SurfaceId,
    /// In which epoch.
    pub epoch: Epoch,
    /// The cell's column and row; not checked against any surface.
    pub cell: (u16, u16),
    /// The packet number less this is the content number from which on the cell shows them.
    pub age: u64,
    /// From the beginning of the capture until they were encoded, in microseconds.
    pub encode_us: u32,
    /// From then until the first packet with them was sent, in microseconds.
    pub pacing_us: u32,
    /// 1 to [`ECHO_EVENTS_MAX`] events, ascending by sequence.
    pub events: Vec<Echoed>,
}

impl Echo {
    /// Most bytes that one with so many events takes, with its type.
    #[must_use]
    pub const fn len_max(events: usize) -> usize {
        1 + 3 + 5 + 2 + 2 + 10 + 5 + 5 + 1 + events * (10 + 5 + 5)
    }

    /// The content number from which on the cell shows the change, if packet `number` carries the frame; `None` if there is
    /// none such.
    #[must_use]
    pub fn content(&self, number: PacketNumber) -> Option<ContentNumber> {
        number.0.checked_sub(self.age).filter(|content| *content > 0).map(ContentNumber)
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let epoch = Epoch(reader.varint_u32("epoch")?);
        let most = u64::from(SURFACE_SIDE_MAX / CELL);
        let mut side = || reader.varint_max(most, "echo cell").map(|side| side as u16);
        let cell = (side()?, side()?);
        let age = reader.varint()?;
        let (encode_us, pacing_us) = (reader.varint_u32("echo time")?, reader.varint_u32("echo time")?);
        let count = reader.varint_max(ECHO_EVENTS_MAX as u64, "echo event count")?;
        if count == 0 {
            return Err(Malformed::Field("echo event count"));
        }
        let mut events = Vec::with_capacity(count as usize);
        let mut sequence = 0_u64;
        for _ in 0..count {
            let step = reader.varint()?;
            sequence =
                sequence.checked_add(step).filter(|_| step > 0).ok_or(Malformed::Field("echo sequence"))?;
            let (injection_us, wait_us) = (reader.varint_u32("echo time")?, reader.varint_u32("echo time")?);
            events.push(Echoed { sequence, injection_us, wait_us });
        }
        Ok(Self { surface, epoch, cell, age, encode_us, pacing_us, events })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let count = self.events.len();
        assert!((1..=ECHO_EVENTS_MAX).contains(&count), "{count} events in one echo");
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(u64::from(self.epoch.0));
        out.put_varint(u64::from(self.cell.0));
        out.put_varint(u64::from(self.cell.1));
        out.put_varint(self.age);
        out.put_varint(u64::from(self.encode_us));
        out.put_varint(u64::from(self.pacing_us));
        out.put_varint(count as u64);
        let mut previous = 0;
        for event in &self.events {
            assert!(event.sequence > previous, "echoed event {} behind {previous}", event.sequence);
            out.put_varint(event.sequence - previous);
            previous = event.sequence;
            out.put_varint(u64::from(event.injection_us));
            out.put_varint(u64::from(event.wait_us));
        }
    }
}
