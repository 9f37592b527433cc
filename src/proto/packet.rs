//! The datagram: a short clear header, a payload, a trailer that proves it whole.

use alloc::vec::Vec;
use core::ops::Range;

use crate::frame::Frame;
use crate::limits::{DATAGRAM_MAX, FRAMES_MAX, RECORDS_MAX, TRAILER_RESERVED};
use crate::units::{ConnectionId, PacketNumber};
use crate::wire::{Malformed, Put, Reader};

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// Byte ranges of the header.
mod field {
    use super::Range;

    pub(super) const VERSION_KIND: usize = 0;
    pub(super) const PROTECTION: usize = 1;
    pub(super) const CONNECTION: Range<usize> = 2..10;
    pub(super) const NUMBER: Range<usize> = 10..14;
    pub(super) const HEADER_LEN: usize = 14;
}

/// Bytes of the clear header.
pub const HEADER_LEN: usize = field::HEADER_LEN;
/// Bytes of the trailer of a plain packet, and of the datagrams of a handshake.
pub const PLAIN_TRAILER_LEN: usize = 4;
/// Bytes of the trailer of a sealed packet: a tag.
pub const SEAL_TRAILER_LEN: usize = 16;
/// The bit of the protection byte that says by which of two keys a packet is sealed.
const PHASE: u8 = 2;

/// What a datagram is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Client to server: asks for a session, see [`crate::hello::Hello`].
    Hello = 1,
    /// Server to client: a cookie that proves the client's address, see [`crate::hello::Challenge`].
    Challenge = 2,
    /// Server to client: the session exists, see [`crate::hello::Accept`].
    Accept = 3,
    /// Server to client: there will be no session, and why, see [`crate::hello::Refuse`].
    Refuse = 4,
    /// Either way, within a session: frames.
    Data = 5,
    /// Server to client, sealed connections only: it does not know this one. The trailer is the token that proves it.
    Reset = 6,
    /// Server to client, sealed connections only: the second of three messages of a handshake, see
    /// [`crate::greeting::Greet`].
    Greet = 7,
}

impl Kind {
    fn from_wire(value: u8) -> Result<Self, Malformed> {
        Ok(match value {
            1 => Self::Hello,
            2 => Self::Challenge,
            3 => Self::Accept,
            4 => Self::Refuse,
            5 => Self::Data,
            6 => Self::Reset,
            7 => Self::Greet,
            _ => return Err(Malformed::Field("kind")),
        })
    }
}

/// How a packet is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Protection {
    /// A CRC-32 behind the payload: finds faults, stops nobody.
    Plain = 0,
    /// Sealed: authenticated and encrypted, see [`crate::seal`].
    Sealed = 1,
}

/// The header of a datagram. Nothing vouches for it until the trailer is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the datagram is for.
    pub kind: Kind,
    /// How the connection is protected.
    pub protection: Protection,
    /// Of two keys, the one by which the packet is sealed.
    pub phase: bool,
    /// The connection that it belongs to.
    pub connection: ConnectionId,
    /// The low 32 bits of its number.
    number: u32,
}

impl Header {
    /// Reads the header of `bytes`, a whole datagram; checks length, version, kind and protection.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        // SPEC [LFP-3.1]: A receiver MUST drop, without an answer, a datagram that is shorter than 18 or longer than 8,900
        if bytes.len() < HEADER_LEN + PLAIN_TRAILER_LEN {
            return Err(Malformed::Truncated);
        }
        if bytes.len() > DATAGRAM_MAX {
            return Err(Malformed::Field("length"));
        }
        if bytes[field::VERSION_KIND] >> 4 != VERSION {
            return Err(Malformed::Field("version"));
        }
        let kind = Kind::from_wire(bytes[field::VERSION_KIND] & 0x0f)?;
        let (mut connection, mut number) = ([0; 8], [0; 4]);
        connection.copy_from_slice(&bytes[field::CONNECTION]);
        number.copy_from_slice(&bytes[field::NUMBER]);
        let protection = bytes[field::PROTECTION];
        let phase = protection & PHASE != 0;
        let protection = match protection & !PHASE {
            0 => Protection::Plain,
            1 => Protection::Sealed,
            _ => return Err(Malformed::Field("protection")),
        };
        let is_sealed = protection == Protection::Sealed;
        if phase && !(is_sealed && kind == Kind::Data)
            || !is_sealed && matches!(kind, Kind::Reset | Kind::Greet)
        {
            return Err(Malformed::Field("protection"));
        }
        let connection = ConnectionId(u64::from_le_bytes(connection));
        Ok(Self { kind, protection, phase, connection, number: u32::from_le_bytes(number) })
    }

    /// Whether the trailer is a tag or a token, not a checksum.
    #[must_use]
    pub const fn has_tag(&self) -> bool {
        matches!((self.protection, self.kind), (Protection::Sealed, Kind::Data | Kind::Reset))
    }

    /// The packet number in full, given the largest one seen so far: of all numbers with the low 32 bits
    /// that the header carries, the one nearest to `largest + 1`.
    #[must_use]
    pub fn number(&self, largest: PacketNumber) -> PacketNumber {
        // SPEC [LFP-3.4]: A receiver MUST take as packet number, of all numbers with the low 32 bits sent, the one nearest
        let expected = largest.0.wrapping_add(1);
        let ahead = self.number.wrapping_sub(expected as u32) as i32;
        PacketNumber(expected.checked_add_signed(i64::from(ahead)).unwrap_or(u64::from(self.number)))
    }
}

/// A checked view over one datagram: after [`View::new_checked`] no accessor can fail.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl<'a> View<'a> {
    /// Checks the header and the checksum. A packet of a sealed connection has none: [`crate::seal::Seal::open`] takes it.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::parse(bytes)?;
        if header.has_tag() {
            return Err(Malformed::Field("protection"));
        }
        let (covered, trailer) = bytes.split_at(bytes.len() - PLAIN_TRAILER_LEN);
        if crc32fast::hash(covered).to_le_bytes() != trailer {
            return Err(Malformed::Checksum);
        }
        Ok(Self { bytes, header })
    }

    /// A packet that has been opened: header, payload in the clear, tag.
    pub(crate) const fn opened(bytes: &'a [u8], header: Header) -> Self {
        Self { bytes, header }
    }

    /// What the datagram is for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    /// How its connection is protected.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.header.protection
    }

    /// The connection that it belongs to.
    #[must_use]
    pub const fn connection(&self) -> ConnectionId {
        self.header.connection
    }

    /// Its packet number in full, see [`Header::number`].
    #[must_use]
    pub fn number(&self, largest: PacketNumber) -> PacketNumber {
        self.header.number(largest)
    }

    /// The header's bytes, which go into what is sealed in a handshake.
    #[must_use]
    pub fn header_bytes(&self) -> &'a [u8] {
        &self.bytes[..HEADER_LEN]
    }

    /// What stands between header and trailer.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        let trailer = if self.header.has_tag() { SEAL_TRAILER_LEN } else { PLAIN_TRAILER_LEN };
        &self.bytes[HEADER_LEN..self.bytes.len() - trailer]
    }

    /// Whether every frame of a [`Kind::Data`] datagram is well formed. Call it before acting on any of
    /// [`View::frames`]: a packet is taken whole or dropped whole.
    ///
    /// # Errors
    /// Whatever is wrong with the first frame that is not.
    pub fn check_frames(&self) -> Result<(), Malformed> {
        check_frames(self.payload())
    }

    /// The frames of a [`Kind::Data`] datagram without its padding, parsed one by one; ends after the first error.
    pub fn frames(&self) -> impl Iterator<Item = Result<Frame<'a>, Malformed>> + use<'a> {
        frames(self.payload())
    }
}

/// What [`View::check_frames`] says of the payload of a [`Kind::Data`] datagram.
///
/// # Errors
/// Whatever is wrong with the first frame that is malformed.
pub fn check_frames(payload: &[u8]) -> Result<(), Malformed> {
    frames(payload).try_for_each(|frame| frame.map(drop))
}

/// What [`View::frames`] gives of the payload of a [`Kind::Data`] datagram.
pub fn frames(payload: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, Malformed>> {
    let mut reader = Reader::new(payload);
    let (mut frames, mut records) = (0, 0);
    core::iter::from_fn(move || {
        while reader.remaining() > 0 {
            let frame = Frame::parse(&mut reader).and_then(|frame| {
                match &frame {
                    Frame::Padding => return Ok(frame),
                    Frame::Pixels(pixels) => records += pixels.records().count(),
                    _ => {}
                }
                frames += 1;
                // SPEC [LFP-5.3]: A receiver MUST drop a packet that holds more than 128 frames, not counting PADDING,
                if frames > FRAMES_MAX || records > RECORDS_MAX {
                    return Err(Malformed::Field("frame count"));
                }
                Ok(frame)
            });
            if frame.is_err() {
                reader = Reader::new(&[]);
            }
            if frame != Ok(Frame::Padding) {
                return Some(frame);
            }
        }
        None
    })
}

/// Builds one datagram in a buffer of its own, never longer than a limit.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    limit: usize,
    frames: usize,
    records: usize,
}

impl Builder {
    /// Starts a datagram of at most `limit` bytes, in `buffer` (whose content is dropped). Room for a seal's
    /// tag is kept free, so that a plain packet holds no more than a sealed one.
    #[must_use]
    pub fn new(
        mut buffer: Vec<u8>,
        limit: usize,
        kind: Kind,
        connection: ConnectionId,
        number: PacketNumber,
    ) -> Self {
        buffer.clear();
        buffer.put_u8(VERSION << 4 | kind as u8);
        buffer.put_u8(Protection::Plain as u8);
        buffer.put_u64(connection.0);
        buffer.put_u32(number.0 as u32);
        let limit = limit.min(DATAGRAM_MAX).saturating_sub(TRAILER_RESERVED);
        Self { bytes: buffer, limit, frames: 0, records: 0 }
    }

    /// Makes it a datagram of a sealed connection's handshake. Packets are sealed by [`crate::seal::Seal::finish`].
    #[must_use]
    pub fn of_sealed(mut self) -> Self {
        self.bytes[field::PROTECTION] = Protection::Sealed as u8;
        self
    }

    /// Appends `frame` if it fits, in bytes and in number of frames and records; says whether it did.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        let records =
            self.records + if let Frame::Pixels(pixels) = frame { pixels.records().count() } else { 0 };
        if self.frames >= FRAMES_MAX || records > RECORDS_MAX {
            return false;
        }
        let before = self.bytes.len();
        frame.emit(&mut self.bytes);
        let fits = self.bytes.len() <= self.limit;
        if fits {
            self.frames += 1;
            self.records = records;
        } else {
            self.bytes.truncate(before);
        }
        fits
    }

    /// The payload so far, to be appended to directly (handshake bodies).
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The payload so far.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Payload bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Whether nothing has been put in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    /// Fills the payload with zero bytes (PADDING frames, or handshake padding) up to `len` bytes in all.
    pub fn pad_to(&mut self, len: usize) {
        let target = len.min(self.limit + TRAILER_RESERVED).saturating_sub(PLAIN_TRAILER_LEN);
        if self.bytes.len() < target {
            self.bytes.resize(target, 0);
        }
    }

    /// Fills what is left of the payload with PADDING.
    pub fn fill_up(&mut self) {
        let full = self.limit.max(self.bytes.len());
        self.bytes.resize(full, 0);
    }

    /// Gives it up: its buffer.
    #[must_use]
    pub fn discard(self) -> Vec<u8> {
        self.bytes
    }

    /// The packet without a trailer, to be sealed in the given phase.
    ///
    /// # Panics
    /// If more was appended to [`Builder::body`] than there was [`Builder::room`] for.
    pub(crate) fn unsealed(mut self, phase: bool) -> Vec<u8> {
        assert!(self.bytes.len() <= self.limit, "{} bytes where {} fit", self.bytes.len(), self.limit);
        self.bytes[field::PROTECTION] = Protection::Sealed as u8 | if phase { PHASE } else { 0 };
        self.bytes
    }

    /// The packet without its checksum.
    ///
    /// # Panics
    /// If more was appended to [`Builder::body`] than there was [`Builder::room`] for.
    pub(crate) fn unchecked(self) -> Vec<u8> {
        let most = self.limit + TRAILER_RESERVED - PLAIN_TRAILER_LEN;
        assert!(self.bytes.len() <= most, "a datagram of {} bytes where {most} fit", self.bytes.len());
        self.bytes
    }

    /// Closes the datagram with its checksum.
    ///
    /// # Panics
    /// If more was appended to [`Builder::body`] than there was [`Builder::room`] for.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.unchecked();
        close_plain(&mut bytes);
        bytes
    }
}

/// Appends the checksum of a plain packet.
pub(crate) fn close_plain(bytes: &mut Vec<u8>) {
    let crc = crc32fast::hash(bytes);
    bytes.put_u32(crc);
}
