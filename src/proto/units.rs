//! Numbers that carry their meaning in their type.

use core::fmt;
use core::time::Duration;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number! {
    /// Counts the datagrams of one direction of a connection, from 1. Never reused: nonce, acks and loss.
    PacketNumber(u64)
}
number! {
    /// Orders pixels: a cell shows the record with the largest content number. 0 means never painted.
    ContentNumber(u64)
}
number! {
    /// Counts the modes and states of a surface, from 1. Pixels of one epoch mean nothing in another.
    Epoch(u32)
}
number! {
    /// Names a surface within a session.
    SurfaceId(u16)
}
number! {
    /// Names a connection, whatever address its datagrams come from. Chosen at random by the client.
    ConnectionId(u64)
}

number! {
    /// Names a stream within a session. Even ones are the client's, odd ones the server's.
    StreamId(u64)
}

/// A rate in bits per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// A rate of `bps` bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// The rate of `bytes` bytes in `span`; zero for an empty span.
    #[must_use]
    pub fn of(bytes: u64, span: Duration) -> Self {
        let micros = span.as_micros();
        if micros == 0 {
            return Self(0);
        }
        let bits = u128::from(bytes) * 8 * 1_000_000 / micros;
        Self(u64::try_from(bits).unwrap_or(u64::MAX))
    }

    /// Bytes that this rate carries in `span`.
    #[must_use]
    pub fn bytes_in(self, span: Duration) -> u64 {
        let bytes = u128::from(self.0) * span.as_micros() / 8_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long `bytes` bytes take at this rate; an hour when the rate is zero.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::from_secs(3600);
        }
        let micros = u128::from(bytes) * 8_000_000 / u128::from(self.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// This rate times `percent` / 100.
    #[must_use]
    pub const fn scaled_percent(self, percent: u64) -> Self {
        let scaled = self.0 as u128 * percent as u128 / 100;
        Self(if scaled > u64::MAX as u128 { u64::MAX } else { scaled as u64 })
    }
}

impl fmt::Debug for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.0)
    }
}
