//! ECN: how many of the server's packets came with which mark of congestion.

use alloc::vec::Vec;

use crate::wire::{Malformed, Put, Reader};

/// What the client has counted of the server's packets, from the session's beginning: each once, when it came itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ecn {
    /// Those that came as ECT(0): as they were sent.
    pub ect0: u64,
    /// Those that came as CE: somebody on the path has a queue.
    pub ce: u64,
}

impl Ecn {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { ect0: reader.varint()?, ce: reader.varint()? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.put_varint(self.ect0);
        out.put_varint(self.ce);
    }
}
