//! Whether the server's host keeps saying that nobody listens there.

use lfp_proto::time::Instant;

use crate::limits::{REFUSED_PROBE, REFUSED_SILENCE, REFUSED_TIMES};

/// What the server's host has refused since the server was last heard.
///
/// Such a refusal (ICMP port unreachable) can be forged by anybody who knows the addresses. So it only makes the client
/// ask; what ends the session is that several came, over some time, and no packet of the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// When the first came.
    since: Option<Instant>,
    times: u32,
    probe_at: Option<Instant>,
}

impl Reach {
    /// A datagram was refused. Says whether the server is gone.
    pub(crate) fn on_refused(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.times = self.times.saturating_add(1);
        self.probe_at.get_or_insert(now + REFUSED_PROBE);
        self.times >= REFUSED_TIMES && now.saturating_since(since) >= REFUSED_SILENCE
    }

    /// The server was heard.
    pub(crate) fn on_heard(&mut self) {
        *self = Self::default();
    }

    /// When to send something that the server answers, while it is in doubt.
    pub(crate) const fn probe_at(&self) -> Option<Instant> {
        self.probe_at
    }

    /// Something was sent that the server answers.
    pub(crate) fn on_probe(&mut self, now: Instant) {
        self.probe_at = self.probe_at.map(|_| now + REFUSED_PROBE);
    }
}
