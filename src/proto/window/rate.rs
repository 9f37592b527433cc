//! How fast to send: a model of the path made of its delivery rate and its shortest round trip.
//!
//! The controller keeps the largest delivery rate and the smallest round-trip time seen lately, paces at the rate and
//! lets about two of their products be in flight. It probes for more by going a quarter faster for a moment, and
//! slower the next. Losses do not slow it: what is lost of the packets that went slower than the path delivers is the
//! path's own share, and is made up for; what is lost beyond it sets a ceiling (see `losses`).

use core::time::Duration;

use crate::limits::{ACK_DELAY, RATE_MAX, RATE_MIN};
use crate::time::Instant;
use crate::units::Bitrate;
use crate::window::AckSummary;
use crate::window::kept::KeptQueue;
use crate::window::losses::{Ceiling, LossFloor, Rounds};
use crate::window::rtt::LongestRtt;

/// Gains in percent.
const STARTUP_GAIN: u64 = 277;
const DRAIN_GAIN: u64 = 36;
const PROBE_GAINS: [u64; 8] = [125, 75, 98, 98, 98, 98, 98, 98];
/// The step that is faster than the path, the one that is slower, and the one that a cycle begins with after another phase.
const PROBE_STEP: usize = 0;
const CALM_STEP: usize = 1;
const FIRST_STEP: usize = 2;
/// Longest calm step in round trips.
const CALM_ROUNDS_MAX: u32 = 3;
const IN_FLIGHT_GAIN: u64 = 200;
const STARTUP_IN_FLIGHT_GAIN: u64 = 290;
/// A queue is short with which the round trip is at most so many halves of the shortest; of what one that others share makes it
/// longer, so many fifths are filled.
const SHORT_QUEUE_HALVES: u32 = 5;
const SHORT_QUEUE_FIFTHS: u32 = 4;
/// Start-up ends when so many rounds in a row bring less than a quarter more.
const STARTUP_FLAT_ROUNDS: u32 = 3;
/// Spans that the delivery rate's maximum looks back on, and the length of each: a round at least.
const RATE_SPANS: usize = 10;
const RATE_SPAN_MIN: Duration = Duration::from_millis(50);
/// A round trip is short that is at most so many eighths of the shortest, and what timers and acks take.
const NEAR_EIGHTHS: u32 = 10;
/// A probe for more goes on for another round trip if it has brought so many percent more.
const GROWTH_PERCENT: u64 = 110;
/// From so many on, only who fills every queue keeps it: flows like ours leave each other a few. Then it is not for us to make
/// the queue shorter, and the calm step has this gain, in percent.
const FILLED_ROUND_TRIPS: u32 = 8;
const FILLED_CALM_GAIN: u64 = 98;
/// How long the smallest round-trip time is believed, and how long the path is left emptier to measure it anew.
const MIN_RTT_LIFETIME: Duration = Duration::from_secs(5);
/// How long the shortest of all is believed to be that of an empty path: queues of others last longer than the other.
const BASE_RTT_LIFETIME: Duration = Duration::from_secs(60);
const PROBE_RTT_TIME: Duration = Duration::from_millis(50);
/// Datagrams a round trip by which a probe tries at least, and from how many on a sample leaves one out.
const PROBE_DATAGRAMS: u64 = 2;
const SAMPLE_DATAGRAMS: u64 = 8;
/// Shortest phase of a probe for more.
const PROBE_PHASE_MIN: Duration = Duration::from_millis(5);
/// Datagrams that may always be in flight, and at the start.
const FLOOR_DATAGRAMS: u64 = 4;
const INITIAL_DATAGRAMS: u64 = 32;
/// What a burst takes at the rate, within bounds in bytes and datagrams.
const QUANTUM_TIME: Duration = Duration::from_millis(1);
const QUANTUM_MAX: u64 = 64 * 1024;
const QUANTUM_DATAGRAMS: u64 = 2;

/// What the controller does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Doubles each round until the path is full.
    Startup,
    /// Lets the queue of start-up go.
    Drain,
    /// Cycles around the rate.
    Cruise,
    /// Leaves the path emptier for a moment to see its round trip.
    ProbeRtt,
}

/// What a packet takes along, to be handed back when it is acked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    limited: bool,
    calm: bool,
    /// Which path it was sent on.
    path: u32,
}

impl Stamp {
    /// Whether the packet went slower than the path delivers: if it was lost, it was not for want of room.
    #[must_use]
    pub const fn is_calm(&self) -> bool {
        self.calm
    }
}

/// Decides how fast packets go and how many may be in flight.
#[derive(Clone, Debug)]
pub struct RateController {
    datagram: u64,
    receive_buffer: u64,
    phase: Phase,
    /// Bytes delivered so far, and when the newest of them were known.
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Samples of packets sent before so many bytes were delivered say more of the sender than of the path.
    limited_until: Option<u64>,
    round_ends: u64,
    rates: MaxFilter,
    min_rtt: Duration,
    min_rtt_at: Instant,
    losses: LossFloor,
    rounds: Rounds,
    ceiling: Ceiling,
    /// The shortest round trip in a longer time, in which queues of others have come and gone.
    base_rtt: Duration,
    base_rtt_at: Instant,
    /// The newest round trip.
    latest_rtt: Duration,
    longest_rtt: LongestRtt,
    kept: KeptQueue,
    /// The newest sample of the delivery rate.
    latest_rate: Bitrate,
    /// When the newest packet that was acked went out, and when marks were answered last.
    acked_sent_at: Instant,
    marks_answered_at: Instant,
    /// The rate when the step began, or the probe that is to be judged.
    step_rate: Bitrate,
    full: FullPath,
    phase_since: Instant,
    probe_step: usize,
    /// The step before was a probe, whose gain shows now.
    has_probed: bool,
    /// Counts paths.
    path: u32,
}

impl RateController {
    /// A controller for a path of which nothing is known but a guess of its round trip.
    ///
    /// `datagram` is the longest packet, `receive_buffer` what the peer takes in one burst, both in bytes.
    #[must_use]
    pub fn new(now: Instant, datagram: u64, receive_buffer: u64, rtt_guess: Duration) -> Self {
        Self {
            datagram,
            receive_buffer: receive_buffer.max(datagram),
            phase: Phase::Startup,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            limited_until: None,
            round_ends: 0,
            rates: MaxFilter::default(),
            min_rtt: rtt_guess,
            min_rtt_at: Instant::ZERO,
            losses: LossFloor::default(),
            rounds: Rounds::default(),
            ceiling: Ceiling::default(),
            base_rtt: rtt_guess,
            base_rtt_at: Instant::ZERO,
            latest_rtt: rtt_guess,
            longest_rtt: LongestRtt::default(),
            kept: KeptQueue::default(),
            latest_rate: Bitrate::default(),
            acked_sent_at: Instant::ZERO,
            marks_answered_at: Instant::ZERO,
            step_rate: Bitrate::default(),
            full: FullPath::default(),
            phase_since: now,
            probe_step: FIRST_STEP,
            has_probed: false,
            path: 0,
        }
    }

    /// The path is another one: what was learnt about the old one is forgotten, and what packets that are still in
    /// flight have to say of it as well.
    pub fn on_path_change(&mut self, now: Instant, rtt_guess: Duration) {
        let path = self.path.wrapping_add(1);
        *self = Self { path, ..Self::new(now, self.datagram, self.receive_buffer, rtt_guess) };
    }

    /// The longest packet has `datagram` bytes from now on.
    pub fn set_datagram(&mut self, datagram: u64) {
        self.datagram = datagram;
        self.receive_buffer = self.receive_buffer.max(datagram);
    }

    /// Notes that a packet that asks for an ack is sent, `in_flight` bytes being so before it. The stamp comes back
    /// in [`AckSummary::newest`].
    pub fn on_sent(&mut self, now: Instant, in_flight: u64) -> Stamp {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            limited: self.limited_until.is_some(),
            calm: self.is_calm(),
            path: self.path,
        }
    }

    /// Notes that the path would take more than there is to send.
    pub fn on_app_limited(&mut self, in_flight: u64) {
        self.limited_until = Some(self.delivered + in_flight.max(1));
    }

    /// Takes what an ack, or a loss found by time, says, `in_flight` bytes being left in flight.
    pub fn on_event(&mut self, now: Instant, summary: &AckSummary, in_flight: u64) {
        self.delivered += summary.acked_bytes;
        let is_quiet = summary.rtt.unwrap_or(self.latest_rtt) <= self.quiet_rtt();
        self.losses.count(summary, is_quiet, self.datagram);
        self.rounds.count(now, summary);
        if summary.acked_bytes > 0 {
            if self.rounds.on_silence(now.saturating_since(self.delivered_at), self.min_rtt) {
                self.ceiling.pass_over();
            }
            self.delivered_at = now;
        }
        if self.limited_until.is_some_and(|until| self.delivered > until) {
            self.limited_until = None;
        }
        if let Some(newest) = summary.newest.filter(|newest| newest.stamp.path == self.path) {
            self.acked_sent_at = self.acked_sent_at.max(newest.sent_at);
            if let Some(rtt) = summary.rtt {
                self.on_rtt(now, rtt);
            }
            self.on_delivery(now, newest.sent_at, newest.stamp);
        }
        self.advance(now, in_flight);
    }

    /// Packets came that a router has marked: it has a queue, or is about to. Says whether that changed anything.
    // SPEC [LFP-9.16]: A server MUST answer packets that came as CE by sending less, as it answers losses that are too many, but no
    // more than once a round trip.
    pub fn on_marks(&mut self, now: Instant) -> bool {
        match self.phase {
            // What is marked went out before the last answer.
            _ if self.acked_sent_at < self.marks_answered_at => return false,
            // Less is sent already, for a few round trips at most.
            Phase::Drain | Phase::ProbeRtt => return false,
            Phase::Cruise if self.probe_step == CALM_STEP => return false,
            // The path is full.
            Phase::Startup => self.enter(now, Phase::Drain),
            Phase::Cruise => {
                // Who sends less than the path takes has not filled it, and only lets it be.
                if self.limited_until.is_none() {
                    let (round_trip, rate) = (self.round_trip(), self.delivery_rate());
                    self.ceiling.on_marks(now, round_trip, self.latest_rate, rate);
                }
                (self.probe_step, self.has_probed, self.phase_since) = (CALM_STEP, false, now);
            }
        }
        self.marks_answered_at = now;
        true
    }

    /// Whether the newest round trip may have waited for something: it need not be long for a router to mark what waits.
    #[must_use]
    pub fn may_have_waited(&self) -> bool {
        self.latest_rtt > self.base_rtt + self.base_rtt / 16 + ACK_DELAY
    }

    /// The rate to pace at.
    #[must_use]
    pub fn pacing_rate(&self) -> Bitrate {
        let gain = match self.phase {
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => DRAIN_GAIN,
            // Below a ceiling nothing but its own rate shows that it is still there.
            Phase::Cruise if self.ceiling.rate().is_some() && self.probe_step > CALM_STEP => 100,
            Phase::Cruise if self.probe_step == CALM_STEP && self.is_filled() => FILLED_CALM_GAIN,
            Phase::Cruise => PROBE_GAINS[self.probe_step],
            Phase::ProbeRtt => 100,
        };
        let mut rate = self.delivery_rate().scaled_percent(gain);
        if self.phase == Phase::Cruise && self.probe_step == PROBE_STEP {
            // The same for all, so that among others like us whoever has little gains on whoever has much.
            let step = Bitrate::of(PROBE_DATAGRAMS * self.datagram, self.round_trip().max(PROBE_PHASE_MIN));
            let more = Bitrate::from_bps(self.delivery_rate().as_bps().saturating_add(step.as_bps()));
            rate = rate.max(more);
        }
        // In a calm moment what is lost is measured, not made up for.
        let kept = if self.is_calm() { 1_000 } else { 1_000 - self.losses.made_up() };
        Bitrate::from_bps(rate.as_bps().saturating_mul(1_000) / kept).clamp(RATE_MIN, RATE_MAX)
    }

    /// Most bytes to have in flight.
    #[must_use]
    pub fn in_flight_max(&self) -> u64 {
        let floor = self.datagram * FLOOR_DATAGRAMS;
        let initial = self.datagram * INITIAL_DATAGRAMS;
        if self.rates.max().is_none() {
            return initial.min(self.receive_buffer).max(floor);
        }
        let product = self.delivery_rate().bytes_in(self.round_trip());
        // What the peer holds back before it answers, and what lies in a burst, are in flight too.
        let slack = self.delivery_rate().bytes_in(ACK_DELAY) + self.quantum();
        let queue_max = product + slack + self.receive_buffer;
        let most = match self.phase {
            // Where a queue shows, the first window was too large for the path.
            Phase::Startup if self.latest_rtt > self.near_rtt() * 2 => {
                product * STARTUP_IN_FLIGHT_GAIN / 100 + slack
            }
            Phase::Startup => (product * STARTUP_IN_FLIGHT_GAIN / 100 + slack).max(initial),
            Phase::Drain | Phase::Cruise => {
                let most = product * IN_FLIGHT_GAIN / 100;
                self.short_queue_max().map_or(most, |short| most.min(short)) + slack
            }
            Phase::ProbeRtt => floor,
        };
        // SPEC [LFP-10.4]: A server MUST NOT send more bytes in one burst than the receive buffer that the HELLO states
        // - and what exceeds the path's own content may come in one burst, if the path holds it up.
        most.min(queue_max).max(floor)
    }

    /// Most bytes to send back to back.
    #[must_use]
    pub fn quantum(&self) -> u64 {
        let paced = self.delivery_rate().bytes_in(QUANTUM_TIME).min(QUANTUM_MAX);
        paced.max(QUANTUM_DATAGRAMS * self.datagram).min(self.receive_buffer)
    }

    /// What the path delivers: the largest rate seen lately.
    #[must_use]
    pub fn delivery_rate(&self) -> Bitrate {
        let initial = Bitrate::of(
            (self.datagram * INITIAL_DATAGRAMS).min(self.receive_buffer),
            self.min_rtt.max(Duration::from_micros(100)),
        );
        let rate = self.rates.max().unwrap_or(initial);
        self.ceiling.rate().map_or(rate, |most| rate.min(most)).clamp(RATE_MIN, RATE_MAX)
    }

    /// The smallest round-trip time seen lately.
    #[must_use]
    pub const fn min_rtt(&self) -> Duration {
        self.min_rtt
    }

    /// Parts of a thousand that the path loses whatever is sent.
    #[must_use]
    pub const fn loss_share_permille(&self) -> u64 {
        self.losses.share()
    }

    /// What the controller does.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    const fn is_calm(&self) -> bool {
        match self.phase {
            Phase::Drain => true,
            Phase::Cruise => self.probe_step == CALM_STEP,
            Phase::Startup | Phase::ProbeRtt => false,
        }
    }

    /// The longest round trip with which it is not the queue that takes packets: half of what it is at its longest, or what
    /// timers and acks take.
    fn quiet_rtt(&self) -> Duration {
        let queue = self.longest_rtt.rtt().saturating_sub(self.base_rtt);
        self.base_rtt + (queue / 2).max(ACK_DELAY + self.base_rtt / 16)
    }

    /// The most to have in flight where others share a short queue; `None` where they do not. Who fills it has what comes next
    /// dropped, whosesoever it is, and a bulk transfer yields to that.
    fn short_queue_max(&self) -> Option<u64> {
        let (least, longest) = (self.round_trip(), self.longest_rtt.rtt());
        let is_short = longest * 2 <= self.base_rtt * SHORT_QUEUE_HALVES;
        (is_short && self.losses.is_crowded()).then(|| {
            let queue = longest.saturating_sub(least) * SHORT_QUEUE_FIFTHS / 5;
            self.delivery_rate().bytes_in(least + queue)
        })
    }

    /// The longest round trip that shows no queue.
    fn near_rtt(&self) -> Duration {
        self.base_rtt * NEAR_EIGHTHS / 8 + ACK_DELAY
    }

    /// The round trip that what is in flight fills: the shortest, and where others keep a queue that of this queue. To be
    /// content with what an empty path would hold is to leave it to them.
    fn round_trip(&self) -> Duration {
        self.kept.rtt().map_or(self.min_rtt, |rtt| rtt.max(self.min_rtt))
    }

    /// Whether somebody fills every queue there is.
    fn is_filled(&self) -> bool {
        self.kept.rtt().is_some_and(|rtt| rtt >= self.base_rtt * FILLED_ROUND_TRIPS)
    }

    fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        self.latest_rtt = rtt;
        self.longest_rtt.on_rtt(now, rtt);
        self.kept.on_rtt(now, rtt, self.base_rtt);
        let old = now.saturating_since(self.base_rtt_at) > BASE_RTT_LIFETIME;
        if old || rtt <= self.base_rtt {
            self.base_rtt = if old { self.min_rtt.min(rtt) } else { rtt };
            self.base_rtt_at = now;
        }
        let unknown = self.min_rtt_at == Instant::ZERO;
        if unknown || rtt <= self.min_rtt || self.phase == Phase::ProbeRtt && self.min_rtt_is_old(now) {
            self.min_rtt = rtt;
            self.min_rtt_at = now;
        }
    }

    fn min_rtt_is_old(&self, now: Instant) -> bool {
        self.min_rtt_at != Instant::ZERO && now.saturating_since(self.min_rtt_at) > MIN_RTT_LIFETIME
    }

    fn on_delivery(&mut self, now: Instant, sent_at: Instant, stamp: Stamp) {
        let round_over = stamp.delivered >= self.round_ends;
        if round_over {
            self.round_ends = self.delivered;
            self.end_round(now);
        }
        let send_time = sent_at.saturating_since(stamp.first_sent_at);
        let ack_time = now.saturating_since(stamp.delivered_at);
        self.first_sent_at = sent_at;
        let interval = send_time.max(ack_time);
        // A sample over less than a round trip has been squeezed on its way.
        if interval.is_zero() || interval < self.min_rtt {
            return;
        }
        // Of n datagrams in a time, n - 1 fill it. Of a few that would be too little to grow from.
        let bytes = self.delivered - stamp.delivered;
        let fence = if bytes > SAMPLE_DATAGRAMS * self.datagram { self.datagram } else { 0 };
        let sample = Bitrate::of(bytes - fence, interval);
        self.latest_rate = sample;
        if !stamp.limited || self.rates.max().is_none_or(|max| sample >= max) {
            self.rates.add(now, self.round_trip(), sample);
        }
        if self.phase == Phase::Cruise && self.ceiling.may_try(now) {
            self.ceiling.on_delivered(sample);
        }
        if round_over && !stamp.limited && self.phase == Phase::Startup {
            self.full.on_round(self.delivery_rate());
        }
    }

    /// A round trip is over: have losses shown that too much is sent?
    fn end_round(&mut self, now: Instant) {
        let excess = self.rounds.end(now, &self.losses, self.datagram);
        if excess.is_some() {
            // Who loses much to a queue is one of those who fill it.
            self.kept = KeptQueue::anew(now);
        }
        if self.phase == Phase::Cruise {
            self.ceiling.on_round(now, excess, self.delivery_rate(), self.losses.is_crowded());
        }
    }

    /// Moves between the phases.
    fn advance(&mut self, now: Instant, in_flight: u64) {
        let round_trip = self.round_trip();
        let product = self.delivery_rate().bytes_in(round_trip + ACK_DELAY);
        let since = now.saturating_since(self.phase_since);
        match self.phase {
            Phase::Startup if self.full.is_full() => self.enter(now, Phase::Drain),
            Phase::Drain if in_flight <= product => {
                self.kept = KeptQueue::anew(now);
                self.enter(now, Phase::Cruise);
            }
            Phase::Cruise if self.min_rtt_is_old(now) && !self.is_filled() => {
                self.enter(now, Phase::ProbeRtt);
            }
            Phase::Cruise if since >= round_trip.max(PROBE_PHASE_MIN) => {
                // What a probe has piled up goes away before the next one.
                let piled = self.probe_step == CALM_STEP && in_flight > product;
                if !piled || since >= (round_trip * CALM_ROUNDS_MAX).max(PROBE_PHASE_MIN) {
                    self.next_step(now);
                }
            }
            Phase::ProbeRtt if since >= PROBE_RTT_TIME + self.min_rtt => {
                // Where no sample came meanwhile, the old value has to do.
                if self.min_rtt_is_old(now) {
                    self.min_rtt_at = now;
                }
                self.enter(now, Phase::Cruise);
            }
            Phase::Startup | Phase::Drain | Phase::Cruise | Phase::ProbeRtt => {}
        }
    }

    /// The next step of a cycle. Where it is too early to try a ceiling, the cycle begins with its calm step.
    fn next_step(&mut self, now: Instant) {
        let rate = self.delivery_rate();
        let grows =
            rate >= self.step_rate.scaled_percent(GROWTH_PERCENT) && self.latest_rtt <= self.near_rtt();
        let probes = self.probe_step == PROBE_STEP;
        // What a probe brings is known a round trip after it. If that is more, and no queue shows, the path has become wider,
        // and the next probe follows at once.
        if grows && (probes || self.has_probed) {
            self.probe_step = PROBE_STEP;
        } else {
            self.probe_step = (self.probe_step + 1) % PROBE_GAINS.len();
        }
        if self.probe_step == PROBE_STEP && !self.ceiling.may_try(now) {
            self.probe_step = CALM_STEP;
        }
        self.has_probed = probes && self.probe_step == CALM_STEP;
        if !self.has_probed {
            self.step_rate = rate;
        }
        self.phase_since = now;
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        self.phase = phase;
        self.phase_since = now;
        self.probe_step = FIRST_STEP;
    }
}

/// The largest of the rates added during the last [`RATE_SPANS`] spans. Spans pass only while rates are added: what
/// nobody contradicts stays true.
#[derive(Clone, Copy, Debug, Default)]
struct MaxFilter {
    spans: [Bitrate; RATE_SPANS],
    at: usize,
    since: Instant,
    filled: bool,
}

impl MaxFilter {
    fn add(&mut self, now: Instant, round: Duration, rate: Bitrate) {
        if self.filled && now.saturating_since(self.since) >= round.max(RATE_SPAN_MIN) {
            self.at = (self.at + 1) % RATE_SPANS;
            self.spans[self.at] = Bitrate::default();
            self.since = now;
        }
        if !self.filled {
            self.since = now;
        }
        self.filled = true;
        self.spans[self.at] = self.spans[self.at].max(rate);
    }

    fn max(&self) -> Option<Bitrate> {
        self.spans.iter().copied().max().filter(|_| self.filled)
    }
}

/// Whether start-up has filled the path.
#[derive(Clone, Copy, Debug, Default)]
struct FullPath {
    reached: Bitrate,
    flat_rounds: u32,
}

impl FullPath {
    fn on_round(&mut self, rate: Bitrate) {
        if rate >= self.reached.scaled_percent(125) && rate > Bitrate::default() {
            self.reached = rate;
            self.flat_rounds = 0;
        } else {
            self.flat_rounds += 1;
        }
    }

    const fn is_full(&self) -> bool {
        self.flat_rounds >= STARTUP_FLAT_ROUNDS
    }
}
