//! What a path does to the packets of one direction: how many come, in what order, and how evenly.

use core::time::Duration;

use crate::time::Instant;
use crate::units::PacketNumber;

/// For how long, at least, the fastest packet of late is remembered; at most for twice as long.
const FASTEST_KEPT: Duration = Duration::from_secs(10);
/// Differences of transit times beyond this say that a clock was set, not what the path does. Microseconds.
const LEAP_US: u32 = 10_000_000;

/// Of so many numbers below the largest it is remembered whether they came.
const REMEMBERED: u64 = 1_024;

/// The packets of one direction as their receiver counts them, whether it acts on them or has forgotten that they may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reception {
    largest: PacketNumber,
    /// Bit n modulo their number: packet n came.
    seen: [u64; (REMEMBERED / 64) as usize],
    came: u64,
    reordered: u64,
    again: u64,
}

impl Reception {
    /// Packet `number` came.
    pub fn on_packet(&mut self, number: PacketNumber) {
        if number > self.largest {
            // What is skipped has the bits of packets that are forgotten now.
            let skipped = (self.largest.0 + 1..number.0).rev().take(REMEMBERED as usize);
            skipped.for_each(|skipped| *self.word(skipped) &= !Self::bit(skipped));
            *self.word(number.0) |= Self::bit(number.0);
            self.largest = number;
            self.came += 1;
        } else if self.largest.0 - number.0 >= REMEMBERED || *self.word(number.0) & Self::bit(number.0) != 0 {
            self.again += 1;
        } else {
            *self.word(number.0) |= Self::bit(number.0);
            self.came += 1;
            self.reordered += 1;
        }
    }

    const fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.seen[(number % REMEMBERED / 64) as usize]
    }

    const fn bit(number: u64) -> u64 {
        1 << (number % 64)
    }

    /// Packets that came.
    #[must_use]
    pub const fn came(&self) -> u64 {
        self.came
    }

    /// Packets below the largest number that have not come. What comes late is not among them any more; what was recovered is.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.largest.0.saturating_sub(self.came)
    }

    /// Packets that came behind one with a larger number.
    #[must_use]
    pub const fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that came once more, or so late that nobody remembers.
    #[must_use]
    pub const fn again(&self) -> u64 {
        self.again
    }
}

/// How long packets of one direction are on their way, as far as two clocks can tell whose difference is not known: how
/// much longer than the fastest of late, and how evenly. Times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transit {
    last: Option<u32>,
    fastest: u32,
    /// That of the time before.
    fastest_before: u32,
    kept_since: Instant,
    /// In sixteenths.
    jitter_16: u32,
    queued: u32,
}

impl Transit {
    /// A packet left when its sender's clock showed `left`, and came when the receiver's showed `came`: the low 32 bits of
    /// each, in microseconds.
    pub fn on_sample(&mut self, now: Instant, left: u32, came: u32) {
        let transit = came.wrapping_sub(left);
        let off = |base: u32| transit.wrapping_sub(base) as i32;
        let leaps = self.last.is_none_or(|last| off(last).unsigned_abs() > LEAP_US);
        if leaps {
            *self = Self { kept_since: now, fastest: transit, fastest_before: transit, ..*self };
        } else if let Some(last) = self.last {
            // RFC 3550, section 6.4.1.
            self.jitter_16 = self.jitter_16 + off(last).unsigned_abs() - self.jitter_16.div_ceil(16);
        }
        self.last = Some(transit);
        if now >= self.kept_since + FASTEST_KEPT {
            (self.fastest_before, self.fastest) = (self.fastest, transit);
            self.kept_since = now;
        } else if off(self.fastest) < 0 {
            self.fastest = transit;
        }
        self.queued = off(self.fastest).max(off(self.fastest_before)).max(0).unsigned_abs();
    }

    /// The mean deviation of transit times from packet to packet (RFC 3550).
    #[must_use]
    pub const fn jitter_us(&self) -> u32 {
        self.jitter_16 / 16
    }

    /// How much longer than the fastest of the last 10 to 20 s the newest packet took.
    #[must_use]
    pub const fn queued_us(&self) -> u32 {
        self.queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn what_is_skipped_is_missing_until_it_comes() {
        let mut reception = Reception::default();
        for number in [1, 2, 5, 4, 9, 5] {
            reception.on_packet(PacketNumber(number));
        }
        assert_eq!((reception.came(), reception.missing()), (5, 4));
        assert_eq!((reception.reordered(), reception.again()), (1, 1));
    }

    #[test]
    fn what_is_long_ago_is_nothing_new() {
        let mut reception = Reception::default();
        for number in [1, 3, 1 + REMEMBERED, 3 + REMEMBERED, u64::MAX, 3, u64::MAX - 1, u64::MAX - 1] {
            reception.on_packet(PacketNumber(number));
        }
        assert_eq!((reception.came(), reception.reordered(), reception.again()), (6, 1, 2));
    }

    #[test]
    fn an_even_path_has_no_jitter_whatever_the_clocks_differ_by() {
        let mut transit = Transit::default();
        for n in 0..100 {
            // The second clock wraps on the way.
            transit.on_sample(at(n * 10), n as u32 * 10_000, (n as u32 * 10_000).wrapping_sub(300_000));
        }
        assert_eq!((transit.jitter_us(), transit.queued_us()), (0, 0));
    }

    #[test]
    fn a_queue_shows_as_time_over_the_fastest() {
        let mut transit = Transit::default();
        transit.on_sample(at(0), 0, 20_000);
        transit.on_sample(at(10), 10_000, 70_000);
        assert_eq!(transit.queued_us(), 40_000);
        assert_eq!(transit.jitter_us(), 2_500);
        // A path that became longer for good is no queue, once the fastest of before is forgotten.
        for n in 0..50 {
            transit.on_sample(at(1_000 + n * 1_000), 0, 60_000);
        }
        assert_eq!(transit.queued_us(), 0);
        assert!(transit.jitter_us() < 100);
    }

    #[test]
    fn a_clock_that_is_set_is_no_jitter() {
        let mut transit = Transit::default();
        transit.on_sample(at(0), 0, 20_000);
        transit.on_sample(at(10), 10_000, 3_000_000_000);
        assert_eq!((transit.jitter_us(), transit.queued_us()), (0, 0));
    }
}
