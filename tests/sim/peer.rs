//! A client with its user, its network and its record of what it did.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Client, Config, Security, State};
use lfp::time::Instant;
use lfp::units::ConnectionId;
use lfp_impair::{Params, Random, Share};
use lfp_proto::frame::InputKind;
use lfp_proto::window::Codepoint;

use crate::ecn::Unanswered;
use crate::gauge::Gauge;
use crate::network::Network;

/// Keys that a peer presses, each code once in so many events, so that what the guest gets tells who sent what.
const CODES: u16 = 100;
/// What the socket of a client that does not read keeps.
pub(crate) const UNREAD_BYTES_MAX: usize = 212_992;
/// How long a user waits before trying again.
const RETRY: Duration = Duration::from_millis(200);

/// A client with its user and its network.
pub(crate) struct Peer {
    /// Which of the world's peers.
    pub(crate) index: usize,
    pub(crate) address: SocketAddr,
    /// Which of the world's sources.
    pub(crate) source: usize,
    pub(crate) config: Config,
    pub(crate) client: Option<Client>,
    pub(crate) connection: ConnectionId,
    /// Which of the world's networks.
    pub(crate) network: usize,
    /// Share of the server's packets that are changed on the way.
    pub(crate) tamper: Share,
    /// Of so many more packets, a PARITY among them may cover one that was changed.
    pub(crate) tampered_lately: usize,
    /// What its user sees is compared with what was painted.
    pub(crate) gauge: Option<Gauge>,
    /// Its program does nothing before this; what comes waits in its socket, of so many bytes.
    pub(crate) stalled_until: Option<Instant>,
    pub(crate) unread: VecDeque<(Codepoint, Vec<u8>)>,
    /// Since when the server has been told of marks that it has not answered.
    pub(crate) unanswered: Unanswered,
    /// A client that is started in place of another comes back with what that one showed.
    pub(crate) returns: bool,
    /// The user wants a session.
    pub(crate) wanted: bool,
    /// When the user tries again.
    pub(crate) retry_at: Option<Instant>,
    /// When the server last got a packet of the client's.
    pub(crate) heard_at: Instant,
    /// What the user did.
    pub(crate) inputs: Inputs,
    pub(crate) random: Random,
}

/// The keys of one peer.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Key downs given to a client, with their time.
    pub(crate) pressed: Vec<(u16, Instant)>,
    /// How many of them the guest has got or never will, having got later ones.
    pub(crate) passed: usize,
    /// The key that is down.
    down: Option<u16>,
}

impl Peer {
    /// A peer that has not begun, with a network of its own.
    pub(crate) fn new(
        index: usize,
        source: usize,
        config: Config,
        params: (Params, Params),
        mut random: Random,
    ) -> (Self, Network) {
        let network = Network::new(params, &mut random);
        let peer = Self {
            index,
            address: SocketAddr::from(([10, 0, 0, index as u8 + 1], 4_000)),
            source,
            config,
            client: None,
            connection: ConnectionId(0),
            network: index,
            tamper: Share::ZERO,
            tampered_lately: 0,
            gauge: None,
            stalled_until: None,
            unread: VecDeque::new(),
            unanswered: Unanswered::default(),
            returns: false,
            wanted: false,
            retry_at: None,
            heard_at: Instant::ZERO,
            inputs: Inputs::default(),
            random,
        };
        (peer, network)
    }

    /// Starts a client with a new connection, in place of the old one, whatever that is doing.
    pub(crate) fn start(&mut self, now: Instant) {
        self.connection = ConnectionId(self.random.next());
        let (config, connection) = (&self.config, self.connection);
        self.client = Some(match self.client.take().filter(|_| self.returns) {
            Some(old) => Client::returning(config, Security::Plain, connection, now, old.kept()),
            None => Client::new(config, Security::Plain, connection, now),
        });
        self.wanted = true;
        self.retry_at = None;
        self.inputs.down = None;
    }

    /// The client vanishes without a word.
    pub(crate) fn crash(&mut self) {
        self.client = None;
        self.wanted = false;
        self.retry_at = None;
    }

    /// The user ends the session in order.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.wanted = false;
        self.retry_at = None;
        if let Some(client) = &mut self.client {
            client.close(now);
        }
    }

    /// The user notices that the session is over. Gives the client's state if that is news.
    pub(crate) fn look(&mut self, now: Instant) -> Option<State> {
        let client = self.client.as_ref()?;
        if !client.state().is_final() || self.retry_at.is_some() {
            return None;
        }
        let state = client.state().clone();
        if self.wanted {
            self.retry_at = Some(now + RETRY);
        } else {
            self.client = None;
        }
        Some(state)
    }

    /// The user presses another key, or lets go of the one that is down.
    pub(crate) fn type_key(&mut self, now: Instant) {
        let Some(client) = self.client.as_mut().filter(|client| *client.state() == State::Established) else {
            return;
        };
        let kind = match self.inputs.down.take() {
            Some(code) => InputKind::Key { code, down: false },
            None => {
                let code =
                    self.index as u16 * CODES + 1 + (self.inputs.pressed.len() % usize::from(CODES)) as u16;
                self.inputs.down = Some(code);
                self.inputs.pressed.push((code, now));
                InputKind::Key { code, down: true }
            }
        };
        client.input(now, kind);
    }

    /// The user moves the pointer.
    pub(crate) fn move_pointer(&mut self, now: Instant) {
        let (x, y) = (self.random.below(400) as u16, self.random.below(400) as u16);
        if let Some(client) = &mut self.client {
            client.input(now, InputKind::MoveTo { x, y });
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.client.as_ref().is_some_and(|client| *client.state() == State::Established)
    }

    /// When something is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.stalled_until.is_some() {
            return self.stalled_until;
        }
        let client = self.client.as_ref().and_then(Client::poll_timeout);
        client.into_iter().chain(self.retry_at).min()
    }
}

/// Whose key it is.
pub(crate) fn owner_of(code: u16) -> usize {
    usize::from((code - 1) / CODES)
}
