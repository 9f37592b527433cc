//! A server that says anything.

use client_lfp::oracle::{check, hostile_server};
use client_lfp::{Client, Config};
use lfp_proto::frame::{
    Ack, AckRange, Close, CloseReason, DigestReply, Frame, Hold, InputAck, InputKind, Mark, ResetReason,
    Stream, StreamCredit, StreamReset, Surface, SurfaceState, Verdict,
};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::record::{Base, Record};
use lfp_proto::time::Instant;
use lfp_proto::units::{Epoch, PacketNumber, StreamId, SurfaceId};

use crate::server::{CONNECTION, Session, live, ms, pixels, records};

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 8) % bound
    }

    /// Mostly small, at times anything.
    fn wild(&mut self) -> u64 {
        if self.below(8) == 0 { self.next() } else { self.below(40) }
    }
}

/// The same, of a stream.
fn any_stream_frame<'a>(rng: &mut Rng, bytes: &'a mut Vec<u8>) -> Frame<'a> {
    let stream = StreamId(rng.wild());
    bytes.resize(rng.below(300) as usize, 1);
    match rng.below(6) {
        0 => Frame::StreamReset(StreamReset { stream, reason: ResetReason::Broken, text: "" }),
        1 => Frame::StreamCredit(StreamCredit { stream, through: rng.below(100_000) }),
        _ => Frame::Stream(Stream { stream, offset: rng.below(40_000), fin: rng.below(9) == 0, bytes }),
    }
}

/// A well-formed frame that may lie in everything.
fn any_frame<'a>(rng: &mut Rng, base_epoch: u32, bytes: &'a mut Vec<u8>) -> Frame<'a> {
    let surface = SurfaceId(u16::from(rng.below(8) == 0));
    let epoch = Epoch(base_epoch + u32::from(rng.below(8) == 0));
    match rng.below(15) {
        13 | 14 => any_stream_frame(rng, bytes),
        12 => Frame::Hold(Hold { surface, epoch, slot: rng.below(2) as u8, age: rng.wild() }),
        0 => Frame::Ping,
        1 => {
            let last = rng.wild().max(1);
            let first = PacketNumber(last - rng.below(last).min(5));
            let ranges = vec![AckRange { first, last: PacketNumber(last) }];
            Frame::Ack(Ack { delay_us: rng.wild(), arrived_us: 0, recovered: 0, ranges, refused: Vec::new() })
        }
        2 => Frame::Floor(PacketNumber(rng.wild())),
        3 => {
            let (width, height) = (rng.below(100) as u16 + 80, rng.below(100) as u16 + 80);
            let size = Size::new(width, height).filter(|_| rng.below(3) > 0);
            let state = if size.is_some() { SurfaceState::Live } else { SurfaceState::Gone };
            Frame::Surface(Surface { surface, epoch, state, size, text: "" })
        }
        4 => {
            let (first, span) = (rng.wild().max(1), rng.wild());
            let (first, last) = (PacketNumber(first), PacketNumber(first.saturating_add(span)));
            let (tick, captured_us) = (rng.wild(), rng.next());
            Frame::Mark(Mark { surface, epoch, tick, captured_us, first, last })
        }
        5 => {
            let verdict = [Verdict::Exact, Verdict::Unsettled, Verdict::Differs][rng.below(3) as usize];
            Frame::DigestReply(DigestReply { id: rng.below(30) as u32, verdict })
        }
        6 => Frame::InputAck(InputAck { through: rng.wild(), dropped: rng.wild() }),
        _ => {
            for _ in 0..rng.below(4) {
                let len = if rng.below(2) == 0 { 3 } else { rng.below(12) };
                let payload: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
                let mut side = |bound| rng.below(bound) as u16;
                let cells = CellRect { x: side(4), y: side(4), width: side(4), height: side(4) };
                let base = match rng.below(20) {
                    0 => Base::Current { check: 0 },
                    1 => Base::Reference { slot: rng.below(2) as u8, check: rng.next() as u32 },
                    _ => Base::None,
                };
                let technique = match rng.below(5) {
                    0..3 => 1,
                    3 => rng.below(5) as u8,
                    _ => 9,
                };
                let age = rng.wild();
                Record { technique, context: 0, cells, age, base, payload: &payload }.emit(bytes);
            }
            Frame::Pixels(lfp_proto::frame::Pixels { surface, epoch, records: bytes })
        }
    }
}

#[test]
fn whatever_a_server_says_the_client_goes_on() {
    let mut refused = 0;
    let mut applied = 0;
    for seed in 1..=20 {
        let mut rng = Rng(seed * 0x9e37_79b9);
        let mut session = Session::established();
        let mut number = 0_u64;
        for step in 0..2500 {
            session.now = session.now + ms(rng.below(20));
            number = match rng.below(50) {
                0 => rng.next() >> rng.below(40),
                1..5 => number.wrapping_add(rng.below(2000)),
                _ => number.wrapping_add(1),
            };
            let mut builder = Builder::new(Vec::new(), 8900, Kind::Data, CONNECTION, PacketNumber(number));
            for _ in 0..rng.below(5) {
                let mut bytes = Vec::new();
                builder.push(&any_frame(&mut rng, step / 50 + 1, &mut bytes));
            }
            let mut bytes = builder.finish();
            if rng.below(20) == 0 {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
            session.client.handle_datagram(session.now, &bytes);
            if rng.below(4) == 0 {
                session.client.input(
                    session.now,
                    InputKind::Key { code: rng.below(99) as u16, down: rng.below(2) == 0 },
                );
            }
            if let Some(stream) = session.client.streams().open("any") {
                session.client.streams().write(stream, &[7; 600]);
            }
            session.client.handle_timeout(session.now);
            check(&mut session.client, session.now);
        }
        refused += session.client.stats().refused();
        applied += session.client.stats().records_applied;
    }
    assert!(refused > 1000 && applied > 1000, "{refused} refused, {applied} applied: the run tried little");
}

#[test]
fn bytes_that_are_no_datagrams_are_counted() {
    let mut rng = Rng(7);
    let mut session = Session::established();
    let good = session.packet(&[live(1, 64, 64)]);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = match rng.below(3) {
            0 => (0..rng.below(60)).map(|_| rng.next() as u8).collect(),
            1 => good[..rng.below(good.len() as u64) as usize].to_vec(),
            _ => {
                let mut bytes = good.clone();
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << rng.below(8);
                bytes
            }
        };
        fuzz_datagram(&mut session.client, session.now, &bytes);
    }
    // A flipped bit may make it one of a sealed connection, which this is not.
    let stats = session.client.stats();
    assert_eq!(stats.malformed + stats.foreign, 20_000);
    assert!(stats.malformed > 19_000, "{} malformed", stats.malformed);
}

/// The oracle: one datagram, whatever it holds, changes nothing but counters or a picture.
fn fuzz_datagram(client: &mut Client, now: Instant, bytes: &[u8]) {
    client.handle_datagram(now, bytes);
    check(client, now);
}

#[test]
fn random_payloads_with_a_valid_checksum_are_dropped_or_acted_on() {
    let mut rng = Rng(99);
    for kind in [Kind::Hello, Kind::Challenge, Kind::Accept, Kind::Refuse, Kind::Data] {
        for start in [Session::asking(&Config::default()), Session::live(64, 64)] {
            let mut session = start;
            session.sends();
            for number in 0..3000 {
                let mut builder =
                    Builder::new(Vec::new(), 8900, kind, CONNECTION, PacketNumber(number % 100 + 2));
                let len = rng.below(80);
                builder.body().extend((0..len).map(|_| rng.wild() as u8));
                fuzz_datagram(&mut session.client, session.now, &builder.finish());
            }
        }
    }
}

#[test]
fn the_fuzzers_oracle_goes_deep_and_holds() {
    let mut rng = Rng(5);
    for _ in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            let mut said = Vec::new();
            any_frame(&mut rng, 1, &mut Vec::new()).emit(&mut said);
            if rng.below(4) == 0 {
                let at = rng.below(said.len() as u64) as usize;
                said[at] = rng.next() as u8;
            }
            bytes.extend([(rng.next() as u8) & !1, rng.below(30) as u8]);
            bytes.extend((said.len() as u16).to_le_bytes());
            bytes.extend(said);
        }
        hostile_server(&bytes);
    }
}

#[test]
fn the_largest_surface_and_record_cost_what_they_must() {
    let mut session = Session::established();
    session.say(&[live(1, 8192, 4608)]);
    let cells = CellRect { x: 0, y: 0, width: 512, height: 8 };
    let record = Record { technique: 1, context: 1, cells, age: 0, base: Base::None, payload: &[1, 2, 3] };
    session.say(&[pixels(1, &records(&[record]))]);
    let bomb = Record { technique: 3, payload: &[0, 0xff, 0xff], ..record };
    session.say(&[pixels(1, &records(&[bomb]))]);
    assert_eq!((session.client.stats().records_applied, session.client.stats().refused()), (1, 1));
    session.say(&[Frame::Close(Close { reason: CloseReason::Done, text: "" })]);
    check(&mut session.client, session.now);
}
