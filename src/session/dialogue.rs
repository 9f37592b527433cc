//! What is known of a path: each side tells the other what only it can see.
//!
//! The client counts what comes and says how busy it is; the server times packets both ways by the clocks in acks. Both ride
//! in packets that go anyway, at most once a second: an idle session has nothing to say.

use crate::time::{Instant, micros};
use crate::units::PacketNumber;
use lfp_proto::frame::{Ack, Frame, Report, Way};
use lfp_proto::limits::{BUSY_WHOLE, REPORT_INTERVAL};
use lfp_proto::packet::Builder;
use lfp_proto::window::{Reception, Transit};

/// A client that works for its picture for this share of the time, of [`BUSY_WHOLE`], gets half as many pictures.
const BUSY: u16 = BUSY_WHOLE / 10 * 9;
/// One that works for less than this gets twice as many again. More than half of [`BUSY`] would be too much of them.
const EASY: u16 = BUSY_WHOLE / 10 * 4;
/// Most times that pictures are halved.
const HALVED_MAX: u32 = 4;

/// What a session and its client tell each other of the path.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    /// The client's packets.
    up: Reception,
    up_transit: Transit,
    down_transit: Transit,
    report: Report,
    /// The packet that brought it.
    reported_by: PacketNumber,
    told_at: Option<Instant>,
    /// There is something to tell.
    news: bool,
    /// How often the pictures that the client is shown have been halved.
    halved: u32,
}

impl Dialogue {
    /// Packet `number` of the client came, for the first time or again.
    pub(super) fn on_packet(&mut self, number: PacketNumber) {
        self.up.on_packet(number);
    }

    /// An ack came; the largest packet that it names left at `sent_at`, if that is acked for the first time.
    pub(super) fn on_ack(&mut self, now: Instant, ack: &Ack, sent_at: Option<Instant>) {
        let clock = |at: Instant| micros(at.saturating_since(Instant::ZERO)) as u32;
        if let Some(sent_at) = sent_at {
            self.down_transit.on_sample(now, clock(sent_at), ack.arrived_us);
        }
        self.up_transit.on_sample(now, ack.arrived_us.wrapping_add(ack.delay_us as u32), clock(now));
    }

    /// The client reports in packet `number`. Says whether it is to be shown more or fewer pictures from now on.
    pub(super) fn on_report(&mut self, number: PacketNumber, report: Report) -> bool {
        if number < self.reported_by {
            return false;
        }
        (self.report, self.reported_by, self.news) = (report, number, true);
        let halved = match report.busy {
            BUSY.. => (self.halved + 1).min(HALVED_MAX),
            ..EASY => self.halved.saturating_sub(1),
            EASY..BUSY => self.halved,
        };
        std::mem::replace(&mut self.halved, halved) != halved
    }

    // SPEC [LFP-9.12]: A side MUST NOT make a packet for a REPORT or a QUALITY, nor send one more than once a second.
    /// Whether the client is to be told something at `now` in a packet that goes anyway.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.news && self.told_at.is_none_or(|told| now >= told + REPORT_INTERVAL)
    }

    /// Tells `frame`, if it fits.
    pub(super) fn tell(&mut self, now: Instant, frame: &Frame<'_>, builder: &mut Builder) {
        if builder.push(frame) {
            self.told_at = Some(now);
            self.news = false;
        }
    }

    /// How often the pictures that the client is shown are to be halved.
    pub(super) const fn halved(&self) -> u32 {
        self.halved
    }

    /// Of [`BUSY_WHOLE`], how much the client works for its picture.
    pub(super) const fn busy(&self) -> u16 {
        self.report.busy
    }

    /// What came of the client's packets.
    pub(super) fn up(&self) -> Way {
        let Self { up, up_transit, .. } = self;
        Way {
            came: up.came(),
            missing: up.missing(),
            reordered: up.reordered(),
            again: up.again(),
            jitter_us: up_transit.jitter_us().into(),
            queued_us: up_transit.queued_us().into(),
        }
    }

    /// What came of the server's packets, as the client reported last.
    pub(super) fn down(&self) -> Way {
        let Self { report, down_transit, .. } = self;
        Way {
            came: report.came,
            missing: report.missing,
            reordered: report.reordered,
            again: report.again,
            jitter_us: down_transit.jitter_us().into(),
            queued_us: down_transit.queued_us().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(busy: u16) -> Report {
        Report { busy, ..Report::default() }
    }

    #[test]
    fn who_cannot_keep_up_is_shown_fewer_pictures_until_it_can() {
        let mut dialogue = Dialogue::default();
        let mut say = |number, share| {
            let turned = dialogue.on_report(PacketNumber(number), busy(share));
            (turned, dialogue.halved())
        };
        assert_eq!(say(1, 950), (true, 1));
        // Half the pictures are half the work: no reason to turn back.
        assert_eq!(say(2, 475), (false, 1));
        assert_eq!(say(1, 1_000), (false, 1), "an older report");
        assert_eq!(say(3, 200), (true, 0));
        for number in 4..20 {
            say(number, 1_000);
        }
        assert_eq!(say(20, 1_000), (false, HALVED_MAX));
    }

    #[test]
    fn what_is_told_is_told_once_and_no_more_than_once_a_second() {
        let mut dialogue = Dialogue::default();
        let at = Instant::from_micros;
        assert!(!dialogue.is_due(at(0)));
        dialogue.on_report(PacketNumber(1), busy(0));
        assert!(dialogue.is_due(at(0)));
        let kind = lfp_proto::packet::Kind::Data;
        let mut builder = Builder::new(Vec::new(), 1_200, kind, Default::default(), PacketNumber(1));
        dialogue.tell(at(0), &Frame::Ping, &mut builder);
        assert!(!dialogue.is_due(at(2_000_000)));
        dialogue.on_report(PacketNumber(2), busy(0));
        assert!(!dialogue.is_due(at(999_999)) && dialogue.is_due(at(1_000_000)));
    }
}
