//! HELLO of a sealed connection, and what comes of it.

use std::time::Duration;

use crate::connection::machine::{Deed, Event, step};
use crate::connection::{Admission, Proof, Ticket, Tickets, Visitor, aead};
use crate::limits::{DATAGRAM_MIN, UNKNOWN_CLOSE_INTERVAL};
use crate::server::Server;
use crate::server::handshake::Asked;
use crate::session::{Greeted, Session, Terms};
use crate::time::Instant;
use lfp_proto::greeting::{Decision, Greet, SealedAccept, SealedHello, Step, Wish};
use lfp_proto::hello::{Refuse, RefuseReason};
use lfp_proto::offer::OfferKey;
use lfp_proto::packet::{Builder, HEADER_LEN, Kind, Protection, View};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};
use lfp_proto::units::PacketNumber;

/// Why a client that is not known may be answered at length.
#[derive(Clone, Copy, Debug)]
enum Proven {
    /// It has shown a cookie that was sent to its address so long ago.
    Cookie(Duration),
    /// It has shown a ticket.
    Ticket(Ticket),
}

impl Server {
    pub(super) fn on_sealed_hello(&mut self, now: Instant, asked: Asked, view: &View<'_>) {
        let hello = match SealedHello::parse(view.payload()) {
            Ok(hello) => hello,
            Err(malformed) => return self.stats.on_bad(malformed),
        };
        let proven = self.prove(now, asked, &hello);
        let event = match (proven, hello.step) {
            (None, _) | (_, Step::Ask) => Event::Unproven,
            (Some(_), Step::XxFirst) => Event::First,
            (Some(_), Step::Ik | Step::XxThird) => Event::Hello,
        };
        let deed = step(self.state_of(now, asked.connection), event).map(|(_, deed)| deed);
        match (deed, proven) {
            (Some(Deed::Challenge), _) => {
                self.challenge(now, asked, hello.client_time_us, Protection::Sealed);
            }
            (Some(Deed::Greet), _) => self.greet(now, asked, &hello),
            (Some(Deed::Accept), _) => self.accept_sealed_again(asked, &hello),
            (Some(Deed::Begin), Some(proven)) => self.let_in(now, asked, &hello, proven),
            _ => self.stats.dropped_ended += 1,
        }
    }

    /// Whether a client is where it says.
    fn prove(&mut self, now: Instant, asked: Asked, hello: &SealedHello) -> Option<Proven> {
        if hello.step == Step::Ik {
            if let Some(ticket) = self.door.tickets.check(now, asked.from, &hello.cookie) {
                return Some(Proven::Ticket(ticket));
            }
        }
        let proof = self.check_cookie(now, asked, &hello.cookie);
        if let Proof::Valid(age) = proof { Some(Proven::Cookie(age)) } else { None }
    }

    /// Shows a client that does not know it the server's key.
    fn greet(&mut self, now: Instant, asked: Asked, hello: &SealedHello) {
        let answer = self.door.on_first(now, asked.from, asked.connection, &hello.message);
        let Some(message) = answer else { return self.stats.dropped_handshakes += 1 };
        self.stats.greets += 1;
        let greet = Greet { client_time_us: hello.client_time_us, message };
        self.answer(asked, Kind::Greet, Protection::Sealed, |body| greet.emit(body));
    }

    /// A client whose address is proven has said, sealed, what it asks for.
    // SPEC [LFP-4.17]: A server MUST NOT take a ticket twice, nor from a client with another key than the one that it was
    // given to.
    fn let_in(&mut self, now: Instant, asked: Asked, hello: &SealedHello, proven: Proven) {
        if !self.door.affords(now) {
            self.stats.dropped_handshakes += 1;
            return;
        }
        let visitor = match hello.step {
            Step::Ik => self.door.on_ik(asked.connection, &hello.message),
            _ => self.door.on_third(now, asked.from, asked.connection, &hello.message),
        };
        let Some(visitor) = visitor else {
            self.stats.handshakes_failed += 1;
            if hello.step == Step::Ik {
                self.refuse_key(asked, hello);
            }
            return;
        };
        let age = match proven {
            Proven::Cookie(age) => Some(age),
            Proven::Ticket(ticket) if self.door.tickets.redeem(now, ticket, &visitor.key) => {
                self.stats.tickets_redeemed += 1;
                None
            }
            Proven::Ticket(_) => {
                return self.challenge(now, asked, hello.client_time_us, Protection::Sealed);
            }
        };
        self.admit_visitor(now, asked, hello, visitor, age);
    }

    /// A client has proven who it is.
    fn admit_visitor(
        &mut self,
        now: Instant,
        asked: Asked,
        hello: &SealedHello,
        visitor: Visitor,
        age: Option<Duration>,
    ) {
        let Visitor { key: client, wish: Wish { ciphers, hello: wish }, keys, message } = visitor;
        let (policy, directory) = (self.policy(), &self.config.directory);
        let admission = Admission::decide(&wish, directory, policy, Protection::Sealed);
        let service = match admission {
            Ok(Admission { service }) => service,
            Err(turned) => {
                self.note_refusal(asked, &wish, &turned);
                let refuse =
                    Refuse { client_time_us: wish.client_time_us, reason: turned.reason, text: turned.text };
                let bytes = decided(asked, &keys, message, &Decision::Refused(refuse));
                return self.reply(asked.from, bytes);
            }
        };
        let terms = Terms::of(&wish, self.config.idle_timeout, self.config.without);
        let datagram = terms.datagram;
        let key = self.roster.next_key();
        let mut session = Session::new(now, key, asked.connection, asked.from, service, terms, age);
        let accept = self.accepted(now, &wish, datagram);
        let cipher = Cipher::of(self.config.ciphers, ciphers);
        let decision = Decision::Accepted { accept, cipher, token: self.door.token(asked.connection) };
        let answer = decided(asked, &keys, message, &decision);
        self.stats.accepts += 1;
        self.stats.sessions_sealed += 1;
        let ticket = self.door.tickets.issue(now, asked.from, &client);
        session.seal(Greeted {
            seal: Seal::with(aead::ready, &keys, cipher, now, RekeyAfter::default()),
            client,
            // What the client sends is what the server receives.
            offers: OfferKey::sealed(&keys.receive),
            asked: hello.message.clone(),
            answer: answer.clone(),
            ticket: ticket.to_vec(),
            ticket_lifetime: Tickets::lifetime(),
        });
        self.begin(now, session);
        self.reply(asked.from, answer);
    }

    /// The client of a sealed session has not heard that it exists. Its address is not taken from what anybody can send:
    /// it proves a new one by PATH.
    fn accept_sealed_again(&mut self, asked: Asked, hello: &SealedHello) {
        let session = self.roster.find(asked.connection).and_then(|key| self.roster.get(key));
        let here = session.filter(|session| session.address() == asked.from);
        let Some(answer) = here.and_then(|session| session.answer_to(&hello.message)) else {
            self.stats.dropped_handshakes += 1;
            return;
        };
        let answer = answer.to_vec();
        self.stats.accepts += 1;
        self.reply(asked.from, answer);
    }

    /// Tells a client, whose message cannot be read, that it may have been written to another key.
    fn refuse_key(&mut self, asked: Asked, hello: &SealedHello) {
        self.stats.refusals += 1;
        let text = "the server has another key than the one that you wrote to".to_owned();
        let refuse = Refuse { client_time_us: hello.client_time_us, reason: RefuseReason::WrongKey, text };
        self.answer(asked, Kind::Refuse, Protection::Sealed, |body| refuse.emit(body));
    }

    /// Asks for the proof of an address from which a packet of a sealed session came, which was another's before.
    pub(super) fn challenge_path(&mut self, now: Instant, asked: Asked) {
        self.stats.path_challenges += 1;
        self.challenge(now, asked, 0, Protection::Sealed);
    }

    /// Proves to whoever talks of a sealed connection that is not known that there is none: seldom, and never in more bytes
    /// than came.
    // SPEC [LFP-14.7]: A server MUST NOT answer with RESET in more bytes than came, nor more than once a second for all such.
    pub(super) fn on_unknown_sealed(&mut self, now: Instant, asked: Asked) {
        self.stats.dropped_unknown += 1;
        let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Reset, asked.connection, PacketNumber(0));
        let mut bytes = builder.of_sealed().discard();
        bytes.extend_from_slice(&self.door.token(asked.connection));
        let early =
            self.unknown_closed_at.is_some_and(|at| now.saturating_since(at) < UNKNOWN_CLOSE_INTERVAL);
        if bytes.len() <= asked.len && !early {
            self.unknown_closed_at = Some(now);
            self.stats.unknown_closed += 1;
            self.reply(asked.from, bytes);
        }
    }
}

/// The ACCEPT that says what was decided, which only the client that asked can read.
fn decided(asked: Asked, keys: &Keys, message: Vec<u8>, decision: &Decision) -> Vec<u8> {
    let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Accept, asked.connection, PacketNumber(0));
    let mut builder = builder.of_sealed();
    let mut sealed = Vec::new();
    decision.emit(&mut sealed);
    keys.seal_verdict(&builder.body()[..HEADER_LEN], &mut sealed);
    SealedAccept { message, decision: sealed }.emit(builder.body());
    builder.finish()
}
