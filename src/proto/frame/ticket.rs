//! TICKET: a returning client need not be asked for its address.

use alloc::vec::Vec;

use crate::limits::COOKIE_MAX;
use crate::wire::{Malformed, Put, Reader};

/// What a client may show once, in the cookie's place, when it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket<'a> {
    /// Seconds from now for which it is good.
    pub lifetime_s: u32,
    /// The ticket, opaque to the client: 1 to [`COOKIE_MAX`] bytes.
    pub ticket: &'a [u8],
}

impl<'a> Ticket<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let lifetime_s = reader.u32()?;
        let ticket = reader.prefixed(COOKIE_MAX, "ticket")?;
        if ticket.is_empty() { Err(Malformed::Field("ticket")) } else { Ok(Self { lifetime_s, ticket }) }
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        assert!((1..=COOKIE_MAX).contains(&self.ticket.len()), "a ticket of {} bytes", self.ticket.len());
        out.put_u32(self.lifetime_s);
        out.put_prefixed(self.ticket);
    }
}
