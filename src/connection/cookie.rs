//! Cookies: proof, without memory, that a client receives what is sent to its address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};

use crate::limits::{COOKIE_LIFETIME, COOKIE_MAX};
use crate::time::{Instant, micros};
use crate::units::ConnectionId;

/// Time of issue in microseconds, then the code over it, the address and the connection id.
const TIME_LEN: usize = 8;
const CODE_LEN: usize = 16;
/// Bytes of a cookie.
const COOKIE_LEN: usize = TIME_LEN + CODE_LEN;
const _: () = assert!(COOKIE_LEN <= COOKIE_MAX);

/// What a cookie proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// There is none.
    Missing,
    /// It is not one that this server gave to this address for this connection.
    Forged,
    /// It was given too long ago.
    Expired,
    /// The address is the client's. The time since it was given: a round trip, and what the client took.
    Valid(Duration),
}

/// Makes and checks cookies under one key.
pub struct Cookies {
    key: [u8; 32],
}

impl Cookies {
    /// Under `key`, which must not be guessable.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A cookie for a client at `from` that calls its connection `connection`.
    #[must_use]
    pub fn issue(&self, now: Instant, from: SocketAddr, connection: ConnectionId) -> [u8; COOKIE_LEN] {
        let mut cookie = [0; COOKIE_LEN];
        let time = now.as_micros().to_le_bytes();
        let (time_field, code_field) = cookie.split_at_mut(TIME_LEN);
        time_field.copy_from_slice(&time);
        code_field.copy_from_slice(&self.code(time, from, connection).finalize().into_bytes());
        cookie
    }

    /// What `cookie` proves about a client at `from` that calls its connection `connection`.
    #[must_use]
    pub fn check(&self, now: Instant, from: SocketAddr, connection: ConnectionId, cookie: &[u8]) -> Proof {
        if cookie.is_empty() {
            return Proof::Missing;
        }
        let Some((&time, code)) = cookie.split_first_chunk::<TIME_LEN>() else { return Proof::Forged };
        // SPEC [LFP-4.4]: A cookie MUST be valid only for the address and port that it was sent to, for the
        // connection id of the HELLO, and for at most 10 seconds.
        if self.code(time, from, connection).verify_slice(code).is_err() {
            return Proof::Forged;
        }
        let issued = u64::from_le_bytes(time);
        match now.as_micros().checked_sub(issued) {
            Some(age) if age <= micros(COOKIE_LIFETIME) => Proof::Valid(Duration::from_micros(age)),
            _ => Proof::Expired,
        }
    }

    /// The code over everything that a cookie vouches for.
    fn code(&self, time: [u8; TIME_LEN], from: SocketAddr, connection: ConnectionId) -> Blake2sMac<U16> {
        let mut mac =
            <Blake2sMac<U16> as KeyInit>::new_from_slice(&self.key).expect("a key of 32 bytes fits Blake2s");
        match from.ip() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&from.port().to_le_bytes());
        mac.update(&connection.0.to_le_bytes());
        mac.update(&time);
        mac
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "192.0.2.7:5000";
    const ID: ConnectionId = ConnectionId(7);

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_its_address_connection_and_time() {
        let cookies = Cookies::new([3; 32]);
        let issued = Instant::from_micros(5_000_000);
        let cookie = cookies.issue(issued, addr(CLIENT), ID);
        let check = |at, from, id| cookies.check(at, addr(from), id, &cookie);
        let later = issued + Duration::from_millis(30);
        assert_eq!(check(later, CLIENT, ID), Proof::Valid(Duration::from_millis(30)));
        assert_eq!(check(later, "192.0.2.7:5001", ID), Proof::Forged);
        assert_eq!(check(later, "192.0.2.8:5000", ID), Proof::Forged);
        assert_eq!(check(later, CLIENT, ConnectionId(8)), Proof::Forged);
        assert_eq!(check(issued + COOKIE_LIFETIME, CLIENT, ID), Proof::Valid(COOKIE_LIFETIME));
        let after = issued + COOKIE_LIFETIME + Duration::from_micros(1);
        assert_eq!(check(after, CLIENT, ID), Proof::Expired);
        assert_eq!(check(Instant::ZERO, CLIENT, ID), Proof::Expired, "one from the future");
        assert_eq!(Cookies::new([4; 32]).check(later, addr(CLIENT), ID, &cookie), Proof::Forged);
    }

    #[test]
    fn no_other_bytes_are_a_cookie() {
        let cookies = Cookies::new([3; 32]);
        let now = Instant::from_micros(5_000_000);
        let cookie = cookies.issue(now, addr(CLIENT), ID);
        for bit in 0..COOKIE_LEN * 8 {
            let mut forged = cookie;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cookies.check(now, addr(CLIENT), ID, &forged), Proof::Forged, "bit {bit}");
        }
        for len in 1..COOKIE_LEN {
            assert_eq!(cookies.check(now, addr(CLIENT), ID, &cookie[..len]), Proof::Forged);
        }
        let long = [&cookie[..], &[0]].concat();
        assert_eq!(cookies.check(now, addr(CLIENT), ID, &long), Proof::Forged);
        assert_eq!(cookies.check(now, addr(CLIENT), ID, &[]), Proof::Missing);
    }
}
