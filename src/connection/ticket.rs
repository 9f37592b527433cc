//! Tickets: a client that comes back from the address where it was need not be asked for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

use crate::limits::{COOKIE_MAX, TICKET_LIFETIME, TICKETS_USED_MAX};
use crate::time::Instant;
use lfp_proto::identity::{KEY_LEN, PublicKey, Secret};

const ID_LEN: usize = 8;
const TIME_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// Bytes of a ticket: its id; when it ends and the client's key, sealed; the tag.
const TICKET_LEN: usize = ID_LEN + TIME_LEN + KEY_LEN + TAG_LEN;
const _: () = assert!(TICKET_LEN <= COOKIE_MAX);

/// A ticket that this server gave to this address, and that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    id: u64,
    ends: Instant,
    client: PublicKey,
}

/// Makes and checks tickets under one key, which ends with the process: so do they.
pub struct Tickets {
    cipher: ChaCha20Poly1305,
    last_id: u64,
    /// The ids of those that were shown, and when they would have ended: at most [`TICKETS_USED_MAX`].
    used: BTreeMap<u64, Instant>,
}

impl Tickets {
    /// Under `key`, which no other process has had.
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.bytes().into()), last_id: 0, used: BTreeMap::new() }
    }

    /// A ticket for the client with this key, whose address `from` is proven.
    #[must_use]
    pub fn issue(&mut self, now: Instant, from: SocketAddr, client: &PublicKey) -> [u8; TICKET_LEN] {
        self.last_id += 1;
        let mut ticket = [0; TICKET_LEN];
        let ends = (now + TICKET_LIFETIME).as_micros();
        ticket[..ID_LEN].copy_from_slice(&self.last_id.to_le_bytes());
        ticket[ID_LEN..][..TIME_LEN].copy_from_slice(&ends.to_le_bytes());
        ticket[ID_LEN + TIME_LEN..][..KEY_LEN].copy_from_slice(&client.0);
        let sealed = &mut ticket[ID_LEN..TICKET_LEN - TAG_LEN];
        let tag = self.cipher.encrypt_in_place_detached(&nonce(self.last_id), &place(from), sealed);
        ticket[TICKET_LEN - TAG_LEN..].copy_from_slice(&tag.expect("a ticket is short"));
        ticket
    }

    /// Whether `bytes` are a ticket that may be shown from `from` at `now`. It costs no memory, and no more than a cookie.
    // SPEC [LFP-4.16]: A ticket MUST be valid only for the address, the port aside, of the connection in which it was given,
    #[must_use]
    pub fn check(&self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Option<Ticket> {
        let ticket = <[u8; TICKET_LEN]>::try_from(bytes).ok()?;
        let (id, rest) = ticket.split_first_chunk::<ID_LEN>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let (id, mut sealed) = (u64::from_le_bytes(*id), sealed.to_vec());
        let tag = Tag::from_slice(tag);
        self.cipher.decrypt_in_place_detached(&nonce(id), &place(from), &mut sealed, tag).ok()?;
        let (ends, client) = sealed.split_first_chunk::<TIME_LEN>()?;
        let ends = Instant::from_micros(u64::from_le_bytes(*ends));
        let ticket = Ticket { id, ends, client: PublicKey(client.try_into().ok()?) };
        (now < ends && !self.used.contains_key(&id)).then_some(ticket)
    }

    /// Uses `ticket` up, if it is `client`'s. Says whether it may go in by it; else it has to be asked for its address.
    pub fn redeem(&mut self, now: Instant, ticket: Ticket, client: &PublicKey) -> bool {
        while self.used.first_key_value().is_some_and(|(_, ends)| *ends <= now) {
            self.used.pop_first();
        }
        let good = ticket.client == *client && self.used.len() < TICKETS_USED_MAX;
        good && self.used.insert(ticket.id, ticket.ends).is_none()
    }

    /// How long a new one is good for.
    #[must_use]
    pub const fn lifetime() -> Duration {
        TICKET_LIFETIME
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

fn nonce(id: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[..ID_LEN].copy_from_slice(&id.to_le_bytes());
    nonce
}

/// The address without its port, which routers change.
fn place(from: SocketAddr) -> [u8; 16] {
    match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_ticket_is_good_once_for_its_client_address_and_time() {
        let mut tickets = Tickets::new(&Secret::new([1; 32]));
        let (client, other) = (PublicKey([2; 32]), PublicKey([3; 32]));
        let (now, home) = (Instant::from_micros(5_000_000), addr("192.0.2.7:5000"));
        let bytes = tickets.issue(now, home, &client);
        let ticket = tickets.check(now, addr("192.0.2.7:6000"), &bytes).expect("another port");
        assert_eq!(tickets.check(now, addr("192.0.2.8:5000"), &bytes), None, "another address");
        assert_eq!(tickets.check(now + TICKET_LIFETIME, home, &bytes), None, "too late");
        assert_eq!(Tickets::new(&Secret::new([9; 32])).check(now, home, &bytes), None, "another server");
        for bit in 0..TICKET_LEN * 8 {
            let mut forged = bytes;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tickets.check(now, home, &forged), None, "bit {bit}");
        }
        assert!((0..TICKET_LEN).all(|len| tickets.check(now, home, &bytes[..len]).is_none()));
        assert!(!tickets.redeem(now, ticket, &other), "another client");
        assert!(tickets.redeem(now, ticket, &client));
        assert!(!tickets.redeem(now, ticket, &client), "again");
        assert_eq!(tickets.check(now, home, &bytes), None);
    }

    #[test]
    fn what_was_shown_takes_bounded_memory() {
        let mut tickets = Tickets::new(&Secret::new([1; 32]));
        let (client, home) = (PublicKey([2; 32]), addr("192.0.2.7:5000"));
        let mut now = Instant::from_micros(5_000_000);
        let show = |tickets: &mut Tickets, now| {
            let bytes = tickets.issue(now, home, &client);
            let ticket = tickets.check(now, home, &bytes).expect("a new one");
            tickets.redeem(now, ticket, &client)
        };
        assert!((0..TICKETS_USED_MAX).all(|_| show(&mut tickets, now)));
        assert!(!show(&mut tickets, now), "it has to be asked");
        assert_eq!(tickets.used.len(), TICKETS_USED_MAX);
        now = now + TICKET_LIFETIME;
        assert!(show(&mut tickets, now));
        assert_eq!(tickets.used.len(), 1);
    }
}
