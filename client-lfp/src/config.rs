//! What a client asks for.

use core::time::Duration;

use lfp_proto::depth::Depth;
use lfp_proto::geometry::Size;
use lfp_proto::hello::{ClientType, Display, Hello, RETURNS};
use lfp_proto::technique;

use crate::limits::{CONNECT_TIMEOUT, DATAGRAM_DEFAULT, DATAGRAM_MAX, DATAGRAM_MIN, REFERENCES_MAX};

/// What a client asks for in its HELLO, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The service; at most [`crate::limits::NAME_MAX`] bytes.
    pub service: String,
    /// Where the client stands, in words; may be empty; at most [`crate::limits::NAME_MAX`] bytes.
    pub place: String,
    /// What kind of client it is.
    pub client_type: ClientType,
    /// Resolution of its display in pixels: it is shown nothing larger; `None`: takes any.
    pub display_size: Option<Size>,
    /// Depth of its pixels.
    pub depth: Depth,
    /// Refresh rate of its display in hertz, at least 1.
    pub refresh_hz: u8,
    /// Largest datagram that it wants, UDP payload in bytes; brought into [`DATAGRAM_MIN`]..=[`DATAGRAM_MAX`].
    pub datagram_size: u16,
    /// Bytes that its receive buffer takes in one burst.
    pub receive_buffer: u32,
    /// Pictures that it keeps beside the one it shows, for records to come; each takes as much memory. Brought into
    /// `0..=`[`REFERENCES_MAX`].
    pub references: u8,
    /// Techniques that it says it decodes, a bit each; by default all.
    pub decoders: u32,
    /// Whether it keeps notes of where each cell came from ([`crate::Client::note`]).
    pub notes: bool,
    /// Whether input is said more than once where packets are lost, before anybody can have missed it.
    pub copies: bool,
    /// How long it asks for a session.
    pub connect_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: "default".into(),
            place: String::new(),
            client_type: ClientType::Desktop,
            display_size: None,
            depth: Depth::default(),
            refresh_hz: 60,
            datagram_size: DATAGRAM_DEFAULT as u16,
            receive_buffer: 128 * 1024,
            references: REFERENCES_MAX,
            decoders: technique::decoders(),
            notes: false,
            copies: true,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl Config {
    /// The HELLO that says so, without cookie and time, of a client that comes back with a picture if it `returns`.
    pub(crate) fn hello(&self, returns: bool) -> Hello {
        Hello {
            cookie: Vec::new(),
            client_time_us: 0,
            service: self.service.clone(),
            place: self.place.clone(),
            client_type: self.client_type,
            displays: vec![Display::new(self.display_size, self.depth, self.refresh_hz.max(1))],
            decoders: (self.decoders & !RETURNS) | if returns { RETURNS } else { 0 },
            references: self.references.min(REFERENCES_MAX),
            datagram_size: self.datagram_size.clamp(DATAGRAM_MIN as u16, DATAGRAM_MAX as u16),
            receive_buffer: self.receive_buffer,
        }
    }
}
