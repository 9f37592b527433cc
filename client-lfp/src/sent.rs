//! Own packets: their numbers, and the round-trip time that their acks show.

use core::time::Duration;
use std::collections::VecDeque;

use lfp_proto::frame::Ack;
use lfp_proto::time::{Instant, micros};
use lfp_proto::units::PacketNumber;

use crate::limits::{RTT_INITIAL, SENT_REMEMBERED};

/// Numbers own packets and remembers those that ask for an ack.
///
/// Nothing here is sent again: what the client says is repeated until it is answered, whichever packet was lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    last: PacketNumber,
    /// Ascending; at most [`SENT_REMEMBERED`].
    waiting: VecDeque<(PacketNumber, Instant)>,
    rtt: Rtt,
}

impl Sent {
    /// The number of the next packet.
    // SPEC [LFP-3.3]: A sender MUST NOT use a packet number twice in a connection.
    pub(crate) fn next_number(&mut self) -> PacketNumber {
        self.last.0 += 1;
        self.last
    }

    /// Packet `number`, which asks for an ack, goes out.
    pub(crate) fn on_sent(&mut self, number: PacketNumber, now: Instant) {
        if self.waiting.len() == SENT_REMEMBERED {
            self.waiting.pop_front();
        }
        self.waiting.push_back((number, now));
    }

    /// Calls `acked` with each packet that `ack` acks for the first time.
    // SPEC [LFP-9.6]: A sender MUST NOT act on an ack of a packet that it has not sent.
    pub(crate) fn on_ack(&mut self, ack: &Ack, now: Instant, mut acked: impl FnMut(PacketNumber)) {
        if ack.largest() > self.last {
            return;
        }
        let rtt = &mut self.rtt;
        self.waiting.retain(|(number, sent_at)| {
            let came = ack.ranges.iter().any(|range| range.first <= *number && *number <= range.last);
            if came {
                if *number == ack.largest() {
                    let delay = Duration::from_micros(ack.delay_us);
                    rtt.on_sample(now.saturating_since(*sent_at).saturating_sub(delay));
                }
                acked(*number);
            }
            !came
        });
    }

    /// The last packet.
    pub(crate) const fn last(&self) -> PacketNumber {
        self.last
    }

    pub(crate) const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    pub(crate) const fn rtt_mut(&mut self) -> &mut Rtt {
        &mut self.rtt
    }
}

/// Smoothed round-trip time and its variation, as RFC 6298 has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    pub(crate) fn on_sample(&mut self, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = self.variation * 3 / 4 + smoothed.abs_diff(sample) / 4;
                self.smoothed = Some(smoothed * 7 / 8 + sample / 8);
            }
        }
    }

    /// The smoothed round-trip time in microseconds, once there is one.
    pub(crate) fn smoothed_us(&self) -> Option<u64> {
        self.smoothed.map(micros)
    }

    /// The smoothed round-trip time, or what is assumed before there is one.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(RTT_INITIAL)
    }

    /// How long an answer may take before the question is asked again.
    pub(crate) fn answer_time(&self) -> Duration {
        let smoothed = self.smoothed();
        smoothed + (self.variation * 4).max(smoothed / 4)
    }
}

#[cfg(test)]
mod tests {
    use lfp_proto::frame::AckRange;

    use super::*;

    fn ack(first: u64, last: u64, delay_us: u64) -> Ack {
        let ranges = vec![AckRange { first: PacketNumber(first), last: PacketNumber(last) }];
        Ack { delay_us, arrived_us: 0, recovered: 0, ranges, refused: Vec::new() }
    }

    #[test]
    fn acks_of_what_was_sent_give_the_round_trip() {
        let mut sent = Sent::default();
        for _ in 0..2 {
            let number = sent.next_number();
            sent.on_sent(number, Instant::ZERO);
        }
        let at = Instant::from_micros(30_000);
        sent.on_ack(&ack(1, 3, 0), at, |number| panic!("{number:?} of an ack beyond what was sent"));
        let mut acked = Vec::new();
        sent.on_ack(&ack(1, 2, 10_000), at, |number| acked.push(number.0));
        assert_eq!(acked, [1, 2]);
        assert_eq!(sent.rtt().smoothed_us(), Some(20_000));
        sent.on_ack(&ack(1, 2, 0), at, |number| panic!("{number:?} acked twice"));
    }
}
