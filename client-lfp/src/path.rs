//! What is known of the path to the server, of what this side sees and of what the server tells.

use core::time::Duration;

use lfp_proto::frame::{Ecn, Quality, Report, Way};
use lfp_proto::limits::{BUSY_WHOLE, REPORT_INTERVAL};
use lfp_proto::time::{Instant, micros};
use lfp_proto::units::{Bitrate, PacketNumber};
use lfp_proto::window::{EcnSeen, Reception};

use crate::limits::LOSS_MEMORY;

/// What a path does, each way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathSeen {
    /// What the path delivers to this side, as the server finds; `None` before it has said so.
    pub rate: Option<Bitrate>,
    /// What became of packets to this side. Jitter and queue are the server's findings, 0 before it has told any.
    pub down: Way,
    /// What became of packets from this side, as the server has told last.
    pub up: Way,
    /// How packets to this side came, as far as the ECN bits of their headers could be read.
    pub ecn: Ecn,
}

/// Packets of which losses are a share; older ones count half, and so on.
const LATELY_PACKETS: u64 = 256;
/// Thousandths of the packets that are lost, and how often input is said once more from there on: all of it is lost together
/// with a hundredth at most.
const COPIES: [(u64, u32); 3] = [(0, 1), (100, 2), (220, 3)];

/// What this side and the server tell each other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dialogue {
    down: Reception,
    ecn: EcnSeen,
    /// There is something to report: pixels came.
    news: bool,
    reported_at: Instant,
    /// Time spent for the picture since then.
    worked: Duration,
    told: Option<Quality>,
    told_by: PacketNumber,
    up_lately: Lately,
    down_lately: Lately,
}

/// The share of packets that was lost lately, in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    /// As counted last, from the beginning.
    came: u64,
    missing: u64,
    /// Of the last few hundred.
    came_of_late: u64,
    lost_of_late: u64,
    lost_at: Option<Instant>,
}

impl Lately {
    /// So many came and were missing, all in all.
    fn count(&mut self, now: Instant, came: u64, missing: u64) {
        // What a server claims has no bounds; more than is looked at says no more.
        let lost = missing.saturating_sub(self.missing).min(LATELY_PACKETS);
        self.came_of_late += came.saturating_sub(self.came).min(LATELY_PACKETS);
        self.lost_of_late += lost;
        (self.came, self.missing) = (came, missing);
        if lost > 0 {
            self.lost_at = Some(now);
        }
        while self.came_of_late + self.lost_of_late > LATELY_PACKETS {
            self.came_of_late /= 2;
            self.lost_of_late /= 2;
        }
    }

    /// Thousandths that were lost, or `None` if nothing was for long.
    fn permille(&self, now: Instant) -> Option<u64> {
        self.lost_at.filter(|lost_at| now < *lost_at + LOSS_MEMORY)?;
        Some(self.lost_of_late * 1_000 / (self.came_of_late + self.lost_of_late).max(1))
    }
}

impl Dialogue {
    /// Packet `number` came, for the first time or again.
    pub(crate) fn on_packet(&mut self, number: PacketNumber) {
        self.down.on_packet(number);
    }

    /// How packets came.
    pub(crate) const fn ecn_mut(&mut self) -> &mut EcnSeen {
        &mut self.ecn
    }

    /// Pixels came.
    pub(crate) const fn on_pixels(&mut self) {
        self.news = true;
    }

    /// So much time went into the picture.
    pub(crate) fn on_work(&mut self, took: Duration) {
        self.worked += took;
    }

    /// The server tells, in packet `number`.
    pub(crate) fn on_quality(&mut self, now: Instant, number: PacketNumber, quality: Quality) {
        if number >= self.told_by {
            (self.told, self.told_by) = (Some(quality), number);
            self.up_lately.count(now, quality.up.came, quality.up.missing);
        }
    }

    /// How often what cannot wait is to be said once more, at once, so that a loss costs it no round trip.
    pub(crate) fn copies(&self, now: Instant) -> u32 {
        let up = self.up_lately.permille(now);
        // Before the server has said how its packets fare, the other direction is the best guess.
        let lost = if self.told.is_some() { up } else { self.down_lately.permille(now) };
        lost.map_or(0, |lost| {
            COPIES.iter().take_while(|(from, _)| lost >= *from).map(|(_, copies)| *copies).last().unwrap_or(1)
        })
    }

    // SPEC [LFP-9.12]: A side MUST NOT make a packet for a REPORT or a QUALITY, nor send one more than once a second.
    /// What to report at `now` in a packet that goes anyway.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Report> {
        let since = now.saturating_since(self.reported_at);
        if !self.news || since < REPORT_INTERVAL {
            return None;
        }
        self.down_lately.count(now, self.down.came(), self.down.missing());
        let whole = u64::from(BUSY_WHOLE);
        let busy = (micros(self.worked) * whole / micros(since)).min(whole) as u16;
        (self.news, self.reported_at, self.worked) = (false, now, Duration::ZERO);
        Some(Report {
            came: self.down.came(),
            missing: self.down.missing(),
            reordered: self.down.reordered(),
            again: self.down.again(),
            busy,
        })
    }

    /// What is known.
    pub(crate) fn seen(&self) -> PathSeen {
        let told = self.told.unwrap_or_default();
        let down = Way {
            came: self.down.came(),
            missing: self.down.missing(),
            reordered: self.down.reordered(),
            again: self.down.again(),
            jitter_us: told.jitter_us,
            queued_us: told.queued_us,
        };
        PathSeen { rate: self.told.map(|told| told.rate), down, up: told.up, ecn: self.ecn.counts() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_how_busy_this_side_was_since_the_last() {
        let mut dialogue = Dialogue::default();
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        dialogue.on_packet(PacketNumber(1));
        dialogue.on_work(Duration::from_millis(300));
        assert_eq!(dialogue.report(at(1_000)), None, "nothing was shown");
        dialogue.on_pixels();
        let report = Report { came: 1, busy: 300, ..Report::default() };
        assert_eq!(dialogue.report(at(1_000)), Some(report));
        dialogue.on_pixels();
        dialogue.on_work(Duration::from_secs(5));
        assert_eq!(dialogue.report(at(1_999)), None, "too soon");
        assert_eq!(dialogue.report(at(2_000)).map(|report| report.busy), Some(BUSY_WHOLE));
    }

    #[test]
    fn the_newest_packet_tells() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.seen().rate, None);
        let quality = |bps| Quality { rate: Bitrate::from_bps(bps), ..Quality::default() };
        dialogue.on_quality(Instant::ZERO, PacketNumber(9), quality(5));
        dialogue.on_quality(Instant::ZERO, PacketNumber(8), quality(4));
        assert_eq!(dialogue.seen().rate, Some(Bitrate::from_bps(5)));
    }

    #[test]
    fn losses_of_late_ask_for_copies() {
        let mut dialogue = Dialogue::default();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut tell = |seconds, came, missing| {
            let up = Way { came, missing, ..Way::default() };
            dialogue.on_quality(at(seconds), PacketNumber(seconds), Quality { up, ..Quality::default() });
            (
                dialogue.copies(at(seconds)),
                dialogue.copies(at(seconds + 29)),
                dialogue.copies(at(seconds + 30)),
            )
        };
        assert_eq!(tell(1, 50, 0), (0, 0, 0));
        assert_eq!(tell(2, 99, 1), (1, 1, 0));
        assert_eq!(tell(3, 120, 30), (2, 2, 0));
        assert_eq!(tell(4, 170, 80), (3, 3, 0));
        assert_eq!(tell(60, 10_000, 80), (0, 0, 0), "long ago");
    }
}
