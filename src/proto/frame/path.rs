//! PATH: the client is at another address.

use alloc::vec::Vec;

use crate::limits::COOKIE_MAX;
use crate::wire::{Malformed, Put, Reader};

/// The cookie that the server sent to the address which this packet comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path<'a> {
    /// The cookie, at most [`COOKIE_MAX`] bytes.
    pub cookie: &'a [u8],
}

impl<'a> Path<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { cookie: reader.prefixed(COOKIE_MAX, "cookie")? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.cookie.len() <= COOKIE_MAX, "a cookie of {} bytes", self.cookie.len());
        out.put_prefixed(self.cookie);
    }
}
