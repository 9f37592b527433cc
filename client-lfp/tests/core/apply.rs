//! Records, refusals, acks, epochs.

use client_lfp::limits::{ACK_DELAY, ACK_PACKETS, LOSS_PACKETS};
use client_lfp::{CellNote, Config};
use lfp_proto::depth::Depth;
use lfp_proto::frame::{AckRange, Digest, DigestReply, Frame, Parity, Refusal, SurfaceState, Verdict};
use lfp_proto::packet::View;
use lfp_proto::record::{Base, Context, Record};
use lfp_proto::technique::{Technique, bitmap, raw};
use lfp_proto::units::{Epoch, PacketNumber};
use lfp_proto::window::ParityGroup;

use crate::server::{Session, ack_of, colour, dark, live, ms, pixels, records, rect};

const RED: [u8; 3] = [0, 0, 0xff];
const BLUE: [u8; 3] = [0xff, 0, 0];

#[test]
fn every_technique_paints_its_clipped_rectangle() {
    let mut session = Session::live(40, 20);
    let source: Vec<u32> = (0..800).map(|at| at * 77).collect();
    let mut raw_bytes = Vec::new();
    raw::encode(Depth::Bits24, &source, &mut raw_bytes);
    let mut bitmap_bytes = Vec::new();
    let mut encoder = bitmap::Encoder::new(bitmap::Effort::Fast);
    assert!(encoder.encode(&source, 40, 8000, &mut bitmap_bytes));
    for (technique, payload) in [(Technique::Raw, &raw_bytes), (Technique::Bitmap, &bitmap_bytes)] {
        session.say(&[pixels(1, &records(&[colour(rect(0, 0, 3, 2), &RED)]))]);
        assert!(session.client.picture().expect("a picture").pixels.iter().all(|pixel| *pixel == 0xff_0000));
        let record = Record::new(technique, Context::Unknown, rect(0, 0, 3, 2), payload);
        session.say(&[pixels(1, &records(&[record]))]);
        assert_eq!(session.client.picture().expect("a picture").pixels, source, "{technique:?}");
    }
    assert!(session.client.painted_at().is_some());
}

#[test]
fn larger_content_wins_per_cell_whatever_the_order() {
    let mut session = Session::live(32, 16);
    let whole = records(&[colour(rect(0, 0, 2, 1), &RED)]);
    let early = session.packet(&[pixels(1, &whole)]);
    let right = records(&[colour(rect(1, 0, 1, 1), &BLUE)]);
    session.say(&[pixels(1, &right)]);
    session.deliver(&early);
    assert_eq!((session.pixel(0, 0), session.pixel(16, 0)), (0xff_0000, 0xff));
    // The same content again: done already, though the packet is new.
    let repeat = records(&[Record { age: 2, ..colour(rect(0, 0, 2, 1), &BLUE) }]);
    session.say(&[pixels(1, &repeat)]);
    assert_eq!((session.pixel(0, 0), session.pixel(16, 0)), (0xff_0000, 0xff));
    let stats = session.client.stats();
    assert_eq!((stats.records_applied, stats.records_superseded, stats.refused()), (2, 1, 0));
}

#[test]
fn notes_say_where_each_cell_came_from() {
    let mut session = Session::established_as(&Config { notes: true, ..Config::default() });
    session.say(&[live(1, 48, 16)]);
    let notes = |session: &Session| [0, 1, 2].map(|index| session.client.note(index));
    assert_eq!(notes(&session), [None; 3]);
    let late = session.packet(&[pixels(1, &records(&[colour(rect(0, 0, 3, 1), &RED)]))]);
    let text = Record { context: Context::Text as u8, ..colour(rect(1, 0, 1, 1), &BLUE) };
    session.say(&[pixels(1, &records(&[text]))]);
    let first = session.now;
    session.now = first + ms(40);
    session.deliver(&late);
    let note = |context, at, suspect| Some(CellNote { context, technique: Technique::Colour, at, suspect });
    let around = note(Context::Flat, session.now, false);
    assert_eq!(notes(&session), [around, note(Context::Text, first, false), around]);
    let refused = Record { technique: 31, ..colour(rect(2, 0, 1, 1), &RED) };
    session.say(&[pixels(1, &records(&[refused]))]);
    assert_eq!(notes(&session)[2].map(|note| note.suspect), Some(true));
    session.say(&[live(2, 48, 16)]);
    assert_eq!(notes(&session), [None; 3]);
    assert_eq!(Session::live(16, 16).client.note(0), None);
}

#[test]
fn each_reason_refuses_and_nothing_else_of_the_packet_suffers() {
    let mut session = Session::live(32, 32);
    let number = session.next();
    let good = colour(rect(0, 0, 1, 1), &RED);
    let bad = [
        (Refusal::Cells, Record { cells: rect(1, 0, 2, 1), ..good }),
        (Refusal::Cells, Record { cells: rect(0, 0, 0, 1), ..good }),
        (Refusal::Content, Record { age: number, ..good }),
        (Refusal::Content, Record { age: u64::MAX, ..good }),
        (Refusal::Technique, Record { technique: 31, ..good }),
        (Refusal::Base, Record { base: Base::Current { check: 0 }, ..good }),
        (Refusal::Base, Record { base: Base::Reference { slot: 1, check: 0 }, ..good }),
        (Refusal::Payload, Record { payload: &RED[..2], ..good }),
        (Refusal::Payload, Record { technique: Technique::Raw as u8, ..good }),
        (Refusal::Payload, Record { technique: Technique::Bitmap as u8, ..good }),
    ];
    let mut all: Vec<_> = bad.iter().map(|(_, record)| *record).collect();
    all.push(colour(rect(1, 1, 1, 1), &BLUE));
    let bytes = records(&all);
    let foreign = Frame::Pixels(lfp_proto::frame::Pixels {
        surface: lfp_proto::units::SurfaceId(9),
        epoch: Epoch(1),
        records: &bytes[..records(&all[..1]).len()],
    });
    session.say(&[pixels(1, &bytes), foreign, pixels(2, &records(&[good]))]);
    let ack = {
        session.step(ACK_DELAY);
        session.ack().expect("an ack")
    };
    let mut expected: Vec<_> = bad.iter().enumerate().map(|(at, (reason, _))| (at as u16, *reason)).collect();
    expected.extend([(11, Refusal::Surface), (12, Refusal::Epoch)]);
    assert_eq!(ack.refused[0].records, expected);
    assert_eq!((session.pixel(0, 0), session.pixel(16, 16)), (0, 0xff));
}

#[test]
fn refusals_repeat_until_a_packet_that_carried_them_is_acked() {
    let mut session = Session::live(16, 16);
    let bad = records(&[colour(rect(0, 0, 1, 1), &RED[..1])]);
    let number = session.say(&[pixels(1, &bad)]);
    let mut carriers = Vec::new();
    for _ in 0..3 {
        session.step(ACK_DELAY);
        let frames = session.hears();
        // The first goes with a report.
        let [(carrier, Frame::Ack(ack)), ..] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((ack.refused.len(), ack.refused[0].packet), (1, number));
        carriers.push(*carrier);
        session.say(&[Frame::Ping]);
    }
    session.say(&[ack_of(carriers[1]), Frame::Ping]);
    session.step(ACK_DELAY);
    assert!(session.ack().expect("an ack").refused.is_empty());
}

#[test]
fn acks_wait_a_little_unless_a_gap_shows() {
    let mut session = Session::live(16, 16);
    assert_eq!(session.ack(), None);
    assert_eq!(session.client.poll_timeout(), Some(session.now + ACK_DELAY));
    session.step(ACK_DELAY);
    assert!(session.ack().is_some());
    for _ in 1..ACK_PACKETS {
        session.say(&[Frame::Ping]);
        assert_eq!(session.ack(), None);
    }
    session.say(&[Frame::Ping]);
    assert!(session.ack().is_some());
    session.packet(&[Frame::Ping]);
    let number = session.say(&[Frame::Ping]);
    let ack = session.ack().expect("the gap is named at once");
    assert_eq!(ack.ranges.len(), 2);
    assert_eq!(ack.ranges[0], AckRange { first: number, last: number });
    session.say(&[Frame::Floor(number), Frame::Ping]);
    session.step(ACK_DELAY);
    assert_eq!(session.ack().expect("an ack").ranges.len(), 1, "the floor is honoured");
    assert_eq!(session.client.stats().packets_lost, 1);
}

#[test]
fn a_lost_packet_comes_out_of_its_parity_and_is_acked_as_recovered() {
    let mut session = Session::live(16, 16);
    let (red, blue) =
        (records(&[colour(rect(0, 0, 1, 1), &RED)]), records(&[colour(rect(0, 0, 1, 1), &BLUE)]));
    let mut group = ParityGroup::default();
    let mut covered = |session: &mut Session, frames: &[Frame<'_>]| {
        let number = PacketNumber(session.next());
        let bytes = session.packet(frames);
        group.add(number, View::new_checked(&bytes).unwrap().payload());
        (number, bytes)
    };
    let (first, late) = covered(&mut session, &[pixels(1, &red)]);
    let (_, second) = covered(&mut session, &[Frame::Ping]);
    session.deliver(&second);
    assert_eq!(session.pixel(0, 0), 0);
    let parity = group.parity(PacketNumber(session.next())).unwrap();
    let carrier = session.say(&[Frame::Parity(parity)]);
    assert_eq!((session.pixel(0, 0), session.client.stats().packets_recovered), (0xff_0000, 1));
    assert_eq!(session.client.stats().packets_lost, 0);
    let ack = session.ack().expect("it is acked at once");
    assert_eq!((ack.recovered, ack.ranges[0].last), (1, carrier));
    assert!(ack.ranges.last().unwrap().first <= first && ack.ranges.len() == 1);
    // The original, late, and the same PARITY change nothing more.
    session.say(&[pixels(1, &blue)]);
    session.deliver(&late);
    session.say(&[Frame::Parity(Parity { back: parity.back + 2, ..parity })]);
    assert_eq!((session.pixel(0, 0), session.client.stats().packets_recovered), (0x00_00ff, 1));
}

#[test]
fn a_new_epoch_starts_blank_and_old_pixels_do_not_leak() {
    let mut session = Session::live(16, 16);
    let red = records(&[colour(rect(0, 0, 1, 1), &RED)]);
    session.say(&[pixels(1, &red)]);
    let late = session.packet(&[pixels(1, &red)]);
    session.say(&[dark(2, SurfaceState::Gone, "the guest has stopped")]);
    let view = session.client.surface().expect("a surface");
    assert_eq!((view.state, view.text, view.size), (SurfaceState::Gone, "the guest has stopped", None));
    let picture = session.client.picture().expect("the last picture");
    assert!(!picture.live && picture.pixels[0] == 0xff_0000 && !session.client.exact());
    session.say(&[pixels(2, &red)]);
    session.say(&[live(3, 16, 16), live(1, 32, 32)]);
    let picture = session.client.picture().expect("a picture");
    assert!(picture.live && picture.contents == [0] && picture.pixels[0] == 0 && picture.epoch == Epoch(3));
    session.deliver(&late);
    assert_eq!(session.pixel(0, 0), 0);
    let refusals = session.client.stats().records_refused;
    assert_eq!((refusals[0], refusals[1]), (1, 1), "one of a dark surface, one of an old epoch");
}

#[test]
fn duplicates_and_damaged_packets_are_counted_and_dropped() {
    let mut session = Session::live(16, 16);
    let mut bytes = session.packet(&[pixels(1, &records(&[colour(rect(0, 0, 1, 1), &RED)]))]);
    session.deliver(&bytes);
    session.deliver(&bytes);
    bytes[20] ^= 1;
    session.deliver(&bytes);
    session.deliver(&bytes[..10]);
    let stats = session.client.stats();
    assert_eq!((stats.duplicates, stats.malformed, stats.records_applied), (1, 2, 1));
    session.step(ms(5));
    assert_eq!(session.ack().expect("an ack").largest(), PacketNumber(2));
}

#[test]
fn cells_that_come_after_a_loss_count_as_repaired_until_their_band_is_proven() {
    let mut session = Session::live(16, 256);
    let paint = |session: &mut Session, y, height| {
        let bytes = records(&[colour(rect(0, y, 1, height), &RED)]);
        session.say(&[pixels(1, &bytes)]);
    };
    paint(&mut session, 0, 16);
    session.packet(&[Frame::Ping]);
    for _ in 0..LOSS_PACKETS {
        assert_eq!(session.client.stats().cells_repaired, 0);
        session.say(&[Frame::Ping]);
    }
    paint(&mut session, 0, 1);
    assert_eq!((session.client.stats().cells_repaired, session.client.stats().packets_lost), (1, 1));
    for (_, frame) in session.hears_for(ms(60)) {
        if let Frame::Digest(Digest { id, .. }) = frame {
            session.say(&[Frame::DigestReply(DigestReply { id, verdict: Verdict::Exact })]);
        }
    }
    assert!(session.client.exact());
    paint(&mut session, 0, 16);
    assert_eq!(session.client.stats().cells_repaired, 1);
}
