//! REPORT and QUALITY: what each side sees of the path, told to the other.

use alloc::vec::Vec;

use crate::limits::{BUSY_WHOLE, TIME_MAX_US};
use crate::units::Bitrate;
use crate::wire::{Malformed, Put, Reader};

/// What the client has seen of the server's packets so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Packets that came.
    pub came: u64,
    /// Packets that have not, of those with smaller numbers than the largest that has.
    pub missing: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Packets that came once more.
    pub again: u64,
    /// Of the time since the last report, how much the client has worked for its picture, of [`BUSY_WHOLE`].
    pub busy: u16,
}

impl Report {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (came, missing) = (reader.varint()?, reader.varint()?);
        let (reordered, again) = (reader.varint()?, reader.varint()?);
        let busy = reader.varint_max(u64::from(BUSY_WHOLE), "busy")? as u16;
        Ok(Self { came, missing, reordered, again, busy })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let busy = u64::from(self.busy.min(BUSY_WHOLE));
        for count in [self.came, self.missing, self.reordered, self.again, busy] {
            out.put_varint(count);
        }
    }
}

/// What the server knows of the path that the client cannot see. Times in microseconds, at most [`TIME_MAX_US`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quality {
    /// Smoothed round-trip time.
    pub rtt_us: u64,
    /// What the path delivers to the client.
    pub rate: Bitrate,
    /// How unevenly packets come to the client.
    pub jitter_us: u64,
    /// How much longer than the fastest of late the newest took to the client.
    pub queued_us: u64,
    /// What came of the client's packets.
    pub up: Way,
}

/// What came of the packets of one direction, and how. Times in microseconds, at most [`TIME_MAX_US`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// Packets that came.
    pub came: u64,
    /// Packets that have not.
    pub missing: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Packets that came once more.
    pub again: u64,
    /// How unevenly they come.
    pub jitter_us: u64,
    /// How much longer than the fastest of late the newest took.
    pub queued_us: u64,
}

impl Quality {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let rtt_us = time(reader)?;
        let rate = Bitrate::from_bps(reader.varint()?);
        let (jitter_us, queued_us) = (time(reader)?, time(reader)?);
        let (came, missing) = (reader.varint()?, reader.varint()?);
        let (reordered, again) = (reader.varint()?, reader.varint()?);
        let (up_jitter_us, up_queued_us) = (time(reader)?, time(reader)?);
        let up = Way { came, missing, reordered, again, jitter_us: up_jitter_us, queued_us: up_queued_us };
        Ok(Self { rtt_us, rate, jitter_us, queued_us, up })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let time = |us: u64| us.min(TIME_MAX_US);
        let Self { rtt_us, rate, jitter_us, queued_us, up } = *self;
        for number in [time(rtt_us), rate.as_bps(), time(jitter_us), time(queued_us)] {
            out.put_varint(number);
        }
        for number in [up.came, up.missing, up.reordered, up.again, time(up.jitter_us), time(up.queued_us)] {
            out.put_varint(number);
        }
    }
}

fn time(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    reader.varint_max(TIME_MAX_US, "time")
}
