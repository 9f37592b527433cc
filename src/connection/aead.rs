//! The ciphers of packets as `ring` has them: assembly, several times as fast as portable Rust. A server has the C compiler that
//! they are built with anyway, and seals for many clients; a client need not.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

use lfp_proto::aead::{Aead, Nonce, Tag};
use lfp_proto::identity::Secret;
use lfp_proto::seal::Cipher;

/// Makes a secret ready to be used as a key of a cipher.
#[must_use]
pub fn ready(cipher: Cipher, secret: &Secret) -> Arc<dyn Aead> {
    let algorithm = match cipher {
        Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        Cipher::Aes256Gcm => &AES_256_GCM,
    };
    let key = UnboundKey::new(algorithm, secret.bytes()).expect("both ciphers have keys of 32 bytes");
    // "Less safe" because the caller answers for its nonces: `lfp_proto::seal` gives each packet's number.
    Arc::new(Assembled(LessSafeKey::new(key)))
}

struct Assembled(LessSafeKey);

/// A nonce that `lfp_proto::seal` has made.
fn given(nonce: &Nonce) -> ring::aead::Nonce {
    ring::aead::Nonce::assume_unique_for_key(*nonce)
}

impl Aead for Assembled {
    fn seal(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8]) -> Tag {
        let sealed = self.0.seal_in_place_separate_tag(given(nonce), Aad::from(header), payload);
        let tag = sealed.expect("a datagram is shorter than 64 GiB");
        tag.as_ref().try_into().expect("both ciphers have tags of 16 bytes")
    }

    fn open(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8], tag: &Tag) -> bool {
        let tag = ring::aead::Tag::from(*tag);
        self.0.open_in_place_separate_tag(given(nonce), Aad::from(header), tag, payload, 0..).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use lfp_proto::aead::portable;

    use super::*;

    #[test]
    fn what_one_seals_the_other_opens_at_every_length() {
        for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
            let secret = Secret::new([7; 32]);
            let (ours, theirs) = (ready(cipher, &secret), portable(cipher, &secret));
            for len in 0..600_usize {
                let nonce = [len as u8; 12];
                let header = [1, 2, 3, len as u8];
                let clear: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let (mut one, mut other) = (clear.clone(), clear.clone());
                let tag = ours.seal(&nonce, &header, &mut one);
                assert_eq!(tag, theirs.seal(&nonce, &header, &mut other), "{cipher:?}, {len} bytes");
                assert_eq!(one, other);
                assert!(theirs.open(&nonce, &header, &mut one, &tag) && one == clear);
                assert!(ours.open(&nonce, &header, &mut other.clone(), &tag));
                for at in [0, 15] {
                    let mut wrong = tag;
                    wrong[at] ^= 1;
                    assert!(!ours.open(&nonce, &header, &mut other.clone(), &wrong));
                }
                assert!(!ours.open(&nonce, &header[1..], &mut other.clone(), &tag));
                assert!(!ours.open(&[!nonce[0]; 12], &header, &mut other, &tag));
            }
        }
    }
}
