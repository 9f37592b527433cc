//! Staleness.

use lfp_proto::frame::{DigestReply, Frame, Mark, Verdict};
use lfp_proto::units::{Epoch, PacketNumber};

use crate::server::{OFFSET_US, SURFACE, Session, colour, live, ms, pixels, records, rect};

fn mark(session: &Session, tick: u64, first: u64, last: u64, age_ms: u64) -> Frame<'static> {
    let captured_us = session.now.as_micros() + OFFSET_US - age_ms * 1000;
    let (first, last) = (PacketNumber(first), PacketNumber(last));
    Frame::Mark(Mark { surface: SURFACE, epoch: Epoch(1), tick, captured_us, first, last })
}

fn max_ms(session: &Session) -> Option<u64> {
    session.client.stats().staleness_us.max().map(|us| us / 1000)
}

#[test]
fn a_mark_counts_when_its_last_packet_comes() {
    let mut session = Session::live(32, 16);
    session.now = session.now + ms(100);
    let number = session.next();
    let bytes = records(&[colour(rect(0, 0, 1, 1), &[1, 2, 3])]);
    let late = session.packet(&[pixels(1, &bytes)]);
    let tick = mark(&session, 1, number, number + 1, 30);
    session.say(&[pixels(1, &bytes), tick]);
    assert_eq!(max_ms(&session), None);
    session.now = session.now + ms(12);
    session.deliver(&late);
    assert_eq!(max_ms(&session), Some(42));
    assert_eq!(session.client.stats().staleness_us.count(), 1);
    let empty = mark(&session, 2, 0, 0, 5);
    session.say(&[empty]);
    assert_eq!(session.client.stats().staleness_us.count(), 2);
}

#[test]
fn a_broken_mark_waits_for_a_newer_one_or_a_proof() {
    let mut session = Session::live(16, 16);
    let number = session.next();
    session.packet(&[Frame::Ping]);
    let broken = mark(&session, 1, number, number + 1, 0);
    session.say(&[broken]);
    session.say(&[Frame::Floor(PacketNumber(number + 2))]);
    assert_eq!(max_ms(&session), None);
    session.now = session.now + ms(100);
    let newer = mark(&session, 2, number + 2, number + 3, 10);
    session.say(&[newer]);
    assert_eq!((max_ms(&session), session.client.stats().staleness_us.count()), (Some(100), 2));

    let number = session.next();
    session.packet(&[Frame::Ping]);
    let broken = mark(&session, 3, number, number + 1, 0);
    let bytes = records(&[colour(rect(0, 0, 1, 1), &[1, 2, 3])]);
    session.say(&[broken, pixels(1, &bytes)]);
    let frames = session.hears_for(ms(200));
    let id = frames
        .iter()
        .find_map(|(_, frame)| if let Frame::Digest(digest) = frame { Some(digest.id) } else { None });
    session.say(&[Frame::DigestReply(DigestReply { id: id.expect("a digest"), verdict: Verdict::Exact })]);
    assert!(session.client.exact());
    assert_eq!((max_ms(&session), session.client.stats().staleness_us.count()), (Some(200), 3));
}

#[test]
fn an_epoch_leaves_marks_incomplete() {
    let mut session = Session::live(16, 16);
    let number = session.next();
    let never = mark(&session, 1, number, number + 10, 0);
    session.say(&[never]);
    session.say(&[live(2, 16, 16)]);
    assert_eq!(session.client.stats().marks_incomplete, 1);
}

#[test]
fn what_was_captured_before_the_session_says_nothing_of_its_age() {
    let mut session = Session::live(16, 16);
    session.now = session.now + ms(100);
    let still_for_long = mark(&session, 1, 0, 0, 300);
    session.say(&[still_for_long]);
    assert_eq!(session.client.stats().staleness_us.count(), 0);
}
