//! Explicit congestion notification (RFC 3168): a router whose queue grows marks a packet where it would drop another's.
//!
//! A server sends its packets as ECT(0), the client counts how they come, and says so beside its acks. Not every path keeps
//! these two bits of a packet's header, and some set them for no reason: as RFC 9000, section 13.4.2, has it, the counts are
//! compared with what was sent, and a path that does not stand that is sent no more ECT. The same comparison makes a lie harmless:
//! counts that cannot be are an end to it, and marks that were none slow only who claims them.

use crate::frame::Ecn;
use crate::limits::{ECN_ALL_MARKED, ECN_TOLD_EVERY, ECN_UNTOLD_MAX};
use crate::units::PacketNumber;

/// What the ECN bits of an IP header say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Codepoint {
    /// Not to be marked: drop it.
    #[default]
    NotEct = 0,
    /// May be marked; another experiment's.
    Ect1 = 1,
    /// May be marked.
    Ect0 = 2,
    /// Marked: there is congestion.
    Ce = 3,
}

impl Codepoint {
    /// What the second byte of an IPv4 header, or an IPv6 header's traffic class, says.
    #[must_use]
    pub const fn of_tos(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// Whether a router may mark it.
    #[must_use]
    pub const fn is_capable(self) -> bool {
        !matches!(self, Self::NotEct)
    }
}

/// How the other side's packets came, on the side that counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EcnSeen {
    counts: Ecn,
    told: Ecn,
}

impl EcnSeen {
    // SPEC [LFP-9.13]: A client MUST count a packet in ECN when it comes itself and is new, by the bits of its own IP header: not
    // one that it has recovered.
    /// A packet that is new came so.
    pub const fn on_packet(&mut self, codepoint: Codepoint) {
        match codepoint {
            Codepoint::Ect0 => self.counts.ect0 += 1,
            Codepoint::Ce => self.counts.ce += 1,
            // Nobody sends the other one: what makes it of ours has changed it, and that they are missing says so.
            Codepoint::Ect1 | Codepoint::NotEct => {}
        }
    }

    // SPEC [LFP-9.14]: A client that counts MUST put ECN behind an ACK when packets have come as CE since it last did, or 32 as
    // ECT(0), or when the first has come.
    /// What is to be said beside an ack now, if there is anything.
    #[must_use]
    pub fn due(&self) -> Option<Ecn> {
        let Self { counts, told } = *self;
        let first = told == Ecn::default() && counts != told;
        let due = first || counts.ce > told.ce || counts.ect0 - told.ect0 >= ECN_TOLD_EVERY;
        due.then_some(counts)
    }

    /// What was due has been said.
    pub const fn on_told(&mut self) {
        self.told = self.counts;
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> Ecn {
        self.counts
    }
}

/// Whether a path carries ECT(0), and what it marks, on the side that sends.
///
/// | state | event | next |
/// | --- | --- | --- |
/// | testing | counts come that may be | capable |
/// | testing | nothing is acked for several probe times | failed |
/// | testing, capable | counts that are less than the acks, more than was sent, or less than before | failed |
/// | testing, capable | many packets are acked and none is counted | failed |
/// | testing, capable | every packet is marked, many in a row, and no queue shows | failed |
/// | any | the path is another one | testing |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EcnPath {
    state: State,
    /// Packets sent as ECT(0), on any path.
    sent: u64,
    /// Packets from this number on were sent on this path.
    first: PacketNumber,
    /// Of those, how many were acked since counts came last.
    acked: u64,
    /// The counts that came last.
    told: Ecn,
    /// The next counts say where this path begins: there were others before.
    begins: bool,
    /// Packets in a row that were marked while no queue showed.
    all_marked: u64,
    failures: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Testing,
    Capable,
    Failed,
}

impl Default for EcnPath {
    fn default() -> Self {
        Self {
            state: State::Testing,
            sent: 0,
            first: PacketNumber(0),
            acked: 0,
            told: Ecn::default(),
            begins: false,
            all_marked: 0,
            failures: 0,
        }
    }
}

/// Probes that stay without an answer before what is new about a path is taken for the reason.
const SILENT_PROBES: u32 = 3;

impl EcnPath {
    // SPEC [LFP-9.15]: A server MUST NOT send a packet as ECT(0) on a path of which the counts have shown that they do not tell how
    // its packets came: they are less than what was acked, more than what was sent, less than before, or do not come.
    /// Whether the next packet is to be sent as ECT(0).
    #[must_use]
    pub const fn offers(&self) -> bool {
        !matches!(self.state, State::Failed)
    }

    /// Whether counts have come on this path that may be.
    #[must_use]
    pub const fn is_capable(&self) -> bool {
        matches!(self.state, State::Capable)
    }

    /// Paths that did not stand the comparison.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// The path is another one from packet `next` on.
    pub fn on_path_change(&mut self, next: PacketNumber) {
        let Self { sent, told, failures, .. } = *self;
        *self = Self { sent, told, failures, first: next, begins: true, ..Self::default() };
    }

    /// A packet was sent as [`EcnPath::offers`] said.
    pub const fn on_sent(&mut self) {
        self.sent += self.offers() as u64;
    }

    /// Packet `number` is acked.
    pub fn on_acked(&mut self, number: PacketNumber) {
        self.acked += u64::from(number >= self.first);
    }

    /// So many of those that were acked last did not come themselves.
    pub const fn on_recovered(&mut self, packets: u64) {
        self.acked = self.acked.saturating_sub(packets);
    }

    /// The client tells its counts, in the newest of its packets, whose ack has been taken; `waited`: the round trip may
    /// have a queue in it. Returns how many packets were marked since it last did.
    pub fn on_counts(&mut self, counts: Ecn, waited: bool) -> u64 {
        if self.state == State::Failed {
            return 0;
        }
        let (told, acked) = (core::mem::replace(&mut self.told, counts), core::mem::take(&mut self.acked));
        let all = counts.ect0.checked_add(counts.ce).filter(|all| *all <= self.sent);
        let news = counts.ect0.checked_sub(told.ect0).zip(counts.ce.checked_sub(told.ce));
        let Some((ect0, ce)) = news.filter(|_| all.is_some()) else { return self.fail() };
        if core::mem::take(&mut self.begins) {
            return 0;
        }
        if ect0 + ce < acked {
            return self.fail();
        }
        // A path that is not even has some of its packets wait that would not have to.
        self.all_marked = if ect0 > 0 { 0 } else { self.all_marked + if waited { 0 } else { ce } };
        if self.all_marked >= ECN_ALL_MARKED {
            return self.fail();
        }
        self.state = State::Capable;
        ce
    }

    /// All that a packet of the client's had to say has been taken.
    pub fn on_packet_done(&mut self) {
        if self.acked >= ECN_UNTOLD_MAX && self.state != State::Failed {
            self.fail();
        }
    }

    /// So many probes in a row have had no answer.
    pub fn on_silence(&mut self, probes: u32) {
        // Some paths drop what has bits that they do not know.
        if probes >= SILENT_PROBES && self.state == State::Testing {
            self.fail();
        }
    }

    const fn fail(&mut self) -> u64 {
        self.state = State::Failed;
        self.failures += 1;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path on which so many packets were sent and acked.
    fn path(sent: u64, acked: u64) -> EcnPath {
        let mut path = EcnPath::default();
        (0..sent).for_each(|_| path.on_sent());
        (1..=acked).for_each(|number| path.on_acked(PacketNumber(number)));
        path
    }

    const fn counts(ect0: u64, ce: u64) -> Ecn {
        Ecn { ect0, ce }
    }

    #[test]
    fn a_client_tells_the_first_every_mark_and_now_and_then() {
        let mut seen = EcnSeen::default();
        seen.on_packet(Codepoint::NotEct);
        seen.on_packet(Codepoint::Ect1);
        assert_eq!(seen.due(), None);
        seen.on_packet(Codepoint::Ect0);
        assert_eq!(seen.due(), Some(counts(1, 0)));
        seen.on_told();
        (1..ECN_TOLD_EVERY).for_each(|_| seen.on_packet(Codepoint::Ect0));
        assert_eq!(seen.due(), None);
        seen.on_packet(Codepoint::Ect0);
        assert_eq!(seen.due(), Some(counts(1 + ECN_TOLD_EVERY, 0)));
        seen.on_told();
        seen.on_packet(Codepoint::Ce);
        assert_eq!(seen.due(), Some(counts(1 + ECN_TOLD_EVERY, 1)));
    }

    #[test]
    fn a_path_that_tells_how_packets_came_is_believed() {
        let mut path = path(40, 30);
        assert!(path.offers() && !path.is_capable());
        assert_eq!(path.on_counts(counts(31, 2), true), 2, "more may have come than is acked");
        assert!(path.offers() && path.is_capable());
        assert_eq!(path.on_counts(counts(32, 2), true), 0);
    }

    #[test]
    fn what_cannot_be_ends_it() {
        for (what, mut path, told) in [
            ("bleached", path(40, 30), counts(20, 2)),
            ("more than was sent", path(40, 30), counts(30, 11)),
            ("more than there are", path(40, 30), counts(u64::MAX, u64::MAX)),
        ] {
            assert_eq!(path.on_counts(told, true), 0, "{what}");
            assert_eq!((path.offers(), path.failures()), (false, 1), "{what}");
            assert_eq!(path.on_counts(counts(40, 0), true), 0, "{what}: it stays so");
        }
        let mut path = path(40, 10);
        path.on_counts(counts(10, 2), true);
        path.on_counts(counts(20, 1), true);
        assert!(!path.offers(), "less than before");
    }

    #[test]
    fn who_says_nothing_is_asked_no_more() {
        let mut path = path(2_000, ECN_UNTOLD_MAX - 1);
        path.on_packet_done();
        assert!(path.offers());
        path.on_acked(PacketNumber(1_000));
        path.on_packet_done();
        assert!(!path.offers());
        let mut dark = EcnPath::default();
        dark.on_silence(SILENT_PROBES);
        assert!(!dark.offers());
    }

    #[test]
    fn marks_on_everything_without_a_queue_are_no_news() {
        for (waited, offers) in [(false, false), (true, true)] {
            let mut path = path(2_000, 0);
            for ce in 1..=ECN_ALL_MARKED {
                path.on_counts(counts(0, ce), waited);
            }
            assert_eq!(path.offers(), offers);
        }
    }

    #[test]
    fn another_path_is_tested_anew() {
        let mut path = path(40, 30);
        path.on_counts(counts(0, 0), true);
        assert!(!path.offers());
        path.on_path_change(PacketNumber(41));
        assert!(path.offers());
        (0..20).for_each(|_| path.on_sent());
        (1..=50).for_each(|number| path.on_acked(PacketNumber(number)));
        assert_eq!(path.on_counts(counts(5, 1), true), 0, "who knows when these came");
        (51..=60).for_each(|number| path.on_acked(PacketNumber(number)));
        assert_eq!(path.on_counts(counts(14, 2), true), 1);
        assert!(path.is_capable());
    }
}
