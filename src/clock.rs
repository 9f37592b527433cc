//! The one place, beside `output/`, that reads the machine's clock and waits for it.

#![expect(clippy::disallowed_methods, reason = "this is where time enters")]

use std::sync::OnceLock;
use std::time::Duration;

use crate::time::Instant;

/// Now, on the process's monotonic clock. Its origin is the first call.
#[must_use]
pub fn now() -> Instant {
    let origin = *ORIGIN.get_or_init(std::time::Instant::now);
    Instant::from_micros(crate::time::micros(origin.elapsed()))
}

/// Waits until `deadline`, if it has not passed, and says what time it then is.
pub fn wait_until(deadline: Instant) -> Instant {
    let wait = deadline.saturating_since(now());
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
    now()
}

/// Asks `done` every millisecond until it answers, at most for `limit`; `None` if it never did. For tests and
/// commands that wait for another process or thread.
pub fn poll_for<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + limit;
    loop {
        if let Some(answer) = done() {
            return Some(answer);
        }
        if now() >= deadline {
            return None;
        }
        wait_until((now() + POLL_INTERVAL).min(deadline));
    }
}

const POLL_INTERVAL: Duration = Duration::from_millis(1);
static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_waits_end() {
        let start = now();
        let end = wait_until(start + Duration::from_millis(5));
        assert!(end >= start + Duration::from_millis(5));
        assert_eq!(
            wait_until(start).saturating_since(end).as_secs(),
            0,
            "a deadline in the past does not wait"
        );
        let mut asked = 0;
        let answer = poll_for(Duration::from_secs(10), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer, Some(3));
        assert_eq!(poll_for(Duration::from_millis(2), || None::<()>), None);
    }
}
