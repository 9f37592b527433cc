//! HELLO, and what comes of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::machine::{Deed, Event, State, step};
use crate::connection::{Admission, Policy, Proof, Turned};
use crate::limits::{DATAGRAM_MIN, UNKNOWN_CLOSE_INTERVAL};
use crate::server::Server;
use crate::session::{Session, Terms};
use crate::time::{Instant, micros};
use crate::units::{ConnectionId, PacketNumber};
use lfp_proto::frame::{Close, CloseReason, Frame};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::packet::{Builder, Kind, Protection, View};

/// An unproven address gets at most so many times the bytes that came from it.
const AMPLIFICATION_MAX: usize = 3;

/// A datagram that may be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) from: SocketAddr,
    pub(super) connection: ConnectionId,
    pub(super) len: usize,
}

impl Server {
    pub(super) fn on_hello(&mut self, now: Instant, asked: Asked, view: &View<'_>) {
        if asked.len < DATAGRAM_MIN {
            self.stats.dropped_short += 1;
            return;
        }
        if view.protection() == Protection::Sealed {
            return self.on_sealed_hello(now, asked, view);
        }
        let hello = match Hello::parse(view.payload()) {
            Ok(hello) => hello,
            Err(malformed) => return self.stats.on_bad(malformed),
        };
        let proof = self.check_cookie(now, asked, &hello.cookie);
        let event = if matches!(proof, Proof::Valid(_)) { Event::Hello } else { Event::Unproven };
        let deed = step(self.state_of(now, asked.connection), event).map(|(_, deed)| deed);
        match (proof, deed) {
            // SPEC [LFP-4.5]: A server MUST answer a repeated HELLO of a session with ACCEPT again and MUST NOT make a
            // second one.
            (Proof::Valid(age), Some(Deed::Accept)) => self.accept_again(now, asked, &hello, age),
            (Proof::Valid(age), Some(Deed::Begin)) => self.admit(now, asked, &hello, age),
            (_, Some(Deed::Challenge)) => {
                self.challenge(now, asked, hello.client_time_us, Protection::Plain);
            }
            _ => self.stats.dropped_ended += 1,
        }
    }

    /// What a cookie proves.
    // SPEC [LFP-4.3]: A server MUST NOT keep anything for an address that has not shown a valid cookie, nor send it more than
    // three times the bytes that came from it.
    pub(super) fn check_cookie(&mut self, now: Instant, asked: Asked, cookie: &[u8]) -> Proof {
        let proof = self.cookies.check(now, asked.from, asked.connection, cookie);
        self.stats.cookies_forged += u64::from(matches!(proof, Proof::Forged));
        self.stats.cookies_expired += u64::from(matches!(proof, Proof::Expired));
        proof
    }

    /// Where a connection stands.
    pub(super) fn state_of(&mut self, now: Instant, connection: ConnectionId) -> State {
        let session = self.roster.find(connection).and_then(|key| self.roster.get(key));
        match session.map(Session::closing) {
            Some(None) => State::Open,
            Some(Some(_)) => State::Closing,
            None if self.roster.has_ended(now, connection) => State::Ended,
            None => State::None,
        }
    }

    /// The client of a session asks again, perhaps from another address, which it has proven. `age` is the time since
    /// it was asked to prove it: a round trip, if nothing was lost.
    fn accept_again(&mut self, now: Instant, asked: Asked, hello: &Hello, age: Duration) {
        let Some(session) = self.roster.find(asked.connection).and_then(|key| self.roster.tell(key)) else {
            return;
        };
        let datagram = session.terms().datagram;
        if session.protection() != Protection::Plain {
            // Only what its keys seal can move it.
            self.stats.dropped_handshakes += 1;
            return;
        }
        // SPEC [LFP-4.9]: A server MUST NOT send a session's packets to an address that has not shown a valid cookie
        // for it.
        if session.address() != asked.from {
            tracing::info!(connection = asked.connection.0, from = %session.address(), to = %asked.from, "session moves");
            session.move_to(now, asked.from, Some(age));
            self.stats.sessions_moved += 1;
        }
        self.accept(now, asked, hello, datagram);
    }

    /// A client whose address is proven asks for a session.
    fn admit(&mut self, now: Instant, asked: Asked, hello: &Hello, age: Duration) {
        match Admission::decide(hello, &self.config.directory, self.policy(), Protection::Plain) {
            Ok(Admission { service }) => {
                let terms = Terms::of(hello, self.config.idle_timeout, self.config.without);
                let datagram = terms.datagram;
                let key = self.roster.next_key();
                let session = Session::new(now, key, asked.connection, asked.from, service, terms, Some(age));
                self.begin(now, session);
                self.accept(now, asked, hello, datagram);
            }
            Err(turned) => self.refuse(asked, hello, turned),
        }
    }

    /// Whom the server lets in.
    pub(super) fn policy(&self) -> Policy {
        Policy {
            plain: self.config.plain,
            full: self.roster.len() >= self.config.sessions_max,
            closing: self.closing,
        }
    }

    pub(super) fn challenge(
        &mut self,
        now: Instant,
        asked: Asked,
        client_time_us: u64,
        protection: Protection,
    ) {
        self.stats.challenges += 1;
        let cookie = self.cookies.issue(now, asked.from, asked.connection).to_vec();
        let challenge = Challenge { client_time_us, cookie };
        self.answer(asked, Kind::Challenge, protection, |body| challenge.emit(body));
    }

    fn accept(&mut self, now: Instant, asked: Asked, hello: &Hello, datagram: usize) {
        self.stats.accepts += 1;
        let accept = self.accepted(now, hello, datagram);
        self.answer(asked, Kind::Accept, Protection::Plain, |body| accept.emit(body));
    }

    /// What a client is told whose HELLO is granted.
    pub(super) fn accepted(&self, now: Instant, hello: &Hello, datagram: usize) -> Accept {
        Accept {
            client_time_us: hello.client_time_us,
            server_time_us: now.as_micros(),
            datagram_size: u16::try_from(datagram).unwrap_or(u16::MAX),
            idle_timeout_ms: u32::try_from(micros(self.config.idle_timeout) / 1_000).unwrap_or(u32::MAX),
        }
    }

    fn refuse(&mut self, asked: Asked, hello: &Hello, turned: Turned) {
        self.note_refusal(asked, hello, &turned);
        let refuse =
            Refuse { client_time_us: hello.client_time_us, reason: turned.reason, text: turned.text };
        self.answer(asked, Kind::Refuse, Protection::Plain, |body| refuse.emit(body));
    }

    pub(super) fn note_refusal(&mut self, asked: Asked, hello: &Hello, turned: &Turned) {
        self.stats.refusals += 1;
        tracing::info!(from = %asked.from, service = hello.service, reason = ?turned.reason, "refused");
    }

    /// Tells whoever talks of a connection that is not known that there is none: seldom, and never in more bytes than
    /// came.
    pub(super) fn on_unknown(&mut self, now: Instant, asked: Asked) {
        self.stats.dropped_unknown += 1;
        let close = Frame::Close(Close { reason: CloseReason::Unknown, text: "" });
        let mut builder =
            Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, asked.connection, PacketNumber(0));
        builder.push(&close);
        let bytes = builder.finish();
        let early =
            self.unknown_closed_at.is_some_and(|at| now.saturating_since(at) < UNKNOWN_CLOSE_INTERVAL);
        if bytes.len() <= asked.len && !early {
            self.unknown_closed_at = Some(now);
            self.stats.unknown_closed += 1;
            self.reply(asked.from, bytes);
        }
    }

    /// Answers somebody who may have no session, in a datagram of a handshake.
    pub(super) fn answer(
        &mut self,
        asked: Asked,
        kind: Kind,
        protection: Protection,
        emit: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, kind, asked.connection, PacketNumber(0));
        if protection == Protection::Sealed {
            builder = builder.of_sealed();
        }
        emit(builder.body());
        let bytes = builder.finish();
        assert!(
            bytes.len() <= AMPLIFICATION_MAX * asked.len,
            "{} bytes would answer {}",
            bytes.len(),
            asked.len
        );
        self.reply(asked.from, bytes);
    }
}
