//! Sealed packets: ChaCha20-Poly1305 or AES-256-GCM over the payload, the header as associated data, the packet number as
//! nonce.
//!
//! Each direction has keys of its own, one after another: the next is made of the one before, which tells nothing of it.
//! A bit of the header says which of two a packet is sealed by, so a sender takes no second step before it knows that the
//! first has been followed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::aead::{Aead, Nonce, Ready, Tag, portable};
use crate::identity::{KEY_LEN, Secret};
use crate::limits::{OLD_KEY_TIME, REKEY_BYTES, REKEY_PACKETS, REKEY_TIME, TRAILER_RESERVED};
use crate::packet::{
    Builder, HEADER_LEN, Header, Kind, PLAIN_TRAILER_LEN, Protection, SEAL_TRAILER_LEN, View, close_plain,
};
use crate::time::Instant;
use crate::units::PacketNumber;
use crate::wire::Malformed;

const _: () = assert!(SEAL_TRAILER_LEN <= TRAILER_RESERVED);

/// The nonce by which a key makes the next; no packet has this number.
const REKEY_NONCE: u64 = u64::MAX;
/// The number under which the server seals its verdict on a handshake; packets count from 1.
const VERDICT_NUMBER: u64 = 0;

/// By what packets are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Cipher {
    /// Fast enough everywhere; every side has it.
    #[default]
    ChaCha20Poly1305 = 0,
    /// A few times as fast where the CPU helps, several times as slow elsewhere: for sides that both ask for it.
    Aes256Gcm = 1,
}

impl Cipher {
    /// The bit that stands for it where a side says which it likes.
    #[must_use]
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The one of two sides that like `ours` and `theirs`, bits each.
    // SPEC [LFP-4.19]: A server MUST choose AES-256-GCM only if the wish has its bit, and ChaCha20-Poly1305 otherwise.
    #[must_use]
    pub const fn of(ours: u8, theirs: u8) -> Self {
        if ours & theirs & Self::Aes256Gcm.bit() != 0 { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// What a side likes whose CPU has instructions for AES and for carry-less multiplication, or not.
    #[must_use]
    pub const fn liked(has_aes: bool) -> u8 {
        Self::ChaCha20Poly1305.bit() | if has_aes { Self::Aes256Gcm.bit() } else { 0 }
    }

    pub(crate) fn from_wire(value: u8) -> Result<Self, Malformed> {
        match value {
            0 => Ok(Self::ChaCha20Poly1305),
            1 => Ok(Self::Aes256Gcm),
            _ => Err(Malformed::Field("cipher")),
        }
    }
}

/// When a sender takes its next key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RekeyAfter {
    /// After so many packets.
    pub packets: u64,
    /// After so many bytes.
    pub bytes: u64,
    /// After so long.
    pub time: Duration,
}

impl Default for RekeyAfter {
    fn default() -> Self {
        Self { packets: REKEY_PACKETS, bytes: REKEY_BYTES, time: REKEY_TIME }
    }
}

/// The first keys of a connection, as one side has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// Of what this side sends.
    pub send: Secret,
    /// Of what it receives.
    pub receive: Secret,
}

/// One key, ready to be used.
#[derive(Clone)]
struct Key {
    cipher: Cipher,
    aead: Arc<dyn Aead>,
    /// What makes the next one ready.
    ready: Ready,
}

impl Key {
    fn new(ready: Ready, cipher: Cipher, secret: &Secret) -> Self {
        Self { cipher, aead: ready(cipher, secret), ready }
    }

    /// The key after this one.
    fn next(&self) -> Self {
        Self::new(self.ready, self.cipher, &self.next_secret())
    }

    // SPEC [LFP-3.9]: A sender's next key MUST be the first 32 bytes of what the one before makes of 32 zero bytes
    fn next_secret(&self) -> Secret {
        let mut bytes = [0; KEY_LEN];
        let _ = self.aead.seal(&nonce(REKEY_NONCE), &[], &mut bytes);
        Secret::new(bytes)
    }

    /// Decrypts `payload` if the tag is right; what it holds otherwise is not to be used.
    fn open(&self, number: u64, header: &[u8], payload: &mut [u8], tag: &[u8]) -> Result<(), Malformed> {
        let tag = Tag::try_from(tag).map_err(|_| Malformed::Truncated)?;
        let is_right = self.aead.open(&nonce(number), header, payload, &tag);
        is_right.then_some(()).ok_or(Malformed::Checksum)
    }
}

/// The nonce of Noise's ChaChaPoly: four zero bytes, the number as u64, little endian.
// SPEC [LFP-3.7]: A sender MUST use as nonce four zero bytes and the packet number in full, as a u64.
fn nonce(number: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// The sending half.
#[derive(Clone)]
struct Sealer {
    key: Key,
    phase: bool,
    /// The first packet under this key.
    first: Option<PacketNumber>,
    /// A packet under this key has been acked: the peer has followed.
    followed: bool,
    packets: u64,
    bytes: u64,
    since: Instant,
}

impl Sealer {
    fn new(key: Key, now: Instant) -> Self {
        Self { key, phase: false, first: None, followed: false, packets: 0, bytes: 0, since: now }
    }

    /// Takes the next key if it is time, and if the peer has followed to this one.
    // SPEC [LFP-3.10]: A sender MUST NOT take a key before a packet under the one before it is acked
    fn turn(&mut self, now: Instant, after: RekeyAfter) -> bool {
        let used = self.packets >= after.packets || self.bytes >= after.bytes;
        let due = self.followed && (used || now.saturating_since(self.since) >= after.time);
        if due {
            let (key, phase) = (self.key.next(), !self.phase);
            *self = Self { key, phase, first: None, followed: false, packets: 0, bytes: 0, since: now };
        }
        due
    }
}

/// The receiving half.
#[derive(Clone)]
struct Opener {
    key: Key,
    next: Key,
    /// The key before, and until when it is kept.
    old: Option<(Key, Instant)>,
    phase: bool,
    /// The smallest number of a packet that was opened by the newest key.
    first: u64,
}

impl Opener {
    fn new(key: Key) -> Self {
        let next = key.next();
        Self { key, next, old: None, phase: false, first: u64::MAX }
    }

    /// Decrypts the payload of a packet in place; says whether it brought a new key.
    fn open(
        &mut self,
        now: Instant,
        header: Header,
        number: PacketNumber,
        bytes: &mut [u8],
    ) -> Result<bool, Malformed> {
        let (head, rest) = bytes.split_at_mut(HEADER_LEN);
        let (payload, tag) = rest.split_at_mut(rest.len() - SEAL_TRAILER_LEN);
        // SPEC [LFP-3.11]: A receiver MUST NOT keep a key for longer than 10 seconds after a packet by the one after it has
        self.old.take_if(|(_, until)| *until <= now);
        if header.phase == self.phase {
            self.key.open(number.0, head, payload, tag)?;
            self.first = self.first.min(number.0);
            return Ok(false);
        }
        // Overtaken by the first packets under the newest key.
        if let Some((old, _)) = self.old.as_ref().filter(|_| number.0 < self.first) {
            return old.open(number.0, head, payload, tag).map(|()| false);
        }
        self.next.open(number.0, head, payload, tag)?;
        let next = self.next.next();
        let key = core::mem::replace(&mut self.next, next);
        self.old = Some((core::mem::replace(&mut self.key, key), now + OLD_KEY_TIME));
        self.phase = header.phase;
        self.first = number.0;
        Ok(true)
    }
}

/// What protects the packets of a connection, both ways.
#[derive(Clone)]
pub enum Seal {
    /// A checksum.
    Plain,
    /// A seal.
    Sealed(Box<Sealed>),
}

/// The keys of a sealed connection.
#[derive(Clone)]
pub struct Sealed {
    sealer: Sealer,
    opener: Opener,
    after: RekeyAfter,
    /// Keys taken, both ways.
    rekeys: u64,
}

impl Seal {
    /// Seals with `keys` from `now` on, by this crate's own [`portable`] ciphers.
    #[must_use]
    pub fn new(keys: &Keys, cipher: Cipher, now: Instant, after: RekeyAfter) -> Self {
        Self::with(portable, keys, cipher, now, after)
    }

    /// Seals with `keys` from `now` on, by the ciphers that `ready` makes.
    #[must_use]
    pub fn with(ready: Ready, keys: &Keys, cipher: Cipher, now: Instant, after: RekeyAfter) -> Self {
        let sealer = Sealer::new(first(ready, &keys.send, cipher), now);
        let opener = Opener::new(first(ready, &keys.receive, cipher));
        Self::Sealed(Box::new(Sealed { sealer, opener, after, rekeys: 0 }))
    }

    /// How packets are protected.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        match self {
            Self::Plain => Protection::Plain,
            Self::Sealed(_) => Protection::Sealed,
        }
    }

    /// By what packets are sealed, if they are.
    #[must_use]
    pub const fn cipher(&self) -> Option<Cipher> {
        match self {
            Self::Plain => None,
            Self::Sealed(sealed) => Some(sealed.sealer.key.cipher),
        }
    }

    /// Keys that were taken after the first ones, both ways.
    #[must_use]
    pub const fn rekeys(&self) -> u64 {
        match self {
            Self::Plain => 0,
            Self::Sealed(sealed) => sealed.rekeys,
        }
    }

    /// Closes packet `number`, which `builder` holds. It must not have been given before.
    #[must_use]
    pub fn finish(&mut self, now: Instant, number: PacketNumber, builder: Builder) -> Vec<u8> {
        self.prepare(now, number, builder).close()
    }

    /// Packet `number`, which `builder` holds, to be closed by whoever sends it. The number must not have been given before.
    pub fn prepare(&mut self, now: Instant, number: PacketNumber, builder: Builder) -> Unclosed {
        let sealed = match self {
            Self::Plain => return Unclosed::plain(builder),
            Self::Sealed(sealed) => sealed,
        };
        sealed.rekeys += u64::from(sealed.sealer.turn(now, sealed.after));
        let sealer = &mut sealed.sealer;
        let bytes = builder.unsealed(sealer.phase);
        // SPEC [LFP-3.6]: A sender MUST seal each packet with the header as associated data, under the newest key of its
        let unclosed =
            Unclosed { bytes, trailer: Trailer::Tag(Arc::clone(&sealer.key.aead), number), ect: false };
        sealer.first.get_or_insert(number);
        sealer.packets += 1;
        sealer.bytes += unclosed.len() as u64;
        unclosed
    }

    /// The peer has acked packet `number`.
    pub fn on_acked(&mut self, number: PacketNumber) {
        if let Self::Sealed(sealed) = self {
            let sealer = &mut sealed.sealer;
            sealer.followed |= sealer.first.is_some_and(|first| number >= first);
        }
    }

    /// Opens a packet that belongs to this connection: checks its trailer and gives its frames, which for a sealed one lie
    /// in `opened`. `largest` is the largest number of a packet that was opened before. The caller drops what it has seen.
    ///
    /// # Errors
    /// If it is malformed, is protected otherwise than the connection is, or its trailer does not match: nothing of it
    /// is to be believed.
    // SPEC [LFP-3.8]: A receiver MUST NOT act on anything in a packet of a sealed connection, its number included, before its
    // tag has been found right.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        bytes: &'a [u8],
        largest: PacketNumber,
        opened: &'a mut Vec<u8>,
    ) -> Result<View<'a>, Malformed> {
        let header = Header::parse(bytes)?;
        if header.protection != self.protection() || header.kind != Kind::Data {
            return Err(Malformed::Field("protection"));
        }
        let sealed = match self {
            Self::Plain => return View::new_checked(bytes),
            Self::Sealed(sealed) => sealed,
        };
        if bytes.len() < HEADER_LEN + SEAL_TRAILER_LEN {
            return Err(Malformed::Truncated);
        }
        opened.clear();
        opened.extend_from_slice(bytes);
        let number = header.number(largest);
        sealed.rekeys += u64::from(sealed.opener.open(now, header, number, opened)?);
        Ok(View::opened(opened, header))
    }
}

/// A packet that is whole but for its trailer. Whoever sends it closes it, on any thread: what that takes is most of what a
/// packet takes.
#[must_use]
pub struct Unclosed {
    bytes: Vec<u8>,
    trailer: Trailer,
    ect: bool,
}

/// What a packet still lacks.
enum Trailer {
    /// Nothing.
    None,
    /// Its checksum.
    Checksum,
    /// Its seal, by this key.
    Tag(Arc<dyn Aead>, PacketNumber),
}

impl Unclosed {
    fn plain(builder: Builder) -> Self {
        Self { bytes: builder.unchecked(), trailer: Trailer::Checksum, ect: false }
    }

    /// Bytes of the datagram.
    #[must_use]
    pub fn len(&self) -> usize {
        let trailer = match self.trailer {
            Trailer::None => 0,
            Trailer::Checksum => PLAIN_TRAILER_LEN,
            Trailer::Tag(..) => SEAL_TRAILER_LEN,
        };
        self.bytes.len() + trailer
    }

    /// Whether the datagram is empty, which none with a header is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, to be sent as ECT(0) if `ect` says so: a router may mark it in place of dropping it.
    pub fn offering(self, ect: bool) -> Self {
        Self { ect, ..self }
    }

    /// Whether it is to be sent as ECT(0).
    #[must_use]
    pub const fn is_ect(&self) -> bool {
        self.ect
    }

    /// The datagram, in the buffer that it was built in.
    #[must_use]
    pub fn close(self) -> Vec<u8> {
        let Self { mut bytes, trailer, .. } = self;
        match trailer {
            Trailer::None => {}
            Trailer::Checksum => close_plain(&mut bytes),
            Trailer::Tag(aead, number) => {
                let (header, payload) = bytes.split_at_mut(HEADER_LEN);
                let tag = aead.seal(&nonce(number.0), header, payload);
                bytes.extend_from_slice(&tag);
            }
        }
        bytes
    }
}

/// A datagram that is closed already.
impl From<Vec<u8>> for Unclosed {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, trailer: Trailer::None, ect: false }
    }
}

impl fmt::Debug for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unclosed").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// The first key of a direction: that of the handshake; for another cipher than the handshake's the one after it, so that no
/// two ciphers have the same.
fn first(ready: Ready, secret: &Secret, cipher: Cipher) -> Key {
    let key = Key::new(ready, Cipher::ChaCha20Poly1305, secret);
    match cipher {
        Cipher::ChaCha20Poly1305 => key,
        Cipher::Aes256Gcm => Key::new(ready, cipher, &key.next_secret()),
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.protection())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

impl Keys {
    /// Seals the server's verdict on a handshake, of which `header` are the datagram's first bytes: appends the tag.
    pub fn seal_verdict(&self, header: &[u8], verdict: &mut Vec<u8>) {
        let key = portable(Cipher::ChaCha20Poly1305, &self.send);
        let tag = key.seal(&nonce(VERDICT_NUMBER), header, verdict);
        verdict.extend_from_slice(&tag);
    }

    /// Opens the server's verdict on a handshake.
    ///
    /// # Errors
    /// If the server did not seal it for this handshake.
    pub fn open_verdict(&self, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Malformed> {
        let length = sealed.len().checked_sub(SEAL_TRAILER_LEN).ok_or(Malformed::Truncated)?;
        let (payload, tag) = sealed.split_at(length);
        let mut verdict = payload.to_vec();
        let key = Key::new(portable, Cipher::ChaCha20Poly1305, &self.receive);
        key.open(VERDICT_NUMBER, header, &mut verdict, tag)?;
        Ok(verdict)
    }
}
