//! A bulk transfer over TCP with CUBIC (RFC 9438), as far as a bottleneck can tell: what our flows share links with.
//!
//! Slow start ends at a loss or when the round trip grows (as HyStart has it); then the window follows the cubic curve, or
//! what Reno would have where that is more. Nothing is paced, every segment is acked, losses are found as by SACK: three
//! later ones came. Every segment is new data, so that a loss costs its window and nothing else. Integers only.

use std::collections::BTreeMap;
use std::time::Duration;

use lfp::time::Instant;

/// UDP payload that stands for a segment of 1,500 bytes, and for an ack of 52.
const SEGMENT_LEN: usize = 1_472;
const ACK_LEN: usize = 24;
const WINDOW_INITIAL: u64 = 10;
const WINDOW_MIN: u64 = 2;
const REORDERING: u64 = 3;
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
/// Windows are counted in thousandths of a segment.
const MILLI: u64 = 1_000;

/// A sender beside the server and a receiver beside the clients.
#[derive(Debug)]
pub(crate) struct Rival {
    /// Which of the world's networks it goes through.
    pub(crate) network: usize,
    begins_at: Instant,
    next: u64,
    /// Number and time of what is in flight.
    flying: BTreeMap<u64, Instant>,
    window: u64,
    threshold: u64,
    /// The window at the last loss, and when the curve began there.
    most: u64,
    curve_from: Option<Instant>,
    /// What Reno would have.
    reno: u64,
    /// Losses of segments below this are of an event that was answered already.
    recover: u64,
    rtt: Duration,
    rtt_min: Duration,
    acked_at: Instant,
}

impl Rival {
    pub(crate) fn new(network: usize, begins_at: Instant) -> Self {
        Self {
            network,
            begins_at,
            next: 1,
            flying: BTreeMap::new(),
            window: WINDOW_INITIAL * MILLI,
            threshold: u64::MAX,
            most: 0,
            curve_from: None,
            reno: 0,
            recover: 0,
            rtt: TIMEOUT_MIN,
            rtt_min: Duration::MAX,
            acked_at: begins_at,
        }
    }

    /// The next segment to send, until there is none.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.begins_at {
            return None;
        }
        if self.timeout_at().is_some_and(|at| at <= now) {
            self.threshold = (self.window / 2).max(WINDOW_MIN * MILLI);
            self.window = MILLI;
            self.flying.clear();
            self.recover = self.next;
            self.acked_at = now;
        }
        if (self.flying.len() as u64) >= (self.window / MILLI).max(1) {
            return None;
        }
        let mut segment = vec![0; SEGMENT_LEN];
        segment[..8].copy_from_slice(&self.next.to_le_bytes());
        if self.flying.is_empty() {
            self.acked_at = now;
        }
        self.flying.insert(self.next, now);
        self.next += 1;
        Some(segment)
    }

    /// The receiver's answer to a segment.
    pub(crate) fn answer(segment: &[u8]) -> Vec<u8> {
        let mut ack = segment[..8].to_vec();
        ack.resize(ACK_LEN, 0);
        ack
    }

    /// An ack came.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &[u8]) {
        let number = u64::from_le_bytes(ack[..8].try_into().expect("eight bytes"));
        let Some(sent_at) = self.flying.remove(&number) else { return };
        let sample = now.saturating_since(sent_at);
        self.rtt = (self.rtt * 7 + sample) / 8;
        self.rtt_min = self.rtt_min.min(sample);
        self.acked_at = now;
        let lost = self.flying.range(..number.saturating_sub(REORDERING)).last().map(|(number, _)| *number);
        if let Some(lost) = lost {
            self.flying = self.flying.split_off(&(lost + 1));
            if lost >= self.recover {
                self.on_loss(now);
                return;
            }
        }
        if self.window < self.threshold {
            self.window += MILLI;
            let patience = (self.rtt_min / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
            if sample > self.rtt_min + patience {
                self.threshold = self.window;
            }
        } else {
            self.follow(now);
        }
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.next == 1 { Some(self.begins_at) } else { self.timeout_at() }
    }

    fn timeout_at(&self) -> Option<Instant> {
        (!self.flying.is_empty()).then(|| self.acked_at + (self.rtt * 2).max(TIMEOUT_MIN))
    }

    fn on_loss(&mut self, now: Instant) {
        self.recover = self.next;
        // Fast convergence: who has lost before where he was leaves room.
        self.most = if self.window < self.most { self.window * 85 / 100 } else { self.window };
        self.window = (self.window * 7 / 10).max(WINDOW_MIN * MILLI);
        self.threshold = self.window;
        self.reno = self.window;
        self.curve_from = Some(now);
    }

    /// Goes up the curve W(t) = 0.4 (t - K)^3 + most, K = cbrt(0.75 most), times in seconds.
    fn follow(&mut self, now: Instant) {
        let from = *self.curve_from.get_or_insert(now);
        self.most = self.most.max(MILLI);
        let k_ms = i128::from(cube_root(u128::from(self.most) * 750_000));
        let t_ms = (now.saturating_since(from) + self.rtt).as_millis() as i128;
        let cube = (t_ms - k_ms).pow(3);
        let target = (i128::from(self.most) + cube * 4 / 10_000_000).max(0) as u64;
        // 3 (1 - 0.7) / (1 + 0.7) of a segment each round.
        self.reno += 529 * MILLI / self.window.max(1);
        let target = target.clamp(self.window, self.window * 3 / 2);
        self.window += (target - self.window) * MILLI / self.window.max(1);
        self.window = self.window.max(self.reno);
    }
}

/// The largest number whose cube is at most `of`.
fn cube_root(of: u128) -> u64 {
    let (mut low, mut high) = (0_u64, 1 << 42);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if u128::from(middle).pow(3) <= of { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use lfp_impair::{Link, LinkSpec};

    #[test]
    fn alone_it_fills_a_link_and_its_queue() {
        for (queue, least) in [("25kb", 80), ("100kb", 95)] {
            let spec = format!("rtt=20ms,rate=10mbit,queue={queue}");
            let spec: LinkSpec = spec.parse().expect("a link");
            let (mut up, mut down) = (Link::new(spec.up.params, 1), Link::new(spec.down.params, 2));
            let start = Instant::from_micros(1_000_000);
            let mut rival = Rival::new(0, start);
            let (mut now, mut came, mut longest) = (start, 0, Duration::ZERO);
            while now < start + Duration::from_secs(20) {
                while let Some((_, segment)) = down.poll(now) {
                    came += segment.len() as u64 + 28;
                    up.send(now, 0, Rival::answer(&segment));
                }
                while let Some((_, ack)) = up.poll(now) {
                    rival.on_ack(now, &ack);
                }
                while let Some(segment) = rival.poll(now) {
                    longest = longest.max(down.waiting(now));
                    down.send(now, 0, segment);
                }
                let next = [rival.next_at(), down.poll_timeout(), up.poll_timeout()];
                now = next.into_iter().flatten().min().expect("something flies").max(now);
            }
            let percent = came * 8 * 100 / (20 * 10_000_000);
            assert!((least..=100).contains(&percent), "{percent} % with {queue}");
            assert!(down.counts().overflowed > 0 && longest > Duration::from_millis(15), "{longest:?}");
        }
    }
}
