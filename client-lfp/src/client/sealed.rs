//! What a client of a sealed session has beside one in the clear.

use core::time::Duration;

use lfp_proto::frame::CloseReason;
use lfp_proto::greeting::TOKEN_LEN;
use lfp_proto::hello::Challenge;
use lfp_proto::identity::PublicKey;
use lfp_proto::packet::{HEADER_LEN, SEAL_TRAILER_LEN, View};
use lfp_proto::seal::Cipher;

use super::Client;
use crate::machine::Event;
use crate::state::State;

/// What a server gives for another connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TicketGiven {
    /// It is good once, in [`crate::Credentials::ticket`].
    pub ticket: Vec<u8>,
    /// For how long.
    pub lifetime: Duration,
}

impl Client {
    /// The key of the server that the session is sealed with, once there is one.
    #[must_use]
    pub fn server_key(&self) -> Option<PublicKey> {
        self.sealed.as_ref().map(|sealed| sealed.server)
    }

    /// A ticket for the next connection, each once.
    pub fn take_ticket(&mut self) -> Option<TicketGiven> {
        self.ticket.take()
    }

    /// By what packets are sealed, if they are.
    #[must_use]
    pub const fn cipher(&self) -> Option<Cipher> {
        self.seal.cipher()
    }

    /// Keys that packets were sealed by after the first ones, both ways.
    #[must_use]
    pub const fn rekeys(&self) -> u64 {
        self.seal.rekeys()
    }

    /// The server has seen a packet of this client's come from another address than before, as a router may make it.
    pub(super) fn on_path_challenge(&mut self, bytes: &[u8]) {
        match View::new_checked(bytes).and_then(|view| Challenge::parse(view.payload())) {
            // Anybody could send it; to show it again does no harm.
            Ok(challenge) if self.sealed.is_some() && challenge.client_time_us == 0 => {
                self.path = Some(challenge.cookie);
            }
            Ok(_) => self.stats.foreign += 1,
            Err(_) => self.stats.malformed += 1,
        }
    }

    /// The server does not know the connection any more, if it can prove that it once did.
    // SPEC [LFP-14.6]: A client MUST NOT act on RESET unless its trailer is the token of ACCEPT.
    pub(super) fn on_reset(&mut self, bytes: &[u8]) {
        let token = self.sealed.as_ref().map(|sealed| sealed.token);
        let trailer = bytes.get(HEADER_LEN..).filter(|trailer| trailer.len() == SEAL_TRAILER_LEN);
        // In the same time wherever they differ: nobody learns the token byte by byte.
        let differs = |(token, trailer): ([u8; TOKEN_LEN], &[u8])| {
            token.iter().zip(trailer).fold(0, |sum, (one, other)| sum | (one ^ other))
        };
        if token.zip(trailer).is_none_or(|pair| differs(pair) != 0) {
            return self.stats.foreign += 1;
        }
        let state = match self.state {
            State::Closing => State::Ended,
            _ => State::Closed { reason: CloseReason::Unknown, text: String::new() },
        };
        self.turn(Event::Reset, state);
    }
}
