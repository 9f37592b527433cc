//! What addresses may get that have not shown that they are there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lfp_proto::packet::Kind;

/// Bytes each way for every address.
#[derive(Debug, Default)]
pub(crate) struct Gate(BTreeMap<SocketAddr, Toll>);

#[derive(Debug, Default)]
struct Toll {
    up: usize,
    down: usize,
    /// The server has accepted a session from there.
    proven: bool,
}

impl Gate {
    /// The server is sent something from an address.
    pub(crate) fn on_up(&mut self, from: SocketAddr, len: usize) {
        self.0.entry(from).or_default().up += len;
    }

    /// The server sends something to an address.
    pub(crate) fn on_down(&mut self, to: SocketAddr, kind: Kind, len: usize) {
        let toll = self.0.entry(to).or_default();
        toll.down += len;
        toll.proven |= kind == Kind::Accept;
        let Toll { up, down, proven } = *toll;
        assert!(proven || down <= 3 * up, "LFP-4.3: {to} sent {up} bytes and gets {down}");
    }
}
