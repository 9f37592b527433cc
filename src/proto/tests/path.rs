//! Sender, pacer and rate controller over a bottleneck with a queue, in virtual time.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::Rng;
use lfp_proto::frame::{Ack, AckRange};
use lfp_proto::limits::RATE_MIN;
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;
use lfp_proto::window::{Fate, Pacer, Phase, RateController, SendWindow};

const PACKET: u64 = 1_200;

#[derive(Clone, Copy)]
struct Path {
    bps: u64,
    rtt: Duration,
    queue_bytes: u64,
    loss_percent: u64,
}

struct Run {
    now: Instant,
    path: Path,
    window: SendWindow<()>,
    rate: RateController,
    pacer: Pacer,
    rng: Rng,
    /// When the bottleneck is free again.
    free_at: Instant,
    arrivals: BTreeMap<(Instant, u64), PacketNumber>,
    acks: BTreeMap<(Instant, u64), Ack>,
    order: u64,
    received: BTreeSet<u64>,
    unacked: u32,
    ack_at: Option<Instant>,
    sent: u64,
    delivered: u64,
    /// Time in the queue, of every packet that got through.
    queued_us: Vec<u64>,
}

impl Run {
    fn new(path: Path, seed: u64) -> Self {
        let now = Instant::from_micros(1_000_000);
        let rate = RateController::new(now, PACKET, 256 * 1024, path.rtt);
        Self {
            now,
            path,
            window: SendWindow::new(path.rtt),
            pacer: Pacer::new(rate.pacing_rate(), rate.quantum(), PACKET),
            rate,
            rng: Rng::new(seed),
            free_at: now,
            arrivals: BTreeMap::new(),
            acks: BTreeMap::new(),
            order: 0,
            received: BTreeSet::new(),
            unacked: 0,
            ack_at: None,
            sent: 0,
            delivered: 0,
            queued_us: Vec::new(),
        }
    }

    /// Sends as much as may be sent for `span`.
    fn greedy(&mut self, span: Duration) {
        self.run(span, |_| true);
    }

    fn run(&mut self, span: Duration, wants: impl Fn(Instant) -> bool) {
        let end = self.now + span;
        while self.now < end {
            while wants(self.now) && self.may_send() {
                self.send(true);
            }
            if !wants(self.now) && self.may_send() {
                self.rate.on_app_limited(self.window.in_flight());
            }
            let pace = self.pacer.next_send().max(self.now + Duration::from_micros(1));
            let candidates = [
                Some(pace).filter(|_| self.window.in_flight() + PACKET <= self.rate.in_flight_max()),
                self.arrivals.first_key_value().map(|((at, _), _)| *at),
                self.acks.first_key_value().map(|((at, _), _)| *at),
                self.ack_at,
                self.window.deadline(),
            ];
            self.now = candidates.into_iter().flatten().min().map_or(end, |at| at.max(self.now)).min(end);
            self.happen();
        }
    }

    fn may_send(&self) -> bool {
        self.pacer.may_send(self.now) && self.window.in_flight() + PACKET <= self.rate.in_flight_max()
    }

    fn send(&mut self, paced: bool) {
        let number = self.window.next();
        let stamp = self.rate.on_sent(self.now, self.window.in_flight());
        assert!(self.window.push(self.now, PACKET, true, stamp, ()).is_none());
        if paced {
            self.pacer.on_sent(self.now, PACKET);
        }
        self.sent += PACKET;
        let backlog =
            u128::from(self.path.bps) * self.free_at.saturating_since(self.now).as_micros() / 8_000_000;
        if backlog > u128::from(self.path.queue_bytes) || self.rng.percent(self.path.loss_percent) {
            return;
        }
        self.queued_us.push(self.free_at.saturating_since(self.now).as_micros() as u64);
        self.free_at = self.free_at.max(self.now) + Duration::from_micros(PACKET * 8_000_000 / self.path.bps);
        self.order += 1;
        self.arrivals.insert((self.free_at + self.path.rtt / 2, self.order), number);
    }

    fn happen(&mut self) {
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let number = entry.remove().0;
            let gap = self.received.last().is_some_and(|last| number != last + 1);
            self.received.insert(number);
            self.delivered += PACKET;
            self.unacked += 1;
            let due = if gap || self.unacked >= 8 { self.now } else { self.now + Duration::from_millis(5) };
            self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
        }
        if self.ack_at.is_some_and(|at| at <= self.now) {
            self.ack_at = None;
            self.unacked = 0;
            self.order += 1;
            let ack = self.ack();
            self.acks.insert((self.now + self.path.rtt / 2, self.order), ack);
        }
        while let Some(entry) = self.acks.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let ack = entry.remove();
            let summary = self.window.on_ack(self.now, &ack, |_, _| ()).expect("a true ack");
            self.rate.on_event(self.now, &summary, self.window.in_flight());
            self.pacer.configure(self.rate.pacing_rate(), self.rate.quantum());
        }
        if self.window.deadline().is_some_and(|at| at <= self.now) {
            let (summary, probe) = self.window.on_timeout(self.now, |_, _| ());
            self.rate.on_event(self.now, &summary, self.window.in_flight());
            if probe {
                self.send(false);
            }
        }
    }

    fn ack(&mut self) -> Ack {
        let floor = self.window.floor().0;
        self.received = self.received.split_off(&floor.saturating_sub(1));
        let mut ranges: Vec<AckRange> = Vec::new();
        for number in self.received.iter().rev().map(|number| PacketNumber(*number)) {
            let count = ranges.len();
            match ranges.last_mut() {
                Some(range) if range.first.0 == number.0 + 1 => range.first = number,
                _ if count == 32 => break,
                _ => ranges.push(AckRange { first: number, last: number }),
            }
        }
        Ack { delay_us: 0, arrived_us: 0, recovered: 0, ranges, refused: Vec::new() }
    }

    /// What `span` brings: percent of the path's rate that arrived, that was sent, and the 95th percentile of the time
    /// in the queue in milliseconds.
    fn measure(&mut self, span: Duration) -> (u64, u64, u64) {
        let (sent, delivered) = (self.sent, self.delivered);
        self.queued_us.clear();
        self.greedy(span);
        let possible = self.path.bps * span.as_micros() as u64 / 8_000_000;
        self.queued_us.sort_unstable();
        let queued = self.queued_us.get(self.queued_us.len() * 95 / 100).copied().unwrap_or(0);
        ((self.delivered - delivered) * 100 / possible, (self.sent - sent) * 100 / possible, queued / 1_000)
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Throughput over bottlenecks and losses. A change of the controller changes this table, for everybody to see.
#[test]
fn throughput_table() {
    let mut table = String::from("\nMbit/s  rtt ms  queue KB  loss %  arrived %  sent %  queued ms (p95)\n");
    for (mbit, rtt, queue) in [(2, 50, 32), (20, 20, 8), (20, 20, 64), (20, 100, 256), (100, 2, 64)] {
        for loss_percent in [0, 5, 20] {
            let path = Path { bps: mbit * 1_000_000, rtt: ms(rtt), queue_bytes: queue * 1024, loss_percent };
            let mut run = Run::new(path, 7);
            run.greedy(ms(2_000));
            let (arrived, sent, queued) = run.measure(ms(4_000));
            let line = format!(
                "{mbit:6}  {rtt:6}  {queue:8}  {loss_percent:6}  {arrived:9}  {sent:6}  {queued:6}\n"
            );
            table.push_str(&line);
            assert!(arrived >= 80, "{line}");
            assert!(sent <= arrived * 100 / (100 - loss_percent) + 8, "{line}");
        }
    }
    assert_eq!(table, include_str!("path.table"), "{table}");
}

#[test]
fn start_up_fills_a_path_in_a_few_round_trips() {
    let path = Path { bps: 50_000_000, rtt: ms(40), queue_bytes: 256 * 1024, loss_percent: 0 };
    let mut run = Run::new(path, 7);
    run.greedy(ms(240));
    let (arrived, ..) = run.measure(ms(200));
    assert!(arrived >= 90, "{arrived}");
}

#[test]
fn a_rate_that_drops_is_followed_and_one_that_rises_is_found() {
    let path = Path { bps: 20_000_000, rtt: ms(40), queue_bytes: 128 * 1024, loss_percent: 0 };
    let mut run = Run::new(path, 7);
    run.greedy(ms(2_000));
    run.path.bps = 5_000_000;
    run.greedy(ms(1_500));
    let (arrived, sent, queued) = run.measure(ms(2_000));
    assert!(arrived >= 90 && sent <= 106 && queued <= 60, "{arrived} {sent} {queued}");
    run.path.bps = 20_000_000;
    run.greedy(ms(4_000));
    let (arrived, ..) = run.measure(ms(1_000));
    assert!(arrived >= 90, "{arrived}");
}

#[test]
fn a_path_that_becomes_ten_times_wider_is_found_in_two_seconds() {
    let path = Path { bps: 2_000_000, rtt: ms(40), queue_bytes: 128 * 1024, loss_percent: 0 };
    let mut run = Run::new(path, 7);
    run.greedy(ms(3_000));
    run.path.bps = 20_000_000;
    run.greedy(ms(2_000));
    let (arrived, _, queued) = run.measure(ms(500));
    assert!(arrived >= 90 && queued <= 40, "{arrived} {queued}");
}

#[test]
fn having_little_to_send_does_not_lower_the_rate() {
    let path = Path { bps: 50_000_000, rtt: ms(20), queue_bytes: 128 * 1024, loss_percent: 0 };
    let mut run = Run::new(path, 7);
    run.greedy(ms(2_000));
    let before = run.rate.delivery_rate();
    // One packet every 20 ms, for a minute.
    for _ in 0..3_000 {
        run.send(true);
        run.run(ms(20), |_| false);
    }
    let after = run.rate.delivery_rate();
    assert!(after >= before.scaled_percent(95), "{before:?} became {after:?}");
}

#[test]
fn after_a_blackout_the_rate_is_back_within_a_second() {
    let path = Path { bps: 20_000_000, rtt: ms(40), queue_bytes: 128 * 1024, loss_percent: 0 };
    let mut run = Run::new(path, 7);
    run.greedy(ms(2_000));
    run.path.loss_percent = 100;
    run.greedy(ms(10_000));
    assert!(run.window.unanswered_probes() >= 8, "{}", run.window.unanswered_probes());
    run.path.loss_percent = 0;
    run.greedy(ms(1_100));
    let (arrived, ..) = run.measure(ms(500));
    assert!(arrived >= 90, "{arrived}");
}

#[test]
fn a_packet_given_up_for_want_of_room_is_told() {
    let mut window: SendWindow<u64> = SendWindow::new(ms(10));
    let mut given_up = 0;
    for number in 1..=lfp_proto::limits::SEND_WINDOW_MAX as u64 + 10 {
        let lost = window.push(Instant::ZERO, PACKET, true, Default::default(), number);
        if let Some(lost) = lost {
            given_up += 1;
            assert_eq!((lost.number.0, lost.info), (given_up, given_up));
        }
    }
    assert_eq!(given_up, 10);
    assert_eq!(window.in_flight(), lfp_proto::limits::SEND_WINDOW_MAX as u64 * PACKET);
    assert_eq!(window.floor(), PacketNumber(11));
}

fn ack(ranges: &[(u64, u64)]) -> Ack {
    let range =
        |(first, last): &(u64, u64)| AckRange { first: PacketNumber(*first), last: PacketNumber(*last) };
    Ack {
        delay_us: 0,
        arrived_us: 0,
        recovered: 0,
        ranges: ranges.iter().map(range).collect(),
        refused: Vec::new(),
    }
}

fn sent(count: u64) -> SendWindow<()> {
    let mut window = SendWindow::new(ms(10));
    for number in 0..count {
        window.push(Instant::from_micros(number * 10), PACKET, true, Default::default(), ());
    }
    window
}

#[test]
fn three_packets_behind_is_lost_and_a_late_ack_makes_up_for_it() {
    let mut window = sent(6);
    let mut fates = Vec::new();
    let now = Instant::from_micros(10_000);
    window.on_ack(now, &ack(&[(4, 4)]), |fate, sent| fates.push((fate, sent.number.0))).unwrap();
    assert_eq!(fates, [(Fate::Acked, 4), (Fate::Lost, 1)]);
    assert_eq!(window.in_flight(), 4 * PACKET);
    fates.clear();
    let summary =
        window.on_ack(now, &ack(&[(1, 4)]), |fate, sent| fates.push((fate, sent.number.0))).unwrap();
    assert_eq!(fates, [(Fate::AckedLate, 1), (Fate::Acked, 2), (Fate::Acked, 3)]);
    assert_eq!((summary.late_packets, summary.acked_bytes), (1, 3 * PACKET));
    // The same again settles nothing.
    let summary = window.on_ack(now, &ack(&[(1, 4)]), |_, _| panic!("settled twice")).unwrap();
    assert_eq!(summary.acked_bytes, 0);
    // The path reorders by three: three behind is not lost any more.
    window.push(now, PACKET, true, Default::default(), ());
    window.push(now, PACKET, true, Default::default(), ());
    fates.clear();
    window.on_ack(now, &ack(&[(8, 8)]), |fate, sent| fates.push((fate, sent.number.0))).unwrap();
    assert_eq!(fates, [(Fate::Acked, 8)]);
}

#[test]
fn what_lags_is_lost_by_time() {
    let mut window = sent(2);
    let mut fates = Vec::new();
    window
        .on_ack(Instant::from_micros(20_010), &ack(&[(2, 2)]), |fate, sent| fates.push((fate, sent.number.0)))
        .unwrap();
    assert_eq!(fates, [(Fate::Acked, 2)]);
    // Nine eighths of 20 ms after it was sent.
    assert_eq!(window.deadline(), Some(Instant::from_micros(22_500)));
    let (summary, probe) =
        window.on_timeout(Instant::from_micros(22_500), |fate, sent| fates.push((fate, sent.number.0)));
    assert_eq!((summary.lost_packets, probe), (1, false));
    assert_eq!(fates[1..], [(Fate::Lost, 1)]);
    assert_eq!((window.in_flight(), window.deadline()), (0, None));
}

#[test]
fn silence_is_probed_at_doubling_intervals_up_to_a_second() {
    let mut window = sent(1);
    let mut intervals = Vec::new();
    let mut last = Instant::ZERO;
    for _ in 0..9 {
        let at = window.deadline().unwrap();
        intervals.push(at.saturating_since(last).as_millis());
        let (summary, probe) = window.on_timeout(at, |_, _| panic!("silence settles nothing"));
        assert!(probe && summary.lost_packets == 0);
        window.push(at, 30, true, Default::default(), ());
        last = at;
    }
    assert_eq!(intervals, [35, 70, 140, 280, 560, 1_000, 1_000, 1_000, 1_000]);
    // One answer tells the fate of everything before it.
    let mut lost = 0;
    window.on_ack(last + ms(10), &ack(&[(10, 10)]), |fate, _| lost += u64::from(fate == Fate::Lost)).unwrap();
    assert_eq!((lost, window.in_flight(), window.unanswered_probes()), (9, 0, 0));
}

#[test]
fn an_ack_of_what_was_never_sent_changes_nothing() {
    let mut window = sent(3);
    assert!(window.on_ack(Instant::ZERO, &ack(&[(4, 4), (1, 2)]), |_, _| panic!("settled")).is_err());
    assert_eq!(window.in_flight(), 3 * PACKET);
    assert!(window.on_ack(Instant::ZERO, &ack(&[(1, 3)]), |_, _| ()).is_ok());
}

#[test]
fn packets_of_the_old_path_say_nothing_of_the_new_one() {
    let ms = |ms: u64| Instant::from_micros(ms * 1_000);
    let guess = Duration::from_millis(50);
    let mut rate = RateController::new(ms(1_000), PACKET, 256 * 1024, guess);
    let mut window = SendWindow::new(guess);
    let mut ack_of = |rate: &mut RateController, sent_at: u64, moved: bool, acked_at: u64| {
        let number = window.next();
        let stamp = rate.on_sent(ms(sent_at), window.in_flight());
        window.push(ms(sent_at), PACKET, true, stamp, ());
        if moved {
            rate.on_path_change(ms(sent_at + 1), guess);
        }
        let ranges = vec![AckRange { first: number, last: number }];
        let ack = Ack { delay_us: 0, arrived_us: 0, recovered: 0, ranges, refused: Vec::new() };
        let summary = window.on_ack(ms(acked_at), &ack, |_, _| {}).expect("it was sent");
        rate.on_event(ms(acked_at), &summary, window.in_flight());
    };
    ack_of(&mut rate, 1_000, false, 1_100);
    assert_eq!(rate.min_rtt(), Duration::from_millis(100));
    let unknown = RateController::new(ms(2_000), PACKET, 256 * 1024, guess);
    // What it measured was sent before the first byte of the new path was delivered: there is nothing to subtract.
    ack_of(&mut rate, 2_000, true, 2_005);
    assert_eq!((rate.min_rtt(), rate.delivery_rate()), (guess, unknown.delivery_rate()));
    ack_of(&mut rate, 2_010, false, 2_090);
    assert_eq!(rate.min_rtt(), Duration::from_millis(80));
}

#[test]
fn marks_are_answered_once_a_round_trip_and_never_below_the_floor() {
    let (start, pace, rtt) =
        (Instant::from_micros(1_000_000), Duration::from_millis(5), Duration::from_millis(40));
    let mut rate = RateController::new(start, PACKET, 256 * 1024, rtt);
    let mut window = SendWindow::new(rtt);
    assert!(rate.on_marks(start), "start-up is over");
    assert_eq!(rate.phase(), Phase::Drain);
    let (mut answered, first) = (0, rate.pacing_rate());
    let mut marked = |rate: &mut RateController, sent_at: Instant, acked_at: Instant| {
        let number = window.next();
        let stamp = rate.on_sent(sent_at, window.in_flight());
        window.push(sent_at, PACKET, true, stamp, ());
        let ranges = vec![AckRange { first: number, last: number }];
        let ack = Ack { delay_us: 0, arrived_us: 0, recovered: 0, ranges, refused: Vec::new() };
        let summary = window.on_ack(acked_at, &ack, |_, _| {}).expect("it was sent");
        rate.on_event(acked_at, &summary, window.in_flight());
        rate.on_marks(acked_at)
    };
    let mut now = start + rtt;
    for _ in 0..10_000 {
        now = now + pace;
        answered += u64::from(marked(&mut rate, now - rtt, now));
    }
    let round_trips = now.saturating_since(start).as_millis() / rtt.as_millis();
    assert!((10..=round_trips as u64).contains(&answered), "{answered} answers in {round_trips} round trips");
    assert!(rate.pacing_rate() < first && rate.pacing_rate() >= RATE_MIN, "{:?}", rate.pacing_rate());
    assert!(rate.in_flight_max() >= PACKET * 4);
    // One that took long, for whatever reason, makes none deaf to what comes after it.
    let late = now + Duration::from_secs(2);
    marked(&mut rate, now, late);
    let heard =
        (1..100).filter(|at| marked(&mut rate, late + pace * (at - 1), late + rtt + pace * *at)).count();
    assert!(heard > 0, "marks are not answered");
}
