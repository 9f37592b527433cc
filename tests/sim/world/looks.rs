//! What must hold of everything, and whether it does.

use client_lfp::Client;
use lfp::limits::{CACHE_SLOT_CELLS, CACHE_SLOTS, CELL_PIXELS, INPUT_PENDING_MAX};
use lfp::server::SessionStatus;

use super::World;
use crate::peer::Peer;

/// Most bytes of a session in the server beside what its client's cache holds, on surfaces much smaller than a desktop.
const SESSION_MEMORY_MAX: u64 = 1_000_000;
/// Most bytes of that: all slots full, and what names them.
const SESSION_CACHE_MAX: u64 = (CACHE_SLOTS * CACHE_SLOT_CELLS * CELL_PIXELS * 4 + (1 << 20)) as u64;

impl World {
    /// Whether a peer's client shows what its source shows now.
    pub(crate) fn is_right(&self, index: usize) -> bool {
        let peer = &self.peers[index];
        let Some(shown) = peer.client.as_ref().and_then(Client::picture) else { return false };
        let screen = self.sources[peer.source].guest.screen();
        let width = u32::from(shown.size.width);
        let equal =
            |(at, pixel): (u32, &u32)| *pixel == screen.pixel((at % width) as u16, (at / width) as u16);
        shown.live && shown.size == screen.size() && (0..).zip(shown.pixels).all(equal)
    }

    /// Whether it does, and knows that it does.
    pub(crate) fn is_exact(&self, index: usize) -> bool {
        self.peers[index].client.as_ref().is_some_and(Client::exact) && self.is_right(index)
    }

    /// Whether every peer that wants a session shows what its source shows.
    pub(crate) fn all_right(&self) -> bool {
        (0..self.peers.len()).all(|index| !self.peers[index].wanted || self.is_right(index))
    }

    /// Whether every peer that wants a session does, and knows that it does.
    pub(crate) fn all_exact(&self) -> bool {
        // What costs little first: a client that does not know it yet saves a look at all pixels of those before it.
        let knows = |peer: &Peer| !peer.wanted || peer.client.as_ref().is_some_and(Client::exact);
        self.peers.iter().all(knows) && self.all_right()
    }

    /// Looks at everything that every client shows.
    pub(crate) fn assert_all_shown(&self) {
        for peer in &self.peers {
            let Some(shown) = peer.client.as_ref().and_then(|client| client.picture()) else { continue };
            let ledger = &self.ledgers[&peer.connection.0];
            ledger.assert_shown(&shown, None, &self.sources[peer.source].truth);
        }
    }

    /// The server knows that every client shows everything, and waits for nothing but keep-alives.
    pub(crate) fn assert_at_rest(&self) {
        let open =
            |status: &SessionStatus| self.peers.iter().any(|peer| peer.connection == status.connection);
        for status in self.server.status().filter(open) {
            assert_eq!(status.open_cells, 0, "cells that the client is not known to show: {status:?}");
        }
    }

    /// Every session stays within its bounds, and sleeps while it has nothing to do.
    pub(super) fn assert_bounded(&mut self) {
        let stats = self.server.stats();
        assert_eq!(stats.restless, 0, "at {:?} a session woke up and had nothing to do: {stats:?}", self.now);
        for status in self.server.status() {
            let cache = status.cache_bytes as u64;
            let memory = status.memory_bytes as u64 - cache;
            assert!(cache <= SESSION_CACHE_MAX, "the cache of a session takes {cache} bytes: {status:?}");
            self.totals.at_most("bytes of a session's cache in the server", cache);
            assert!(memory <= SESSION_MEMORY_MAX, "a session takes {memory} bytes: {status:?}");
            self.totals.at_most("bytes of a session in the server", memory);
            self.totals.at_most("bytes in flight", status.in_flight_bytes);
        }
        for (index, peer) in self.peers.iter().enumerate() {
            let waiting = peer.client.as_ref().map_or(0, Client::input_waiting);
            assert!(waiting <= INPUT_PENDING_MAX, "{waiting} events wait in the client of peer {index}");
        }
    }
}
