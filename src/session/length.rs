//! How long a session's packets are: [`PacketLength`] finds out, the rest follows.

use crate::limits::{PARITY_OVERHEAD, RECORD_OVERHEAD};
use crate::session::Session;
use crate::session::surface::Surface;
use crate::time::Instant;
use crate::units::PacketNumber;
use lfp_proto::frame::Frame;
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::seal::Unclosed;
use lfp_proto::window::{AckSummary, Fate, LengthCounts, PacketLength, Sent};

impl Session {
    /// Longest datagram now: UDP payload in bytes.
    // SPEC [LFP-10.6]: A server MUST NOT send a datagram of more than 1,200 bytes that holds anything but a probe before it
    // knows, of the address that the session is at, that one of its length passes.
    // SPEC [LFP-4.7]: A server MUST NOT send a datagram longer than the HELLO's datagram size.
    #[must_use]
    pub const fn datagram(&self) -> usize {
        self.packet_max
    }

    /// Longest datagram of a packet that another may cover.
    pub(super) const fn coverable(&self) -> usize {
        self.packet_max - PARITY_OVERHEAD
    }

    /// Longest record that a packet holds beside everything else.
    pub(super) const fn record_max(&self) -> usize {
        self.coverable() - RECORD_OVERHEAD
    }

    /// A packet that does nothing but show whether one of its length passes, if it is time for one.
    pub(super) fn length_probe(&mut self, now: Instant, spare: &mut Vec<Vec<u8>>) -> Option<Unclosed> {
        let len = self.length.due(now)?;
        if self.length.in_doubt() {
            self.redundancy.begin_anew();
        } else if self.redundancy.uncovered() > 0 || !self.window_is_open() || !self.pacer.may_send(now) {
            return None;
        }
        let number = self.window.next();
        let buffer = spare.pop().unwrap_or_else(|| Vec::with_capacity(len));
        let mut builder = Builder::new(buffer, len, Kind::Data, self.connection, number);
        builder.push(&Frame::Ping);
        builder.fill_up();
        self.length.on_probe(now, number);
        let packet = self.guard.seal_mut().prepare(now, number, builder);
        Some(self.sent(now, packet, true, &[]))
    }

    /// The system says that a datagram of `bytes` bytes, UDP payload, is longer than this host's link to the client takes. It
    /// is lost as if it had been sent.
    pub fn on_too_long(&mut self, now: Instant, bytes: usize) {
        if self.length.on_too_long(now, bytes) {
            tracing::debug!(connection = self.connection.0, bytes, "too long for this host's link");
        }
        self.follow_length();
    }

    /// Has everything that depends on how long packets may be follow what is known of it.
    pub(super) fn follow_length(&mut self) {
        self.length.on_rate(self.rate.delivery_rate());
        let LengthCounts { probes, raises, doubts, holes } = *self.length.counts();
        (self.stats.length_probes, self.stats.length_raises) = (probes, raises);
        (self.stats.length_doubts, self.stats.black_holes) = (doubts, holes);
        let (was, bytes) = (self.packet_max, self.length.bytes());
        if was == bytes {
            return;
        }
        tracing::debug!(connection = self.connection.0, was, bytes, "longest datagram");
        self.packet_max = bytes;
        self.rate.set_datagram(bytes as u64);
        self.pacer.set_packet_max(bytes as u64);
        self.repace();
        if bytes < was {
            self.redundancy.begin_anew();
            self.drop_long();
        }
    }

    /// Drops the records that no packet holds any more: they are encoded anew.
    pub(super) fn drop_long(&mut self) {
        let most = self.record_max();
        for live in self.surfaces.iter_mut().filter_map(Surface::live_mut) {
            live.drop_longer(most, &mut self.stats);
        }
    }
}

/// What the fates of packets say of their length, gathered while an ack, or the time, settles them.
pub(super) struct Lengths<'a> {
    length: &'a mut PacketLength,
    now: Instant,
    next: PacketNumber,
    /// Thousandths that the path loses of everything.
    share: u64,
    /// Packets that were lost for their length.
    forgiven: AckSummary,
}

impl<'a> Lengths<'a> {
    pub(super) fn new(length: &'a mut PacketLength, now: Instant, next: PacketNumber, share: u64) -> Self {
        Self { length, now, next, share, forgiven: AckSummary::default() }
    }

    /// A packet's fate is settled.
    pub(super) fn on_fate<T>(&mut self, fate: Fate, sent: &Sent<T>) {
        if !sent.elicits {
            return;
        }
        match fate {
            Fate::Acked | Fate::AckedLate => {
                self.length.on_acked(self.now, sent.number, sent.bytes, self.next);
            }
            Fate::Lost => {
                if self.length.on_lost(self.now, sent.number, sent.bytes, self.share) {
                    self.forgiven.lost_packets += 1;
                    self.forgiven.lost_bytes += sent.bytes;
                    self.forgiven.calm_lost_bytes += if sent.stamp.is_calm() { sent.bytes } else { 0 };
                }
            }
        }
    }

    // SPEC [LFP-10.7]: A server MUST NOT take the loss of a probe for a sign of how much the path carries.
    /// What is to be forgiven: see [`AckSummary::forgive`].
    pub(super) const fn forgiven(self) -> AckSummary {
        self.forgiven
    }
}
