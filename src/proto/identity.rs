//! Who a side is: its static key pair, and the fingerprint by which people compare keys.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use blake2::digest::Mac;
use blake2::digest::consts::U32;
use blake2::{Blake2s256, Blake2sMac, Digest};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// 32 secret bytes: a static key, a key of a direction, or what others are drawn from. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; KEY_LEN]>);

impl Secret {
    /// A secret of these bytes, which must not be guessable.
    #[must_use]
    pub fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The public key that belongs to this static key (X25519).
    ///
    /// # Panics
    /// Never: the curve is built in.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("the curve is built in");
        pair.set(self.bytes());
        let mut public = [0; KEY_LEN];
        public.copy_from_slice(pair.pubkey());
        PublicKey(public)
    }

    /// A secret for one `purpose`, which tells nothing of this one: keyed BLAKE2s-256.
    ///
    /// # Panics
    /// Never: a key of 32 bytes fits BLAKE2s.
    #[must_use]
    pub fn derive(&self, purpose: &[u8]) -> Self {
        let mut mac = <Blake2sMac<U32> as blake2::digest::KeyInit>::new_from_slice(self.bytes())
            .expect("a key of 32 bytes fits BLAKE2s");
        Mac::update(&mut mac, purpose);
        Self::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Secrets drawn from a first one. Whoever learns the state later learns none that was drawn before.
#[derive(Clone, Debug)]
pub struct Entropy(Secret);

impl Entropy {
    /// Draws from `seed`, which must not be guessable.
    #[must_use]
    pub const fn new(seed: Secret) -> Self {
        Self(seed)
    }

    /// A secret that was not drawn before.
    pub fn draw(&mut self) -> Secret {
        let drawn = self.0.derive(b"drawn");
        self.0 = self.0.derive(b"next");
        drawn
    }
}

/// A side's public static key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; KEY_LEN]);

impl PublicKey {
    /// What people compare instead of it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut sum = Blake2s256::new();
        Digest::update(&mut sum, b"LFP key");
        Digest::update(&mut sum, self.0);
        let mut short = [0; FINGERPRINT_LEN];
        short.copy_from_slice(&sum.finalize()[..FINGERPRINT_LEN]);
        Fingerprint(short)
    }
}

impl fmt::Display for PublicKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let digits = text.as_bytes();
        let mut key = [0; KEY_LEN];
        if digits.len() != 2 * KEY_LEN {
            return Err(NotAKey);
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(NotAKey);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Self(key))
    }
}

/// A text is no key, or no fingerprint of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is six groups of four of the characters a-z and 2-7, with hyphens between")
    }
}

impl core::error::Error for NotAKey {}

/// Bytes of a fingerprint: 120 bits, which nobody can find another key for.
const FINGERPRINT_LEN: usize = 15;
/// Base32 of RFC 4648, in lower case: no character can be taken for another digit.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A public key's sum, short enough to read aloud: `abcd-efgh-ijkl-mnop-qrst-uvwx`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; FINGERPRINT_LEN]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = |at: usize| (0..5).fold(0, |sum, bit| sum << 1 | self.bit(at * 5 + bit));
        for at in 0..FINGERPRINT_LEN * 8 / 5 {
            let hyphen = if at > 0 && at % 4 == 0 { "-" } else { "" };
            write!(f, "{hyphen}{}", char::from(ALPHABET[bits(at)]))?;
        }
        Ok(())
    }
}

impl Fingerprint {
    fn bit(&self, at: usize) -> usize {
        usize::from(self.0[at / 8] >> (7 - at % 8) & 1)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = NotAKey;

    /// Takes it with or without hyphens, in either case.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let plain: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        let mut bytes = [0; FINGERPRINT_LEN];
        if plain.len() != FINGERPRINT_LEN * 8 / 5 {
            return Err(NotAKey);
        }
        for (at, c) in plain.bytes().enumerate() {
            let value = ALPHABET.iter().position(|known| *known == c).ok_or(NotAKey)?;
            for bit in (0..5).filter(|bit| value >> (4 - bit) & 1 == 1) {
                bytes[(at * 5 + bit) / 8] |= 0x80 >> ((at * 5 + bit) % 8);
            }
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_public_key_is_the_one_that_others_compute() {
        // As OpenSSL has it.
        let private = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let public = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f";
        let private: PublicKey = private.parse().expect("64 digits");
        assert_eq!(Secret::new(private.0).public().to_string(), public);
    }

    #[test]
    fn keys_and_fingerprints_come_back_from_their_texts() {
        for byte in 0..=255 {
            let key = Secret::new([byte; 32]).public();
            assert_eq!(key.to_string().parse(), Ok(key));
            let text = key.fingerprint().to_string();
            assert_eq!(text.len(), 29);
            assert_eq!(text.parse(), Ok(key.fingerprint()));
            assert_eq!(text.replace('-', "").to_uppercase().parse(), Ok(key.fingerprint()));
        }
        for wrong in ["", "abcd", "abcd-efgh-ijkl-mnop-qrst-uvw1", "abcd-efgh-ijkl-mnop-qrst-uvwxy"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotAKey), "{wrong}");
        }
        assert_eq!("00".repeat(31).parse::<PublicKey>(), Err(NotAKey));
        assert_eq!("zz".repeat(32).parse::<PublicKey>(), Err(NotAKey));
    }

    #[test]
    fn what_is_drawn_differs_and_says_nothing_when_printed() {
        let mut entropy = Entropy::new(Secret::new([1; 32]));
        let (first, second) = (entropy.draw(), entropy.draw());
        assert_ne!(first, second);
        assert_eq!(alloc::format!("{first:?}"), "Secret(..)");
        assert_ne!(first.derive(b"a"), first.derive(b"b"));
    }
}
