//! Streams over a network that loses, reorders and doubles packets: what is read is what was written.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Rng;
use lfp_proto::frame::{Frame, ResetReason, Stream, StreamCredit, StreamReset};
use lfp_proto::limits::{DATAGRAM_MIN, STREAM_WINDOW, STREAMS_MAX, TEXT_MAX};
use lfp_proto::packet::{self, Builder, HEADER_LEN, Kind};
use lfp_proto::stream::{Carried, Reading, Side, Streams};
use lfp_proto::units::{ConnectionId, PacketNumber, StreamId};

/// A packet under way: what it holds, and what its sender remembers of it.
struct Packet {
    payload: Vec<u8>,
    carried: Vec<Carried>,
}

/// The packet that a side sends now, if it has anything to say.
fn packet(streams: &mut Streams, limit: usize) -> Option<Packet> {
    let mut builder = Builder::new(Vec::new(), limit, Kind::Data, ConnectionId(1), PacketNumber(1));
    let mut carried = Vec::new();
    streams.put_control(&mut builder, |what| carried.push(what));
    streams.put_bytes(&mut builder, |what| carried.push(what));
    let payload = builder.discard().split_off(HEADER_LEN);
    assert_eq!(payload.is_empty(), carried.is_empty());
    (!payload.is_empty()).then_some(Packet { payload, carried })
}

fn deliver(streams: &mut Streams, payload: &[u8]) {
    for frame in packet::frames(payload) {
        match frame.expect("it was built") {
            Frame::Stream(frame) => streams.on_stream(&frame),
            Frame::StreamCredit(frame) => streams.on_credit(&frame),
            Frame::StreamReset(frame) => streams.on_reset(&frame),
            other => panic!("{other:?}"),
        }
    }
}

/// Everything that a side has to say comes, and is acked.
fn pass(from: &mut Streams, to: &mut Streams) {
    while let Some(packet) = packet(from, DATAGRAM_MIN) {
        deliver(to, &packet.payload);
        packet.carried.into_iter().for_each(|carried| from.on_acked(carried));
    }
}

fn pair() -> (Streams, Streams) {
    (Streams::new(Side::Client), Streams::new(Side::Server))
}

/// What one side writes to a stream, and what came of it at the other.
#[derive(Default)]
struct Flow {
    length: u64,
    written: u64,
    read: u64,
    ended: bool,
}

/// The byte at `at` of a stream.
fn byte(stream: StreamId, at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 7) as u8 ^ stream.0 as u8
}

/// Both sides with what they have under way, and what they wrote and read.
struct World {
    sides: [Streams; 2],
    under_way: [Vec<Packet>; 2],
    /// By stream and writer.
    flows: BTreeMap<(StreamId, usize), Flow>,
    random: Rng,
}

impl World {
    fn write(&mut self, side: usize) {
        for ((stream, _), flow) in self.flows.iter_mut().filter(|((_, writer), _)| *writer == side) {
            let most = (flow.length - flow.written).min(1 + self.random.below(3_000));
            let bytes: Vec<_> = (flow.written..flow.written + most).map(|at| byte(*stream, at)).collect();
            flow.written += self.sides[side].write(*stream, &bytes) as u64;
            if flow.written == flow.length {
                self.sides[side].finish(*stream);
            }
        }
    }

    fn read(&mut self, side: usize) {
        while let Some((stream, kind)) = self.sides[side].accept() {
            assert_eq!(kind, "some kind");
            let length = self.random.below(60_000);
            assert!(self.flows.insert((stream, side), Flow { length, ..Flow::default() }).is_none());
        }
        // What this side has opened or accepted, it writes to as well.
        let known: BTreeSet<_> = self.flows.keys().filter(|key| key.1 == side).map(|key| key.0).collect();
        let all = self.flows.iter_mut().filter(|((_, writer), flow)| *writer != side && !flow.ended);
        let all = all.filter(|((stream, _), _)| known.contains(stream));
        for ((stream, _), flow) in all {
            let mut bytes = Vec::new();
            let reading = self.sides[side].read(*stream, &mut bytes, self.random.below(9_000) as usize);
            let expected = (flow.read..).map(|at| byte(*stream, at));
            assert!(expected.zip(&bytes).all(|(expected, byte)| expected == *byte), "{stream:?}");
            flow.read += bytes.len() as u64;
            assert!(flow.read <= flow.written, "{stream:?} has bytes that nobody wrote");
            flow.ended = reading == Reading::End;
            assert!(flow.ended || reading == Reading::Open, "{reading:?}");
            assert!(!flow.ended || flow.read == flow.length);
        }
    }

    /// Something becomes of a packet that is under way from `side`.
    fn happen(&mut self, side: usize, losses: bool) {
        let count = self.under_way[side].len() as u64;
        if count == 0 {
            return;
        }
        let at = self.random.below(count) as usize;
        let fate = if losses { self.random.below(10) } else { 9 };
        if fate < 3 {
            // Lost; or it counts as lost, and comes after all, now or later.
            let carried = self.under_way[side][at].carried.clone();
            carried.into_iter().for_each(|carried| self.sides[side].on_lost(carried));
            if fate < 2 {
                self.under_way[side].swap_remove(at);
            }
            return;
        }
        deliver(&mut self.sides[1 - side], &self.under_way[side][at].payload);
        if fate > 3 {
            let packet = self.under_way[side].swap_remove(at);
            packet.carried.into_iter().for_each(|carried| self.sides[side].on_acked(carried));
        }
    }
}

#[test]
fn what_is_read_is_what_was_written_whatever_happens_to_packets() {
    for seed in 0..12 {
        let (client, server) = pair();
        let mut world = World {
            sides: [client, server],
            under_way: [Vec::new(), Vec::new()],
            flows: BTreeMap::new(),
            random: Rng::new(seed),
        };
        let mut opened = 0;
        for step in 0..60_000_u32 {
            let side = world.random.below(2) as usize;
            if opened < 12 && world.random.below(40) == 0 {
                if let Some(stream) = world.sides[side].open("some kind") {
                    assert_eq!(stream.0 % 2, side as u64);
                    let length = world.random.below(60_000);
                    world.flows.insert((stream, side), Flow { length, ..Flow::default() });
                    opened += 1;
                }
            }
            world.write(side);
            if world.under_way[side].len() < 30 {
                let limit = DATAGRAM_MIN - world.random.below(700) as usize;
                let sent = packet(&mut world.sides[side], limit);
                world.under_way[side].extend(sent);
            }
            world.happen(side, step < 40_000);
            world.read(side);
            let memory = world.sides[side].memory_bytes();
            assert!(memory <= 2 * STREAMS_MAX * 4 * STREAM_WINDOW, "{memory} bytes");
        }
        assert!(opened >= 4, "seed {seed}: {opened} streams");
        for ((stream, writer), flow) in &world.flows {
            assert!(flow.ended, "seed {seed}: {stream:?} of {writer} has {} of {}", flow.read, flow.length);
        }
        assert!(world.sides.iter().all(|side| !side.has_bytes()), "seed {seed}: something is left");
    }
}

#[test]
fn a_stream_says_what_it_is_for_and_ends_both_ways() {
    let (mut client, mut server) = pair();
    let stream = client.open("control").expect("a stream");
    assert_eq!((stream, client.write(stream, b"question")), (StreamId(0), 8));
    client.finish(stream);
    pass(&mut client, &mut server);
    assert_eq!(server.accept(), Some((stream, "control".into())));
    assert_eq!(server.accept(), None, "each once");
    let mut bytes = Vec::new();
    assert_eq!(server.read(stream, &mut bytes, 3), Reading::Open);
    assert_eq!(server.read(stream, &mut bytes, 99), Reading::End);
    assert_eq!(bytes, b"question");
    assert_eq!(server.write(stream, b"answer"), 6);
    server.finish(stream);
    assert_eq!(server.write(stream, b"more"), 0, "it is finished");
    pass(&mut server, &mut client);
    assert_eq!(client.read(stream, &mut bytes, 99), Reading::End);
    assert_eq!(bytes, b"questionanswer");
    assert_eq!(client.read(stream, &mut bytes, 99), Reading::Gone);
    assert!(!client.any_open() && !server.any_open());
}

#[test]
fn there_are_no_more_streams_than_the_other_side_takes_and_places_come_free() {
    let (mut client, mut server) = pair();
    for round in 0..5_u64 {
        let streams: Vec<_> = std::iter::from_fn(|| client.open("x")).collect();
        let ids = (0..4).map(|at| StreamId(round * 8 + at * 2));
        assert_eq!(streams, ids.collect::<Vec<_>>());
        for stream in &streams {
            client.finish(*stream);
        }
        pass(&mut client, &mut server);
        while let Some((stream, _)) = server.accept() {
            assert_eq!(server.read(stream, &mut Vec::new(), 1), Reading::End);
            server.finish(stream);
        }
        assert_eq!(client.open("x"), None, "LFP-18.2");
        pass(&mut server, &mut client);
        for stream in streams {
            assert_eq!(client.read(stream, &mut Vec::new(), 1), Reading::End);
        }
        // Its acks have told the server that all is over.
        pass(&mut server, &mut client);
    }
}

#[test]
fn who_does_not_read_is_sent_no_more_than_a_window() {
    let (mut client, mut server) = pair();
    let stream = client.open("bulk").expect("a stream");
    let bytes = vec![7; 3 * STREAM_WINDOW];
    let mut written = client.write(stream, &bytes);
    for _ in 0..9 {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
        written += client.write(stream, &bytes);
    }
    // A name of four bytes, a window on its way, another one written.
    assert_eq!(written, 2 * STREAM_WINDOW - 5);
    assert!(!client.has_bytes(), "LFP-18.3");
    let (stream, _) = server.accept().expect("it was opened");
    server.read(stream, &mut Vec::new(), STREAM_WINDOW);
    pass(&mut server, &mut client);
    assert!(client.has_bytes(), "there is credit again");
}

#[test]
fn who_does_not_keep_to_the_rules_loses_the_stream() {
    let window = STREAM_WINDOW as u64;
    // Offset, bytes, and whether the stream ends behind them.
    type Said<'a> = (u64, &'a [u8], bool);
    let cases: [(&str, &[Said<'_>]); 6] = [
        ("beyond the credit", &[(window - 1, b"ab", false)]),
        ("beyond the end", &[(0, b"\x01x", true), (2, b"y", false)]),
        ("the end moves on", &[(5, b"x", true), (6, b"y", true)]),
        ("the end moves back", &[(5, b"x", false), (0, b"\x01x", true)]),
        ("no kind", &[(0, b"\x05abc", true)]),
        ("a kind that is no text", &[(0, b"\x02\x1b[", false)]),
    ];
    for (name, frames) in cases {
        let (mut client, mut server) = pair();
        let ours = client.open("x").expect("a stream");
        for (offset, bytes, fin) in frames {
            server.on_stream(&Stream { stream: ours, offset: *offset, fin: *fin, bytes });
        }
        assert_eq!(server.accept(), None, "{name}");
        assert_eq!((server.stats().broken, server.has_control()), (1, true), "{name}");
        pass(&mut server, &mut client);
        let reading = client.read(ours, &mut Vec::new(), 9);
        assert!(matches!(reading, Reading::Reset { reason: ResetReason::Broken, .. }), "{name}: {reading:?}");
        assert_eq!(client.read(ours, &mut Vec::new(), 9), Reading::Gone);
        assert!(!client.any_open() && !server.any_open(), "{name}");
        pass(&mut server, &mut client);
        assert!(std::iter::from_fn(|| client.open("x")).count() == STREAMS_MAX, "{name}");
    }
}

#[test]
fn frames_of_streams_that_there_are_not_change_nothing() {
    let (mut client, mut server) = pair();
    for stream in [1, 3, 8, 9, u64::MAX, u64::MAX - 1].map(StreamId) {
        server.on_stream(&Stream { stream, offset: 0, fin: true, bytes: b"\x01x" });
        server.on_reset(&StreamReset { stream, reason: ResetReason::Broken, text: "no" });
        server.on_credit(&StreamCredit { stream, through: 1 << 40 });
    }
    assert!(!server.any_open() && !server.has_control() && server.accept().is_none());
    // A reset of a stream that was never heard of ends it all the same.
    let stream = client.open("x").expect("a stream");
    client.reset(stream, ResetReason::Abandoned, "no use");
    pass(&mut client, &mut server);
    assert!(server.accept().is_none() && !server.any_open() && !client.any_open());
}

#[test]
fn any_frames_in_any_order_stay_within_the_bounds() {
    for seed in 0..30 {
        let mut random = Rng::new(seed);
        let mut streams = Streams::new(if seed % 2 == 0 { Side::Client } else { Side::Server });
        let text = "x".repeat(TEXT_MAX);
        for _ in 0..3_000 {
            let stream = StreamId(random.below(20));
            let offset = random.below(2 * STREAM_WINDOW as u64);
            let bytes = vec![1; random.below(1_100) as usize];
            let fin = random.percent(1);
            match random.below(12) {
                0 => streams.on_credit(&StreamCredit { stream, through: offset }),
                1 if random.below(20) == 0 => {
                    streams.on_reset(&StreamReset { stream, reason: ResetReason::Broken, text: &text });
                }
                2 => drop(streams.open("some kind")),
                3 => drop(streams.write(stream, &bytes)),
                4 => streams.finish(stream),
                5 => drop(streams.accept()),
                6 => drop(streams.read(stream, &mut Vec::new(), bytes.len())),
                7 => drop(packet(&mut streams, DATAGRAM_MIN)),
                8 => streams.on_lost(Carried::Credit { stream, through: offset }),
                _ => streams.on_stream(&Stream { stream, offset, fin, bytes: &bytes }),
            }
            let memory = streams.memory_bytes();
            assert!(memory <= 2 * STREAMS_MAX * 4 * STREAM_WINDOW, "{memory} bytes");
        }
    }
}
