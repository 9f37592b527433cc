//! The send window: what each packet in flight carried, and what became of it.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::frame::Ack;
use crate::limits::{LATE_ACK_ROUND_TRIPS, PROBE_INTERVAL_MAX, SEND_WINDOW_MAX};
use crate::time::Instant;
use crate::units::PacketNumber;
use crate::window::{LossThresholds, Rtt, Stamp};

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Sent<T> {
    /// Its number.
    pub number: PacketNumber,
    /// When.
    pub at: Instant,
    /// Its length, UDP payload in bytes.
    pub bytes: u64,
    /// Whether it asks for an ack, and so counts as in flight.
    pub elicits: bool,
    /// What the rate controller wants to know again when it is acked.
    pub stamp: Stamp,
    /// What it carried.
    pub info: T,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It was acked.
    Acked,
    /// It counted as lost, and was acked after all.
    AckedLate,
    /// It counts as lost.
    Lost,
}

/// The newest packet that an ack told of for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Newest {
    /// When it was sent.
    pub sent_at: Instant,
    /// What the rate controller had put on it.
    pub stamp: Stamp,
}

/// What an ack, or the time, brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AckSummary {
    /// Bytes acked now, of packets that asked for it; those that counted as lost included.
    pub acked_bytes: u64,
    /// Bytes that now count as lost.
    pub lost_bytes: u64,
    /// Of [`AckSummary::acked_bytes`], those of calm packets.
    pub calm_acked_bytes: u64,
    /// Of [`AckSummary::lost_bytes`], those of calm packets.
    pub calm_lost_bytes: u64,
    /// Packets acked now that asked for it.
    pub acked_packets: u64,
    /// Packets that now count as lost.
    pub lost_packets: u64,
    /// Packets that counted as lost and were acked after all.
    pub late_packets: u64,
    /// The newest packet acked now, of those that asked for it.
    pub newest: Option<Newest>,
    /// A round-trip sample, the peer's delay included.
    pub rtt: Option<Duration>,
}

impl AckSummary {
    /// Of what is acked now, `packets` did not come: a PARITY gave them. To what the path delivers they are lost. Nobody says
    /// which they were: they are taken to be as long, and as calm, as all that are acked are on average.
    pub const fn on_recovered(&mut self, packets: u64) {
        let (of, packets) = if packets < self.acked_packets { (self.acked_packets, packets) } else { (1, 1) };
        let (all, calm) = (self.acked_bytes * packets / of, self.calm_acked_bytes * packets / of);
        self.acked_bytes -= all;
        self.lost_bytes += all;
        self.calm_acked_bytes -= calm;
        self.calm_lost_bytes += calm;
    }

    /// What `other` counts as lost was lost for its length: that says nothing of how much the path carries.
    pub const fn forgive(&mut self, other: &Self) {
        self.lost_packets = self.lost_packets.saturating_sub(other.lost_packets);
        self.lost_bytes = self.lost_bytes.saturating_sub(other.lost_bytes);
        self.calm_lost_bytes = self.calm_lost_bytes.saturating_sub(other.calm_lost_bytes);
    }
}

/// An ack of a packet that was never sent: the peer is broken, or guesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeverSent;

#[derive(Clone, Debug)]
enum Slot<T> {
    Flying(Sent<T>),
    /// Counts as lost since; remembered for a while in case its ack comes.
    Lost(Sent<T>, Instant),
    /// Nothing more can become of it.
    Settled,
}

/// Remembers sent packets until their fate is known: at most [`SEND_WINDOW_MAX`].
///
/// | timer | set | cleared | when it fires |
/// | --- | --- | --- | --- |
/// | loss | an ack leaves an older packet unacked that is not lost yet | that packet is settled | the packet counts as lost |
/// | probe | a packet that asks for an ack is in flight | none is | the caller sends something that asks for an ack; after some the interval doubles until an ack comes |
#[derive(Clone, Debug)]
pub struct SendWindow<T> {
    /// Packets `base`, `base` + 1 and so on; the first, if any, is not settled.
    slots: VecDeque<Slot<T>>,
    base: PacketNumber,
    largest_acked: PacketNumber,
    /// Bytes of flying packets that ask for an ack.
    in_flight: u64,
    /// How many these are.
    flying: usize,
    rtt: Rtt,
    thresholds: LossThresholds,
    /// Packets that one PARITY covers.
    parity: u64,
    loss_at: Option<Instant>,
    /// What the probe timer counts from: the newest packet that asks for an ack, or the newest probe asked for.
    probe_from: Instant,
    /// Probes asked for since the last ack.
    backoff: u32,
    /// Probes that go before their intervals double.
    patience: u32,
}

impl<T> SendWindow<T> {
    /// Nothing sent yet; the round trip is guessed.
    #[must_use]
    pub fn new(rtt_guess: Duration) -> Self {
        Self {
            slots: VecDeque::new(),
            base: PacketNumber(1),
            largest_acked: PacketNumber(0),
            in_flight: 0,
            flying: 0,
            rtt: Rtt::new(rtt_guess),
            thresholds: LossThresholds::default(),
            parity: 0,
            loss_at: None,
            probe_from: Instant::ZERO,
            backoff: 0,
            patience: 0,
        }
    }

    /// The number of the next packet.
    #[must_use]
    pub fn next(&self) -> PacketNumber {
        PacketNumber(self.base.0 + self.slots.len() as u64)
    }

    /// Whether there is room for another packet. Without room, [`SendWindow::push`] gives up the oldest.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.slots.len() < SEND_WINDOW_MAX
    }

    /// Bytes in flight: sent in packets that ask for an ack, neither acked nor lost.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// No ack of a packet below this is waited for.
    #[must_use]
    pub const fn floor(&self) -> PacketNumber {
        self.base
    }

    /// The oldest packet of whose fate the caller may still be told.
    #[must_use]
    pub fn oldest(&self) -> Option<&Sent<T>> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Flying(sent) | Slot::Lost(sent, _) => Some(sent),
            Slot::Settled => None,
        })
    }

    /// The packets whose fate is open, in ascending order.
    pub fn flying(&self) -> impl Iterator<Item = &Sent<T>> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Flying(sent) => Some(sent),
            Slot::Lost(..) | Slot::Settled => None,
        })
    }

    /// The round-trip time.
    #[must_use]
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// Probes asked for since the last ack.
    #[must_use]
    pub const fn unanswered_probes(&self) -> u32 {
        self.backoff
    }

    /// Bytes that the window takes beside itself, and beside what infos point to.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>()
    }

    /// The path is another one: what was learnt about the old one is forgotten, packets in flight stay.
    pub fn on_path_change(&mut self, rtt_guess: Duration) {
        self.rtt = Rtt::new(rtt_guess);
        self.thresholds = LossThresholds::default();
        self.backoff = 0;
    }

    /// One PARITY covers up to `packets` packets, 0: there is none. A packet does not count as lost for others behind it before
    /// what covers it must have come.
    pub const fn await_parity(&mut self, packets: usize) {
        self.parity = packets as u64;
    }

    /// So many probes go at even intervals before these double: where much is lost, silence says little.
    pub const fn set_patience(&mut self, probes: u32) {
        self.patience = probes;
    }

    /// Notes that packet [`SendWindow::next`] was sent. Gives back the oldest packet if there was no room: it counts
    /// as lost.
    pub fn push(&mut self, at: Instant, bytes: u64, elicits: bool, stamp: Stamp, info: T) -> Option<Sent<T>> {
        let given_up = if self.has_room() { None } else { self.give_up_oldest() };
        let sent = Sent { number: self.next(), at, bytes, elicits, stamp, info };
        self.slots.push_back(Slot::Flying(sent));
        if elicits {
            self.in_flight += bytes;
            self.flying += 1;
            self.probe_from = at;
        }
        given_up
    }

    /// Takes an ack. `visit` sees every packet whose fate it settles, in ascending order: first those that were acked,
    /// then those that are lost.
    ///
    /// # Errors
    /// [`NeverSent`], with nothing changed, if the ack names a packet that was not sent.
    pub fn on_ack(
        &mut self,
        now: Instant,
        ack: &Ack,
        mut visit: impl FnMut(Fate, &Sent<T>),
    ) -> Result<AckSummary, NeverSent> {
        // SPEC [LFP-9.6]: A sender MUST NOT act on an ack of a packet that it has not sent.
        if ack.largest() >= self.next() {
            return Err(NeverSent);
        }
        let mut summary = AckSummary::default();
        let news = ack.largest() > self.largest_acked;
        self.largest_acked = self.largest_acked.max(ack.largest());
        for range in ack.ranges.iter().rev() {
            let first = range.first.max(self.base);
            for number in first.0..=range.last.0 {
                self.settle_acked(PacketNumber(number), &mut summary, &mut visit);
            }
        }
        if news {
            if let Some(newest) = summary.newest {
                let sample = now.saturating_since(newest.sent_at);
                self.rtt.on_sample(sample, Duration::from_micros(ack.delay_us));
                summary.rtt = Some(sample);
            }
        }
        self.detect_lost(now, &mut summary, &mut visit);
        self.drop_settled(now);
        Ok(summary)
    }

    /// When [`SendWindow::on_timeout`] must be called; `None` while nothing is in flight.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.loss_at, self.probe_at()].into_iter().flatten().min()
    }

    /// Takes note of the time. The second value says whether something that asks for an ack should be sent now,
    /// whatever the rate: nothing has been acked for too long.
    pub fn on_timeout(&mut self, now: Instant, mut visit: impl FnMut(Fate, &Sent<T>)) -> (AckSummary, bool) {
        let mut summary = AckSummary::default();
        if self.loss_at.is_some_and(|at| at <= now) {
            self.detect_lost(now, &mut summary, &mut visit);
            self.drop_settled(now);
        }
        let probe = self.probe_at().is_some_and(|at| at <= now);
        if probe {
            self.backoff += 1;
            self.probe_from = now;
        }
        (summary, probe)
    }

    fn probe_at(&self) -> Option<Instant> {
        let doubled = self.backoff.saturating_sub(self.patience).min(16);
        let interval = self.rtt.probe_timeout() * (1 << doubled);
        (self.flying > 0).then(|| self.probe_from + interval.min(PROBE_INTERVAL_MAX))
    }

    fn slot(&mut self, number: PacketNumber) -> Option<&mut Slot<T>> {
        let index = usize::try_from(number.0.checked_sub(self.base.0)?).ok()?;
        self.slots.get_mut(index)
    }

    fn settle_acked(
        &mut self,
        number: PacketNumber,
        summary: &mut AckSummary,
        visit: &mut impl FnMut(Fate, &Sent<T>),
    ) {
        let Some(slot) = self.slot(number) else { return };
        let (fate, sent) = match core::mem::replace(slot, Slot::Settled) {
            Slot::Settled => return,
            Slot::Flying(sent) => (Fate::Acked, sent),
            Slot::Lost(sent, _) => (Fate::AckedLate, sent),
        };
        if fate == Fate::Acked {
            self.thresholds.on_in_time();
            self.land(&sent);
        } else {
            self.thresholds.on_late(self.largest_acked.0 - number.0);
            summary.late_packets += 1;
        }
        self.backoff = 0;
        if sent.elicits {
            summary.acked_bytes += sent.bytes;
            summary.acked_packets += 1;
            summary.calm_acked_bytes += if sent.stamp.is_calm() { sent.bytes } else { 0 };
            summary.newest = Some(Newest { sent_at: sent.at, stamp: sent.stamp });
        }
        visit(fate, &sent);
    }

    fn detect_lost(
        &mut self,
        now: Instant,
        summary: &mut AckSummary,
        visit: &mut impl FnMut(Fate, &Sent<T>),
    ) {
        let delay = self.thresholds.delay(&self.rtt);
        self.loss_at = None;
        let behind = self.largest_acked.0.saturating_sub(self.base.0) as usize;
        for index in 0..behind.min(self.slots.len()) {
            let Slot::Flying(sent) = &self.slots[index] else { continue };
            let due = sent.at + delay;
            if self.largest_acked.0 - sent.number.0 < self.thresholds.packets() + self.parity && due > now {
                self.loss_at = Some(self.loss_at.map_or(due, |at| at.min(due)));
                continue;
            }
            if let Slot::Flying(sent) = core::mem::replace(&mut self.slots[index], Slot::Settled) {
                self.land(&sent);
                if sent.elicits {
                    summary.lost_bytes += sent.bytes;
                    summary.calm_lost_bytes += if sent.stamp.is_calm() { sent.bytes } else { 0 };
                    summary.lost_packets += 1;
                }
                visit(Fate::Lost, &sent);
                self.slots[index] = Slot::Lost(sent, now);
            }
        }
    }

    /// Forgets from the oldest on what nothing more can become of.
    fn drop_settled(&mut self, now: Instant) {
        let kept = self.rtt.smoothed() * LATE_ACK_ROUND_TRIPS;
        while let Some(front) = self.slots.front() {
            let over = match front {
                Slot::Flying(_) => false,
                Slot::Lost(_, since) => now.saturating_since(*since) > kept,
                Slot::Settled => true,
            };
            if !over {
                break;
            }
            self.slots.pop_front();
            self.base.0 += 1;
        }
    }

    fn give_up_oldest(&mut self) -> Option<Sent<T>> {
        let slot = self.slots.pop_front()?;
        self.base.0 += 1;
        match slot {
            Slot::Flying(sent) => {
                self.land(&sent);
                Some(sent)
            }
            Slot::Lost(..) | Slot::Settled => None,
        }
    }

    fn land(&mut self, sent: &Sent<T>) {
        if sent.elicits {
            self.in_flight -= sent.bytes;
            self.flying -= 1;
        }
    }
}
