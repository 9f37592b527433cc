//! The Noise handshake: IK where the client knows the server's key, XX where it does not.
//!
//! Both sides mix into it what they must agree on (version, protection, connection id), so that whoever changes any of it on
//! the way only makes the handshake fail. Randomness is the caller's.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use crate::identity::{KEY_LEN, PublicKey, Secret};
use crate::limits::NOISE_MESSAGE_MAX;
use crate::packet::{Protection, VERSION};
use crate::seal::Keys;
use crate::units::ConnectionId;
use crate::wire::{Malformed, Put};

/// Which messages there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Two messages; the client knows the server's key beforehand.
    Ik,
    /// Three messages; each side learns the other's key.
    Xx,
}

impl Pattern {
    const fn name(self) -> &'static str {
        match self {
            Self::Ik => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
            Self::Xx => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        }
    }
}

/// One side of a handshake.
pub struct Noise {
    state: HandshakeState,
}

impl Noise {
    /// The client's side, whose static key is `own`; with the server's key the pattern is IK, else XX. `ephemeral` is drawn
    /// for this handshake alone.
    #[must_use]
    pub fn client(
        own: &Secret,
        server: Option<&PublicKey>,
        connection: ConnectionId,
        ephemeral: Secret,
    ) -> Self {
        let pattern = if server.is_some() { Pattern::Ik } else { Pattern::Xx };
        let state =
            prepared(pattern, own, server, connection, ephemeral, |builder| builder.build_initiator());
        Self { state }
    }

    /// The server's side, whose static key is `own`. `ephemeral` is drawn for this handshake alone.
    #[must_use]
    pub fn server(pattern: Pattern, own: &Secret, connection: ConnectionId, ephemeral: Secret) -> Self {
        let state = prepared(pattern, own, None, connection, ephemeral, |builder| builder.build_responder());
        Self { state }
    }

    /// The next message to send, with `payload` in it.
    ///
    /// # Errors
    /// If the peer's key is none (of small order).
    ///
    /// # Panics
    /// If it is not this side's turn, or the payload is too long: the caller's error.
    pub fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Malformed> {
        assert!(self.state.is_my_turn() && !self.is_finished(), "a message out of turn");
        let mut message = vec![0; NOISE_MESSAGE_MAX];
        match self.state.write_message(payload, &mut message) {
            Ok(len) => message.truncate(len),
            Err(snow::Error::Dh) => return Err(Malformed::Field("key")),
            Err(error) => panic!("a payload of {} bytes: {error:?}", payload.len()),
        }
        Ok(message)
    }

    /// Reads the peer's next message: its payload.
    ///
    /// # Errors
    /// If the peer did not write it for this handshake. The handshake is worth nothing any more.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        if self.state.is_my_turn() || self.is_finished() || message.len() > NOISE_MESSAGE_MAX {
            return Err(Malformed::Field("handshake"));
        }
        let mut payload = vec![0; message.len()];
        let len = self.state.read_message(message, &mut payload).map_err(|_| Malformed::Checksum)?;
        payload.truncate(len);
        Ok(payload)
    }

    /// The peer's key, once it has said and proven it.
    #[must_use]
    pub fn peer(&self) -> Option<PublicKey> {
        let mut key = [0; KEY_LEN];
        let known = self.state.get_remote_static().filter(|known| known.len() == KEY_LEN)?;
        key.copy_from_slice(known);
        Some(PublicKey(key))
    }

    /// Whether every message has passed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.is_handshake_finished()
    }

    /// The keys that came of it; `None` before every message has passed.
    pub fn keys(&mut self) -> Option<Keys> {
        if !self.is_finished() {
            return None;
        }
        let (up, down) = self.state.dangerously_get_raw_split();
        let (up, down) = (Secret::new(up), Secret::new(down));
        Some(if self.state.is_initiator() {
            Keys { send: up, receive: down }
        } else {
            Keys { send: down, receive: up }
        })
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise").finish_non_exhaustive()
    }
}

/// A handshake in which nothing has been said yet.
// SPEC [LFP-4.13]: Both sides MUST use as Noise's prologue the three bytes "LFP", the version and the protection as a u8
// each, and the connection id as a u64.
fn prepared(
    pattern: Pattern,
    own: &Secret,
    peer: Option<&PublicKey>,
    connection: ConnectionId,
    ephemeral: Secret,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> HandshakeState {
    let mut prologue = b"LFP".to_vec();
    prologue.put_u8(VERSION);
    prologue.put_u8(Protection::Sealed as u8);
    prologue.put_u64(connection.0);
    let params = pattern.name().parse().expect("a name of Noise's own");
    let builder = Builder::with_resolver(params, Box::new(Resolver { ephemeral }))
        .local_private_key(own.bytes())
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(|builder| match peer {
            Some(peer) => builder.remote_public_key(&peer.0),
            None => Ok(builder),
        });
    builder.and_then(build).expect("everything that the pattern needs is there")
}

/// snow's own primitives, and the one secret that a side of a handshake needs.
struct Resolver {
    ephemeral: Secret,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its secret once: a second ephemeral key of one handshake would be the first again.
struct Once(Option<Secret>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let secret = self.0.take().filter(|_| dest.len() == KEY_LEN).ok_or(snow::Error::Rng)?;
        dest.copy_from_slice(secret.bytes());
        Ok(())
    }
}
