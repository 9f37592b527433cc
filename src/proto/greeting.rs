//! The handshake of a sealed connection: what HELLO, GREET and ACCEPT hold there.
//!
//! The first HELLO says nothing; its answer is CHALLENGE. From then on HELLO carries messages of a Noise handshake, and the
//! client's wish, which is a plain HELLO's payload, travels inside the one that nobody else can read.

use alloc::vec::Vec;

use crate::hello::{Accept, Hello, Refuse};
use crate::limits::{COOKIE_MAX, NOISE_MESSAGE_MAX};
use crate::seal::Cipher;
use crate::wire::{Malformed, Put, Reader};

/// Bytes of the token by which a server proves that it once made a connection.
pub const TOKEN_LEN: usize = 16;

/// Which message of which handshake a HELLO carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    /// None yet: asks for a cookie.
    Ask = 0,
    /// The first of IK, with the client's wish in it.
    Ik = 1,
    /// The first of XX.
    XxFirst = 2,
    /// The third of XX, with the client's wish in it.
    XxThird = 3,
}

impl Step {
    fn from_wire(value: u8) -> Result<Self, Malformed> {
        Ok(match value {
            0 => Self::Ask,
            1 => Self::Ik,
            2 => Self::XxFirst,
            3 => Self::XxThird,
            _ => return Err(Malformed::Field("step")),
        })
    }
}

/// The payload of a HELLO datagram of a sealed connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedHello {
    /// The cookie of a CHALLENGE, or a ticket, or empty.
    pub cookie: Vec<u8>,
    /// The client's clock when this was sent, in microseconds; comes back in CHALLENGE, GREET and REFUSE.
    pub client_time_us: u64,
    /// What the message is.
    pub step: Step,
    /// A message of the Noise handshake; empty if there is none.
    pub message: Vec<u8>,
}

impl SealedHello {
    /// Reads the payload; zero padding may follow.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let hello = Self {
            cookie: reader.prefixed(COOKIE_MAX, "cookie")?.to_vec(),
            client_time_us: reader.u64()?,
            step: Step::from_wire(reader.u8()?)?,
            message: reader.prefixed(NOISE_MESSAGE_MAX, "message")?.to_vec(),
        };
        if hello.message.is_empty() != (hello.step == Step::Ask) {
            return Err(Malformed::Field("message"));
        }
        let padding = reader.bytes(reader.remaining())?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Malformed::Trailing);
        }
        Ok(hello)
    }

    /// Appends the payload.
    ///
    /// # Panics
    /// If cookie or message are longer than [`SealedHello::parse`] takes, or the message is not the step's.
    pub fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.cookie.len() <= COOKIE_MAX, "a cookie of {} bytes", self.cookie.len());
        assert!(self.message.len() <= NOISE_MESSAGE_MAX, "a message of {} bytes", self.message.len());
        assert_eq!(self.message.is_empty(), self.step == Step::Ask, "a message that is not the step's");
        out.put_prefixed(&self.cookie);
        out.put_u64(self.client_time_us);
        out.put_u8(self.step as u8);
        out.put_prefixed(&self.message);
    }
}

/// The payload of a GREET datagram: the second message of XX.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greet {
    /// Copied from the HELLO.
    pub client_time_us: u64,
    /// The message.
    pub message: Vec<u8>,
}

impl Greet {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let greet = Self {
            client_time_us: reader.u64()?,
            message: reader.prefixed(NOISE_MESSAGE_MAX, "message")?.to_vec(),
        };
        reader.finish()?;
        Ok(greet)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_u64(self.client_time_us);
        out.put_prefixed(&self.message);
    }
}

/// The payload of an ACCEPT datagram of a sealed connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedAccept {
    /// The second message of IK; empty after XX.
    pub message: Vec<u8>,
    /// A [`Decision`], sealed under the keys that came of the handshake.
    pub decision: Vec<u8>,
}

impl SealedAccept {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let accept = Self {
            message: reader.prefixed(NOISE_MESSAGE_MAX, "message")?.to_vec(),
            decision: reader.prefixed(NOISE_MESSAGE_MAX, "decision")?.to_vec(),
        };
        reader.finish()?;
        Ok(accept)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_prefixed(&self.message);
        out.put_prefixed(&self.decision);
    }
}

/// What a client asks for, as it travels inside the handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// The ciphers that it likes, a bit each.
    pub ciphers: u8,
    /// What it asks for; its cookie is empty.
    pub hello: Hello,
}

impl Wish {
    /// Reads the payload of a message.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let (ciphers, hello) = payload.split_first().ok_or(Malformed::Truncated)?;
        Ok(Self { ciphers: *ciphers, hello: Hello::parse(hello)? })
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.put_u8(self.ciphers);
        self.hello.emit(out);
    }
}

/// Whether there is a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// There is.
    Accepted {
        /// What both sides keep to.
        accept: Accept,
        /// By what packets are sealed.
        cipher: Cipher,
        /// What a RESET of this connection has as its trailer.
        token: [u8; TOKEN_LEN],
    },
    /// There is none.
    Refused(Refuse),
}

impl Decision {
    /// Reads what [`SealedAccept::decision`] holds once it is open.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let decision = match reader.u8()? {
            0 => {
                let accept = Accept::take(&mut reader)?;
                let cipher = Cipher::from_wire(reader.u8()?)?;
                let mut token = [0; TOKEN_LEN];
                token.copy_from_slice(reader.bytes(TOKEN_LEN)?);
                Self::Accepted { accept, cipher, token }
            }
            1 => Self::Refused(Refuse::take(&mut reader)?),
            _ => return Err(Malformed::Field("decision")),
        };
        reader.finish()?;
        Ok(decision)
    }

    /// Appends it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accepted { accept, cipher, token } => {
                out.put_u8(0);
                accept.emit(out);
                out.put_u8(*cipher as u8);
                out.extend_from_slice(token);
            }
            Self::Refused(refuse) => {
                out.put_u8(1);
                refuse.emit(out);
            }
        }
    }
}
