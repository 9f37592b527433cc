//! HOLD, and records on what it keeps.

use client_lfp::Config;
use lfp_proto::check;
use lfp_proto::frame::{Frame, Hold, Refusal};
use lfp_proto::geometry::CellRect;
use lfp_proto::limits::ACK_DELAY;
use lfp_proto::record::{Base, Context, Record};
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::{Technique, copy};
use lfp_proto::units::{ContentNumber, Epoch};

use crate::server::{SURFACE, Session, colour, live, pixels, records, rect};

const RED: [u8; 3] = [0, 0, 0xff];
const GREEN: [u8; 3] = [0, 0xff, 0];
const BLUE: [u8; 3] = [0xff, 0, 0];

/// HOLD of a slot, in the packet with the next number.
fn hold(session: &Session, slot: u8, through: u64) -> Frame<'static> {
    let age = session.next() - through;
    Frame::Hold(Hold { surface: SURFACE, epoch: Epoch(1), slot, age })
}

/// The record of a copy to `cells`, whose base cells have `contents` in reference `slot`.
fn moved(cells: CellRect, dx: i32, dy: i32, slot: u8, contents: &[u64]) -> Vec<u8> {
    let payload = copy::encode(Vector { dx, dy });
    let check = check::contents(contents.iter().copied().map(ContentNumber));
    let base = Base::Reference { slot, check };
    records(&[Record { base, ..Record::new(Technique::Copy, Context::Unknown, cells, &payload) }])
}

fn paint(session: &mut Session, cells: CellRect, colour_: &[u8; 3]) -> u64 {
    let bytes = records(&[colour(cells, colour_)]);
    session.say(&[pixels(1, &bytes)]).0
}

/// Why the records of the packets said since were refused, in order.
fn refusals(session: &mut Session) -> Vec<Refusal> {
    session.step(ACK_DELAY);
    let ack = session.ack().expect("an ack");
    let newest = session.next() - 1;
    let of_newest = ack.refused.iter().filter(|refused| refused.packet.0 == newest);
    of_newest.flat_map(|refused| refused.records.iter().map(|(_, reason)| *reason)).collect()
}

#[test]
fn a_copy_reads_the_reference_and_not_what_is_shown_since() {
    let mut session = Session::live(48, 32);
    let red = paint(&mut session, rect(0, 0, 3, 2), &RED);
    let green = paint(&mut session, rect(1, 0, 1, 1), &GREEN);
    let frame = hold(&session, 0, green);
    let blue = records(&[colour(rect(1, 0, 1, 1), &BLUE)]);
    session.say(&[frame, pixels(1, &blue)]);
    assert_eq!(session.pixel(16, 0), 0xff);
    // From four pixels to the right, a row of cells above: green, then red.
    session.say(&[pixels(1, &moved(rect(1, 1, 1, 1), 4, -16, 0, &[green, red]))]);
    let shown = [15, 16, 27, 28, 31, 32].map(|x| session.pixel(x, 16));
    assert_eq!(shown, [0xff_0000, 0xff00, 0xff00, 0xff_0000, 0xff_0000, 0xff_0000]);
    // Source and destination overlap.
    session.say(&[pixels(1, &moved(rect(0, 0, 2, 1), 8, 0, 0, &[red, green, red]))]);
    assert_eq!(
        [0, 8, 16, 23, 24].map(|x| session.pixel(x, 0)),
        [0xff_0000, 0xff00, 0xff00, 0xff00, 0xff_0000]
    );
    assert_eq!((session.client.stats().holds, session.client.stats().refused()), (1, 0));
}

#[test]
fn what_comes_late_joins_the_reference_and_what_is_newer_does_not() {
    let mut session = Session::live(32, 16);
    let red = paint(&mut session, rect(0, 0, 2, 1), &RED);
    let late = session.packet(&[pixels(1, &records(&[colour(rect(0, 0, 1, 1), &GREEN)]))]);
    let green = session.next() - 1;
    let frame = hold(&session, 1, green);
    let blue = records(&[colour(rect(0, 0, 1, 1), &BLUE)]);
    session.say(&[frame, pixels(1, &blue)]);
    let copy = moved(rect(1, 0, 1, 1), -16, 0, 1, &[green]);
    session.say(&[pixels(1, &copy)]);
    assert_eq!(refusals(&mut session), [Refusal::Base], "the reference still has {red}");
    session.deliver(&late);
    assert_eq!((session.pixel(0, 0), session.client.stats().records_superseded), (0xff, 1));
    session.say(&[pixels(1, &copy)]);
    assert_eq!(session.pixel(16, 0), 0xff00, "late pixels, which were never shown");
}

#[test]
fn a_late_copy_reads_the_reference_that_takes_it_too_as_it_was() {
    let mut session = Session::live(48, 16);
    let [red, green] = [(0, 3, RED), (1, 1, GREEN)]
        .map(|(x, width, colour)| paint(&mut session, rect(x, 0, width, 1), &colour));
    let first = hold(&session, 0, green);
    session.say(&[first]);
    // One cell to the right, where its second half reads what its first half is painted over.
    let late = session.packet(&[pixels(1, &moved(rect(1, 0, 2, 1), -16, 0, 0, &[red, green]))]);
    let number = session.next() - 1;
    let second = hold(&session, 0, number);
    session.say(&[second]);
    session.deliver(&late);
    assert_eq!([0, 16, 32].map(|x| session.pixel(x, 0)), [0xff_0000, 0xff_0000, 0xff00]);
    // The reference has taken the same.
    session.say(&[pixels(1, &moved(rect(0, 0, 1, 1), 32, 0, 0, &[number]))]);
    assert_eq!((session.pixel(0, 0), session.client.stats().refused()), (0xff00, 0));
}

#[test]
fn the_order_of_holds_does_not_matter() {
    let mut session = Session::live(32, 16);
    let red = paint(&mut session, rect(0, 0, 2, 1), &RED);
    let old = hold(&session, 0, red);
    let late = session.packet(&[old, pixels(1, &records(&[colour(rect(1, 0, 1, 1), &GREEN)]))]);
    let green = session.next() - 1;
    let new = hold(&session, 0, green);
    session.say(&[new, pixels(1, &records(&[colour(rect(0, 0, 1, 1), &BLUE)]))]);
    session.deliver(&late);
    session.say(&[pixels(1, &moved(rect(0, 0, 1, 1), 16, 0, 0, &[green]))]);
    assert_eq!((session.pixel(0, 0), session.client.stats().holds), (0xff00, 1));
    // A HOLD that goes back, or of what has been, is nothing new.
    for through in [red, green] {
        let frame = hold(&session, 0, through);
        session.say(&[frame]);
    }
    assert_eq!(session.client.stats().holds, 1);
}

#[test]
fn what_was_painted_over_before_its_hold_is_no_base() {
    let mut session = Session::live(32, 16);
    let red = paint(&mut session, rect(0, 0, 2, 1), &RED);
    paint(&mut session, rect(0, 0, 1, 1), &GREEN);
    let frame = hold(&session, 0, red);
    session.say(&[frame, pixels(1, &moved(rect(1, 0, 1, 1), -16, 0, 0, &[0]))]);
    assert_eq!(refusals(&mut session), [Refusal::Base]);
    session.say(&[pixels(1, &moved(rect(0, 0, 1, 1), 16, 0, 0, &[red]))]);
    assert_eq!(session.pixel(0, 0), 0xff_0000);
}

#[test]
fn every_flaw_of_a_base_is_refused() {
    let mut session = Session::live(40, 32);
    let red = paint(&mut session, rect(0, 0, 3, 1), &RED);
    let frame = hold(&session, 0, red);
    let good = moved(rect(1, 0, 1, 1), -16, 0, 0, &[red]);
    let payload = copy::encode(Vector { dx: -16, dy: 0 });
    let plain = Record::new(Technique::Copy, Context::Unknown, rect(1, 0, 1, 1), &payload);
    let based = Record { base: Base::Reference { slot: 0, check: 0 }, ..colour(rect(1, 0, 1, 1), &BLUE) };
    let current = Record { base: Base::Current { check: 0 }, ..plain };
    let long = [&payload[..], &[0]].concat();
    let check = check::contents([ContentNumber(red)]);
    let trailing = Record { base: Base::Reference { slot: 0, check }, payload: &long, ..plain };
    let all = [
        moved(rect(1, 0, 1, 1), -16, 0, 0, &[red + 1]),
        moved(rect(1, 0, 1, 1), -16, 0, 1, &[red]),
        moved(rect(1, 0, 1, 1), 0, 16, 0, &[0]),
        moved(rect(1, 0, 1, 1), -17, 0, 0, &[red]),
        moved(rect(2, 0, 1, 1), 1, 0, 0, &[red]),
        records(&[plain, based, current, trailing]),
        good,
    ]
    .concat();
    session.say(&[frame, pixels(1, &all)]);
    let (base, payload) = (Refusal::Base, Refusal::Payload);
    assert_eq!(refusals(&mut session), [base, base, base, payload, payload, base, base, base, payload]);
    assert_eq!((session.pixel(16, 0), session.pixel(16, 16)), (0xff_0000, 0));
}

#[test]
fn an_epoch_ends_its_references_and_a_client_keeps_no_more_than_it_said() {
    let mut session = Session::live(32, 16);
    let red = paint(&mut session, rect(0, 0, 2, 1), &RED);
    let frame = hold(&session, 0, red);
    let wrong = Frame::Hold(Hold { surface: SURFACE, epoch: Epoch(2), slot: 1, age: 1 });
    session.say(&[frame, wrong]);
    assert_eq!(session.client.stats().holds, 1);
    session.say(&[live(2, 32, 16)]);
    let copy = moved(rect(1, 0, 1, 1), -16, 0, 0, &[red]);
    session.say(&[pixels(2, &copy)]);
    assert_eq!(refusals(&mut session), [Refusal::Base]);

    let mut session = Session::established_as(&Config { references: 1, ..Config::default() });
    session.say(&[live(1, 32, 16)]);
    let red = paint(&mut session, rect(0, 0, 2, 1), &RED);
    for slot in [1, 0] {
        let frame = hold(&session, slot, red);
        session.say(&[frame]);
        assert_eq!(session.client.stats().holds, u64::from(slot == 0));
    }
}
