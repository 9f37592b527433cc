//! Datagrams as they come from the network: good ones, and truncated, oversized, replayed, random, bit-flipped ones
//! and well-formed lies among them.

use lfp_proto::check;
use lfp_proto::frame::{
    Ack, AckRange, Attend, Attention, Button, Close, CloseReason, Digest, DigestReply, Echo, Echoed, Ecn,
    Frame, Hold, Input, InputAck, InputEvent, InputKind, Keep, Mark, Offer, Parity, Pixels, Prove, Quality,
    Refusal, Refused, Report, ResetReason, Stream, StreamCredit, StreamReset, Surface, SurfaceState, Verdict,
    Way,
};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::limits::DATAGRAM_MAX;
use lfp_proto::packet::{Builder, HEADER_LEN, Kind};
use lfp_proto::record::{Base, Record};
use lfp_proto::units::{Bitrate, ConnectionId, ContentNumber, Epoch, PacketNumber, StreamId, SurfaceId};

use crate::mutate::{self, Rng, mutated};
use crate::script::{self, Past};
use crate::seeds;

/// The connection of the session that scripts speak in.
pub(crate) const CONNECTION: ConnectionId = ConnectionId(0x0102_0304_0506_0708);
/// Datagrams of one script.
pub(crate) const DATAGRAMS: usize = 50;
/// Addresses that datagrams come from, as the lowest bits of what a step says; the session's is 0.
pub(crate) const ADDRESSES: u8 = 4;
/// The bit of what a step says that makes a HELLO bring the cookie which its address was given, if it was.
pub(crate) const WITH_COOKIE: u8 = 0x80;

/// What a server is sent. The seeds are those of [`seeds::traffic`], with scripts behind them.
pub(crate) fn to_server(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    script(seeds, rng, from_client)
}

/// What a client is sent.
pub(crate) fn to_client(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    script(seeds, rng, from_server)
}

/// A well-formed frame of one side that may lie in everything, in bytes.
type Liar = fn(&mut Rng, &mut Vec<u8>);

fn script(seeds: &[Vec<u8>], rng: &mut Rng, liar: Liar) -> Vec<u8> {
    let datagrams = seeds::datagrams(seeds);
    let mut script = Vec::with_capacity(DATAGRAMS * 400);
    let (mut past, mut number) = (Past::default(), 0);
    for _ in 0..DATAGRAMS {
        let gap = if rng.below(30) == 0 { rng.below(256) } else { rng.below(16) } as u8;
        let mut from = if rng.below(4) == 0 { rng.byte() } else { 0 };
        let bytes = match rng.below(16) {
            0 => truncated(seeds, rng),
            1 => oversized(seeds, rng),
            2 | 3 => match past.find(rng.below(DATAGRAMS)) {
                Some(range) => script[range].to_vec(),
                None => Vec::new(),
            },
            4 => (0..rng.below(100)).map(|_| rng.byte()).collect(),
            5 | 6 => flipped(&mut number, seeds, rng, liar),
            7 => addressed(mutated(&seeds[..datagrams], rng), rng),
            8 => {
                from = rng.byte();
                addressed(seeds[rng.below(datagrams)].clone(), rng)
            }
            // HELLO is the first of them: it brings sessions about, and moves them.
            9 => {
                from = rng.byte();
                addressed(seeds[0].clone(), rng)
            }
            _ => data(&mut number, seeds, rng, liar),
        };
        script::push(&mut script, gap, from, &bytes);
        past.note(&script, bytes.len());
    }
    script
}

fn truncated(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    bytes.truncate(rng.below(bytes.len()));
    if rng.below(4) == 0 { mutate::checksum(bytes) } else { bytes }
}

fn oversized(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    bytes.resize(DATAGRAM_MAX + 1 + rng.below(200), rng.byte());
    if rng.below(4) == 0 { mutate::checksum(bytes) } else { bytes }
}

fn flipped(number: &mut u64, seeds: &[Vec<u8>], rng: &mut Rng, liar: Liar) -> Vec<u8> {
    let mut bytes = data(number, seeds, rng, liar);
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
    bytes
}

/// Any datagram, mostly in the session's connection and with a right checksum.
fn addressed(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if let Some(connection) = bytes.get_mut(2..10).filter(|_| rng.below(4) > 0) {
        connection.copy_from_slice(&CONNECTION.0.to_le_bytes());
    }
    if rng.below(8) == 0 { bytes } else { mutate::checksum(bytes) }
}

/// A whole DATA datagram of the session: golden frames, mutated ones, and lies.
fn data(number: &mut u64, seeds: &[Vec<u8>], rng: &mut Rng, liar: Liar) -> Vec<u8> {
    *number = match rng.below(60) {
        0 => rng.next() >> rng.below(64),
        1..6 => number.wrapping_add(rng.below(300) as u64),
        6 => number.saturating_sub(rng.below(100) as u64),
        _ => number.wrapping_add(1),
    };
    let frames = &seeds[seeds::datagrams(seeds)..];
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, Kind::Data, CONNECTION, PacketNumber(*number));
    let body = builder.body();
    for _ in 0..=rng.below(4) {
        match rng.below(16) {
            0 => body.extend(mutated(frames, rng)),
            1 => body.extend(&frames[rng.below(frames.len())]),
            _ => liar(rng, body),
        }
    }
    body.truncate(DATAGRAM_MAX - 16);
    debug_assert!(body.len() >= HEADER_LEN);
    builder.finish()
}

fn surface_id(rng: &mut Rng) -> SurfaceId {
    SurfaceId(u16::from(rng.below(8) == 0))
}

fn epoch(rng: &mut Rng) -> Epoch {
    Epoch(if rng.below(8) == 0 { rng.wild() as u32 } else { 1 + rng.below(3) as u32 })
}

fn cells(rng: &mut Rng) -> CellRect {
    let most = if rng.below(8) == 0 { 1024 } else { 5 };
    let mut side = |least| least + rng.below(most) as u16;
    CellRect { x: side(0), y: side(0), width: side(1), height: side(1) }
}

fn ack(rng: &mut Rng) -> Ack {
    let mut last = if rng.below(2) == 0 { 1 + rng.below(10) as u64 } else { rng.wild().max(1) };
    let mut ranges = Vec::new();
    for _ in 0..=rng.below(3) {
        let first = last - rng.below(last.min(30) as usize) as u64;
        ranges.push(AckRange { first: PacketNumber(first), last: PacketNumber(last) });
        let Some(next) = first.checked_sub(2 + rng.below(9) as u64).filter(|next| *next > 0) else { break };
        last = next;
    }
    // In descending order of packets, each of which is acked.
    let mut refused = Vec::new();
    for range in &ranges {
        if rng.below(4) > 0 {
            continue;
        }
        let records: Vec<_> = (0..1 + rng.below(5) as u16)
            .map(|index| (index, Refusal::ALL[rng.below(Refusal::ALL.len())]))
            .collect();
        let span = (range.last.0 - range.first.0).min(40) as usize + 1;
        refused.push(Refused { packet: PacketNumber(range.last.0 - rng.below(span) as u64), records });
    }
    let arrived_us = rng.wild() as u32;
    Ack { delay_us: rng.wild().min(u64::from(u32::MAX)), arrived_us, recovered: rng.wild(), ranges, refused }
}

/// A frame of a stream, of those that may be open mostly, with lines as bytes.
fn of_stream(rng: &mut Rng, out: &mut Vec<u8>) {
    let stream = StreamId(if rng.below(16) == 0 { rng.wild() } else { rng.below(10) as u64 });
    let last = lfp_proto::limits::STREAM_LENGTH_MAX;
    match rng.below(12) {
        0 => {
            let reasons = [ResetReason::Abandoned, ResetReason::UnknownKind, ResetReason::Broken];
            Frame::StreamReset(StreamReset { stream, reason: reasons[rng.below(3)], text: "enough" })
                .emit(out);
        }
        1 | 2 => {
            Frame::StreamCredit(StreamCredit { stream, through: rng.wild().min(last) }).emit(out);
        }
        kind => {
            let mut bytes = Vec::new();
            let beginning: &[u8] = if kind == 3 { b"\x05other" } else { b"\x07control" };
            let offset = if kind < 8 { 0 } else { rng.below(40_000) as u64 };
            bytes.extend(beginning.iter().filter(|_| offset == 0));
            for _ in 0..rng.below(20) {
                let lines: [&[u8]; 4] =
                    [b"{\"request\":\"directory\"}\n", b"{\"request\":\"session\"}\n", b"\n", b"{{{{{{{"];
                bytes.extend(lines[rng.below(4)]);
            }
            Frame::Stream(Stream { stream, offset, fin: rng.below(20) == 0, bytes: &bytes }).emit(out);
        }
    }
}

/// What either side may say, and CLOSE once in a while.
fn from_either(rng: &mut Rng) -> Frame<'static> {
    match rng.below(24) {
        0 => Frame::Ping,
        1 if rng.below(8) == 0 => Frame::Close(Close { reason: CloseReason::Protocol, text: "enough" }),
        1 => Frame::Padding,
        2..6 => Frame::Floor(PacketNumber(rng.wild())),
        _ => Frame::Ack(ack(rng)),
    }
}

fn quality(rng: &mut Rng) -> Quality {
    let time = |rng: &mut Rng| rng.wild().min(u64::from(u32::MAX));
    let (jitter_us, queued_us) = (time(rng), time(rng));
    let (came, missing, reordered, again) = (rng.wild(), rng.wild(), rng.wild(), rng.wild());
    let up = Way { came, missing, reordered, again, jitter_us, queued_us };
    let rate = Bitrate::from_bps(rng.wild());
    Quality { rtt_us: time(rng), rate, jitter_us: time(rng), queued_us: time(rng), up }
}

fn from_server(rng: &mut Rng, out: &mut Vec<u8>) {
    if rng.below(15) == 0 {
        return of_stream(rng, out);
    }
    let (surface, epoch) = (surface_id(rng), epoch(rng));
    let mut records = Vec::new();
    let frame = match rng.below(18) {
        0 | 1 => from_either(rng),
        17 => {
            let plots = u128::from(rng.wild()) | if rng.below(2) == 0 { u128::MAX << 64 } else { 0 };
            Frame::Keep(Keep { surface, epoch, part: rng.below(3) as u8, plots })
        }
        15 => Frame::Quality(quality(rng)),
        14 => {
            let count = 1 + rng.below(16) as u8;
            let payload: Vec<u8> = (0..rng.below(200)).map(|_| rng.wild() as u8).collect();
            let back = (count + rng.below(4) as u8).min(32);
            let len = if rng.below(2) == 0 { payload.len() as u16 } else { rng.wild() as u16 };
            Frame::Parity(Parity { back, count, len, payload: &payload }).emit(out);
            return;
        }
        16 => {
            let (mut sequence, count) = (0, 1 + rng.below(16));
            let age = rng.below(6) as u64;
            let events = (0..count).map(|_| {
                sequence += 1 + rng.below(3) as u64;
                Echoed { sequence, injection_us: rng.wild() as u32, wait_us: rng.below(3_000) as u32 }
            });
            let events = events.collect();
            let cell = (rng.below(12) as u16, rng.below(12) as u16);
            let (encode_us, pacing_us) = (rng.wild() as u32, rng.below(3_000) as u32);
            Frame::Echo(Echo { surface, epoch, cell, age, encode_us, pacing_us, events })
        }
        12 => Frame::Hold(hold(rng)),
        13 => {
            let mut side = || rng.below(12) as u16;
            let cells = CellRect { x: side(), y: side(), width: 1 + side(), height: 1 + side() };
            Frame::Prove(Prove { surface, epoch, cells })
        }
        2 => {
            let mut side = || 1 + rng.below(150) as u16;
            let size = Size::new(side(), side()).filter(|_| rng.below(4) > 0);
            let state = if size.is_some() { SurfaceState::Live } else { SurfaceState::Gone };
            Frame::Surface(Surface { surface, epoch, state, size, text: "" })
        }
        3 => {
            let first = rng.wild();
            let last = PacketNumber(first.saturating_add(rng.wild()));
            let (tick, captured_us) = (rng.wild(), rng.next());
            Frame::Mark(Mark { surface, epoch, tick, captured_us, first: PacketNumber(first), last })
        }
        4 => {
            let verdict = [Verdict::Exact, Verdict::Unsettled, Verdict::Differs][rng.below(3)];
            Frame::DigestReply(DigestReply { id: rng.wild() as u32, verdict })
        }
        5 => Frame::InputAck(InputAck { through: rng.wild(), dropped: rng.wild() }),
        _ => {
            for _ in 0..rng.below(4) {
                push_record(rng, &mut records);
            }
            Frame::Pixels(Pixels { surface, epoch, records: &records })
        }
    };
    frame.emit(out);
}

/// Mostly of what has come just now.
fn hold(rng: &mut Rng) -> Hold {
    let age = if rng.below(4) == 0 { rng.wild() } else { rng.below(4) as u64 };
    Hold { surface: surface_id(rng), epoch: epoch(rng), slot: rng.below(2) as u8, age }
}

fn push_record(rng: &mut Rng, out: &mut Vec<u8>) {
    let (mut cells, technique) = (cells(rng), [1, 1, 2, 3, 4, 9][rng.below(6)]);
    cells.x %= 512;
    cells.y %= 512;
    let payload: Vec<u8> = if technique == 9 {
        // Some lead into the picture.
        let side = |rng: &mut Rng| if rng.below(8) == 0 { rng.wild() as u8 } else { rng.below(60) as u8 };
        vec![side(rng) & 0x7f, side(rng) & 0x7f]
    } else {
        let len = if technique == 1 { 3 } else { rng.below(40) };
        (0..len).map(|_| rng.byte()).collect()
    };
    let base = match rng.below(10) {
        0 => Base::Current { check: rng.wild() as u32 },
        1 => any_reference(rng),
        _ if technique == 9 => any_reference(rng),
        _ => Base::None,
    };
    Record { technique, context: rng.below(3) as u8, cells, age: rng.wild(), base, payload: &payload }
        .emit(out);
}

/// Half of them on four cells that all have a content of one digit: so small a check may be right.
fn any_reference(rng: &mut Rng) -> Base {
    let content = ContentNumber(1 + rng.below(9) as u64);
    let cells = [1, 2, 4][rng.below(3)];
    let check = if rng.below(2) == 0 {
        rng.wild() as u32
    } else {
        check::contents([content; 4].into_iter().take(cells))
    };
    Base::Reference { slot: rng.below(2) as u8, check }
}

fn from_client(rng: &mut Rng, out: &mut Vec<u8>) {
    if rng.below(10) == 0 {
        return of_stream(rng, out);
    }
    let frame = match rng.below(12) {
        0..4 => from_either(rng),
        10 => {
            // As many as there may be, or as can be written.
            let count = |rng: &mut Rng| if rng.below(4) == 0 { rng.wild() } else { rng.below(40) as u64 };
            Frame::Ecn(Ecn { ect0: count(rng), ce: count(rng) })
        }
        11 => {
            // A surface of the fuzzed server has few plots.
            let digests = (0..rng.below(12)).map(|_| rng.next()).collect();
            let part = rng.below(2) as u8;
            Frame::Offer(Offer { surface: surface_id(rng), epoch: epoch(rng), part, digests })
        }
        9 => {
            let (came, missing, reordered, again) = (rng.wild(), rng.wild(), rng.wild(), rng.wild());
            Frame::Report(Report { came, missing, reordered, again, busy: rng.below(1_001) as u16 })
        }
        8 => Frame::Attention(Attend { surface: surface_id(rng), attention: Attention::ALL[rng.below(3)] }),
        4 => Frame::Digest(Digest {
            id: rng.wild() as u32,
            surface: surface_id(rng),
            epoch: epoch(rng),
            cells: cells(rng),
            contents: rng.wild() as u32,
            pixels: rng.wild() as u32,
        }),
        _ => Frame::Input(input(rng)),
    };
    frame.emit(out);
}

fn input(rng: &mut Rng) -> Input {
    let (mut sequence, mut events) = (rng.wild(), Vec::new());
    let most = if rng.below(8) == 0 { 64 } else { 3 };
    for _ in 0..=rng.below(most) {
        let down = rng.below(2) == 0;
        let kind = match rng.below(7) {
            0 => InputKind::MoveTo { x: rng.wild() as u16, y: rng.wild() as u16 },
            1 => InputKind::MoveBy { dx: rng.wild() as i16, dy: rng.wild() as i16 },
            2 => InputKind::Wheel { dx: rng.byte() as i8, dy: rng.byte() as i8 },
            3 => InputKind::FocusLost,
            4 => InputKind::Button { button: Button::ALL[rng.below(Button::ALL.len())], down },
            _ => InputKind::Key { code: rng.wild() as u16, down },
        };
        let Some(next) = sequence.checked_add(1 + (rng.wild() >> 1)) else { break };
        sequence = next;
        events.push(InputEvent { sequence, kind });
    }
    if events.is_empty() {
        events.push(InputEvent { sequence: u64::MAX, kind: InputKind::FocusLost });
    }
    Input { surface: surface_id(rng), events }
}
