//! Where time enters the relay.

use std::sync::OnceLock;

use lfp_proto::time::{Instant, micros};

/// Now, since the first call.
#[expect(clippy::disallowed_methods, reason = "the relay's only reading of the clock")]
pub(crate) fn now() -> Instant {
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_micros(micros(ORIGIN.get_or_init(std::time::Instant::now).elapsed()))
}
