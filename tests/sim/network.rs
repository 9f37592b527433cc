//! What lies between the server and one peer, or several.

use lfp_impair::{Flow, Link, Params, Random};
use lfp_proto::time::Instant;
use lfp_proto::window::Codepoint;

/// Both directions of a link. Each peer has one of its own unless a scenario has it share another's.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) up: Link,
    pub(crate) down: Link,
}

/// A datagram at the end of a link.
#[derive(Debug)]
pub(crate) enum Arrived {
    AtServer(Flow, Vec<u8>),
    /// With how it was marked.
    AtClient(Flow, Codepoint, Vec<u8>),
}

impl Network {
    pub(crate) fn new((up, down): (Params, Params), random: &mut Random) -> Self {
        Self { up: Link::new(up, random.next()), down: Link::new(down, random.next()) }
    }

    /// Both directions.
    pub(crate) fn links(&mut self) -> [&mut Link; 2] {
        [&mut self.up, &mut self.down]
    }

    /// Both directions lose everything that goes wrong; delay and rate stay.
    pub(crate) fn heal(&mut self) {
        for link in self.links() {
            let params = link.params().without_faults();
            link.set_params(params);
            link.clear_blackouts();
        }
    }

    /// What has arrived at one of the ends.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Arrived> {
        if let Some((flow, bytes)) = self.up.poll(now) {
            return Some(Arrived::AtServer(flow, bytes));
        }
        let arrived = self.down.poll_marked(now);
        arrived.map(|(flow, codepoint, bytes)| Arrived::AtClient(flow, codepoint, bytes))
    }

    /// When something arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.up.poll_timeout().into_iter().chain(self.down.poll_timeout()).min()
    }
}
