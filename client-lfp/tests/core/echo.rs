//! How long input took until its answer was shown.

use client_lfp::limits::{ECHO_AGE_MAX, ECHO_PAINTS_REMEMBERED};
use client_lfp::{Echo, EchoStats};
use lfp_proto::frame::{self, Echoed, Frame, InputKind};
use lfp_proto::record::Record;
use lfp_proto::units::Epoch;

use crate::server::{SURFACE, Session, colour, live, ms, pixels, records, rect};

const PRESS: InputKind = InputKind::Key { code: 30, down: true };

/// A session whose user has pressed so many keys, just now. They are the events 1, 3, 5 and so on.
fn pressed(keys: u64) -> Session {
    let mut session = Session::live(64, 16);
    for _ in 0..keys {
        session.client.input(session.now, PRESS);
        session.client.input(session.now, InputKind::Key { code: 30, down: false });
    }
    session.hears();
    session
}

/// ECHO of the cell 1, 0 at the content of packet `content`, to be carried by the next one.
fn echo(session: &Session, content: u64, sequences: &[u64]) -> Frame<'static> {
    let event = |sequence: &u64| Echoed { sequence: *sequence, injection_us: 1_000, wait_us: 8_000 };
    let events = sequences.iter().map(event).collect();
    let age = session.next() - content;
    let (cell, encode_us, pacing_us) = ((1, 0), 2_000, 500);
    Frame::Echo(frame::Echo { surface: SURFACE, epoch: Epoch(1), cell, age, encode_us, pacing_us, events })
}

fn painted(x: u16, age: u64) -> Vec<u8> {
    records(&[Record { age, ..colour(rect(x, 0, 1, 1), &[1, 2, 3]) }])
}

/// What was counted, once what came last counts as shown.
fn counted(session: &mut Session) -> (u64, u64) {
    session.client.handle_shown(session.now);
    let EchoStats { total_us, uncounted, .. } = &session.client.stats().echo;
    (total_us.count(), *uncounted)
}

#[test]
fn the_parts_add_up_to_the_time_from_key_to_pixels() {
    let mut session = pressed(2);
    session.now = session.now + ms(40);
    let (content, bytes) = (session.next(), painted(1, 0));
    let told = echo(&session, content, &[1, 3]);
    session.say(&[pixels(1, &bytes), told.clone()]);
    session.client.handle_shown(session.now + ms(3));
    let expected = Echo {
        sequence: 3,
        total_us: 43_000,
        network_us: 28_500,
        injection_us: 1_000,
        scan_wait_us: 8_000,
        encode_us: 2_000,
        pacing_us: 500,
        decode_us: 3_000,
    };
    assert_eq!(session.client.stats().echo.last, Some(expected));
    assert_eq!(counted(&mut session), (2, 0));
    let again = echo(&session, content, &[1, 3]);
    session.say(&[again]);
    assert_eq!(counted(&mut session), (2, 0), "each once");
}

#[test]
fn an_answer_is_timed_by_the_pixels_whichever_packet_tells_of_it() {
    let mut session = pressed(1);
    session.now = session.now + ms(40);
    // The packet with the pixels and the ECHO is lost; a copy of the pixels comes, and the ECHO much later.
    let content = session.next();
    session.packet(&[Frame::Ping]);
    let (other, copy) = (painted(0, 0), painted(1, 2));
    session.say(&[pixels(1, &other)]);
    session.now = session.now + ms(5);
    session.say(&[pixels(1, &copy)]);
    assert_eq!(counted(&mut session), (0, 0));
    session.now = session.now + ms(100);
    let newer = painted(1, 0);
    session.say(&[pixels(1, &newer)]);
    let told = echo(&session, content, &[1]);
    session.say(&[told]);
    assert_eq!(counted(&mut session), (1, 0));
    assert_eq!(session.client.stats().echo.last.map(|echo| echo.total_us), Some(45_000));
}

#[test]
fn an_echo_waits_for_its_pixels_and_not_for_those_of_another_epoch() {
    let mut session = pressed(2);
    let told = echo(&session, session.next(), &[1]);
    session.say(&[told]);
    assert_eq!(counted(&mut session), (0, 0));
    session.now = session.now + ms(70);
    let bytes = painted(1, 0);
    session.say(&[pixels(1, &bytes)]);
    assert_eq!(counted(&mut session), (1, 0));
    assert_eq!(session.client.stats().echo.last.map(|echo| echo.total_us), Some(70_000));
    let told = echo(&session, session.next(), &[3]);
    session.say(&[told]);
    session.say(&[live(2, 64, 16), pixels(2, &bytes)]);
    assert_eq!(counted(&mut session), (1, 0));
}

#[test]
fn what_cannot_be_true_or_is_not_known_is_not_counted() {
    let mut session = pressed(1);
    let bytes = painted(1, 0);
    let told = echo(&session, session.next(), &[1, 2, 77]);
    session.now = session.now + ms(11);
    session.say(&[pixels(1, &bytes), told]);
    assert_eq!(counted(&mut session), (0, 1), "the server's part is longer than all of it");

    let mut session = pressed(1);
    session.now = session.now + ms(100);
    let content = session.next();
    let bytes = painted(1, 0);
    session.say(&[pixels(1, &bytes)]);
    for _ in 0..ECHO_PAINTS_REMEMBERED {
        let bytes = painted(2, 0);
        session.say(&[pixels(1, &bytes)]);
    }
    let told = echo(&session, content, &[1]);
    session.say(&[told]);
    assert_eq!(counted(&mut session), (0, 1), "when that was has been forgotten");

    let mut session = pressed(1);
    let told = echo(&session, session.next(), &[1]);
    session.say(&[told]);
    session.now = session.now + ECHO_AGE_MAX + ms(1);
    let bytes = painted(2, 0);
    session.say(&[pixels(1, &bytes)]);
    assert_eq!(counted(&mut session), (0, 1), "it never came");
}
