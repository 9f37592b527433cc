//! A client's streams: what of them is under way, what became of it, and how much may be.
//!
//! Of what a client says, only bytes of streams can be much, so only they are counted: a window like TCP's (RFC 5681) bounds
//! what is in flight, and acks clock what follows.

use core::time::Duration;
use std::collections::VecDeque;

use lfp_proto::packet::Builder;
use lfp_proto::stream::{Carried, Side, Streams};
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;

use crate::limits::{
    DATAGRAM_DEFAULT, LOSS_PACKETS, STREAM_FLIGHT_FIRST, STREAM_FLIGHT_MAX, STREAM_REPEAT_MAX,
    STREAM_REPEAT_MIN,
};

const PACKET: u64 = DATAGRAM_DEFAULT as u64;

/// A packet with something of streams in it.
#[derive(Clone, Debug)]
struct Flying {
    number: PacketNumber,
    at: Instant,
    bytes: u64,
    carried: Vec<Carried>,
}

/// The streams, and the packets that carry them.
#[derive(Clone, Debug)]
pub(crate) struct ClientStreams {
    streams: Streams,
    /// Ascending. Bounded by [`STREAM_FLIGHT_MAX`], and by credits and resets, of which each stream has one at a time.
    flying: VecDeque<Flying>,
    in_flight: u64,
    /// Bytes that may be in flight; and up to where it doubles every round trip.
    window: u64,
    threshold: u64,
    /// Losses of packets up to this one have been answered by a smaller window.
    answered: PacketNumber,
    largest: PacketNumber,
    /// Silences in a row after which everything counted as lost.
    silences: u32,
}

impl Default for ClientStreams {
    fn default() -> Self {
        Self {
            streams: Streams::new(Side::Client),
            flying: VecDeque::new(),
            in_flight: 0,
            window: STREAM_FLIGHT_FIRST,
            threshold: STREAM_FLIGHT_MAX,
            answered: PacketNumber(0),
            largest: PacketNumber(0),
            silences: 0,
        }
    }
}

impl ClientStreams {
    pub(crate) const fn streams_mut(&mut self) -> &mut Streams {
        &mut self.streams
    }

    // SPEC [LFP-10.5]: A sender MUST bound the bytes in flight by a rate that it adapts to what arrives.
    fn may_send(&self) -> bool {
        self.in_flight + PACKET <= self.window && self.streams.has_bytes()
    }

    /// When something is to be done: at once, or when silence has lasted for too long. `answer_time` is how long an ack may
    /// take.
    pub(crate) fn due(&self, answer_time: Duration) -> Option<Instant> {
        if self.streams.has_control() || self.may_send() {
            return Some(Instant::ZERO);
        }
        self.flying.front().map(|oldest| oldest.at + self.patience(answer_time))
    }

    fn patience(&self, answer_time: Duration) -> Duration {
        let once = answer_time.clamp(STREAM_REPEAT_MIN, STREAM_REPEAT_MAX);
        (once * (1 << self.silences.min(8))).min(STREAM_REPEAT_MAX)
    }

    /// Looks at the time: what has not been acked for too long is lost.
    pub(crate) fn on_time(&mut self, now: Instant, answer_time: Duration) {
        let patience = self.patience(answer_time);
        if self.flying.front().is_none_or(|oldest| oldest.at + patience > now) {
            return;
        }
        self.threshold = (self.in_flight / 2).max(2 * PACKET);
        self.window = 2 * PACKET;
        self.silences += 1;
        while self.flying.front().is_some_and(|flying| flying.at + patience <= now) {
            self.lose_oldest();
        }
    }

    /// Puts what is due into packet `number`; says whether that was anything.
    pub(crate) fn put(&mut self, now: Instant, number: PacketNumber, builder: &mut Builder) -> bool {
        let (before, mut carried) = (builder.payload().len(), Vec::new());
        self.streams.put_control(builder, |what| carried.push(what));
        if self.may_send() {
            self.streams.put_bytes(builder, |what| carried.push(what));
        }
        if carried.is_empty() {
            return false;
        }
        let bytes = (builder.payload().len() - before) as u64;
        self.in_flight += bytes;
        self.flying.push_back(Flying { number, at: now, bytes, carried });
        true
    }

    /// Own packet `number` is acked.
    pub(crate) fn on_acked(&mut self, number: PacketNumber) {
        self.largest = self.largest.max(number);
        let Ok(at) = self.flying.binary_search_by_key(&number, |flying| flying.number) else { return };
        let Some(flying) = self.flying.remove(at) else { return };
        self.in_flight -= flying.bytes;
        self.silences = 0;
        let more =
            if self.window < self.threshold { flying.bytes } else { PACKET * flying.bytes / self.window };
        self.window = (self.window + more).min(STREAM_FLIGHT_MAX);
        flying.carried.into_iter().for_each(|carried| self.streams.on_acked(carried));
    }

    /// All acks of a frame have been told: what is missing behind them is lost.
    pub(crate) fn find_lost(&mut self, last_sent: PacketNumber) {
        let largest = self.largest.0;
        while let Some(oldest) = self.flying.front().map(|flying| flying.number) {
            if oldest.0 + LOSS_PACKETS > largest {
                return;
            }
            if oldest > self.answered {
                self.answered = last_sent;
                self.window = (self.window / 2).max(2 * PACKET);
                self.threshold = self.window;
            }
            self.lose_oldest();
        }
    }

    fn lose_oldest(&mut self) {
        let Some(flying) = self.flying.pop_front() else { return };
        self.in_flight -= flying.bytes;
        flying.carried.into_iter().for_each(|carried| self.streams.on_lost(carried));
    }
}

#[cfg(test)]
mod tests {
    use lfp_proto::packet::Kind;
    use lfp_proto::units::ConnectionId;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn send(streams: &mut ClientStreams, now: Instant, number: u64) -> bool {
        let number = PacketNumber(number);
        let mut builder = Builder::new(Vec::new(), DATAGRAM_DEFAULT, Kind::Data, ConnectionId(1), number);
        streams.put(now, number, &mut builder)
    }

    #[test]
    fn what_is_in_flight_grows_with_acks_and_shrinks_with_losses() {
        let (mut streams, answer) = (ClientStreams::default(), Duration::from_millis(100));
        let stream = streams.streams_mut().open("bulk").expect("a stream");
        streams.streams_mut().write(stream, &[0; 30_000]);
        let first = (1..).take_while(|number| send(&mut streams, at(0), *number)).count() as u64;
        assert_eq!((first, streams.due(answer)), (4, Some(at(100))));
        for number in 1..=first {
            streams.on_acked(PacketNumber(number));
        }
        let second = (first + 1..).take_while(|number| send(&mut streams, at(100), *number)).count() as u64;
        assert!(second >= 7, "{second}: it doubles");
        let last = first + second;
        // The first of them is lost, and the one behind the last of them, as silence tells.
        streams.on_acked(PacketNumber(first + 4));
        streams.find_lost(PacketNumber(last));
        assert!(streams.window <= 5 * PACKET && streams.streams.has_bytes());
        streams.on_time(at(199), answer);
        assert!(!streams.flying.is_empty());
        streams.on_time(at(200), answer);
        assert!(streams.flying.is_empty() && streams.in_flight == 0);
        assert_eq!((streams.window, streams.due(answer)), (2 * PACKET, Some(Instant::ZERO)));
    }
}
