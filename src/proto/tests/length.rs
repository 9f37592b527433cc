//! How long packets may be, against paths of every length.

use std::time::Duration;

use lfp_proto::limits::{DATAGRAM_DEFAULT, HOLE_RETRY, LENGTH_PROBE_SHARE, LENGTH_RETRY};
use lfp_proto::time::Instant;
use lfp_proto::units::{Bitrate, PacketNumber};
use lfp_proto::window::PacketLength;

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A sender of full packets over a path that carries so many bytes.
struct Path {
    length: PacketLength,
    carries: usize,
    /// What its host sends at all.
    host: usize,
    now: Instant,
    next: u64,
    /// Bytes of packets, and of probes.
    sent: (u64, u64),
}

impl Path {
    fn new(most: usize, carries: usize, mbit: u64) -> Self {
        let mut length = PacketLength::new(most);
        length.on_rate(Bitrate::from_bps(mbit * 1_000_000));
        Self { length, carries, host: usize::MAX, now: Instant::from_micros(1), next: 1, sent: (0, 0) }
    }

    /// Sends 16 full packets, and a probe if one is due; a round trip later all that is known.
    fn round(&mut self) {
        let bytes = self.length.bytes() as u64;
        let mut sent: Vec<_> = (0..16).map(|at| (PacketNumber(self.next + at), bytes)).collect();
        self.next += 16;
        (0..16).for_each(|_| self.length.on_full(bytes));
        self.sent.0 += 16 * bytes;
        if let Some(len) = self.length.due(self.now) {
            self.length.on_probe(self.now, PacketNumber(self.next));
            if len > self.host {
                assert!(self.length.on_too_long(self.now, len), "that is news");
            } else {
                sent.push((PacketNumber(self.next), len as u64));
                self.sent.1 += len as u64;
            }
            self.next += 1;
        }
        // What is short always comes, so that what is lost is known to be.
        self.now = self.now + ROUND_TRIP;
        let next = PacketNumber(self.next);
        for (number, bytes) in sent {
            if bytes <= self.carries as u64 {
                self.length.on_acked(self.now, number, bytes, next);
            } else {
                self.length.on_lost(self.now, number, bytes, 0);
            }
        }
    }

    fn rounds(&mut self, rounds: u32) -> usize {
        (0..rounds).for_each(|_| self.round());
        self.length.bytes()
    }
}

#[test]
fn what_a_path_carries_is_found_and_nothing_longer_is_used() {
    for (carries, found) in
        [(1_200, 1_200), (1_232, 1_232), (1_300, 1_232), (1_400, 1_372), (1_452, 1_452), (1_472, 1_472)]
    {
        assert_eq!(Path::new(8_900, carries, 20).rounds(200), found, "a slow path of {carries} bytes");
    }
    for (carries, found) in [(1_452, 1_452), (1_472, 1_472), (4_500, 4_052), (8_899, 4_052), (8_900, 8_900)] {
        assert_eq!(Path::new(8_900, carries, 1_000).rounds(400), found, "a fast path of {carries} bytes");
    }
    for most in [1_100, DATAGRAM_DEFAULT] {
        let mut path = Path::new(most, 8_900, 1_000);
        assert_eq!((path.rounds(100), path.sent.1), (most, 0), "nothing to find");
    }
    assert_eq!(Path::new(1_250, 8_900, 1_000).rounds(100), 1_250, "what was agreed on is tried");
}

#[test]
fn probes_are_a_small_part_of_what_is_sent_and_follow_what_fills_packets() {
    for carries in [1_200, 1_372, 1_472, 8_900] {
        let mut path = Path::new(8_900, carries, 1_000);
        path.rounds(400);
        let (packets, probes) = path.sent;
        assert!(probes * LENGTH_PROBE_SHARE <= packets, "{probes} bytes of probes beside {packets}");
        assert!(path.length.counts().probes <= 20, "{:?}", path.length.counts());
    }
    let idle = Path::new(8_900, 8_900, 1_000);
    assert_eq!(idle.length.due(idle.now + LENGTH_RETRY * 2), None, "a session that has nothing to send");
}

#[test]
fn a_black_hole_is_left_at_once_and_looked_into_later() {
    let mut path = Path::new(1_472, 1_472, 20);
    assert_eq!(path.rounds(20), 1_472);
    path.carries = 1_200;
    assert_eq!(path.rounds(1), 1_200, "one round of lost packets");
    path.rounds(100);
    let counts = *path.length.counts();
    assert_eq!((path.length.bytes(), counts.doubts, counts.holes), (1_200, 1, 1), "and once");
    path.carries = 1_472;
    assert_eq!(path.rounds(20), 1_200, "not before a minute is over");
    path.now = path.now + HOLE_RETRY;
    assert_eq!(path.rounds(40), 1_472);
    path.now = path.now + LENGTH_RETRY;
    let probes = path.length.counts().probes;
    path.rounds(40);
    assert_eq!(path.length.counts().probes, probes, "there is nothing left to find");
}

#[test]
fn a_tunnel_in_the_way_costs_what_it_takes() {
    let mut path = Path::new(1_472, 1_472, 20);
    path.rounds(20);
    path.carries = 1_392;
    assert_eq!(path.rounds(40), 1_372);
}

#[test]
fn what_is_lost_by_chance_changes_little() {
    let mut path = Path::new(1_472, 1_472, 20);
    path.rounds(20);
    let bytes = path.length.bytes() as u64;
    let mut random = 7_u64;
    let mut chance = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random >> 33
    };
    for (share, doubts_max) in [(30, 1), (100, 10), (200, 10), (400, 40)] {
        let before = path.length.counts().doubts;
        for _ in 0..20_000 {
            let number = PacketNumber(path.next);
            path.next += 1;
            if path.length.in_doubt() && path.length.due(path.now).is_some() {
                path.length.on_probe(path.now, number);
            }
            if chance() % 1_000 < share {
                path.length.on_lost(path.now, number, bytes, share);
            } else {
                path.length.on_acked(path.now, number, bytes, PacketNumber(path.next));
            }
        }
        let doubts = path.length.counts().doubts - before;
        assert!(doubts <= doubts_max, "{doubts} doubts in 20,000 packets at {share} of 1,000");
        assert_eq!(path.length.bytes() as u64, bytes);
    }
    assert_eq!(path.length.counts().holes, 0);
}

#[test]
fn what_the_host_refuses_to_send_is_not_tried_again() {
    let mut path = Path::new(8_900, 1_472, 1_000);
    path.host = 1_472;
    assert_eq!(path.rounds(200), 1_472);
    assert_eq!(path.length.counts().probes, 4, "1,452, 8,900, 1,472 and 4,052");
    assert!(!path.length.on_too_long(path.now, 8_900) && !path.length.on_too_long(path.now, 1_200));
    assert!(path.length.on_too_long(path.now, 1_472), "another link is in use");
    assert_eq!(path.length.bytes(), 1_200);
}

#[test]
fn another_path_is_looked_at_from_the_beginning() {
    let mut path = Path::new(1_472, 1_472, 20);
    path.rounds(20);
    path.length.on_path_change();
    assert_eq!(path.length.bytes(), 1_200);
    path.carries = 1_452;
    assert_eq!(path.rounds(60), 1_452);
}
