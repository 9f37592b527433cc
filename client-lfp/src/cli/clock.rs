//! The one place of this program that reads the machine's clock.

#![expect(clippy::disallowed_methods, reason = "this is where time enters")]

use lfp_proto::time::{Instant, micros};

/// A monotonic clock whose origin is its making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    /// A clock that shows zero now.
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The wall clock at this clock's zero, in microseconds since 1970: two programs of one machine compare their times
    /// by it. 0 if the wall clock stands before 1970.
    pub(crate) fn wall_at_zero_us(self) -> u64 {
        let wall = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        micros(wall.unwrap_or_default()).saturating_sub(self.now().as_micros())
    }

    /// The wall clock now, in seconds since 1970.
    pub(crate) fn wall_s(self) -> u64 {
        (self.wall_at_zero_us() + self.now().as_micros()) / 1_000_000
    }

    /// Now.
    pub(crate) fn now(self) -> Instant {
        Instant::from_micros(micros(self.0.elapsed()))
    }
}
