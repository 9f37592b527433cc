//! What the payload of a DATA datagram is made of: frames, one after another, each with its type first.

mod ack;
mod attention;
mod close;
mod digest;
mod echo;
mod ecn;
mod hold;
mod input;
mod mark;
mod offer;
mod parity;
mod path;
mod pixels;
mod prove;
mod report;
mod stream;
mod surface;
mod ticket;

use alloc::vec::Vec;

pub use ack::{Ack, AckRange, Refusal, Refused};
pub use attention::{Attend, Attention};
pub use close::{Close, CloseReason};
pub use digest::{Digest, DigestReply, Verdict};
pub use echo::{Echo, Echoed};
pub use ecn::Ecn;
pub use hold::Hold;
pub use input::{Button, Input, InputAck, InputEvent, InputKind};
pub use mark::Mark;
pub use offer::{Keep, Offer};
pub use parity::Parity;
pub use path::Path;
pub use pixels::Pixels;
pub use prove::Prove;
pub use report::{Quality, Report, Way};
pub use stream::{ResetReason, Stream, StreamCredit, StreamReset};
pub use surface::{Surface, SurfaceState};
pub use ticket::Ticket;

use crate::units::PacketNumber;
use crate::wire::{Malformed, Put, Reader};

/// Frame types on the wire.
mod kind {
    pub(super) const PADDING: u8 = 0;
    pub(super) const PING: u8 = 1;
    pub(super) const ACK: u8 = 2;
    pub(super) const FLOOR: u8 = 3;
    pub(super) const SURFACE: u8 = 4;
    pub(super) const PIXELS: u8 = 5;
    pub(super) const MARK: u8 = 6;
    pub(super) const DIGEST: u8 = 7;
    pub(super) const DIGEST_REPLY: u8 = 8;
    pub(super) const INPUT: u8 = 9;
    pub(super) const INPUT_ACK: u8 = 10;
    pub(super) const CLOSE: u8 = 11;
    pub(super) const HOLD: u8 = 12;
    pub(super) const PROVE: u8 = 13;
    pub(super) const ATTENTION: u8 = 14;
    pub(super) const PATH: u8 = 15;
    pub(super) const TICKET: u8 = 16;
    pub(super) const PARITY: u8 = 17;
    pub(super) const ECHO: u8 = 18;
    pub(super) const STREAM: u8 = 19;
    pub(super) const STREAM_CREDIT: u8 = 20;
    pub(super) const STREAM_RESET: u8 = 21;
    pub(super) const REPORT: u8 = 22;
    pub(super) const QUALITY: u8 = 23;
    pub(super) const ECN: u8 = 24;
    pub(super) const OFFER: u8 = 25;
    pub(super) const KEEP: u8 = 26;
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// Nothing.
    Padding,
    /// Asks for an ack.
    Ping,
    /// Which packets came, and which of their records were refused.
    Ack(Ack),
    /// The receiver forgets every packet below this number: nothing waits for their acks.
    Floor(PacketNumber),
    /// The mode or state of a surface.
    Surface(Surface<'a>),
    /// Records.
    Pixels(Pixels<'a>),
    /// A whole tick has been sent.
    Mark(Mark),
    /// The client's checksum of part of its picture.
    Digest(Digest),
    /// The server's answer to a digest.
    DigestReply(DigestReply),
    /// Keys, buttons and motion.
    Input(Input),
    /// Which input events came.
    InputAck(InputAck),
    /// The session ends.
    Close(Close<'a>),
    /// A picture to keep as a reference.
    Hold(Hold),
    /// The server asks for a digest.
    Prove(Prove),
    /// How much the user sees of a surface.
    Attention(Attend),
    /// The client is at another address, and proves it.
    Path(Path<'a>),
    /// What a returning client may show instead of a cookie.
    Ticket(Ticket<'a>),
    /// What one of the packets before it can be recovered from.
    Parity(Parity<'a>),
    /// Which pixels answer input.
    Echo(Echo),
    /// Bytes of a stream.
    Stream(Stream<'a>),
    /// How far bytes of a stream are taken.
    StreamCredit(StreamCredit),
    /// A stream ends before its time.
    StreamReset(StreamReset<'a>),
    /// What the client has seen of the server's packets.
    Report(Report),
    /// What the server knows of the path.
    Quality(Quality),
    /// How many of the server's packets came with which mark of congestion.
    Ecn(Ecn),
    /// What a client that comes back still has.
    Offer(Offer),
    /// What of it holds.
    Keep(Keep),
}

impl<'a> Frame<'a> {
    /// Takes one frame off `reader`.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            kind::PADDING => Self::Padding,
            kind::PING => Self::Ping,
            kind::ACK => Self::Ack(Ack::parse(reader)?),
            kind::FLOOR => Self::Floor(PacketNumber(reader.varint()?)),
            kind::SURFACE => Self::Surface(Surface::parse(reader)?),
            kind::PIXELS => Self::Pixels(Pixels::parse(reader)?),
            kind::MARK => Self::Mark(Mark::parse(reader)?),
            kind::DIGEST => Self::Digest(Digest::parse(reader)?),
            kind::DIGEST_REPLY => Self::DigestReply(DigestReply::parse(reader)?),
            kind::INPUT => Self::Input(Input::parse(reader)?),
            kind::INPUT_ACK => Self::InputAck(InputAck::parse(reader)?),
            kind::CLOSE => Self::Close(Close::parse(reader)?),
            kind::HOLD => Self::Hold(Hold::parse(reader)?),
            kind::PROVE => Self::Prove(Prove::parse(reader)?),
            kind::ATTENTION => Self::Attention(Attend::parse(reader)?),
            kind::PATH => Self::Path(Path::parse(reader)?),
            kind::TICKET => Self::Ticket(Ticket::parse(reader)?),
            kind::PARITY => Self::Parity(Parity::parse(reader)?),
            kind::ECHO => Self::Echo(Echo::parse(reader)?),
            kind::STREAM => Self::Stream(Stream::parse(reader)?),
            kind::STREAM_CREDIT => Self::StreamCredit(StreamCredit::parse(reader)?),
            kind::STREAM_RESET => Self::StreamReset(StreamReset::parse(reader)?),
            kind::REPORT => Self::Report(Report::parse(reader)?),
            kind::QUALITY => Self::Quality(Quality::parse(reader)?),
            kind::ECN => Self::Ecn(Ecn::parse(reader)?),
            kind::OFFER => Self::Offer(Offer::parse(reader)?),
            kind::KEEP => Self::Keep(Keep::parse(reader)?),
            _ => return Err(Malformed::Field("frame type")),
        })
    }

    /// Appends the frame.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Padding => out.put_u8(kind::PADDING),
            Self::Ping => out.put_u8(kind::PING),
            Self::Ack(ack) => {
                out.put_u8(kind::ACK);
                ack.emit(out);
            }
            Self::Floor(number) => {
                out.put_u8(kind::FLOOR);
                out.put_varint(number.0);
            }
            Self::Surface(surface) => {
                out.put_u8(kind::SURFACE);
                surface.emit(out);
            }
            Self::Pixels(pixels) => {
                out.put_u8(kind::PIXELS);
                pixels.emit(out);
            }
            Self::Mark(mark) => {
                out.put_u8(kind::MARK);
                mark.emit(out);
            }
            Self::Digest(digest) => {
                out.put_u8(kind::DIGEST);
                digest.emit(out);
            }
            Self::DigestReply(reply) => {
                out.put_u8(kind::DIGEST_REPLY);
                reply.emit(out);
            }
            Self::Input(input) => {
                out.put_u8(kind::INPUT);
                input.emit(out);
            }
            Self::InputAck(ack) => {
                out.put_u8(kind::INPUT_ACK);
                ack.emit(out);
            }
            Self::Close(close) => {
                out.put_u8(kind::CLOSE);
                close.emit(out);
            }
            Self::Hold(hold) => {
                out.put_u8(kind::HOLD);
                hold.emit(out);
            }
            Self::Prove(prove) => {
                out.put_u8(kind::PROVE);
                prove.emit(out);
            }
            Self::Attention(attend) => {
                out.put_u8(kind::ATTENTION);
                attend.emit(out);
            }
            Self::Path(path) => {
                out.put_u8(kind::PATH);
                path.emit(out);
            }
            Self::Ticket(ticket) => {
                out.put_u8(kind::TICKET);
                ticket.emit(out);
            }
            Self::Parity(parity) => {
                out.put_u8(kind::PARITY);
                parity.emit(out);
            }
            Self::Echo(echo) => {
                out.put_u8(kind::ECHO);
                echo.emit(out);
            }
            Self::Stream(stream) => {
                out.put_u8(kind::STREAM);
                stream.emit(out);
            }
            Self::StreamCredit(credit) => {
                out.put_u8(kind::STREAM_CREDIT);
                credit.emit(out);
            }
            Self::StreamReset(reset) => {
                out.put_u8(kind::STREAM_RESET);
                reset.emit(out);
            }
            Self::Report(report) => {
                out.put_u8(kind::REPORT);
                report.emit(out);
            }
            Self::Quality(quality) => {
                out.put_u8(kind::QUALITY);
                quality.emit(out);
            }
            Self::Ecn(counts) => {
                out.put_u8(kind::ECN);
                counts.emit(out);
            }
            Self::Offer(offer) => {
                out.put_u8(kind::OFFER);
                offer.emit(out);
            }
            Self::Keep(keep) => {
                out.put_u8(kind::KEEP);
                keep.emit(out);
            }
        }
    }

    /// Whether a packet that holds this frame asks for an ack.
    #[must_use]
    pub fn elicits_ack(&self) -> bool {
        match self {
            Self::Padding | Self::Floor(_) | Self::Close(_) => false,
            // What is counted, the next one says better.
            Self::Report(_) | Self::Quality(_) | Self::Ecn(_) => false,
            // Refusals are repeated until the packet that carried them is acked.
            Self::Ack(ack) => !ack.refused.is_empty(),
            _ => true,
        }
    }
}
