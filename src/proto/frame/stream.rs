//! STREAM, STREAM_CREDIT and STREAM_RESET: reliable byte streams beside the pixels.

use alloc::vec::Vec;

use crate::limits::{DATAGRAM_MAX, STREAM_LENGTH_MAX, TEXT_MAX};
use crate::units::StreamId;
use crate::wire::{Malformed, Put, Reader, varint_len};

/// Bit of the flags: the stream ends behind these bytes.
const FIN: u8 = 1;

/// Some bytes of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream<'a> {
    /// Which stream.
    pub stream: StreamId,
    /// Bytes of the stream before these.
    pub offset: u64,
    /// Nothing follows these bytes.
    pub fin: bool,
    /// The bytes; may be none.
    pub bytes: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let stream = StreamId(reader.varint()?);
        let offset = reader.varint_max(STREAM_LENGTH_MAX, "stream offset")?;
        let flags = reader.u8()?;
        if flags & !FIN != 0 {
            return Err(Malformed::Field("stream flags"));
        }
        let bytes = reader.prefixed(DATAGRAM_MAX, "stream bytes")?;
        if offset + bytes.len() as u64 > STREAM_LENGTH_MAX {
            return Err(Malformed::Field("stream offset"));
        }
        Ok(Self { stream, offset, fin: flags & FIN != 0, bytes })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(self.stream.0);
        out.put_varint(self.offset);
        out.put_u8(if self.fin { FIN } else { 0 });
        out.put_prefixed(self.bytes);
    }

    /// Bytes of the frame beside those of the stream, if there are at most [`DATAGRAM_MAX`] of these.
    #[must_use]
    pub const fn overhead(stream: StreamId, offset: u64) -> usize {
        1 + varint_len(stream.0) + varint_len(offset) + 1 + varint_len(DATAGRAM_MAX as u64)
    }
}

/// How far the sender of this takes bytes of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamCredit {
    /// Which stream.
    pub stream: StreamId,
    /// It takes the bytes before this offset.
    pub through: u64,
}

impl StreamCredit {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let stream = StreamId(reader.varint()?);
        Ok(Self { stream, through: reader.varint_max(STREAM_LENGTH_MAX, "stream credit")? })
    }

    pub(super) fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(self.stream.0);
        out.put_varint(self.through);
    }
}

/// Why a stream ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ResetReason {
    /// Whoever used it has no more use for it.
    Abandoned = 0,
    /// Nobody there speaks what the stream is for.
    UnknownKind = 1,
    /// The other side has not kept to the rules of streams, or of what it is for.
    Broken = 2,
}

impl ResetReason {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Abandoned,
            1 => Self::UnknownKind,
            2 => Self::Broken,
            _ => return None,
        })
    }
}

/// A stream ends, both ways, whatever was under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamReset<'a> {
    /// Which stream.
    pub stream: StreamId,
    /// Why, for programs.
    pub reason: ResetReason,
    /// Why, for people.
    pub text: &'a str,
}

impl<'a> StreamReset<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let stream = StreamId(reader.varint()?);
        let reason = ResetReason::from_number(reader.u8()?).ok_or(Malformed::Field("reset reason"))?;
        Ok(Self { stream, reason, text: reader.text(TEXT_MAX, "reset text")? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(self.stream.0);
        out.put_u8(self.reason as u8);
        out.put_text(self.text, TEXT_MAX);
    }
}
