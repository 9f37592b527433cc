//! What protects a session's packets, what the handshake left to be done, and where the client is.

use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::{PATH_CHALLENGE_INTERVAL, RTT_GUESS, UNCONFIRMED_MAX};
use crate::session::Session;
use crate::session::carried::Item;
use crate::time::Instant;
use crate::units::ConnectionId;
use lfp_proto::frame::{Frame, Ticket};
use lfp_proto::identity::PublicKey;
use lfp_proto::offer::OfferKey;
use lfp_proto::packet::{Builder, Protection, View};
use lfp_proto::seal::Seal;
use lfp_proto::wire::Malformed;

/// What came of a handshake.
#[derive(Debug)]
pub struct Greeted {
    /// What seals the session.
    pub seal: Seal,
    /// The client's key.
    pub client: PublicKey,
    /// That of what it offers when it comes back.
    pub offers: OfferKey,
    /// The last message of the client's.
    pub asked: Vec<u8>,
    /// The datagram that answered it.
    pub answer: Vec<u8>,
    /// What the client may show when it comes back.
    pub ticket: Vec<u8>,
    /// For how long.
    pub ticket_lifetime: Duration,
}

/// What protects a session's packets.
#[derive(Debug)]
pub(super) struct Guard {
    seal: Seal,
    client: Option<PublicKey>,
    /// `None`: the session is in the clear.
    offers: Option<OfferKey>,
    /// The client's last message and its answer, until a packet shows that the client has the keys.
    unconfirmed: Option<(Vec<u8>, Vec<u8>)>,
    ticket: Option<(Vec<u8>, Duration)>,
    ticket_due: bool,
    path_asked_at: Option<Instant>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            seal: Seal::Plain,
            client: None,
            offers: None,
            unconfirmed: None,
            ticket: None,
            ticket_due: false,
            path_asked_at: None,
        }
    }
}

impl Guard {
    pub(super) const fn seal_mut(&mut self) -> &mut Seal {
        &mut self.seal
    }

    /// A packet of the client's has been opened: it has the keys.
    pub(super) fn on_opened(&mut self) {
        if self.unconfirmed.take().is_some() {
            self.ticket_due = self.ticket.is_some();
        }
    }

    /// Until when a client that has shown no keys is waited for after `began`.
    pub(super) fn patience(&self, idle: Duration) -> Duration {
        if self.unconfirmed.is_some() { idle.min(UNCONFIRMED_MAX) } else { idle }
    }

    /// The key of what the client offers, of this connection.
    pub(super) fn offer_key(&self, connection: ConnectionId) -> OfferKey {
        self.offers.clone().unwrap_or_else(|| OfferKey::plain(connection))
    }

    pub(super) const fn ticket_due(&self) -> bool {
        self.ticket_due
    }

    /// Puts TICKET into a packet, if it is due and fits.
    pub(super) fn put_ticket(&mut self, builder: &mut Builder, items: &mut Vec<Item>) {
        let Some((ticket, lifetime)) = self.ticket.as_ref().filter(|_| self.ticket_due) else { return };
        let lifetime_s = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        if builder.push(&Frame::Ticket(Ticket { lifetime_s, ticket })) {
            self.ticket_due = false;
            items.push(Item::Ticket);
        }
    }

    pub(super) const fn on_ticket_lost(&mut self) {
        self.ticket_due = self.ticket.is_some();
    }

    pub(super) fn on_ticket_taken(&mut self) {
        self.ticket = None;
        self.ticket_due = false;
    }
}

impl Session {
    /// Seals the session, which must have sent nothing.
    pub fn seal(&mut self, greeted: Greeted) {
        let Greeted { seal, client, offers, asked, answer, ticket, ticket_lifetime } = greeted;
        self.guard = Guard {
            seal,
            client: Some(client),
            offers: Some(offers),
            unconfirmed: Some((asked, answer)),
            ticket: Some((ticket, ticket_lifetime)),
            ticket_due: false,
            path_asked_at: None,
        };
    }

    /// How its packets are protected.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.guard.seal.protection()
    }

    /// The client's key, if the session is sealed.
    #[must_use]
    pub const fn client(&self) -> Option<PublicKey> {
        self.guard.client
    }

    /// Keys that packets were sealed by after the first ones, both ways.
    #[must_use]
    pub const fn rekeys(&self) -> u64 {
        self.guard.seal.rekeys()
    }

    /// The answer to a handshake's last message, if it is the one that made this session and nothing has come of it yet.
    #[must_use]
    pub fn answer_to(&self, message: &[u8]) -> Option<&[u8]> {
        self.guard.unconfirmed.as_ref().filter(|(asked, _)| asked == message).map(|(_, answer)| &answer[..])
    }

    /// Opens a packet of this connection: its frames, which for a sealed one lie in `opened`.
    ///
    /// # Errors
    /// If its trailer does not match, or it is protected otherwise than the session is.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        bytes: &'a [u8],
        opened: &'a mut Vec<u8>,
    ) -> Result<View<'a>, Malformed> {
        self.guard.seal.open(now, bytes, self.receive.largest(), opened)
    }

    /// Whether the client may be asked at `now` if it is at another address; takes note if so.
    pub fn may_ask_path(&mut self, now: Instant) -> bool {
        let asked = &mut self.guard.path_asked_at;
        let early = asked.is_some_and(|at| now.saturating_since(at) < PATH_CHALLENGE_INTERVAL);
        if !early {
            *asked = Some(now);
        }
        !early
    }

    /// The client is at another address, which it has proven.
    pub fn move_to(&mut self, now: Instant, address: SocketAddr, rtt_guess: Option<Duration>) {
        // What was learnt of the old path does not hold for the new one.
        let rtt_guess = rtt_guess.unwrap_or(RTT_GUESS);
        self.address = address;
        self.heard_at = now;
        self.window.on_path_change(rtt_guess);
        self.redundancy.on_path_change();
        self.rate.on_path_change(now, rtt_guess);
        self.losses.on_path_change();
        self.ecn.on_path_change(self.window.next());
        self.length.on_path_change();
        self.stats.moves += 1;
        self.repace();
        self.follow_length();
    }
}
