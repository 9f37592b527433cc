//! What clients do: they come and go, hear, say and pipe.

use client_lfp::State;
use lfp_impair::{Flow, Share};
use lfp_proto::hello::Hello;
use lfp_proto::limits::PARITY_KEPT;
use lfp_proto::packet::{Kind, View};
use lfp_proto::window::Codepoint;

use super::{BUSY_MAX, RECORDED_MAX, World, describe};
use crate::ledger::Ledger;
use crate::piped::Load;
use crate::tamper::tamper;

/// Between two looks at a client's whole picture, in datagrams.
const FULL_LOOK_EVERY: u64 = 16;

impl World {
    /// A stream between a peer's client and the server begins.
    pub(crate) fn pipe(&mut self, index: usize, load: Load) {
        let Self { peers, server, pipes, totals, .. } = self;
        let peer = &mut peers[index];
        if let Some(client) = &mut peer.client {
            pipes.open(peer.connection, client, server, load, totals);
        }
        self.pump(index);
        self.drain_peer(index);
    }

    /// Something may have become possible with a peer's streams.
    pub(super) fn pump(&mut self, index: usize) {
        let Self { peers, server, pipes, totals, .. } = self;
        let peer = &mut peers[index];
        let Some(client) = peer.client.as_mut().filter(|_| pipes.any(peer.connection)) else { return };
        pipes.pump(peer.connection, client, server, totals);
        self.drain_server();
    }

    /// Puts what a peer's client counted to the totals, before it is no more.
    pub(super) fn count_client(&mut self, index: usize) {
        let Some(client) = &self.peers[index].client else { return };
        let stats = client.stats();
        for (name, count) in [
            ("client: datagrams malformed", stats.malformed),
            ("client: datagrams foreign", stats.foreign),
            ("client: packets known", stats.duplicates),
            ("client: packets untimely", stats.untimely),
            ("client: packets lost", stats.packets_lost),
            ("client: packets recovered", stats.packets_recovered),
            ("client: records superseded", stats.records_superseded),
            ("client: cells repaired", stats.cells_repaired),
            ("client: holds", stats.holds),
            ("client: stores", stats.stores),
            ("client: marks incomplete", stats.marks_incomplete),
            ("client: answers", stats.echo.total_us.count()),
            ("client: answers uncounted", stats.echo.uncounted),
            ("client: input dropped", stats.input_dropped),
            ("client: input dropped by the server", stats.input_dropped_by_server),
            ("client: cells kept", stats.cells_kept),
        ] {
            self.totals.many(name, count);
        }
    }

    /// A peer's client vanishes without a word.
    pub(crate) fn crash(&mut self, index: usize) {
        self.count_client(index);
        self.totals.one("clients vanished");
        self.pipes.forget(self.peers[index].connection, &mut self.totals);
        self.peers[index].crash();
    }

    pub(super) fn step_peer(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if let Some(until) = peer.stalled_until {
            if until > self.now {
                return;
            }
            peer.stalled_until = None;
            for (codepoint, bytes) in std::mem::take(&mut peer.unread) {
                self.deliver(index, codepoint, bytes);
                self.pump(index);
                self.drain_peer(index);
            }
        }
        let peer = &mut self.peers[index];
        if peer.retry_at.is_some_and(|at| at <= self.now) {
            self.totals.one("client restarts");
            self.start(index);
        } else if let Some(client) = &mut peer.client {
            if client.poll_timeout().is_some_and(|at| at <= self.now) {
                client.handle_timeout(self.now);
            }
        }
        self.drain_peer(index);
        if let Some(state) = self.peers[index].look(self.now) {
            let name = match state {
                State::Closed { reason, .. } => format!("clients closed: {reason:?}"),
                state => format!("clients {}", state.name()),
            };
            self.say(|| format!("peer {index}: {name}"));
            self.totals.one(&name);
        }
    }

    /// Starts a client with a connection of its own.
    pub(crate) fn start(&mut self, index: usize) {
        let comes_back = self.peers[index].returns && self.peers[index].client.is_some();
        if comes_back {
            // It goes on counting.
            self.totals.one("clients that come back");
        } else {
            self.count_client(index);
        }
        let peer = &mut self.peers[index];
        self.pipes.forget(peer.connection, &mut self.totals);
        peer.start(self.now);
        let mut ledger = Ledger::new(peer.source, &peer.config);
        peer.client.iter().for_each(|client| ledger.on_begun(client));
        self.ledgers.insert(peer.connection.0, ledger);
        self.drain_peer(index);
    }

    /// A datagram comes to a peer.
    pub(super) fn deliver(&mut self, index: usize, codepoint: Codepoint, mut bytes: Vec<u8>) {
        let peer = &mut self.peers[index];
        let Some(client) = &mut peer.client else { return };
        let (mut poisoned, mut changed) = (None, false);
        if peer.tamper != Share::ZERO && peer.random.chance(peer.tamper) {
            if let Some(tampered) = tamper(&bytes, &mut peer.random) {
                (bytes, poisoned, changed) = (tampered.bytes, tampered.poisoned, true);
                self.totals.one("records tampered with");
                peer.tampered_lately = 2 * PARITY_KEPT;
            }
        }
        let known = client.stats().duplicates + client.stats().untimely;
        let recovered = client.stats().packets_recovered;
        let established = *client.state() == State::Established;
        let view = View::new_checked(&bytes).ok();
        let view = view.filter(|view| view.connection() == peer.connection && view.kind() == Kind::Data);
        let ledger = self.ledgers.get_mut(&peer.connection.0).expect("every client has one");
        let mut lost = None;
        if let Some(view) = view.as_ref().filter(|_| established) {
            ledger.on_down_delivered(view, poisoned, changed);
            lost = ledger.recovered_by(view);
            peer.tampered_lately = peer.tampered_lately.saturating_sub(1);
            if lost.is_some() && peer.tampered_lately > 0 {
                // Seals make sure that what was tampered with is never added up.
                return;
            }
        }
        let lost = lost.as_ref().map(|bytes| View::new_checked(bytes).expect("the server sent it"));
        if let Some(lost) = &lost {
            ledger.on_down_delivered(lost, None, false);
        }
        client.handle_marked(self.now, codepoint, &bytes);
        client.handle_shown(self.now);
        if let Some(gauge) = &mut peer.gauge {
            gauge.on_shown(self.now, client);
        }
        ledger.on_shown(self.now, client, &peer.inputs.pressed);
        let Some(view) = view.filter(|_| established) else { return };
        if client.stats().duplicates + client.stats().untimely == known {
            ledger.on_down_taken(self.now, &view);
        }
        let recovered = client.stats().packets_recovered - recovered;
        if recovered > 0 {
            assert_eq!(recovered, 1, "a PARITY is worth one packet");
            ledger.on_down_taken(self.now, &lost.expect("LFP-9.10: only what is missing is recovered"));
        }
        let Some(shown) = client.picture() else { return };
        let truth = &self.sources[ledger.source].truth;
        if recovered > 0 || client.stats().datagrams_down % FULL_LOOK_EVERY == 0 {
            ledger.assert_shown(&shown, None, truth);
        } else {
            let parts = ledger.delivered_cells(&view);
            parts.iter().for_each(|cells| ledger.assert_shown(&shown, Some(*cells), truth));
        }
        ledger.assert_never_back(&shown);
    }

    /// Everything that a peer has to say.
    pub(super) fn drain_peer(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let Some(client) = &mut peer.client else { return };
        for _ in 0..BUSY_MAX {
            let Some(bytes) = client.poll_transmit(self.now) else { return };
            self.fingerprint.update(&bytes);
            let view = View::new_checked(&bytes).expect("the client's datagrams are well formed");
            if view.kind() == Kind::Data {
                let ledger = self.ledgers.get_mut(&peer.connection.0).expect("every client has one");
                ledger.on_up(self.now, &view, bytes.len(), client.picture().as_ref(), &mut self.totals);
            }
            let has_cookie = view.kind() == Kind::Hello
                && Hello::parse(view.payload()).is_ok_and(|hello| !hello.cookie.is_empty());
            if has_cookie && self.old_hello.is_none() {
                self.old_hello = Some((self.now, peer.address, bytes.clone()));
            }
            if self.trace {
                println!("{:?} peer {index} to server: {}", self.now, describe(&view));
            }
            if self.recorded.len() == RECORDED_MAX {
                self.recorded.pop_front();
            }
            self.recorded.push_back((self.now, peer.address, bytes.clone()));
            self.networks[peer.network].up.send(self.now, index as Flow, bytes);
        }
        panic!("at {:?} peer {index} has something to say again and again", self.now);
    }
}
