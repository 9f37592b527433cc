//! How long packets may be: found upwards from what every path carries, and given up where long ones vanish.
//!
//! Nothing that others say counts (an ICMP message is easily forged): a length is good once a packet of it was acked, and a
//! path has stopped to carry long packets when these are lost, one after another, while shorter ones come.

use core::time::Duration;

use crate::limits::{
    DATAGRAM_DEFAULT, HOLE_RETRY, LENGTH_PROBE_SHARE, LENGTH_RETRY, LONG_LOST_MAX, LONG_LOST_MIN,
    PROBE_TRIES_MAX, PROBE_TRIES_MIN, WIDE_RATE,
};
use crate::time::Instant;
use crate::units::{Bitrate, PacketNumber};

/// Lengths that are tried, UDP payload in bytes, beside the longest that was agreed on: what IP and UDP leave of the
/// packets of IPv6's least, of tunnels, of Ethernet with IPv6 and IPv4, and of 4 KiB. They are few, so that sessions share
/// what is encoded for them.
const LADDER: [u16; 7] = [DATAGRAM_DEFAULT as u16, 1_232, 1_372, 1_412, 1_452, ETHERNET, 4_052];
const RUNGS: usize = LADDER.len() + 1;
/// What is tried first: it passes most paths.
const LIKELY: u16 = 1_452;
/// The longest that is tried on a path that is not fast: longer ones would hold up what is behind them.
const ETHERNET: u16 = 1_472;

/// A probe of a length that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Probe {
    rung: usize,
    number: PacketNumber,
}

/// What became of a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LengthCounts {
    /// Packets sent to try one.
    pub probes: u64,
    /// Times that packets became longer.
    pub raises: u64,
    /// Times that packets became shorter because long ones were lost.
    pub doubts: u64,
    /// Of these, those in which no probe came through either.
    pub holes: u64,
}

/// The longest packet that a path carries, as far as is known.
///
/// | state | event | next |
/// | --- | --- | --- |
/// | searching | a probe is acked | searching from there, or found |
/// | searching | a few probes of a length are lost | searching below it, or found |
/// | found below the longest | 10 minutes | searching |
/// | any | long packets are lost one after another | in doubt: packets are as long as at first |
/// | in doubt | a probe of the length before, or a long packet, is acked | as before |
/// | in doubt | the probes are lost | searching below it, or found; in a minute all over again |
#[derive(Clone, Debug)]
pub struct PacketLength {
    rungs: [u16; RUNGS],
    count: usize,
    /// The longest that is known to pass.
    good: usize,
    /// The shortest that is taken not to pass; `count`: there is none.
    bad: usize,
    /// The path is fast enough for the longest.
    wide: bool,
    probe: Option<Probe>,
    /// Probes lost of the length that is tried.
    tries: u32,
    /// What was good before long packets were lost.
    doubt: Option<usize>,
    /// Long packets lost since one was acked.
    long_lost: u32,
    /// Packets before this were sent while others were as long as they may be.
    since: PacketNumber,
    /// Bytes that full packets carried since the last probe.
    carried: u64,
    /// When to look again whether more passes, and how long after the search that goes on.
    again_at: Option<Instant>,
    again_after: Duration,
    counts: LengthCounts,
}

impl PacketLength {
    /// For a path of which nothing is known, where both sides take datagrams of `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let mut rungs = [0; RUNGS];
        let mut count = 0;
        let most = u16::try_from(most).unwrap_or(u16::MAX);
        for rung in LADDER.into_iter().filter(|rung| *rung < most).chain([most]) {
            rungs[count] = rung;
            count += 1;
        }
        Self {
            rungs,
            count,
            good: 0,
            bad: count,
            wide: false,
            probe: None,
            tries: 0,
            doubt: None,
            long_lost: 0,
            since: PacketNumber(0),
            carried: 0,
            again_at: None,
            again_after: LENGTH_RETRY,
            counts: LengthCounts::default(),
        }
    }

    /// How long packets may be now: UDP payload in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rungs[self.good.min(self.top())].into()
    }

    /// What a packet has at most that has to come through.
    #[must_use]
    pub fn floor(&self) -> usize {
        self.rungs[0].into()
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &LengthCounts {
        &self.counts
    }

    /// The path is another one, of which nothing is known.
    pub fn on_path_change(&mut self) {
        let counts = self.counts;
        *self = Self { counts, ..Self::new(self.rungs[self.count - 1].into()) };
    }

    /// The path delivers so much. Long packets pay where they take next to no time.
    pub fn on_rate(&mut self, rate: Bitrate) {
        let (stay, become_wide) = WIDE_RATE;
        self.wide = rate >= if self.wide { stay } else { become_wide };
    }

    /// A packet of `bytes` bytes goes out behind which more waits: a longer one would have been of use.
    pub const fn on_full(&mut self, bytes: u64) {
        self.carried = self.carried.saturating_add(bytes);
    }

    /// The length to try at `now`, if there is one and it costs little beside what full packets have carried. What is in doubt
    /// is tried at once.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<usize> {
        let rung = self.wanted(now)?;
        let len = u64::from(self.rungs[rung]);
        (self.doubt.is_some() || self.carried >= len * LENGTH_PROBE_SHARE).then_some(len as usize)
    }

    /// Whether a length is to be tried because packets of it were lost: nothing should hold that up.
    #[must_use]
    pub const fn in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// A packet that tries what [`PacketLength::due`] said goes out as `number`.
    pub fn on_probe(&mut self, now: Instant, number: PacketNumber) {
        let Some(rung) = self.wanted(now) else { return };
        if self.again_at.is_some_and(|at| at <= now) {
            // What did not pass then may pass now.
            (self.again_at, self.bad, self.again_after) = (None, self.count, LENGTH_RETRY);
        }
        self.probe = Some(Probe { rung, number });
        self.carried = 0;
        self.counts.probes += 1;
    }

    /// Packet `number` of `bytes` bytes is acked. `next` is the number of the next packet.
    pub fn on_acked(&mut self, now: Instant, number: PacketNumber, bytes: u64, next: PacketNumber) {
        if let Some(Probe { rung, .. }) = self.probe.filter(|probe| probe.number == number) {
            self.probe = None;
            self.raise(now, rung, next);
        } else if bytes > self.floor() as u64 && number >= self.since {
            self.long_lost = 0;
            // It came late, and so may the others: the path still carries them.
            if let Some(before) = self.doubt {
                self.raise(now, before, next);
            }
        }
    }

    /// Packet `number` of `bytes` bytes is lost, on a path that loses `share` thousandths of whatever is sent. Says whether
    /// that tells of the length rather than of the path's load.
    pub fn on_lost(&mut self, now: Instant, number: PacketNumber, bytes: u64, share: u64) -> bool {
        if let Some(Probe { rung, .. }) = self.probe.filter(|probe| probe.number == number) {
            self.probe = None;
            self.tries += 1;
            if self.tries >= tries_max(share) {
                self.give_up(now, rung);
            }
            return true;
        }
        if bytes > self.bytes() as u64 {
            // What went before packets became shorter.
            return true;
        }
        if bytes <= self.floor() as u64 || number < self.since {
            return false;
        }
        self.long_lost += 1;
        let doubts = self.long_lost >= long_lost_max(share);
        if doubts {
            self.counts.doubts += 1;
            (self.doubt, self.good) = (Some(self.good.min(self.top())), 0);
            (self.probe, self.tries, self.long_lost) = (None, 0, 0);
        }
        doubts
    }

    /// The system says that a datagram of `bytes` bytes does not fit this host's own link. Says whether that is news.
    pub fn on_too_long(&mut self, now: Instant, bytes: usize) -> bool {
        let longer = |rung: &usize| bytes > self.floor() && usize::from(self.rungs[*rung]) >= bytes;
        let Some(rung) = (1..self.count).find(longer) else { return false };
        let news = rung < self.bad || self.good >= rung;
        if self.probe.is_some_and(|probe| probe.rung >= rung) {
            self.probe = None;
        }
        if self.good >= rung || self.doubt.is_some_and(|before| before >= rung) {
            // Of what is shorter nothing is known either: it may be another link.
            (self.doubt, self.good) = (None, 0);
        }
        if news {
            self.give_up(now, rung);
        }
        news
    }

    /// The rung to try, whatever that costs.
    fn wanted(&self, now: Instant) -> Option<usize> {
        if self.probe.is_some() {
            return None;
        }
        if self.doubt.is_some() {
            return self.doubt;
        }
        match self.again_at {
            Some(at) if at > now => None,
            Some(_) => self.next(self.count),
            None => self.next(self.bad),
        }
    }

    /// The rung to try where those from `bad` on do not pass.
    fn next(&self, bad: usize) -> Option<usize> {
        let top = self.top();
        if self.good >= top || bad <= self.good + 1 {
            return None;
        }
        if bad <= top {
            return Some((self.good + bad) / 2);
        }
        let likely = self.rungs[..=top].iter().position(|rung| *rung == LIKELY);
        Some(likely.filter(|likely| *likely > self.good).unwrap_or(top))
    }

    /// The longest that is of use.
    fn top(&self) -> usize {
        let fits = |rung: &&u16| self.wide || **rung <= ETHERNET;
        self.rungs[..self.count].iter().take_while(fits).count().max(1) - 1
    }

    fn raise(&mut self, now: Instant, rung: usize, next: PacketNumber) {
        self.counts.raises += u64::from(rung > self.good);
        self.good = self.good.max(rung);
        self.bad = if self.bad <= self.good { self.count } else { self.bad };
        (self.doubt, self.tries, self.long_lost, self.since) = (None, 0, 0, next);
        self.rest(now);
    }

    fn give_up(&mut self, now: Instant, rung: usize) {
        self.tries = 0;
        self.bad = rung.min(self.bad);
        if self.doubt.take().is_some() {
            self.counts.holes += 1;
            self.again_after = HOLE_RETRY;
        }
        self.rest(now);
    }

    /// Takes note of when to look again, if a length was given up and none is left to be tried below it.
    fn rest(&mut self, now: Instant) {
        let is_over = self.bad < self.count && self.next(self.bad).is_none();
        self.again_at = is_over.then(|| now + self.again_after);
    }
}

/// Probes of a length that are lost before it counts as too long, where a path loses `share` thousandths.
const fn tries_max(share: u64) -> u32 {
    let more = (share / 100) as u32;
    if more > PROBE_TRIES_MAX - PROBE_TRIES_MIN { PROBE_TRIES_MAX } else { PROBE_TRIES_MIN + more }
}

/// Long packets that are lost one after another before their length is in doubt, where a path loses `share` thousandths.
const fn long_lost_max(share: u64) -> u32 {
    let more = (share / 50) as u32;
    if more > LONG_LOST_MAX - LONG_LOST_MIN { LONG_LOST_MAX } else { LONG_LOST_MIN + more }
}
