//! The one place that reads the clock.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since the machine began, whatever the time of day does.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux has this clock");
    Duration::new(time.tv_sec().unsigned_abs(), u32::try_from(time.tv_nsec()).unwrap_or(0))
}
