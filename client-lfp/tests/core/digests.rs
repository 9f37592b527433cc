//! The proof that the picture is the server's.

use client_lfp::limits::{DIGEST_INTERVAL_MAX, DIGEST_QUIET, DIGEST_QUIET_BLANK};
use lfp_proto::frame::{Digest, DigestReply, Frame, Verdict};

use crate::server::{Session, colour, ms, pixels, records, rect};

fn paint(session: &mut Session, x: u16, y: u16, width: u16, height: u16) {
    let bytes = records(&[colour(rect(x, y, width, height), &[1, 2, 3])]);
    session.say(&[pixels(1, &bytes)]);
}

fn digests(session: &mut Session, span: core::time::Duration) -> Vec<Digest> {
    let digest = |(_, frame)| if let Frame::Digest(digest) = frame { Some(digest) } else { None };
    session.hears_for(span).into_iter().filter_map(digest).collect()
}

fn reply(session: &mut Session, id: u32, verdict: Verdict) {
    session.say(&[Frame::DigestReply(DigestReply { id, verdict })]);
}

#[test]
fn a_still_picture_is_proven_band_by_band_and_then_costs_nothing() {
    let mut session = Session::live(64, 400);
    paint(&mut session, 0, 0, 4, 25);
    assert!(digests(&mut session, DIGEST_QUIET - ms(1)).is_empty());
    let asked = digests(&mut session, ms(1));
    assert_eq!(asked.iter().map(|digest| digest.cells.height).collect::<Vec<_>>(), [8, 8, 8, 1]);
    let pixels = [1, 2, 3, 0].repeat(64 * 16 * 8);
    assert_eq!(asked[0].pixels, crc32fast::hash(&pixels));
    for digest in &asked {
        assert!(!session.client.exact());
        reply(&mut session, digest.id, Verdict::Exact);
    }
    assert!(session.client.exact());
    assert!(digests(&mut session, ms(20_000)).is_empty());
}

#[test]
fn what_changes_while_its_digest_is_under_way_is_not_proven() {
    let mut session = Session::live(64, 256);
    paint(&mut session, 0, 0, 4, 16);
    let asked = digests(&mut session, DIGEST_QUIET);
    assert_eq!(asked.len(), 2);
    paint(&mut session, 1, 9, 1, 1);
    for digest in &asked {
        reply(&mut session, digest.id, Verdict::Exact);
    }
    assert!(!session.client.exact());
    let asked = digests(&mut session, DIGEST_QUIET);
    assert_eq!(asked.iter().map(|digest| digest.cells.y).collect::<Vec<_>>(), [8]);
    reply(&mut session, asked[0].id, Verdict::Exact);
    assert!(session.client.exact());
}

#[test]
fn what_was_asked_in_a_silence_is_asked_again_when_it_ends() {
    let mut session = Session::live(16, 16);
    paint(&mut session, 0, 0, 1, 1);
    assert!(!digests(&mut session, ms(3_000)).is_empty(), "asked in vain");
    session.say(&[Frame::Ping]);
    assert_eq!(digests(&mut session, ms(1)).len(), 1, "asked at once");
    session.say(&[Frame::Ping]);
    assert!(digests(&mut session, ms(1)).is_empty(), "asked once: there was no silence");
}

#[test]
fn lost_digests_are_repeated_and_unsettled_ones_asked_again_with_backoff() {
    let mut session = Session::live(16, 16);
    paint(&mut session, 0, 0, 1, 1);
    let asked = digests(&mut session, ms(3000));
    assert!((4..12).contains(&asked.len()), "{} repetitions in 3 s", asked.len());
    assert!(asked.iter().all(|digest| *digest == asked[0]));
    let mut id = asked[0].id;
    let mut count = 0;
    let start = session.now;
    while session.now.saturating_since(start) < DIGEST_INTERVAL_MAX * 5 {
        reply(&mut session, id, Verdict::Unsettled);
        let asked = digests(&mut session, DIGEST_INTERVAL_MAX);
        id = asked[0].id;
        count += 1;
    }
    assert!(count <= 5);
    reply(&mut session, id, Verdict::Differs);
    assert_eq!(session.client.stats().digests_differed, 1);
    paint(&mut session, 0, 0, 1, 1);
    assert_eq!(session.client.stats().cells_repaired, 1);
}

#[test]
fn a_picture_that_stays_unpainted_is_asked_about() {
    let mut session = Session::live(32, 16);
    paint(&mut session, 0, 0, 1, 1);
    assert!(digests(&mut session, DIGEST_QUIET_BLANK - ms(1)).is_empty());
    assert_eq!(digests(&mut session, ms(1)).len(), 1);
}
