//! The handshake: HELLO, CHALLENGE, ACCEPT, REFUSE.
//!
//! A client sends HELLO without a cookie; the server, keeping nothing, answers CHALLENGE; the client repeats
//! HELLO with the cookie; the server makes the session and answers ACCEPT, and again to every repeated HELLO.

use alloc::string::String;
use alloc::vec::Vec;

use crate::depth::Depth;
use crate::geometry::Size;
use crate::limits::{
    COOKIE_MAX, DATAGRAM_MAX, DATAGRAM_MIN, DISPLAYS_MAX, NAME_MAX, REFERENCES_MAX, TEXT_MAX,
};
use crate::wire::{Malformed, Put, Reader};

/// What kind of thing shows the pictures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum ClientType {
    /// A program on a general computer.
    #[default]
    Desktop = 0,
    /// A small fixed-function terminal.
    ThinTerminal = 1,
    /// A telephone or tablet.
    Phone = 2,
    /// A television.
    Television = 3,
    /// A program without a screen: test, recorder, gateway.
    Headless = 4,
}

impl ClientType {
    fn from_wire(value: u8) -> Result<Self, Malformed> {
        Ok(match value {
            0 => Self::Desktop,
            1 => Self::ThinTerminal,
            2 => Self::Phone,
            3 => Self::Television,
            4 => Self::Headless,
            _ => return Err(Malformed::Field("client type")),
        })
    }
}

/// One display of a client, as the client states it. What no server can serve is told apart by
/// [`Display::complaint`], so that the client gets an answer that says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Display {
    /// Width in pixels; 0 with a height of 0 where the client takes any size.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Bits per pixel.
    pub depth: u8,
    /// Refresh rate in hertz.
    pub refresh_hz: u8,
}

impl Display {
    /// A display of a size, or one that takes any.
    #[must_use]
    pub fn new(size: Option<Size>, depth: Depth, refresh_hz: u8) -> Self {
        let Size { width, height } = size.unwrap_or_default();
        Self { width, height, depth: depth.bits() as u8, refresh_hz }
    }

    /// The largest picture that it can show; `None`: any.
    #[must_use]
    pub fn size(&self) -> Option<Size> {
        Size::new(self.width, self.height)
    }

    /// The depth of its pixels.
    #[must_use]
    pub const fn depth(&self) -> Option<Depth> {
        Depth::from_bits(self.depth)
    }

    /// Why it cannot be served, for people; `None`: it can.
    #[must_use]
    pub fn complaint(&self) -> Option<&'static str> {
        if (self.width, self.height) != (0, 0) && self.size().is_none() {
            return Some(
                "a display is 1 to 16384 pixels wide and high, at most 37748736 in all, or 0 x 0 if it takes any size",
            );
        }
        if self.depth().is_none() {
            return Some("the depth of a display is 8, 16, 24 or 32 bits");
        }
        (self.refresh_hz == 0).then_some("the refresh rate of a display is 1 to 255 Hz")
    }
}

/// The bit of [`Hello::decoders`] that says that the client comes back, and will offer digests of the picture that it has.
pub const RETURNS: u32 = 1 << 31;

/// A client's wish for a session, with its connection parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The cookie of a CHALLENGE, or empty.
    pub cookie: Vec<u8>,
    /// The client's clock when this was sent, in microseconds; comes back in the answer.
    pub client_time_us: u64,
    /// The service asked for.
    pub service: String,
    /// Where the client stands, in words of whoever set it up (a desk, a room); may be empty.
    pub place: String,
    /// What kind of client it is.
    pub client_type: ClientType,
    /// Its displays, 1 to [`DISPLAYS_MAX`].
    pub displays: Vec<Display>,
    /// Techniques that it decodes: bit n stands for technique number n; and [`RETURNS`].
    pub decoders: u32,
    /// References that it can keep.
    pub references: u8,
    /// Largest datagram that it wants, UDP payload in bytes.
    pub datagram_size: u16,
    /// Bytes that its receive buffer takes in one burst.
    pub receive_buffer: u32,
}

impl Hello {
    /// Whether the client comes back with a picture.
    #[must_use]
    pub const fn returns(&self) -> bool {
        self.decoders & RETURNS != 0
    }

    /// Reads the payload of a HELLO datagram; zero padding may follow.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let hello = Self {
            cookie: reader.prefixed(COOKIE_MAX, "cookie")?.to_vec(),
            client_time_us: reader.u64()?,
            service: reader.text(NAME_MAX, "service")?.into(),
            place: reader.text(NAME_MAX, "place")?.into(),
            client_type: ClientType::from_wire(reader.u8()?)?,
            displays: parse_displays(&mut reader)?,
            decoders: reader.u32()?,
            references: reader.u8()?,
            datagram_size: reader.u16()?,
            receive_buffer: reader.u32()?,
        };
        if hello.references > REFERENCES_MAX {
            return Err(Malformed::Field("references"));
        }
        if !legal_datagram_size(hello.datagram_size) {
            return Err(Malformed::Field("datagram size"));
        }
        let padding = reader.bytes(reader.remaining())?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Malformed::Trailing);
        }
        Ok(hello)
    }

    /// Appends the payload of a HELLO datagram. Texts are sent without control characters, cut off at
    /// [`NAME_MAX`] bytes.
    ///
    /// # Panics
    /// If a list, the references or the datagram size are outside what [`Hello::parse`] takes.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let displays = self.displays.len();
        assert!(self.cookie.len() <= COOKIE_MAX, "a cookie of {} bytes", self.cookie.len());
        assert!((1..=DISPLAYS_MAX).contains(&displays), "{displays} displays in a hello");
        assert!(self.references <= REFERENCES_MAX, "{} references in a hello", self.references);
        assert!(legal_datagram_size(self.datagram_size), "datagrams of {} bytes", self.datagram_size);
        out.put_prefixed(&self.cookie);
        out.put_u64(self.client_time_us);
        out.put_text(&self.service, NAME_MAX);
        out.put_text(&self.place, NAME_MAX);
        out.put_u8(self.client_type as u8);
        out.put_u8(displays as u8);
        for display in &self.displays {
            out.put_u16(display.width);
            out.put_u16(display.height);
            out.put_u8(display.depth);
            out.put_u8(display.refresh_hz);
        }
        out.put_u32(self.decoders);
        out.put_u8(self.references);
        out.put_u16(self.datagram_size);
        out.put_u32(self.receive_buffer);
    }
}

fn legal_datagram_size(size: u16) -> bool {
    (DATAGRAM_MIN..=DATAGRAM_MAX).contains(&usize::from(size))
}

fn parse_displays(reader: &mut Reader<'_>) -> Result<Vec<Display>, Malformed> {
    let count = usize::from(reader.u8()?);
    if !(1..=DISPLAYS_MAX).contains(&count) {
        return Err(Malformed::Field("displays"));
    }
    let mut displays = Vec::with_capacity(count);
    for _ in 0..count {
        let (width, height) = (reader.u16()?, reader.u16()?);
        displays.push(Display { width, height, depth: reader.u8()?, refresh_hz: reader.u8()? });
    }
    Ok(displays)
}

/// The server's answer to an unproven address: bring this cookie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Copied from the HELLO.
    pub client_time_us: u64,
    /// To be sent back as it is.
    pub cookie: Vec<u8>,
}

impl Challenge {
    /// Reads the payload of a CHALLENGE datagram.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let challenge =
            Self { client_time_us: reader.u64()?, cookie: reader.prefixed(COOKIE_MAX, "cookie")?.to_vec() };
        reader.finish()?;
        Ok(challenge)
    }

    /// Appends the payload of a CHALLENGE datagram.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_u64(self.client_time_us);
        out.put_prefixed(&self.cookie);
    }
}

/// The session exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accept {
    /// Copied from the HELLO that this answers.
    pub client_time_us: u64,
    /// The server's clock when this was sent, in microseconds.
    pub server_time_us: u64,
    /// Largest datagram that the server will send, UDP payload in bytes.
    pub datagram_size: u16,
    /// Silence after which the server ends the session, in milliseconds.
    pub idle_timeout_ms: u32,
}

impl Accept {
    /// Reads the payload of an ACCEPT datagram.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let accept = Self::take(&mut reader)?;
        reader.finish()?;
        Ok(accept)
    }

    /// Takes the fields off `reader`.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let accept = Self {
            client_time_us: reader.u64()?,
            server_time_us: reader.u64()?,
            datagram_size: reader.u16()?,
            idle_timeout_ms: reader.u32()?,
        };
        if !legal_datagram_size(accept.datagram_size) {
            return Err(Malformed::Field("datagram size"));
        }
        Ok(accept)
    }

    /// Appends the payload of an ACCEPT datagram.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_u64(self.client_time_us);
        out.put_u64(self.server_time_us);
        out.put_u16(self.datagram_size);
        out.put_u32(self.idle_timeout_ms);
    }
}

/// Why there is no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RefuseReason {
    /// The server does not talk plain, or not to this client.
    PlainNotAllowed = 1,
    /// No service has that name.
    UnknownService = 2,
    /// The server has as many sessions as it may.
    Full = 3,
    /// A connection parameter is outside what this server supports.
    Unsupported = 4,
    /// The server is shutting down.
    ShuttingDown = 5,
    /// The server has another key than the one that the client wrote to.
    WrongKey = 6,
}

/// There will be no session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// Copied from the HELLO.
    pub client_time_us: u64,
    /// Why, for programs.
    pub reason: RefuseReason,
    /// Why and what to do, for people. Sent without control characters, cut off at [`TEXT_MAX`] bytes.
    pub text: String,
}

impl Refuse {
    /// Reads the payload of a REFUSE datagram.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let refuse = Self::take(&mut reader)?;
        reader.finish()?;
        Ok(refuse)
    }

    /// Takes the fields off `reader`.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let refuse = Self {
            client_time_us: reader.u64()?,
            reason: match reader.u8()? {
                1 => RefuseReason::PlainNotAllowed,
                2 => RefuseReason::UnknownService,
                3 => RefuseReason::Full,
                4 => RefuseReason::Unsupported,
                5 => RefuseReason::ShuttingDown,
                6 => RefuseReason::WrongKey,
                _ => return Err(Malformed::Field("reason")),
            },
            text: reader.text(TEXT_MAX, "text")?.into(),
        };
        Ok(refuse)
    }

    /// Appends the payload of a REFUSE datagram.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_u64(self.client_time_us);
        out.put_u8(self.reason as u8);
        out.put_text(&self.text, TEXT_MAX);
    }
}
