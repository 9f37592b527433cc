//! Datagrams: numbers across 32 bits, limits that hold, padding that costs nothing.

mod common;

use common::Rng;
use lfp_proto::frame::{Close, CloseReason, Frame, Pixels};
use lfp_proto::geometry::CellRect;
use lfp_proto::limits::{DATAGRAM_MAX, DATAGRAM_MIN, FRAMES_MAX, RECORDS_MAX, TRAILER_RESERVED};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind, PLAIN_TRAILER_LEN, View};
use lfp_proto::record::{Context, Record};
use lfp_proto::technique::Technique;
use lfp_proto::units::{ConnectionId, Epoch, PacketNumber, SurfaceId};
use lfp_proto::wire::Malformed;

const CONNECTION: ConnectionId = ConnectionId(7);

fn builder(limit: usize, number: u64) -> Builder {
    Builder::new(Vec::new(), limit, Kind::Data, CONNECTION, PacketNumber(number))
}

fn small_records(count: usize) -> Vec<u8> {
    let cells = CellRect { x: 0, y: 0, width: 1, height: 1 };
    let mut records = Vec::new();
    for _ in 0..count {
        Record::new(Technique::Colour, Context::Flat, cells, &[1, 2, 3]).emit(&mut records);
    }
    records
}

fn pixels(records: &[u8]) -> Frame<'_> {
    Frame::Pixels(Pixels { surface: SurfaceId(0), epoch: Epoch(1), records })
}

#[test]
fn a_number_comes_back_if_it_is_within_half_of_32_bits() {
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let largest = rng.next() >> (1 + rng.below(62));
        let away = (rng.next() >> (33 + rng.below(20))) as i64;
        let away = if rng.percent(50) { away } else { -away };
        let Some(number) = (largest + 1).checked_add_signed(away).filter(|number| *number > 0) else {
            continue;
        };
        let bytes = builder(DATAGRAM_MIN, number).finish();
        let view = View::new_checked(&bytes).expect("what is built is whole");
        assert_eq!(view.number(PacketNumber(largest)), PacketNumber(number), "largest {largest}");
    }
}

#[test]
fn padding_fills_a_datagram_and_counts_as_no_frame() {
    let mut padded = builder(DATAGRAM_MAX, 1);
    assert!(padded.push(&Frame::Ping));
    padded.pad_to(usize::MAX);
    let bytes = padded.finish();
    assert_eq!(bytes.len(), DATAGRAM_MAX);
    let view = View::new_checked(&bytes).expect("what is built is whole");
    assert_eq!(view.frames().collect::<Vec<_>>(), [Ok(Frame::Ping)]);
}

#[test]
fn a_builder_takes_no_more_than_fits() {
    let text = "x".repeat(300);
    let close = Frame::Close(Close { reason: CloseReason::Done, text: &text });
    let mut full = builder(DATAGRAM_MIN, 1);
    let mut taken = 0;
    while full.push(&close) {
        taken += 1;
    }
    assert_eq!(taken, 5, "texts are cut off at 200 bytes");
    assert!(full.room() < 204);
    let room = full.room();
    full.body().extend(vec![0; room]);
    assert_eq!(full.finish().len(), DATAGRAM_MIN - TRAILER_RESERVED + PLAIN_TRAILER_LEN);
    let mut pings = builder(DATAGRAM_MAX, 1);
    assert_eq!((0..500).filter(|_| pings.push(&Frame::Ping)).count(), FRAMES_MAX);
    assert!(builder(0, 1).is_empty() && !builder(0, 1).push(&Frame::Ping));
}

#[test]
fn records_are_counted_over_all_frames_of_a_packet() {
    let (half, rest) = (small_records(RECORDS_MAX / 2), small_records(RECORDS_MAX / 2 + 1));
    let mut legal = builder(DATAGRAM_MAX, 1);
    assert!(legal.push(&pixels(&half)) && legal.push(&pixels(&half)));
    assert!(!legal.push(&pixels(&small_records(1))), "one record more than an ack can refuse");
    let bytes = legal.finish();
    assert_eq!(View::new_checked(&bytes).and_then(|view| view.check_frames()), Ok(()));
    let mut illegal = builder(DATAGRAM_MAX, 1);
    for records in [&half, &rest] {
        pixels(records).emit(illegal.body());
    }
    let bytes = illegal.finish();
    let view = View::new_checked(&bytes).expect("what is built is whole");
    assert_eq!(view.check_frames(), Err(Malformed::Field("frame count")));
    assert_eq!(view.frames().count(), 2, "the first frame, then the error, then no more");
}

#[test]
fn any_flipped_bit_is_found() {
    let mut one = builder(DATAGRAM_MIN, 1);
    assert!(one.push(&Frame::Ping));
    let bytes = one.finish();
    assert_eq!(bytes.len(), HEADER_LEN + 1 + PLAIN_TRAILER_LEN);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(View::new_checked(&flipped).is_err(), "bit {bit}");
    }
    assert!((0..bytes.len()).all(|len| View::new_checked(&bytes[..len]).is_err()));
}
