//! Asking for a session: HELLO, repeated; CHALLENGE; if it is sealed perhaps GREET; ACCEPT or REFUSE.

use core::time::Duration;
use std::collections::VecDeque;

use lfp_proto::greeting::{Greet, TOKEN_LEN};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::identity::PublicKey;
use lfp_proto::packet::{Builder, Kind, Protection, View};
use lfp_proto::seal::{Cipher, Keys};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::wire::Malformed;

use crate::config::Config;
use crate::greeting::{Greeting, Outcome};
use crate::limits::{
    ANSWERS_AT_ONCE, DATAGRAM_DEFAULT, HELLO_INTERVAL, HELLO_INTERVAL_MAX, HELLOS_REMEMBERED,
};
use crate::marks::ClockOffset;
use crate::security::{Expected, Security};

/// A client that asks.
#[derive(Debug)]
pub(crate) struct Handshake {
    connection: ConnectionId,
    /// What it asks for. In the clear its cookie is the one that goes with it.
    hello: Hello,
    /// `None`: in the clear.
    greeting: Option<Greeting>,
    /// When the next HELLO goes.
    due: Instant,
    interval: Duration,
    give_up_at: Instant,
    /// Client times of the last HELLOs; at most [`HELLOS_REMEMBERED`].
    asked: VecDeque<u64>,
    /// Answers after which HELLO went at once.
    answered_at_once: u32,
}

/// What an answer to a HELLO means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Ask again, with a cookie or the next message.
    Continue,
    /// The session exists.
    Accepted(Established),
    /// There will be none.
    Refused(Refuse),
    /// The server has this key, which is not the one that is expected.
    Mismatch(PublicKey),
    /// It answers nothing that was asked.
    Foreign,
}

/// What protects a session that is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sealed {
    pub(crate) keys: Keys,
    pub(crate) cipher: Cipher,
    pub(crate) server: PublicKey,
    pub(crate) token: [u8; TOKEN_LEN],
}

/// What an ACCEPT tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Established {
    pub(crate) accept: Accept,
    /// Time from the question to its answer.
    pub(crate) rtt: Duration,
    /// The question was asked once, so that this is a round trip.
    pub(crate) once: bool,
    pub(crate) offset: ClockOffset,
    pub(crate) sealed: Option<Sealed>,
}

impl Handshake {
    /// That `config` describes; one that `returns` has a picture to offer.
    pub(crate) fn new(
        config: &Config,
        security: Security,
        connection: ConnectionId,
        returns: bool,
        now: Instant,
    ) -> Self {
        let greeting = match security {
            Security::Plain => None,
            Security::Sealed(credentials) => Some(Greeting::new(connection, *credentials)),
        };
        Self {
            connection,
            hello: config.hello(returns),
            greeting,
            due: now,
            interval: HELLO_INTERVAL,
            give_up_at: now + config.connect_timeout,
            asked: VecDeque::new(),
            answered_at_once: 0,
        }
    }

    /// When something is to be done.
    pub(crate) fn due(&self) -> Instant {
        self.due.min(self.give_up_at)
    }

    /// Whether it has asked for long enough.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.give_up_at
    }

    /// Whether the server may have made a session already that can be closed: to a sealed one there are no keys yet.
    pub(crate) fn may_have_session(&self) -> bool {
        !self.hello.cookie.is_empty()
    }

    /// How the connection is to be protected.
    pub(crate) const fn protection(&self) -> Protection {
        if self.greeting.is_some() { Protection::Sealed } else { Protection::Plain }
    }

    /// Whom the client expects.
    pub(crate) fn expected(&self) -> Expected {
        self.greeting.as_ref().map_or(Expected::Anyone, Greeting::expected)
    }

    /// The HELLO to send now, if one is due. It is as long as the datagrams that the server begins with, so that an answer
    /// proves that the path carries these, upwards at least.
    // SPEC [LFP-4.2]: A client MUST pad each HELLO with zero bytes to a datagram of at least 1,100 bytes.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + self.interval;
        self.interval = (self.interval * 2).min(HELLO_INTERVAL_MAX);
        self.hello.client_time_us = now.as_micros();
        if self.asked.len() == HELLOS_REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back(self.hello.client_time_us);
        let size = usize::from(self.hello.datagram_size).min(DATAGRAM_DEFAULT);
        let buffer = Vec::with_capacity(size);
        let mut builder = Builder::new(buffer, size, Kind::Hello, self.connection, PacketNumber(0));
        if let Some(greeting) = &mut self.greeting {
            builder = builder.of_sealed();
            greeting.hello(&self.hello).emit(builder.body());
        } else {
            self.hello.emit(builder.body());
        }
        builder.pad_to(size);
        Some(builder.finish())
    }

    /// Reads an answer.
    // SPEC [LFP-4.6]: A client MUST ignore a CHALLENGE, GREET, ACCEPT or REFUSE whose connection id or client time is not that
    // of a HELLO which it sent and which is not answered yet.
    pub(crate) fn on_answer(&mut self, now: Instant, view: &View<'_>) -> Result<Answer, Malformed> {
        if view.protection() != self.protection() {
            return Ok(Answer::Foreign);
        }
        if view.kind() == Kind::Challenge {
            return Ok(self.on_challenge(now, Challenge::parse(view.payload())?));
        }
        match (&mut self.greeting, view.kind()) {
            (None, Kind::Accept) => Ok(self.on_accept(now, Accept::parse(view.payload())?, None, true)),
            (None, Kind::Refuse) => {
                let refuse = Refuse::parse(view.payload())?;
                let answers = self.asked.contains(&refuse.client_time_us);
                Ok(if answers { Answer::Refused(refuse) } else { Answer::Foreign })
            }
            (Some(greeting), Kind::Accept) => {
                let outcome = greeting.on_accept(view)?;
                Ok(self.on_outcome(now, outcome))
            }
            (Some(greeting), Kind::Refuse) => {
                let refuse = Refuse::parse(view.payload())?;
                if !self.asked.contains(&refuse.client_time_us) {
                    return Ok(Answer::Foreign);
                }
                let outcome = greeting.on_refuse(&self.hello, &refuse);
                Ok(self.on_outcome(now, outcome))
            }
            (Some(greeting), Kind::Greet) => {
                let greet = Greet::parse(view.payload())?;
                if !self.asked.contains(&greet.client_time_us) {
                    return Ok(Answer::Foreign);
                }
                self.hello.client_time_us = now.as_micros();
                let outcome = greeting.on_greet(&self.hello, &greet)?;
                Ok(self.on_outcome(now, outcome))
            }
            _ => Ok(Answer::Foreign),
        }
    }

    fn on_challenge(&mut self, now: Instant, challenge: Challenge) -> Answer {
        let Some(at) = self.asked.iter().position(|asked| *asked == challenge.client_time_us) else {
            return Answer::Foreign;
        };
        // This HELLO and older ones are answered: another challenge for them is a copy.
        self.asked.drain(..=at);
        match &mut self.greeting {
            Some(greeting) => greeting.on_cookie(challenge.cookie),
            None => self.hello.cookie = challenge.cookie,
        }
        self.answer_at_once(now);
        Answer::Continue
    }

    fn on_outcome(&mut self, now: Instant, outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Continue => {
                self.answer_at_once(now);
                Answer::Continue
            }
            Outcome::Accepted { accept, sealed, once } => self.on_accept(now, accept, Some(sealed), once),
            Outcome::Refused(refuse) => Answer::Refused(refuse),
            Outcome::Mismatch(server) => Answer::Mismatch(server),
            Outcome::Foreign => Answer::Foreign,
        }
    }

    /// The next HELLO goes at once, unless somebody keeps answering.
    fn answer_at_once(&mut self, now: Instant) {
        if self.answered_at_once < ANSWERS_AT_ONCE {
            self.answered_at_once += 1;
            self.due = now;
            self.interval = HELLO_INTERVAL;
        }
    }

    fn on_accept(&self, now: Instant, accept: Accept, sealed: Option<Sealed>, once: bool) -> Answer {
        // What the server's keys seal answers the message that they came of, however long ago its time was written there.
        if sealed.is_none() && !self.asked.contains(&accept.client_time_us) {
            return Answer::Foreign;
        }
        let rtt = now.saturating_since(Instant::from_micros(accept.client_time_us));
        // The server's clock showed its time in the middle of the exchange, give or take half of it.
        let here = accept.client_time_us.wrapping_add(rtt.as_micros() as u64 / 2);
        let offset = ClockOffset(accept.server_time_us.wrapping_sub(here) as i64);
        Answer::Accepted(Established { accept, rtt, once, offset, sealed })
    }
}
