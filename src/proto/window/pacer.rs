//! The pacer: spreads packets over time at a rate, in bursts of at most a quantum.

use core::time::Duration;

use crate::time::{Instant, micros};
use crate::units::Bitrate;

const NANOS_PER_MICRO: u64 = 1_000;
/// Longest debt that one packet can make; keeps the arithmetic far from its end.
const DEBT_MAX: Duration = Duration::from_secs(10);

/// A token bucket, kept as the time at which it is even again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pacer {
    rate: Bitrate,
    /// Bytes that may go back to back.
    quantum: u64,
    /// Bytes of the longest packet.
    packet_max: u64,
    /// When all that was sent is paid for, in nanoseconds: at gigabits a packet takes less than a microsecond.
    even_ns: u64,
}

impl Pacer {
    /// A full bucket of `quantum` bytes, for packets of at most `packet_max`.
    #[must_use]
    pub const fn new(rate: Bitrate, quantum: u64, packet_max: u64) -> Self {
        Self { rate, quantum, packet_max, even_ns: 0 }
    }

    /// Changes the rate and the largest burst in bytes. What was sent before stays paid, or owed, in time.
    pub const fn configure(&mut self, rate: Bitrate, quantum: u64) {
        self.rate = rate;
        self.quantum = quantum;
    }

    /// The longest packet has `bytes` bytes from now on.
    pub const fn set_packet_max(&mut self, bytes: u64) {
        self.packet_max = bytes;
    }

    /// The largest burst in bytes.
    #[must_use]
    pub const fn quantum(&self) -> u64 {
        self.quantum
    }

    /// When the next packet may go; not after `now` if it may go now.
    #[must_use]
    pub const fn next_send(&self) -> Instant {
        Instant::from_micros(self.even_ns.div_ceil(NANOS_PER_MICRO))
    }

    /// Whether a packet may go at `now`.
    #[must_use]
    pub fn may_send(&self, now: Instant) -> bool {
        self.next_send() <= now
    }

    /// Notes that `bytes` bytes were sent.
    pub fn on_sent(&mut self, now: Instant, bytes: u64) {
        let now_ns = now.as_micros().saturating_mul(NANOS_PER_MICRO);
        // A packet may go while the longest one would still be within the quantum; one always may.
        let credit = self.time_ns(self.quantum.saturating_sub(self.packet_max));
        self.even_ns = self.even_ns.max(now_ns.saturating_sub(credit)).saturating_add(self.time_ns(bytes));
    }

    fn time_ns(&self, bytes: u64) -> u64 {
        let limit = micros(DEBT_MAX) * NANOS_PER_MICRO;
        match self.rate.as_bps() {
            0 => limit,
            bps => u64::try_from(u128::from(bytes) * 8_000_000_000 / u128::from(bps))
                .map_or(limit, |ns| ns.min(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1_200;

    fn sent_in(pacer: &mut Pacer, from_us: u64, until_us: u64) -> u64 {
        let mut sent = 0;
        for now in (from_us..until_us).map(Instant::from_micros) {
            while pacer.may_send(now) {
                pacer.on_sent(now, PACKET);
                sent += PACKET;
            }
        }
        sent
    }

    #[test]
    fn a_second_carries_the_rate_and_one_burst() {
        for mbit in [1, 10, 100, 1_000, 40_000] {
            let rate = Bitrate::from_bps(mbit * 1_000_000);
            let mut pacer = Pacer::new(rate, 12_000, PACKET);
            let sent = sent_in(&mut pacer, 5_000_000, 5_100_000);
            let rate_bytes = mbit * 12_500;
            assert!((rate_bytes..=rate_bytes + 2 * 12_000).contains(&sent), "{sent} at {mbit} Mbit/s");
        }
    }

    #[test]
    fn a_burst_is_a_quantum_however_long_it_was_quiet() {
        let rate = Bitrate::from_bps(8_000_000);
        for quantum in [PACKET, 2 * PACKET, 10 * PACKET] {
            let mut pacer = Pacer::new(rate, quantum, PACKET);
            assert_eq!(sent_in(&mut pacer, 1_000_000, 1_000_001), quantum);
            assert_eq!(sent_in(&mut pacer, 3_600_000_000, 3_600_000_001), quantum);
        }
    }

    #[test]
    fn no_rate_still_ends() {
        let mut pacer = Pacer::new(Bitrate::from_bps(0), PACKET, PACKET);
        pacer.on_sent(Instant::ZERO, u64::MAX);
        assert_eq!(pacer.next_send(), Instant::ZERO + DEBT_MAX);
    }
}
