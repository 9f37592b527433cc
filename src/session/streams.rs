//! Streams of a session: when their bytes may go, so that no pixel waits for them.

use crate::limits::{
    STREAM_CROWDED_PACKETS, STREAM_IDLE_PERCENT, STREAM_LEARNT_FOR, STREAM_QUEUE_MAX, STREAM_STARVING_MAX,
};
use crate::session::Session;
use crate::session::carried::Item;
use crate::session::control::Conversation;
use crate::session::live::Live;
use crate::session::surface::Surface;
use crate::time::Instant;
use crate::units::Bitrate;
use lfp_proto::packet::Builder;
use lfp_proto::stream::{Side, StreamStats, Streams};
use lfp_proto::units::StreamId;
use lfp_proto::window::{Pacer, Phase};

/// The streams of a session, and their share of its rate.
#[derive(Debug)]
pub(super) struct SessionStreams {
    pub(super) streams: Streams,
    share: Share,
    /// A queue has shown, then, while bytes of streams found out what the path carries: that is known for a while.
    learnt_at: Option<Instant>,
    /// Those for control.
    pub(super) conversations: Vec<Conversation>,
    /// Those that whoever runs the server takes and has not fetched yet.
    kept: Vec<(StreamId, &'static str)>,
}

/// When bytes of streams may go.
///
/// While no pixels wait they go at a share of the rate at which no queue builds up before the path's bottleneck, so that pixels
/// that come next find none. While pixels wait, one packet of so many is theirs, and at least one in a tenth of a second.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// At their share of an idle path.
    idle: Pacer,
    /// The last packet with bytes of streams.
    sent_at: Option<Instant>,
}

impl Share {
    const fn new(packet_max: u64) -> Self {
        Self { idle: Pacer::new(Bitrate::from_bps(0), packet_max, packet_max), sent_at: None }
    }

    /// The next time at which a packet may go, at `rate`, while pixels wait, if they do.
    fn next_at(&self, crowded: bool, rate: Bitrate, packet_max: u64) -> Instant {
        let idle = self.idle.next_send();
        match self.sent_at.filter(|_| crowded) {
            Some(sent_at) => {
                let turn = rate.time_for(packet_max * STREAM_CROWDED_PACKETS).min(STREAM_STARVING_MAX);
                idle.max(sent_at + turn)
            }
            None => idle,
        }
    }

    /// A packet of `bytes` went, at `rate` and in bursts of `quantum` bytes for everything.
    fn on_sent(&mut self, now: Instant, bytes: u64, rate: Bitrate, quantum: u64) {
        // A path that carries next to nothing has room for a packet now and then.
        let least = Bitrate::of(bytes, STREAM_STARVING_MAX);
        self.idle.configure(rate.scaled_percent(STREAM_IDLE_PERCENT).max(least), quantum / 2);
        self.idle.on_sent(now, bytes);
        self.sent_at = Some(now);
    }
}

impl SessionStreams {
    pub(super) fn new(datagram: usize) -> Self {
        Self {
            streams: Streams::new(Side::Server),
            share: Share::new(datagram as u64),
            learnt_at: None,
            conversations: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Bytes of memory that they take beside themselves.
    pub(super) fn memory_bytes(&self) -> usize {
        let conversations: usize = self.conversations.iter().map(Conversation::memory_bytes).sum();
        self.streams.memory_bytes() + conversations
    }

    /// Puts credits and resets into a packet.
    pub(super) fn put_control(&mut self, builder: &mut Builder, items: &mut Vec<Item>) {
        self.streams.put_control(builder, |carried| items.push(Item::Stream(carried)));
    }
}

impl Session {
    /// The session's streams. What is written goes with the session's next packets: give it a turn.
    pub const fn streams_mut(&mut self) -> &mut Streams {
        &mut self.streams.streams
    }

    /// What was done with its streams so far.
    #[must_use]
    pub const fn stream_stats(&self) -> &StreamStats {
        self.streams.streams.stats()
    }

    /// Keeps a stream that the client has opened for [`Session::take_stream`].
    pub fn keep_stream(&mut self, stream: StreamId, kind: &'static str) {
        self.streams.kept.push((stream, kind));
    }

    /// Gives back what [`Session::keep_stream`] was given, each once.
    pub fn take_stream(&mut self) -> Option<(StreamId, &'static str)> {
        self.streams.kept.pop()
    }

    /// Whether pixels wait to be sent, or to be encoded.
    pub(super) fn is_crowded(&self) -> bool {
        self.has_records() || self.surfaces.iter().filter_map(Surface::shown).any(Live::has_work)
    }

    /// Whether bytes of streams are what shows how much the path carries: nothing else was enough for that so far.
    pub(super) fn is_learning(&self) -> bool {
        let streams = &self.streams;
        self.rate.phase() == Phase::Startup && streams.streams.has_bytes() && streams.learnt_at.is_none()
    }

    /// An ack came: where bytes of streams find out what the path carries, a queue says that they have.
    pub(super) fn watch_queue(&mut self, now: Instant) {
        let is_old = |learnt: &mut Instant| now >= *learnt + STREAM_LEARNT_FOR;
        self.streams.learnt_at.take_if(is_old);
        if self.is_learning() && self.queue_shows() {
            self.streams.learnt_at = Some(now);
        }
    }

    /// Whether packets wait on the path behind others of ours: behind more than the one that is being sent.
    fn queue_shows(&self) -> bool {
        let (rtt, packet) = (self.window.rtt(), self.terms.datagram as u64);
        let alone = rtt.min().unwrap_or(rtt.latest()) + self.rate.delivery_rate().time_for(packet);
        rtt.latest() > alone + STREAM_QUEUE_MAX
    }

    /// The rate of which bytes of streams have a share: what the path was seen to carry. While nobody has seen how much that
    /// is, and nothing waits, the rate that is tried, since of half of what was seen nothing would ever grow.
    fn stream_rate(&self) -> Bitrate {
        if self.is_learning() { self.rate.pacing_rate() } else { self.rate.delivery_rate() }
    }

    /// When bytes of streams may go, if there are any and the path takes something.
    pub(super) fn stream_at(&self) -> Option<Instant> {
        if !self.streams.streams.has_bytes() || !self.window_is_open() {
            return None;
        }
        let datagram = self.terms.datagram as u64;
        let at = self.streams.share.next_at(self.is_crowded(), self.stream_rate(), datagram);
        Some(at.max(self.pacer.next_send()))
    }

    /// Whether a packet with `items` costs pixels that come next nothing: it holds nothing but bytes of streams, nothing else
    /// waits, and the client takes it and a burst of pixels at once. Its share of an idle path bounds such packets; the
    /// pacer's debt would be one that the next key's echo pays.
    pub(super) fn is_aside(&self, items: &[Item]) -> bool {
        let all_streams = !items.is_empty() && items.iter().all(|item| matches!(item, Item::Stream(_)));
        let room = self.terms.receive_buffer >= 2 * (self.rate.quantum() + self.terms.datagram as u64);
        all_streams && room && !self.is_crowded()
    }

    /// Puts bytes of streams into a packet.
    // SPEC [LFP-18.10]: A server MUST NOT let pixels wait for bytes of streams, but for one packet of 16,
    pub(super) fn put_streams(&mut self, now: Instant, builder: &mut Builder, items: &mut Vec<Item>) {
        let before = builder.payload().len();
        self.streams.streams.put_bytes(builder, |carried| items.push(Item::Stream(carried)));
        let bytes = (builder.payload().len() - before) as u64;
        let (rate, quantum) = (self.stream_rate(), self.rate.quantum());
        self.streams.share.on_sent(now, bytes, rate, quantum);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PACKET: u64 = 1_200;

    /// Packets of a second at `bps`, after some warm-up.
    fn packets(bps: u64, crowded: bool) -> u64 {
        let (rate, mut share) = (Bitrate::from_bps(bps), Share::new(PACKET));
        let mut sent = 0;
        for now in (1_000_000..3_000_000).map(Instant::from_micros) {
            while share.next_at(crowded, rate, PACKET) <= now {
                share.on_sent(now, PACKET, rate, 2 * PACKET);
                sent += u64::from(now.as_micros() >= 2_000_000);
            }
        }
        sent
    }

    #[test]
    fn a_crowded_path_gives_one_packet_of_sixteen_and_ten_a_second_at_least() {
        for mbit in [2, 10, 100] {
            let whole = mbit * 1_000_000 / 8 / PACKET;
            let sixteenth = whole / STREAM_CROWDED_PACKETS;
            assert!(packets(mbit * 1_000_000, true).abs_diff(sixteenth) <= 2, "{mbit} Mbit/s");
            let idle = whole * STREAM_IDLE_PERCENT / 100;
            assert!(packets(mbit * 1_000_000, false).abs_diff(idle) <= 2, "{mbit} Mbit/s");
        }
        let tenth = Duration::from_secs(1).as_millis() / STREAM_STARVING_MAX.as_millis();
        for crowded in [true, false] {
            assert!(packets(10_000, crowded).abs_diff(tenth as u64) <= 1);
        }
    }
}
