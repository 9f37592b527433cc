//! What a key does to a packet: the two ciphers, by whoever makes them.
//!
//! This crate brings both in portable Rust. A program whose tree allows for a library of assembly may hand in that one's:
//! what goes over the wire is the same.

use alloc::sync::Arc;

use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};

use crate::identity::Secret;
use crate::packet::SEAL_TRAILER_LEN;
use crate::seal::Cipher;

/// What no two packets under one key share.
pub type Nonce = [u8; 12];
/// What proves a packet whole.
pub type Tag = [u8; SEAL_TRAILER_LEN];
/// Makes a secret ready to be used as a key of a cipher.
pub type Ready = fn(Cipher, &Secret) -> Arc<dyn Aead>;

/// One key, ready to be used, on any thread.
pub trait Aead: Send + Sync {
    /// Encrypts `payload`, which is as long as a datagram at most, and gives the tag of it and of `header`.
    fn seal(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8]) -> Tag;

    /// Decrypts `payload` and says whether the tag is right. If it is not, what `payload` holds is not to be used.
    #[must_use]
    fn open(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8], tag: &Tag) -> bool;
}

/// Both ciphers as this crate brings them.
#[must_use]
pub fn portable(cipher: Cipher, secret: &Secret) -> Arc<dyn Aead> {
    let key = secret.bytes().into();
    match cipher {
        Cipher::ChaCha20Poly1305 => Arc::new(Portable(ChaCha20Poly1305::new(key))),
        Cipher::Aes256Gcm => Arc::new(Portable(Aes256Gcm::new(key))),
    }
}

struct Portable<T>(T);

impl<T> Aead for Portable<T>
where
    T: AeadInPlace<NonceSize = chacha20poly1305::consts::U12, TagSize = chacha20poly1305::consts::U16>
        + Send
        + Sync,
{
    fn seal(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8]) -> Tag {
        let sealed = self.0.encrypt_in_place_detached(nonce.into(), header, payload);
        sealed.expect("a datagram is shorter than 64 GiB").into()
    }

    fn open(&self, nonce: &Nonce, header: &[u8], payload: &mut [u8], tag: &Tag) -> bool {
        self.0.decrypt_in_place_detached(nonce.into(), header, payload, tag.into()).is_ok()
    }
}
