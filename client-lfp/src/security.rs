//! How a client's connection is protected, and whom it takes for its server.

use lfp_proto::identity::{Fingerprint, PublicKey, Secret};

/// How a connection is protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all: checksums only. Whoever is on the path sees the screen and may change it.
    // SPEC [LFP-3.2]: A side MUST NOT use plain protection unless its user has named it.
    Plain,
    /// Sealed.
    Sealed(Box<Credentials>),
}

impl Security {
    /// Sealed with `credentials`.
    #[must_use]
    pub fn sealed(credentials: Credentials) -> Self {
        Self::Sealed(Box::new(credentials))
    }
}

/// What a client needs for a sealed connection.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The client's static key.
    pub own: Secret,
    /// Whom it takes for its server.
    pub server: Expected,
    /// The ciphers that it likes, a bit each: [`lfp_proto::seal::Cipher::liked`].
    pub ciphers: u8,
    /// What the keys of this connection are drawn from: new for each, and not to be guessed.
    pub seed: Secret,
    /// A ticket that this server gave, never used before. It is of use only with the server's key in full.
    pub ticket: Option<Vec<u8>>,
}

/// Whom a client takes for its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Whoever has the secret to this key.
    Key(PublicKey),
    /// Whoever has a key with this fingerprint.
    Fingerprint(Fingerprint),
    /// Whoever answers. The caller keeps the key, and expects it from then on.
    Anyone,
}

impl Expected {
    /// Whether `key` is the server's.
    pub(crate) fn is_met_by(self, key: &PublicKey) -> bool {
        match self {
            Self::Key(expected) => expected == *key,
            Self::Fingerprint(expected) => expected == key.fingerprint(),
            Self::Anyone => true,
        }
    }

    /// The fingerprint that is expected, if any is.
    #[must_use]
    pub fn fingerprint(self) -> Option<Fingerprint> {
        match self {
            Self::Key(key) => Some(key.fingerprint()),
            Self::Fingerprint(fingerprint) => Some(fingerprint),
            Self::Anyone => None,
        }
    }
}
