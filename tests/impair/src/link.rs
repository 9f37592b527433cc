//! One direction of a bad link.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use lfp_proto::limits::UDP_OVERHEAD;
use lfp_proto::time::{Instant, micros};
use lfp_proto::window::Codepoint;

use crate::{Counts, Ecn, Params, Policer, Random};

/// Datagrams that a link holds at most.
pub const FLIGHT_MAX: usize = 65_536;
/// Blackouts, and times in which less passes than usual, that a link knows of at most, each.
pub const BLACKOUTS_MAX: usize = 64;

/// Who sends over a link that several share: whatever number the caller gives it.
pub type Flow = u16;

/// One direction of a bad link: [`Link::send`] what goes in, [`Link::poll`] what comes out, again at
/// [`Link::poll_timeout`]. Several flows may share it.
#[derive(Clone, Debug)]
pub struct Link {
    params: Params,
    random: Random,
    flying: BinaryHeap<Reverse<Flight>>,
    /// Number of the next datagram sent.
    next: u64,
    /// When the bottleneck will have sent all that it holds.
    free_at: Instant,
    /// When the last datagram arrives that was not held back.
    last_at: Instant,
    in_burst: bool,
    /// What the policer lets pass at once, in millionths of a bit, and as of when; `None` before the first datagram.
    tokens: Option<(u128, Instant)>,
    /// (start, end), ascending by start.
    blackouts: VecDeque<(Instant, Instant)>,
    /// (start, end, longest IP packet meanwhile).
    narrows: Vec<(Instant, Instant, u16)>,
    /// One more than the largest number delivered.
    delivered_through: u64,
    counts: Counts,
}

/// A datagram under way; the order is that of arrival.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Flight {
    at: Instant,
    number: u64,
    copy: bool,
    flow: Flow,
    codepoint: Codepoint,
    bytes: Vec<u8>,
}

impl Link {
    /// A link that does what `params` says, the same way for the same `seed`.
    #[must_use]
    pub fn new(params: Params, seed: u64) -> Self {
        Self {
            params,
            random: Random::new(seed),
            flying: BinaryHeap::new(),
            next: 0,
            free_at: Instant::ZERO,
            last_at: Instant::ZERO,
            in_burst: false,
            tokens: None,
            blackouts: VecDeque::new(),
            narrows: Vec::new(),
            delivered_through: 0,
            counts: Counts::default(),
        }
    }

    /// What it does from now on; what is under way arrives as it would have.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
        self.in_burst &= params.bursts.is_some();
    }

    /// What it does now.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Drops everything sent from `start` on for `span`. Says no if too many blackouts are known already.
    pub fn blackout(&mut self, start: Instant, span: Duration) -> bool {
        if self.blackouts.len() == BLACKOUTS_MAX {
            return false;
        }
        let at = self.blackouts.partition_point(|(other, _)| *other <= start);
        self.blackouts.insert(at, (start, start + span));
        true
    }

    /// Drops every IP packet of more than `mtu` bytes that is sent from `start` on for `span`: a path through a tunnel that says
    /// nothing. Says no if too many such times are known already.
    pub fn narrow(&mut self, start: Instant, span: Duration, mtu: u16) -> bool {
        let knows = self.narrows.len() < BLACKOUTS_MAX;
        if knows {
            self.narrows.push((start, start + span, mtu));
        }
        knows
    }

    /// Ends and forgets every blackout, and every time in which less passes than usual.
    pub fn clear_blackouts(&mut self) {
        self.blackouts.clear();
        self.narrows.clear();
    }

    /// What it did so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Datagrams under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// How long a datagram that is put in now waits before the bottleneck.
    #[must_use]
    pub fn waiting(&self, now: Instant) -> Duration {
        self.free_at.saturating_since(now)
    }

    /// Puts a datagram in, which nobody may mark. `now` never goes back.
    pub fn send(&mut self, now: Instant, flow: Flow, bytes: Vec<u8>) {
        self.send_marked(now, flow, Codepoint::NotEct, bytes);
    }

    /// Puts a datagram in whose header has `codepoint`.
    pub fn send_marked(&mut self, now: Instant, flow: Flow, codepoint: Codepoint, mut bytes: Vec<u8>) {
        let number = self.next;
        self.next += 1;
        self.counts.sent += 1;
        self.counts.bytes_sent += bytes.len() as u64;
        if self.is_black(now) {
            self.counts.blacked_out += 1;
            return;
        }
        if self.is_too_long(now, bytes.len()) {
            self.counts.too_long += 1;
            return;
        }
        if !self.pass_policer(now, bytes.len()) {
            self.counts.policed += 1;
            return;
        }
        let Some(marked) = self.pass_marker(now, codepoint) else {
            self.counts.overflowed += 1;
            return;
        };
        let Some(sent_at) = self.pass_bottleneck(now, bytes.len()) else {
            self.counts.overflowed += 1;
            return;
        };
        self.counts.marked += u64::from(marked == Codepoint::Ce && codepoint != Codepoint::Ce);
        let codepoint = marked;
        if self.is_lost() {
            return;
        }
        if self.random.chance(self.params.corrupt) && !bytes.is_empty() {
            self.corrupt(&mut bytes);
        }
        let at = self.arrival(sent_at);
        if self.random.chance(self.params.duplicate) && self.flying.len() < FLIGHT_MAX {
            self.counts.duplicated += 1;
            let at = at + self.up_to(self.params.reorder_by);
            self.flying.push(Reverse(Flight {
                at,
                number,
                copy: true,
                flow,
                codepoint,
                bytes: bytes.clone(),
            }));
        }
        self.flying.push(Reverse(Flight { at, number, copy: false, flow, codepoint, bytes }));
    }

    /// Takes out one datagram that has arrived, with the flow that it is of. Call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<(Flow, Vec<u8>)> {
        self.poll_marked(now).map(|(flow, _, bytes)| (flow, bytes))
    }

    /// The same, with what its header has by then.
    pub fn poll_marked(&mut self, now: Instant) -> Option<(Flow, Codepoint, Vec<u8>)> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Reverse(Flight { number, copy, flow, codepoint, bytes, .. }) = self.flying.pop()?;
        self.counts.delivered += 1;
        self.counts.bytes_delivered += bytes.len() as u64;
        self.counts.reordered += u64::from(!copy && number < self.delivered_through);
        self.delivered_through = self.delivered_through.max(number + 1);
        Some((flow, codepoint, bytes))
    }

    /// When the next datagram arrives; `None` if none is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse(flight)| flight.at)
    }

    fn is_black(&mut self, now: Instant) -> bool {
        self.blackouts.retain(|(_, end)| *end > now);
        self.blackouts.iter().any(|(start, _)| *start <= now)
    }

    /// Whether a datagram of `len` bytes makes a longer packet than the path takes now.
    fn is_too_long(&mut self, now: Instant, len: usize) -> bool {
        self.narrows.retain(|(_, end, _)| *end > now);
        let narrow = self.narrows.iter().filter(|(start, ..)| *start <= now).map(|(.., mtu)| *mtu);
        let mtu = narrow.chain(self.params.mtu).min();
        mtu.is_some_and(|mtu| len + UDP_OVERHEAD > usize::from(mtu))
    }

    /// Whether the policer lets a datagram of `len` bytes pass.
    fn pass_policer(&mut self, now: Instant, len: usize) -> bool {
        let Some(Policer { rate, bucket_bytes }) = self.params.policer else { return true };
        const MICROBITS: u128 = 8_000_000;
        let full = u128::from(bucket_bytes) * MICROBITS;
        let (had, since) = self.tokens.unwrap_or((full, now));
        let gained = u128::from(rate.as_bps()) * u128::from(micros(now.saturating_since(since)));
        let tokens = (had + gained).min(full);
        let cost = (len + UDP_OVERHEAD) as u128 * MICROBITS;
        let passes = cost <= tokens;
        self.tokens = Some((if passes { tokens - cost } else { tokens }, now));
        passes
    }

    /// What a datagram's header has behind the bottleneck; `None` if it is dropped for what waits there.
    fn pass_marker(&self, now: Instant, codepoint: Codepoint) -> Option<Codepoint> {
        match self.params.ecn {
            Ecn::Bleached => Some(Codepoint::NotEct),
            Ecn::All => Some(if codepoint.is_capable() { Codepoint::Ce } else { codepoint }),
            Ecn::Above(bytes) => {
                let rate = self.params.rate.unwrap_or_default();
                match rate.bytes_in(self.waiting(now)) > bytes {
                    true => codepoint.is_capable().then_some(Codepoint::Ce),
                    false => Some(codepoint),
                }
            }
        }
    }

    /// When the bottleneck has sent a datagram of `len` bytes; `None` if its queue has no room for it.
    fn pass_bottleneck(&mut self, now: Instant, len: usize) -> Option<Instant> {
        if self.flying.len() >= FLIGHT_MAX {
            return None;
        }
        let Some(rate) = self.params.rate else { return Some(now) };
        let wire_len = (len + UDP_OVERHEAD) as u64;
        let start = self.free_at.max(now);
        let waiting = rate.bytes_in(start.saturating_since(now));
        // A datagram that finds nothing before it always passes.
        if waiting > 0 && waiting + wire_len > self.params.queue_bytes {
            return None;
        }
        self.free_at = start + rate.time_for(wire_len);
        Some(self.free_at)
    }

    fn is_lost(&mut self) -> bool {
        if self.random.chance(self.params.loss) {
            self.counts.lost += 1;
            return true;
        }
        let Some(bursts) = self.params.bursts else { return false };
        let turns = if self.in_burst { bursts.leave } else { bursts.enter };
        self.in_burst ^= self.random.chance(turns);
        let lost = self.in_burst && self.random.chance(bursts.loss);
        self.counts.lost_in_bursts += u64::from(lost);
        lost
    }

    fn corrupt(&mut self, bytes: &mut [u8]) {
        self.counts.corrupted += 1;
        for _ in 0..self.random.between(1, 4) {
            let bit = self.random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    fn arrival(&mut self, sent_at: Instant) -> Instant {
        let at = sent_at + self.params.delay + self.up_to(self.params.jitter);
        if self.random.chance(self.params.reorder) {
            return at.max(self.last_at) + self.up_to(self.params.reorder_by);
        }
        self.last_at = self.last_at.max(at);
        self.last_at
    }

    fn up_to(&mut self, span: Duration) -> Duration {
        if span.is_zero() {
            return span;
        }
        Duration::from_micros(self.random.between(0, micros(span)))
    }
}

#[cfg(test)]
mod tests {
    use lfp_proto::units::Bitrate;

    use super::*;
    use crate::LinkSpec;

    const COUNT: u64 = 20_000;

    fn params(text: &str) -> Params {
        text.parse::<LinkSpec>().unwrap().down.params
    }

    /// Sends numbered datagrams of 100 bytes, one each millisecond; gives what came, and when.
    fn run(link: &mut Link) -> Vec<(Instant, Vec<u8>)> {
        let mut out = Vec::new();
        for number in 0..COUNT {
            let now = Instant::from_micros(number * 1_000);
            let mut bytes = vec![0; 100];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            drain(link, now, &mut out);
            link.send(now, 0, bytes);
        }
        while let Some(at) = link.poll_timeout() {
            drain(link, at, &mut out);
        }
        out
    }

    fn drain(link: &mut Link, now: Instant, out: &mut Vec<(Instant, Vec<u8>)>) {
        while let Some(at) = link.poll_timeout().filter(|at| *at <= now) {
            out.push((at, link.poll(at).unwrap().1));
        }
    }

    fn number(bytes: &[u8]) -> u64 {
        u64::from_le_bytes(bytes[..8].try_into().unwrap())
    }

    #[test]
    fn a_good_link_delays_and_nothing_else() {
        let mut link = Link::new(params("rtt=40ms,jitter=3ms"), 1);
        let out = run(&mut link);
        assert_eq!(out.len() as u64, COUNT);
        for (sent, (at, bytes)) in (0..COUNT).zip(&out) {
            assert_eq!(number(bytes), sent, "in order");
            let took = at.as_micros() - sent * 1_000;
            assert!((20_000..=23_000).contains(&took), "{took}");
        }
    }

    #[test]
    fn every_fault_comes_in_its_share() {
        let text = "delay=10ms,loss=3%,burst=1%/25%,reorder=5%,dup=10%,corrupt=1%";
        let mut link = Link::new(params(text), 2);
        let out = run(&mut link);
        let counts = *link.counts();
        let share = |count: u64, percent: std::ops::Range<u64>| {
            let range = COUNT * percent.start / 100..COUNT * percent.end / 100;
            assert!(range.contains(&count), "{count} not in {range:?}: {counts}");
        };
        share(counts.lost, 2..4);
        share(counts.lost_in_bursts, 2..6);
        share(counts.reordered, 2..5);
        share(counts.duplicated, 8..11);
        assert!((100..300).contains(&counts.corrupted), "{counts}");
        assert_eq!(out.len() as u64, counts.delivered);
        assert_eq!(counts.sent + counts.duplicated, counts.delivered + counts.lost + counts.lost_in_bursts);

        let mut again = Link::new(params(text), 2);
        assert_eq!(run(&mut again), out, "the same seed gives the same run");
        assert_ne!(run(&mut Link::new(params(text), 3)), out);
    }

    #[test]
    fn the_bottleneck_paces_and_its_queue_overflows() {
        // 128 bytes of wire each millisecond are 1.024 Mbit/s; half of it passes.
        let mut link = Link::new(params("rate=512kbit,queue=12800"), 4);
        let out = run(&mut link);
        let counts = link.counts();
        assert!((COUNT * 48 / 100..COUNT * 52 / 100).contains(&counts.overflowed), "{counts}");
        let spaced = out.windows(2).all(|pair| pair[1].0.as_micros() - pair[0].0.as_micros() >= 2_000);
        assert!(spaced, "each takes two milliseconds");
        let longest = out.iter().map(|(at, bytes)| at.as_micros() - number(bytes) * 1_000).max().unwrap();
        assert!((195_000..=202_000).contains(&longest), "the queue holds 200 ms: {longest}");
        let rate = Some(Bitrate::from_bps(512_000));
        assert_eq!(link.params().without_faults().rate, rate);
    }

    #[test]
    fn flows_share_a_bottleneck_and_are_told_apart() {
        let mut link = Link::new(params("rate=1mbit"), 4);
        for flow in [3, 9, 3] {
            link.send(Instant::ZERO, flow, vec![flow as u8; 97]);
        }
        for (at, flow) in [(1_000, 3), (2_000, 9), (3_000, 3)] {
            assert_eq!(link.poll_timeout(), Some(Instant::from_micros(at)));
            assert_eq!(link.poll(Instant::from_micros(at)), Some((flow, vec![flow as u8; 97])));
        }
    }

    #[test]
    fn a_policer_lets_its_rate_and_its_bucket_pass_and_delays_nothing() {
        // 1.024 Mbit/s are offered for 20 s.
        let mut link = Link::new(params("delay=1ms,policer=512kbit/12800"), 4);
        let out = run(&mut link);
        let passed = 512_000 * 20 / 8 / 128 + 100;
        assert!((passed - 2..=passed).contains(&out.len()), "{} of {passed}", out.len());
        assert_eq!(link.counts().policed + out.len() as u64, COUNT);
        assert!(out.iter().all(|(at, bytes)| at.as_micros() == number(bytes) * 1_000 + 1_000));
        assert!(
            out[..100].iter().zip(0..).all(|((_, bytes), at)| number(bytes) == at),
            "the bucket was full"
        );
    }

    #[test]
    fn a_queue_marks_what_may_be_marked_and_drops_the_rest() {
        let mut link = Link::new(params("rate=1mbit,queue=100kb,ecn=1kb"), 4);
        // 125 bytes a millisecond: eight of them are the threshold.
        for codepoint in [Codepoint::Ect0; 12].into_iter().chain([Codepoint::NotEct; 3]) {
            link.send_marked(Instant::ZERO, 0, codepoint, vec![0; 97]);
        }
        let came = |link: &mut Link| {
            std::iter::from_fn(|| {
                link.poll_marked(Instant::from_micros(90_000)).map(|(_, codepoint, _)| codepoint)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(came(&mut link), [[Codepoint::Ect0; 9].as_slice(), &[Codepoint::Ce; 3]].concat());
        assert_eq!((link.counts().marked, link.counts().overflowed), (3, 3));
        for (spec, codepoint) in
            [("", Codepoint::NotEct), ("ecn=off", Codepoint::NotEct), ("ecn=all", Codepoint::Ce)]
        {
            let mut link = Link::new(params(spec), 4);
            link.send_marked(Instant::ZERO, 0, Codepoint::Ect0, vec![0; 97]);
            assert_eq!(came(&mut link), [codepoint], "{spec}");
        }
    }

    #[test]
    fn blackouts_drop_exactly_what_is_sent_in_them() {
        let mut link = Link::new(Params::default(), 5);
        assert!(link.blackout(Instant::from_micros(5_000_000), Duration::from_secs(2)));
        assert!(link.blackout(Instant::from_micros(1_000_000), Duration::from_secs(1)));
        let out = run(&mut link);
        assert_eq!(link.counts().blacked_out, 3_000);
        let dark = |n: u64| (1_000..2_000).contains(&n) || (5_000..7_000).contains(&n);
        assert!(out.iter().all(|(_, bytes)| !dark(number(bytes))));
        for _ in 0..BLACKOUTS_MAX {
            assert!(link.blackout(Instant::from_micros(90_000_000), Duration::from_secs(1)));
        }
        assert!(!link.blackout(Instant::from_micros(90_000_000), Duration::from_secs(1)), "bounded");
    }

    #[test]
    fn what_is_too_long_vanishes_and_only_while_the_path_is_narrow() {
        let mut link = Link::new(params("mtu=1500"), 5);
        assert!(link.narrow(Instant::from_micros(2_000), Duration::from_millis(2), 1_400));
        for (at, len, passes) in
            [(0, 1_472, true), (0, 1_473, false), (2, 1_372, true), (3, 1_373, false), (4, 1_472, true)]
        {
            let (now, before) = (Instant::from_micros(at * 1_000), link.counts().too_long);
            link.send(now, 0, vec![0; len]);
            assert_eq!(
                (link.poll(now).is_some(), link.counts().too_long == before),
                (passes, passes),
                "{at} ms, {len}"
            );
        }
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut link = Link::new(params("delay=3600s,dup=100%"), 6);
        for _ in 0..FLIGHT_MAX {
            link.send(Instant::ZERO, 0, vec![1]);
        }
        assert!(link.in_flight() <= FLIGHT_MAX + 1);
        assert!(link.counts().overflowed > 0);
    }
}
