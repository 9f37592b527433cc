//! What losses say: which share a path loses whatever is sent, and where more is lost because too much was sent.
//!
//! Random loss and a queue that is full look alike in a single loss. They differ in what the *calm* packets show, those
//! that go slower than the path delivers: what is lost of them while the round trip is short is the path's own doing.
//! What a round loses beyond that, by more than chance explains, is ours: a policer, a short queue, or others who share
//! the bottleneck. Then the rate that got through is a ceiling, and it is tried ever more rarely whether it has risen.

use core::time::Duration;

use crate::time::Instant;
use crate::units::Bitrate;
use crate::window::AckSummary;

/// Datagrams from which a share of losses is taken.
const SAMPLE_DATAGRAMS: u64 = 24;
/// What the first sample says at most, in thousandths. Who comes where others fill the queue takes their losses for the
/// path's, and who makes up for them drives all others to do the same: so much has to be seen more than once.
const FIRST_SHARE_MAX: u64 = 200;
/// Largest share of the path's own, in thousandths: beyond it what is lost counts as too much sent. And the largest that is
/// made up for.
const SHARE_MAX: u64 = 500;
const MADE_UP_MAX: u64 = 300;
/// Losses beyond the path's own that a round may have: thousandths of its datagrams, and datagrams.
const EXCESS_PERMILLE: u64 = 30;
const EXCESS_DATAGRAMS: u64 = 2;
/// Datagrams of a round that is judged.
const ROUND_DATAGRAMS: u64 = 48;
/// How much more of the losses may be the path's own than was seen.
const DOUBT_PERMILLE: u64 = 40;
/// By how many standard deviations chance may exceed what is expected of it.
const DEVIATIONS: u64 = 3;
/// Shortest time that is judged, so that short round trips do not ask chance too often; and a silence that is no loss.
const ROUND_MIN: Duration = Duration::from_millis(50);
const SILENCE_MIN: Duration = Duration::from_millis(100);
/// A ceiling is at least this share of the rate before it, in percent: one round does not tell more.
const CUT_PERCENT: u64 = 70;
/// The same where packets were marked, which says sooner what losses say late (RFC 8511 has as much for TCP).
const MARK_CUT_PERCENT: u64 = 85;
/// How long a ceiling stands before it is tried whether it has risen, and how long at most after failures.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(8);
/// How long it stands where others share the bottleneck, who come and go, so that whoever waits longer has less; and where
/// nothing was lost: so many round trips at least.
const WAIT_CROWDED: Duration = Duration::from_millis(300);
const WAIT_ROUND_TRIPS: u32 = 8;

/// The share of bytes, in thousandths, that is lost of what goes slower than the path delivers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossFloor {
    acked: u64,
    lost: u64,
    /// Round trips of the calm packets since the last sample, added up, and how many.
    rtts: (Duration, u32),
    share: u64,
    sampled: bool,
    /// The last calm packets found a queue of others: what was lost of them tells nothing of the path.
    crowded: bool,
}

impl LossFloor {
    /// Takes note of calm packets; `near` is a round trip without a queue.
    pub(super) fn count(&mut self, summary: &AckSummary, near: Duration, datagram: u64) {
        self.acked += summary.calm_acked_bytes;
        self.lost += summary.calm_lost_bytes;
        let calm_rtt = summary.rtt.filter(|_| summary.newest.is_some_and(|newest| newest.stamp.is_calm()));
        if let Some(rtt) = calm_rtt {
            self.rtts = (self.rtts.0 + rtt, self.rtts.1 + 1);
        }
        let total = self.acked + self.lost;
        if total < SAMPLE_DATAGRAMS * datagram {
            return;
        }
        self.crowded = self.rtts.0 > near * self.rtts.1;
        if self.crowded {
            // What it was before is the less likely to hold the longer nothing confirms it.
            self.share = self.share * 3 / 4;
        } else {
            let sample = self.lost * 1_000 / total;
            let share =
                if self.sampled { (self.share * 3 + sample) / 4 } else { sample.min(FIRST_SHARE_MAX) };
            self.share = share.min(SHARE_MAX);
            self.sampled = true;
        }
        (self.acked, self.lost, self.rtts) = (0, 0, (Duration::ZERO, 0));
    }

    /// Thousandths that the path loses whatever is sent.
    pub(super) const fn share(&self) -> u64 {
        self.share
    }

    /// Of these, what is made up for.
    pub(super) fn made_up(&self) -> u64 {
        self.share.min(MADE_UP_MAX)
    }

    /// Whether calm packets find a queue of others.
    pub(super) const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether it is known enough to tell other losses from it.
    const fn is_known(&self) -> bool {
        self.sampled || self.crowded
    }
}

/// What a round of packets brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    acked: u64,
    lost: u64,
    began_at: Option<Instant>,
}

/// A round that lost too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Excess {
    /// What got through meanwhile.
    pub(super) delivered: Bitrate,
}

impl Round {
    pub(super) fn count(&mut self, now: Instant, summary: &AckSummary) {
        self.began_at.get_or_insert(now);
        self.acked += summary.acked_bytes;
        self.lost += summary.lost_bytes;
    }

    /// Nothing had come for so long: what is lost now was not lost for want of room.
    pub(super) fn on_silence(&mut self, span: Duration, min_rtt: Duration) -> bool {
        let is_dark = span > SILENCE_MIN.max(min_rtt * 3);
        if is_dark {
            *self = Self::default();
        }
        is_dark
    }

    /// The round is over: what it says beyond `floor`. A round of few packets goes on.
    pub(super) fn end(&mut self, now: Instant, floor: &LossFloor, datagram: u64) -> Option<Excess> {
        let total = (self.acked + self.lost) / datagram.max(1);
        let elapsed = now.saturating_since(self.began_at.unwrap_or(now));
        if total < ROUND_DATAGRAMS || elapsed < ROUND_MIN {
            return None;
        }
        let Self { acked, lost, .. } = core::mem::take(self);
        let share = floor.share();
        // The share itself is an estimate.
        let likely = share + DOUBT_PERMILLE;
        let chance = DEVIATIONS * (total * likely * (1_000 - likely)).isqrt();
        let allowed = total * (share + EXCESS_PERMILLE) + chance + EXCESS_DATAGRAMS * 1_000;
        let exceeds = lost / datagram.max(1) * 1_000 > allowed;
        (floor.is_known() && exceeds).then(|| Excess { delivered: Bitrate::of(acked, elapsed) })
    }
}

/// The most that gets through, where trying more was seen to lose it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ceiling {
    rate: Option<Bitrate>,
    /// When it is tried next whether it has risen.
    try_at: Instant,
    wait: Duration,
    /// It was raised since the last cut.
    raised: bool,
    /// The next round tells of packets that went out before the cut.
    deaf: bool,
}

impl Ceiling {
    pub(super) const fn rate(&self) -> Option<Bitrate> {
        self.rate
    }

    /// Whether more than the ceiling may be tried.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.rate.is_none() || now >= self.try_at
    }

    /// The next round tells of something else.
    pub(super) const fn pass_over(&mut self) {
        self.deaf = true;
    }

    /// A round at `rate` is over.
    pub(super) fn on_round(&mut self, now: Instant, excess: Option<Excess>, rate: Bitrate, crowded: bool) {
        if core::mem::take(&mut self.deaf) {
            return;
        }
        let Some(Excess { delivered }) = excess else { return };
        let failed = self.raised && now >= self.try_at;
        self.wait = if failed { self.wait * 2 } else { self.wait }.clamp(WAIT_MIN, WAIT_MAX);
        let wait = if crowded { WAIT_CROWDED } else { self.wait };
        self.cut(delivered.max(rate.scaled_percent(CUT_PERCENT)).min(rate), now + wait);
    }

    /// Packets were marked while so much got through, of `rate`, on a path of such a round trip. A try that fails costs no more
    /// than another mark.
    pub(super) fn on_marks(&mut self, now: Instant, round_trip: Duration, delivered: Bitrate, rate: Bitrate) {
        let wait = WAIT_CROWDED.max(round_trip * WAIT_ROUND_TRIPS);
        self.cut(delivered.max(rate.scaled_percent(MARK_CUT_PERCENT)).min(rate), now + wait);
    }

    fn cut(&mut self, to: Bitrate, try_at: Instant) {
        self.rate = Some(to);
        self.try_at = try_at;
        self.raised = false;
        self.deaf = true;
    }

    /// So much got through while more than the ceiling was tried.
    pub(super) fn on_delivered(&mut self, sample: Bitrate) {
        if let Some(rate) = self.rate.filter(|rate| sample > *rate) {
            self.rate = Some(sample.max(rate));
            self.raised = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    use crate::window::{Newest, RateController};

    const DATAGRAM: u64 = 1_200;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    const fn rate(kbit: u64) -> Bitrate {
        Bitrate::from_bps(kbit * 1_000)
    }

    /// So many datagrams, all of them calm, of which some percent were lost, after a round trip of so long.
    fn calm(datagrams: u64, lost_percent: u64, rtt: Duration) -> AckSummary {
        let lost = datagrams * DATAGRAM * lost_percent / 100;
        let acked = datagrams * DATAGRAM - lost;
        let mut controller = RateController::new(at(0), DATAGRAM, 65_536, ms(40));
        let stamp = controller.on_sent(at(1), 0).calmed();
        AckSummary {
            acked_bytes: acked,
            lost_bytes: lost,
            calm_acked_bytes: acked,
            calm_lost_bytes: lost,
            newest: Some(Newest { sent_at: at(1), stamp }),
            rtt: Some(rtt),
            ..AckSummary::default()
        }
    }

    fn floor(lost_percent: u64, rtt: Duration) -> LossFloor {
        let mut floor = LossFloor::default();
        (0..8).for_each(|_| floor.count(&calm(100, lost_percent, rtt), ms(55), DATAGRAM));
        floor
    }

    fn round(floor: &LossFloor, lost_percent: u64) -> Option<Excess> {
        let mut round = Round::default();
        round.count(at(0), &calm(100, lost_percent, ms(40)));
        round.end(at(100), floor, DATAGRAM)
    }

    #[test]
    fn what_calm_packets_lose_is_the_paths_unless_others_are_there() {
        assert_eq!((floor(10, ms(42)).share(), floor(10, ms(42)).is_crowded()), (100, false));
        assert_eq!((floor(10, ms(80)).share(), floor(10, ms(80)).is_crowded()), (0, true));
    }

    #[test]
    fn a_round_exceeds_what_the_path_loses_by_more_than_chance() {
        let (clean, lossy) = (floor(0, ms(40)), floor(10, ms(40)));
        assert_eq!((round(&clean, 5), round(&lossy, 15)), (None, None));
        assert!(round(&clean, 20).is_some() && round(&lossy, 35).is_some());
        assert_eq!(round(&LossFloor::default(), 50), None, "nothing is known yet");
        let delivered = round(&clean, 20).expect("an excess").delivered;
        assert_eq!(delivered, Bitrate::of(80 * DATAGRAM, ms(100)));
    }

    #[test]
    fn a_silence_is_no_excess() {
        let mut round = Round::default();
        round.count(at(0), &calm(100, 50, ms(40)));
        assert!(!round.on_silence(ms(90), ms(20)) && round.on_silence(ms(200), ms(20)));
        assert_eq!(round.end(at(300), &floor(0, ms(40)), DATAGRAM), None);
    }

    #[test]
    fn a_ceiling_is_tried_ever_more_rarely_while_that_fails() {
        let mut ceiling = Ceiling::default();
        let excess = Some(Excess { delivered: rate(800) });
        ceiling.on_round(at(0), excess, rate(1_000), false);
        assert_eq!(ceiling.rate(), Some(rate(800)));
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..5 {
            let begin = now;
            while !ceiling.may_try(at(now)) {
                now += 100;
            }
            waits.push(now - begin);
            ceiling.on_delivered(rate(1_000));
            assert_eq!(ceiling.rate(), Some(rate(1_000)));
            // The first round after a cut tells of what went out before it.
            ceiling.on_round(at(now), excess, rate(1_000), false);
            ceiling.on_round(at(now), excess, rate(1_000), false);
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 8_000]);
        ceiling.on_round(at(now), None, rate(800), false);
        ceiling.on_round(at(now), Some(Excess { delivered: rate(10) }), rate(800), false);
        assert_eq!(ceiling.rate(), Some(rate(560)), "one round does not tell more");
    }
}
