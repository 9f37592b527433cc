//! CLOSE: the session ends, and why.

use alloc::vec::Vec;

use crate::limits::TEXT_MAX;
use crate::wire::{Malformed, Put, Reader};

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CloseReason {
    /// The side that says so is done.
    Done = 0,
    /// The server is shutting down.
    ShuttingDown = 1,
    /// The session had been silent for too long.
    Idle = 2,
    /// The connection is not known (any more).
    Unknown = 3,
    /// The peer broke the protocol.
    Protocol = 4,
    /// The service that the client asked for is not served any more.
    Ended = 5,
}

/// The session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close<'a> {
    /// Why, for programs.
    pub reason: CloseReason,
    /// Why, for people; may be empty. Sent without control characters, cut off at [`TEXT_MAX`] bytes.
    pub text: &'a str,
}

impl<'a> Close<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let reason = match reader.u8()? {
            0 => CloseReason::Done,
            1 => CloseReason::ShuttingDown,
            2 => CloseReason::Idle,
            3 => CloseReason::Unknown,
            4 => CloseReason::Protocol,
            5 => CloseReason::Ended,
            _ => return Err(Malformed::Field("close reason")),
        };
        Ok(Self { reason, text: reader.text(TEXT_MAX, "close text")? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_u8(self.reason as u8);
        out.put_text(self.text, TEXT_MAX);
    }
}
