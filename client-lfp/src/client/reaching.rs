//! What the system says of the way to the server, and what to do where nothing comes of it.

use lfp_proto::time::Instant;

use super::Client;
use crate::machine::Event;
use crate::reach::Look;
use crate::state::State;

impl Client {
    /// The server's host has refused a datagram: it says that nobody listens there. Call [`Client::poll_transmit`]
    /// afterwards.
    pub fn handle_refused(&mut self, now: Instant) {
        if self.state == State::Established && self.reach.on_refused(now) {
            self.turn(Event::Unreachable, State::Unreachable);
        }
    }

    /// The system did not send a datagram: from the address in use there is no way to the server. Call
    /// [`Client::take_look`] afterwards.
    pub fn handle_unsendable(&mut self, now: Instant) {
        if self.state == State::Established {
            self.reach.on_unsendable(now);
        }
    }

    /// What to do about the own address, if nothing comes of the server, each once. Call it after [`Client::handle_timeout`],
    /// and [`Client::poll_transmit`] afterwards: what that sends has the server follow a sealed session to another address.
    pub const fn take_look(&mut self) -> Option<Look> {
        self.look.take()
    }
}
