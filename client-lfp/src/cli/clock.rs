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

    /// Now.
    pub(crate) fn now(self) -> Instant {
        Instant::from_micros(micros(self.0.elapsed()))
    }
}
