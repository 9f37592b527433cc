//! Pictures that are kept in slots, and records that use them.

use lfp_proto::check;
use lfp_proto::frame::{Frame, Hold, Refusal};
use lfp_proto::geometry::CellRect;
use lfp_proto::limits::ACK_DELAY;
use lfp_proto::record::{Base, Context, Record};
use lfp_proto::technique::Technique;
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::cache::{Store, Stored, Use};
use lfp_proto::units::{ContentNumber, Epoch};

use crate::server::{SURFACE, Session, colour, live, pixels, records, rect};

const RED: [u8; 3] = [0, 0, 0xff];
const GREEN: [u8; 3] = [0, 0xff, 0];
const BLUE: [u8; 3] = [0xff, 0, 0];

/// Paints `cells` and holds the picture as reference 0.
fn paint_and_hold(session: &mut Session, cells: CellRect, colour_: &[u8; 3]) -> u64 {
    let bytes = records(&[colour(cells, colour_)]);
    let content = session.say(&[pixels(1, &bytes)]).0;
    let age = session.next() - content;
    session.say(&[Frame::Hold(Hold { surface: SURFACE, epoch: Epoch(1), slot: 0, age })]);
    content
}

fn stored(slot: u32, generation: u32) -> Stored {
    Stored { slot, generation }
}

/// The record of a store of `cells`, all of which have `content` in reference 0.
fn store(cells: CellRect, content: u64, stored: Stored) -> Vec<u8> {
    let payload = Store { vector: Vector::default(), stored }.payload();
    let check = check::contents(vec![ContentNumber(content); cells.cells()]);
    let base = Base::Reference { slot: 0, check };
    records(&[Record { base, ..Record::new(Technique::Store, Context::Unknown, cells, &payload) }])
}

fn used(cells: CellRect, stored: Stored, x: u16, y: u16) -> Vec<u8> {
    let payload = Use { stored, x, y }.payload();
    records(&[Record::new(Technique::Use, Context::Unknown, cells, &payload)])
}

/// Why records of the newest packet were refused, in order.
fn refusals(session: &mut Session) -> Vec<Refusal> {
    session.step(ACK_DELAY);
    let ack = session.ack().expect("an ack");
    let newest = session.next() - 1;
    let of_newest = ack.refused.iter().filter(|refused| refused.packet.0 == newest);
    of_newest.flat_map(|refused| refused.records.iter().map(|(_, reason)| *reason)).collect()
}

#[test]
fn what_was_stored_comes_back_after_it_was_painted_over_and_held_no_more() {
    let mut session = Session::live(48, 32);
    paint_and_hold(&mut session, rect(0, 0, 3, 2), &RED);
    let green = paint_and_hold(&mut session, rect(1, 0, 2, 2), &GREEN);
    session.say(&[pixels(1, &store(rect(1, 0, 2, 2), green, stored(5, 1)))]);
    paint_and_hold(&mut session, rect(0, 0, 3, 2), &BLUE);
    assert_eq!((session.pixel(16, 0), session.client.stats().stores), (0xff, 1));
    // Part of it, where it was; and from within it to elsewhere.
    session.say(&[pixels(1, &used(rect(2, 1, 1, 1), stored(5, 1), 16, 16))]);
    session.say(&[pixels(1, &used(rect(0, 0, 1, 1), stored(5, 1), 3, 7))]);
    let shown = [(32, 16), (0, 0), (15, 15), (16, 0), (32, 0)].map(|(x, y)| session.pixel(x, y));
    assert_eq!(shown, [0xff00, 0xff00, 0xff00, 0xff, 0xff]);
    assert_eq!(session.client.stats().refused(), 0);
}

#[test]
fn a_store_changes_no_cell_and_an_old_one_nothing() {
    let mut session = Session::live(32, 16);
    let red = paint_and_hold(&mut session, rect(0, 0, 2, 1), &RED);
    session.say(&[pixels(1, &store(rect(0, 0, 1, 1), red, stored(0, 2)))]);
    let contents = session.client.picture().expect("a picture").contents.to_vec();
    assert_eq!(contents, [red, red]);
    let green = paint_and_hold(&mut session, rect(0, 0, 2, 1), &GREEN);
    for generation in [1, 2, 0] {
        // It is not even looked at whether the base is there.
        session.say(&[pixels(1, &store(rect(0, 0, 2, 1), 77, stored(0, generation)))]);
    }
    assert_eq!((session.client.stats().stores, session.client.stats().records_superseded), (1, 3));
    session.say(&[pixels(1, &used(rect(1, 0, 1, 1), stored(0, 2), 0, 0))]);
    assert_eq!([0, 16].map(|x| session.pixel(x, 0)), [0xff00, 0xff_0000]);
    session.say(&[pixels(1, &store(rect(0, 0, 1, 1), green, stored(0, 3)))]);
    session.say(&[pixels(1, &used(rect(1, 0, 1, 1), stored(0, 2), 0, 0))]);
    assert_eq!(refusals(&mut session), [Refusal::Cache], "a generation that was replaced");
}

#[test]
fn every_flaw_of_a_store_or_a_use_is_refused() {
    // Clipped at the right.
    let mut session = Session::live(2_072, 32);
    let red = paint_and_hold(&mut session, rect(0, 0, 130, 2), &RED);
    let cell = rect(0, 0, 1, 1);
    let bare = Store { vector: Vector::default(), stored: stored(0, 1) }.payload();
    let baseless = records(&[Record::new(Technique::Store, Context::Unknown, cell, &bare)]);
    let based = Record {
        base: Base::Reference { slot: 0, check: 0 },
        ..Record::new(Technique::Use, Context::Unknown, cell, &bare[2..])
    };
    let short = Record::new(Technique::Use, Context::Unknown, cell, &[0, 1, 0]);
    let all = [
        store(cell, red + 1, stored(0, 1)),
        store(cell, red, stored(128, 1)),
        store(rect(0, 0, 129, 1), red, stored(0, 1)),
        baseless,
        used(cell, stored(0, 1), 0, 0),
        used(cell, stored(u32::MAX, u32::MAX), 0, 0),
        records(&[based, short]),
        store(rect(128, 0, 2, 1), red, stored(127, 1)),
        used(cell, stored(127, 0), 0, 0),
        used(cell, stored(127, 1), 9, 0),
        used(cell, stored(127, 1), 0, 1),
    ]
    .concat();
    session.say(&[pixels(1, &all)]);
    let (base, cache, payload) = (Refusal::Base, Refusal::Cache, Refusal::Payload);
    let expected = [base, cache, cache, base, cache, cache, base, payload, cache, cache, cache];
    assert_eq!(refusals(&mut session), expected);
    assert_eq!(session.client.stats().stores, 1);
    session.say(&[pixels(1, &used(cell, stored(127, 1), 8, 0))]);
    assert!(refusals(&mut session).is_empty(), "the last pixels of what was clipped");
}

#[test]
fn an_epoch_ends_the_cache() {
    let mut session = Session::live(32, 16);
    let red = paint_and_hold(&mut session, rect(0, 0, 2, 1), &RED);
    session.say(&[pixels(1, &store(rect(0, 0, 1, 1), red, stored(0, 1)))]);
    session.say(&[live(2, 32, 16)]);
    session.say(&[pixels(2, &used(rect(0, 0, 1, 1), stored(0, 1), 0, 0))]);
    assert_eq!(refusals(&mut session), [Refusal::Cache]);
    assert_eq!(session.pixel(0, 0), 0);
}
