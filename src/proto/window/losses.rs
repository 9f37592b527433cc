//! What losses say: which share a path loses whatever is sent, and where more is lost because too much was sent.
//!
//! Random loss and a queue that is full look alike in a single loss. They differ in what the *calm* packets show, those
//! that go slower than the path delivers: what is lost of them while the round trip is short is the path's own doing. Short
//! is nearer to the shortest than to the longest of late: who comes to a queue that others fill never sees it empty, but what
//! he loses to it he loses when it is longest.
//! What a round loses beyond that, by more than chance explains, is ours: a policer, a short queue, or others who share
//! the bottleneck. Then the rate that got through is a ceiling, and it is tried ever more rarely whether it has risen.

use core::time::Duration;

use crate::time::Instant;
use crate::units::Bitrate;
use crate::window::AckSummary;

/// Datagrams from which a share of losses is taken.
const SAMPLE_DATAGRAMS: u64 = 24;
/// Datagrams that found a queue, while not so many did not, from which it follows that nothing is known of the path itself.
const LOUD_DATAGRAMS: u64 = 2 * SAMPLE_DATAGRAMS;
/// What the first sample says at most, in thousandths. Who comes where others fill the queue takes their losses for the
/// path's, and who makes up for them drives all others to do the same: so much has to be seen more than once.
const FIRST_SHARE_MAX: u64 = 200;
/// Largest share of the path's own, in thousandths: beyond it what is lost counts as too much sent. And the largest that is
/// made up for.
const SHARE_MAX: u64 = 500;
const MADE_UP_MAX: u64 = 300;
/// Losses beyond the path's own that a round may have, in datagrams; and in thousandths of these, of few datagrams and of many.
const EXCESS_DATAGRAMS: u64 = 2;
const EXCESS_PERMILLE: u64 = 30;
const LONG_EXCESS_PERMILLE: u64 = 15;
/// Datagrams of a round that is judged, and of several, which tell what is lost again and again and never much.
const ROUND_DATAGRAMS: u64 = 48;
const LONG_DATAGRAMS: u64 = 256;
/// How much more of the losses may be the path's own than was seen, in thousandths: so much, and so many quarters of a standard
/// deviation of the samples from which it is known.
const DOUBT_PERMILLE: u64 = 10;
const DOUBT_QUARTERS: u64 = 3;
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
    /// Bytes of calm packets since the last sample that found a queue.
    loud: u64,
    share: u64,
    sampled: bool,
    /// The last calm packets found a queue of others: what was lost of them tells nothing of the path.
    crowded: bool,
}

impl LossFloor {
    /// Takes note of calm packets, whose round trip `is_quiet`: nearer to the shortest than to the longest of late.
    pub(super) fn count(&mut self, summary: &AckSummary, is_quiet: bool, datagram: u64) {
        let (acked, lost) = (summary.calm_acked_bytes, summary.calm_lost_bytes);
        if is_quiet {
            self.acked += acked;
            self.lost += lost;
        } else {
            self.loud += acked + lost;
        }
        let total = self.acked + self.lost;
        if total >= SAMPLE_DATAGRAMS * datagram {
            let sample = self.lost * 1_000 / total;
            let share =
                if self.sampled { (self.share * 3 + sample) / 4 } else { sample.min(FIRST_SHARE_MAX) };
            self.share = share.min(SHARE_MAX);
            self.sampled = true;
            self.crowded = self.loud > total;
            (self.acked, self.lost, self.loud) = (0, 0, 0);
        } else if self.loud >= LOUD_DATAGRAMS * datagram {
            // What it was before is the less likely to hold the longer nothing confirms it.
            self.share = self.share * 3 / 4;
            self.crowded = true;
            (self.acked, self.lost, self.loud) = (self.acked / 2, self.lost / 2, 0);
        }
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

/// What a round of packets brought, or several.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    acked: u64,
    lost: u64,
    began_at: Option<Instant>,
}

/// What the rounds since the last judgements brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    one: Tally,
    several: Tally,
}

/// A round that lost too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Excess {
    /// What got through meanwhile.
    pub(super) delivered: Bitrate,
}

impl Tally {
    fn count(&mut self, now: Instant, summary: &AckSummary) {
        self.began_at.get_or_insert(now);
        self.acked += summary.acked_bytes;
        self.lost += summary.lost_bytes;
    }

    /// What it says beyond `floor`, once it has `least` datagrams; `excess` thousandths of them are forgiven.
    fn judge(
        &mut self,
        now: Instant,
        floor: &LossFloor,
        datagram: u64,
        least: u64,
        excess: u64,
    ) -> Option<Excess> {
        let total = (self.acked + self.lost) / datagram.max(1);
        let elapsed = now.saturating_since(self.began_at.unwrap_or(now));
        if total < least || elapsed < ROUND_MIN {
            return None;
        }
        let Self { acked, lost, .. } = core::mem::take(self);
        let share = floor.share();
        // The share itself is an estimate.
        let deviation = (share * (1_000 - share) / SAMPLE_DATAGRAMS).isqrt();
        let likely = share + DOUBT_PERMILLE + deviation * DOUBT_QUARTERS / 4;
        let chance = DEVIATIONS * (total * likely * (1_000 - likely)).isqrt();
        let allowed = total * (share + excess) + chance + EXCESS_DATAGRAMS * 1_000;
        let exceeds = lost / datagram.max(1) * 1_000 > allowed;
        (floor.is_known() && exceeds).then(|| Excess { delivered: Bitrate::of(acked, elapsed) })
    }
}

impl Rounds {
    pub(super) fn count(&mut self, now: Instant, summary: &AckSummary) {
        self.one.count(now, summary);
        self.several.count(now, summary);
    }

    /// Nothing had come for so long: what is lost now was not lost for want of room.
    pub(super) fn on_silence(&mut self, span: Duration, min_rtt: Duration) -> bool {
        let is_dark = span > SILENCE_MIN.max(min_rtt * 3);
        if is_dark {
            *self = Self::default();
        }
        is_dark
    }

    /// A round is over: what it says beyond `floor`, or what several do. A round of few packets goes on.
    pub(super) fn end(&mut self, now: Instant, floor: &LossFloor, datagram: u64) -> Option<Excess> {
        let one = self.one.judge(now, floor, datagram, ROUND_DATAGRAMS, EXCESS_PERMILLE);
        let several = self.several.judge(now, floor, datagram, LONG_DATAGRAMS, LONG_EXCESS_PERMILLE);
        let excess = one.or(several);
        if excess.is_some() {
            self.several = Tally::default();
        }
        excess
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

    /// So many datagrams, all of them calm, of which some percent were lost.
    fn calm(datagrams: u64, lost_percent: u64) -> AckSummary {
        let lost = datagrams * DATAGRAM * lost_percent / 100;
        let acked = datagrams * DATAGRAM - lost;
        AckSummary {
            acked_bytes: acked,
            lost_bytes: lost,
            calm_acked_bytes: acked,
            calm_lost_bytes: lost,
            ..AckSummary::default()
        }
    }

    fn floor(lost_percent: u64, is_quiet: bool) -> LossFloor {
        let mut floor = LossFloor::default();
        (0..8).for_each(|_| floor.count(&calm(100, lost_percent), is_quiet, DATAGRAM));
        floor
    }

    fn round(floor: &LossFloor, lost_percent: u64) -> Option<Excess> {
        let mut round = Rounds::default();
        round.count(at(0), &calm(100, lost_percent));
        round.end(at(100), floor, DATAGRAM)
    }

    #[test]
    fn what_calm_packets_lose_is_the_paths_unless_others_are_there() {
        assert_eq!((floor(10, true).share(), floor(10, true).is_crowded()), (100, false));
        assert_eq!((floor(10, false).share(), floor(10, false).is_crowded()), (0, true));
    }

    #[test]
    fn what_a_queue_takes_is_not_the_paths_though_both_are_seen() {
        let mut floor = floor(0, true);
        for _ in 0..8 {
            floor.count(&calm(20, 30), false, DATAGRAM);
            floor.count(&calm(20, 0), true, DATAGRAM);
        }
        assert_eq!((floor.share(), floor.is_crowded()), (0, false));
    }

    #[test]
    fn a_round_exceeds_what_the_path_loses_by_more_than_chance() {
        let (clean, lossy) = (floor(0, true), floor(10, true));
        assert_eq!((round(&clean, 5), round(&lossy, 15)), (None, None));
        assert!(round(&clean, 20).is_some() && round(&lossy, 35).is_some());
        assert_eq!(round(&LossFloor::default(), 50), None, "nothing is known yet");
        let delivered = round(&clean, 20).expect("an excess").delivered;
        assert_eq!(delivered, Bitrate::of(80 * DATAGRAM, ms(100)));
    }

    #[test]
    fn what_is_lost_again_and_again_is_an_excess_though_it_is_never_much() {
        let clean = floor(0, true);
        let mut rounds = Rounds::default();
        let excesses = (1..=4).map(|number| {
            rounds.count(at(number * 100), &calm(100, 6));
            rounds.end(at(number * 100 + 60), &clean, DATAGRAM).is_some()
        });
        assert_eq!(excesses.collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn a_silence_is_no_excess() {
        let mut round = Rounds::default();
        round.count(at(0), &calm(100, 50));
        assert!(!round.on_silence(ms(90), ms(20)) && round.on_silence(ms(200), ms(20)));
        assert_eq!(round.end(at(300), &floor(0, true), DATAGRAM), None);
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
