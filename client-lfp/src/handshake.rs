//! Asking for a session: HELLO, repeated; CHALLENGE; ACCEPT or REFUSE.

use core::time::Duration;
use std::collections::VecDeque;

use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::wire::Malformed;

use crate::config::Config;
use crate::limits::{CHALLENGES_AT_ONCE, HELLO_INTERVAL, HELLO_INTERVAL_MAX, HELLOS_REMEMBERED};
use crate::marks::ClockOffset;

/// A client that asks.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    connection: ConnectionId,
    hello: Hello,
    /// When the next HELLO goes.
    due: Instant,
    interval: Duration,
    give_up_at: Instant,
    /// Client times of the last HELLOs; at most [`HELLOS_REMEMBERED`].
    asked: VecDeque<u64>,
    /// CHALLENGEs answered at once.
    answered_at_once: u32,
}

/// What an answer to a HELLO means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Ask again, with a cookie.
    Challenged,
    /// The session exists.
    Accepted(Established),
    /// There will be none.
    Refused(Refuse),
    /// It answers nothing that was asked.
    Foreign,
}

/// What an ACCEPT tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Established {
    pub(crate) accept: Accept,
    /// Round trip of the exchange.
    pub(crate) rtt: Duration,
    pub(crate) offset: ClockOffset,
}

impl Handshake {
    pub(crate) fn new(config: &Config, connection: ConnectionId, now: Instant) -> Self {
        Self {
            connection,
            hello: config.hello(),
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

    /// Whether the server may have made a session already.
    pub(crate) fn may_have_session(&self) -> bool {
        !self.hello.cookie.is_empty()
    }

    /// The HELLO to send now, if one is due. It is as long as the datagrams asked for, so that an answer proves that
    /// the path carries these, upwards at least.
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
        let size = usize::from(self.hello.datagram_size);
        let buffer = Vec::with_capacity(size);
        let mut builder = Builder::new(buffer, size, Kind::Hello, self.connection, PacketNumber(0));
        self.hello.emit(builder.body());
        builder.pad_to(size);
        Some(builder.finish())
    }

    /// Reads an answer.
    // SPEC [LFP-4.6]: A client MUST ignore a CHALLENGE, ACCEPT or REFUSE whose connection id or client time is not that of
    // a HELLO which it sent and which is not answered yet.
    pub(crate) fn on_answer(&mut self, now: Instant, view: &View<'_>) -> Result<Answer, Malformed> {
        Ok(match view.kind() {
            Kind::Challenge => self.on_challenge(now, Challenge::parse(view.payload())?),
            Kind::Accept => self.on_accept(now, Accept::parse(view.payload())?),
            Kind::Refuse => {
                let refuse = Refuse::parse(view.payload())?;
                if self.asked.contains(&refuse.client_time_us) {
                    Answer::Refused(refuse)
                } else {
                    Answer::Foreign
                }
            }
            Kind::Hello | Kind::Data => Answer::Foreign,
        })
    }

    fn on_challenge(&mut self, now: Instant, challenge: Challenge) -> Answer {
        let Some(at) = self.asked.iter().position(|asked| *asked == challenge.client_time_us) else {
            return Answer::Foreign;
        };
        // This HELLO and older ones are answered: another challenge for them is a copy.
        self.asked.drain(..=at);
        self.hello.cookie = challenge.cookie;
        if self.answered_at_once < CHALLENGES_AT_ONCE {
            self.answered_at_once += 1;
            self.due = now;
            self.interval = HELLO_INTERVAL;
        }
        Answer::Challenged
    }

    fn on_accept(&self, now: Instant, accept: Accept) -> Answer {
        if !self.asked.contains(&accept.client_time_us) {
            return Answer::Foreign;
        }
        let rtt = now.saturating_since(Instant::from_micros(accept.client_time_us));
        // The server's clock showed its time in the middle of the exchange, give or take half of it.
        let here = accept.client_time_us.wrapping_add(rtt.as_micros() as u64 / 2);
        let offset = ClockOffset(accept.server_time_us.wrapping_sub(here) as i64);
        Answer::Accepted(Established { accept, rtt, offset })
    }
}
