//! Several senders on one bottleneck, or one at a policer, in virtual time: who gets what, and what is dropped.

mod common;

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use common::Rng;
use lfp_proto::frame::Ack;
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;
use lfp_proto::window::{Pacer, RateController, ReceiveWindow, SendWindow};

const PACKET: u64 = 1_228;
const STEP: Duration = Duration::from_micros(250);

#[derive(Clone, Copy)]
struct Path {
    bps: u64,
    rtt: Duration,
    queue_bytes: u64,
    /// A token bucket of so many bytes instead of a queue.
    bucket_bytes: Option<u64>,
    loss_percent: u64,
}

struct Flow {
    window: SendWindow<()>,
    rate: RateController,
    pacer: Pacer,
    receive: ReceiveWindow,
    carrier: u64,
    begins_at: Instant,
    delivered: u64,
}

struct Run {
    now: Instant,
    path: Path,
    rng: Rng,
    flows: Vec<Flow>,
    free_at: Instant,
    tokens: u64,
    arrivals: VecDeque<(Instant, usize, PacketNumber)>,
    acks: VecDeque<(Instant, usize, Ack)>,
    sent: u64,
    dropped: u64,
}

impl Run {
    fn new(path: Path, count: usize) -> Self {
        let now = Instant::from_micros(1_000_000);
        let flow = |index: usize| {
            let rate = RateController::new(now, PACKET, 256 * 1024, path.rtt);
            Flow {
                window: SendWindow::new(path.rtt),
                pacer: Pacer::new(rate.pacing_rate(), rate.quantum(), PACKET),
                rate,
                receive: ReceiveWindow::default(),
                carrier: 0,
                begins_at: now + Duration::from_millis(index as u64 * 70),
                delivered: 0,
            }
        };
        Self {
            now,
            path,
            rng: Rng::new(7),
            flows: (0..count).map(flow).collect(),
            free_at: now,
            tokens: path.bucket_bytes.unwrap_or(0) * 8_000_000,
            arrivals: VecDeque::new(),
            acks: VecDeque::new(),
            sent: 0,
            dropped: 0,
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            for index in 0..self.flows.len() {
                self.send(index);
            }
            self.now = self.now + STEP;
            if let Some(bucket) = self.path.bucket_bytes {
                let gained = self.path.bps * STEP.as_micros() as u64;
                self.tokens = (self.tokens + gained).min(bucket * 8_000_000);
            }
            self.arrive();
            self.answer();
        }
    }

    fn send(&mut self, index: usize) {
        let Self { now, path, rng, flows, free_at, tokens, arrivals, sent, dropped, .. } = self;
        let flow = &mut flows[index];
        if *now < flow.begins_at {
            return;
        }
        let due = flow.window.deadline().is_some_and(|at| at <= *now);
        let mut probe = false;
        if due {
            let (summary, probes) = flow.window.on_timeout(*now, |_, _| ());
            flow.rate.on_event(*now, &summary, flow.window.in_flight());
            flow.pacer.configure(flow.rate.pacing_rate(), flow.rate.quantum());
            probe = probes;
        }
        while probe
            || flow.pacer.may_send(*now) && flow.window.in_flight() + PACKET <= flow.rate.in_flight_max()
        {
            probe = false;
            let number = flow.window.next();
            let stamp = flow.rate.on_sent(*now, flow.window.in_flight());
            flow.window.push(*now, PACKET, true, stamp, ());
            flow.pacer.on_sent(*now, PACKET);
            *sent += 1;
            let cost = PACKET * 8_000_000;
            let passes = match path.bucket_bytes {
                Some(_) if *tokens < cost => false,
                Some(_) => {
                    *tokens -= cost;
                    *free_at = *now;
                    true
                }
                None => {
                    let waiting = path.bps * free_at.saturating_since(*now).as_micros() as u64 / 8_000_000;
                    let passes = waiting + PACKET <= path.queue_bytes || waiting == 0;
                    if passes {
                        *free_at = (*free_at).max(*now) + Duration::from_micros(cost / path.bps);
                    }
                    passes
                }
            };
            if !passes {
                *dropped += 1;
            } else if !rng.percent(path.loss_percent) {
                arrivals.push_back((*free_at + path.rtt / 2, index, number));
            }
        }
    }

    fn arrive(&mut self) {
        while let Some((_, index, number)) = self.arrivals.pop_front_if_due(self.now) {
            let flow = &mut self.flows[index];
            flow.delivered += PACKET;
            flow.receive.on_applied(number, self.now, true, Vec::new());
        }
        for (index, flow) in self.flows.iter_mut().enumerate() {
            if flow.receive.ack_due().is_some_and(|at| at <= self.now) {
                flow.carrier += 1;
                if let Some(ack) = flow.receive.ack(self.now, PacketNumber(flow.carrier)) {
                    self.acks.push_back((self.now + self.path.rtt / 2, index, ack));
                }
                flow.receive.on_floor(flow.window.floor());
            }
        }
    }

    fn answer(&mut self) {
        while let Some((_, index, ack)) = self.acks.pop_front_if_due(self.now) {
            let flow = &mut self.flows[index];
            let summary = flow.window.on_ack(self.now, &ack, |_, _| ()).expect("a true ack");
            flow.rate.on_event(self.now, &summary, flow.window.in_flight());
            flow.pacer.configure(flow.rate.pacing_rate(), flow.rate.quantum());
        }
    }
}

/// A queue of things with a time.
trait Due<T> {
    fn pop_front_if_due(&mut self, now: Instant) -> Option<(Instant, usize, T)>;
}

impl<T> Due<T> for VecDeque<(Instant, usize, T)> {
    fn pop_front_if_due(&mut self, now: Instant) -> Option<(Instant, usize, T)> {
        if self.front()?.0 <= now { self.pop_front() } else { None }
    }
}

/// Throughput, drops and fairness. A change of the controller changes this table, for everybody to see.
#[test]
fn sharing_table() {
    let mut table = String::from(
        "\nflows  kbit/s  rtt ms  queue BDP  loss %  arrived %  dropped permille  jain permille  least %\n",
    );
    let queued = |kbit: u64, rtt: u64, depth: u64, loss_percent| Path {
        bps: kbit * 1_000,
        rtt: Duration::from_millis(rtt),
        queue_bytes: kbit * rtt * depth / 8,
        bucket_bytes: None,
        loss_percent,
    };
    let mut cases = Vec::new();
    for (count, kbit) in [(2, 2_000), (4, 4_000), (8, 4_000), (16, 8_000)] {
        for depth in [1, 4, 16] {
            cases.push((count, queued(kbit, 40, depth, 0)));
        }
    }
    cases.extend([
        (4, queued(8_000, 40, 4, 10)),
        (1, queued(10_000, 40, 1, 10)),
        (1, queued(10_000, 40, 2, 40)),
        (1, queued(2_000, 200, 16, 5)),
    ]);
    for (kbit, rtt, bucket) in [(2_000, 40, 10_000), (2_000, 200, 10_000), (10_000, 40, 50_000)] {
        cases.push((1, Path { bucket_bytes: Some(bucket), ..queued(kbit, rtt, 0, 0) }));
    }
    for (count, path) in cases {
        let mut run = Run::new(path, count);
        run.run(Duration::from_secs(5));
        let before: Vec<_> = run.flows.iter().map(|flow| flow.delivered).collect();
        (run.sent, run.dropped) = (0, 0);
        run.run(Duration::from_secs(20));
        let gained: Vec<u64> =
            run.flows.iter().zip(before).map(|(flow, before)| flow.delivered - before).collect();
        let sum: u64 = gained.iter().sum();
        let squares: u64 = gained.iter().map(|bytes| (bytes / 100).pow(2)).sum();
        let jain = (sum / 100).pow(2) * 1_000 / (squares * count as u64).max(1);
        let least = gained.iter().min().copied().unwrap_or(0) * 100 * count as u64 / sum.max(1);
        let (kbit, rtt) = (path.bps / 1_000, path.rtt.as_millis() as u64);
        let depth = path.bucket_bytes.map_or_else(
            || (path.queue_bytes * 8 / (kbit * rtt)).to_string(),
            |bytes| format!("policer {}", bytes / 1_000),
        );
        let arrived = sum * 8 * 100 / (20 * path.bps);
        let dropped = run.dropped * 1_000 / run.sent.max(1);
        let loss = path.loss_percent;
        if count == 1 && loss < 40 {
            assert!(
                dropped < 50 && arrived >= (100 - loss) * 85 / 100,
                "{dropped} dropped, {arrived} arrived"
            );
        } else if path.queue_bytes == kbit * rtt / 8 {
            assert!(jain >= 900, "{jain}");
        }
        let _ = writeln!(
            table,
            "{count:5}  {kbit:6}  {rtt:6}  {depth:>9}  {loss:6}  {arrived:9}  {dropped:16}  {jain:13}  {least:7}"
        );
    }
    assert_eq!(table, include_str!("shared.table"), "{table}");
}
