//! The door of a server that seals: its key, the handshakes that are under way, and how many it can afford.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::connection::ticket::Tickets;
use crate::limits::{HALF_DONE_MAX, HALF_DONE_TIME, HANDSHAKES_BURST, HANDSHAKES_PER_SECOND};
use crate::time::Instant;
use crate::units::ConnectionId;
use lfp_proto::greeting::{TOKEN_LEN, Wish};
use lfp_proto::identity::{Entropy, PublicKey, Secret};
use lfp_proto::noise::{Noise, Pattern};
use lfp_proto::seal::Keys;

/// What a server must keep to itself.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Its static key, by which clients know it.
    pub key: Secret,
    /// What cookies, tickets and handshakes are made of; another for each process.
    pub random: Secret,
}

impl Secrets {
    /// Both made of one seed, as runs need that can be repeated.
    #[must_use]
    pub fn of_seed(seed: [u8; 32]) -> Self {
        let seed = Secret::new(seed);
        Self { key: seed.derive(b"key"), random: seed.derive(b"random") }
    }
}

/// A client that has said who it is and what it asks for.
#[derive(Debug)]
pub struct Visitor {
    /// Its static key.
    pub key: PublicKey,
    /// What it asks for.
    pub wish: Wish,
    /// What the session is sealed with.
    pub keys: Keys,
    /// The message that it needs to know the same; empty after XX.
    pub message: Vec<u8>,
}

/// A handshake of XX between its second message and its third.
#[derive(Debug)]
struct Half {
    connection: ConnectionId,
    from: SocketAddr,
    since: Instant,
    first: Vec<u8>,
    second: Vec<u8>,
    noise: Noise,
}

/// Everything that a server needs to let clients in that seal.
#[derive(Debug)]
pub struct Door {
    key: Secret,
    reset: Secret,
    entropy: Entropy,
    /// What clients may show in a cookie's place.
    pub tickets: Tickets,
    /// The oldest first, at most [`HALF_DONE_MAX`].
    half: VecDeque<Half>,
    /// Handshakes that may be computed now, in millionths.
    allowance: u64,
    allowed_at: Instant,
}

impl Door {
    /// With these secrets.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            key: secrets.key.clone(),
            // A server that has been started anew can still say that it knows nothing.
            reset: secrets.key.derive(b"LFP reset"),
            entropy: Entropy::new(secrets.random.derive(b"LFP handshakes")),
            tickets: Tickets::new(&secrets.random.derive(b"LFP tickets")),
            half: VecDeque::new(),
            allowance: HANDSHAKES_BURST * 1_000_000,
            allowed_at: Instant::ZERO,
        }
    }

    /// What only this server can say of a connection.
    #[must_use]
    pub fn token(&self, connection: ConnectionId) -> [u8; TOKEN_LEN] {
        let mut token = [0; TOKEN_LEN];
        token.copy_from_slice(&self.reset.derive(&connection.0.to_le_bytes()).bytes()[..TOKEN_LEN]);
        token
    }

    /// Whether another handshake may be computed at `now`, which takes the time of hundreds of packets: whoever can receive
    /// what is sent to its address can ask for as many as it likes.
    // SPEC [LFP-4.14]: A server MUST bound the handshakes that it computes in a second
    pub fn affords(&mut self, now: Instant) -> bool {
        let earned = now.saturating_since(self.allowed_at).as_micros() as u64;
        self.allowed_at = self.allowed_at.max(now);
        self.allowance = earned
            .saturating_mul(HANDSHAKES_PER_SECOND)
            .saturating_add(self.allowance)
            .min(HANDSHAKES_BURST * 1_000_000);
        let affords = self.allowance >= 1_000_000;
        self.allowance -= if affords { 1_000_000 } else { 0 };
        affords
    }

    /// Reads the first message of IK; `None` if it was written to another key, or is forged.
    pub fn on_ik(&mut self, connection: ConnectionId, message: &[u8]) -> Option<Visitor> {
        let mut noise = Noise::server(Pattern::Ik, &self.key, connection, self.entropy.draw());
        let wish = noise.read(message).and_then(|wish| Wish::parse(&wish)).ok()?;
        let key = noise.peer()?;
        let message = noise.write(&[]).ok()?;
        Some(Visitor { key, wish, keys: noise.keys()?, message })
    }

    /// Reads the first message of XX and gives the second: the same again for the same.
    // SPEC [LFP-4.15]: A server MUST keep the handshakes that are half done for at most 10 seconds, and no more than a fixed
    // number of them
    pub fn on_first(
        &mut self,
        now: Instant,
        from: SocketAddr,
        connection: ConnectionId,
        first: &[u8],
    ) -> Option<Vec<u8>> {
        self.forget(now);
        let at = self.half.iter().position(|half| (half.connection, half.from) == (connection, from));
        if let Some(at) = at {
            if self.half[at].first == first {
                return Some(self.half[at].second.clone());
            }
            self.half.remove(at);
        }
        if !self.affords(now) {
            return None;
        }
        let mut noise = Noise::server(Pattern::Xx, &self.key, connection, self.entropy.draw());
        noise.read(first).ok()?;
        let second = noise.write(&[]).ok()?;
        if self.half.len() == HALF_DONE_MAX {
            self.half.pop_front();
        }
        let half =
            Half { connection, from, since: now, first: first.to_vec(), second: second.clone(), noise };
        self.half.push_back(half);
        Some(second)
    }

    /// Reads the third message of XX; `None` if the first is forgotten, or the third is forged.
    pub fn on_third(
        &mut self,
        now: Instant,
        from: SocketAddr,
        connection: ConnectionId,
        third: &[u8],
    ) -> Option<Visitor> {
        self.forget(now);
        let at = self.half.iter().position(|half| (half.connection, half.from) == (connection, from))?;
        let noise = &mut self.half[at].noise;
        let wish = noise.read(third).ok()?;
        let visitor = Wish::parse(&wish).ok().zip(noise.peer()).zip(noise.keys());
        self.half.remove(at);
        visitor.map(|((wish, key), keys)| Visitor { key, wish, keys, message: Vec::new() })
    }

    /// Handshakes that are half done.
    #[must_use]
    pub fn half_done(&self) -> usize {
        self.half.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.half.front().is_some_and(|half| half.since + HALF_DONE_TIME <= now) {
            self.half.pop_front();
        }
    }
}
