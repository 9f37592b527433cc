//! Sealed sessions over bad networks, and what somebody on the path can do to them. The other scenarios watch what passes,
//! so they speak in the clear; here nobody can.

mod attacks;
mod rig;

use std::time::Duration;

use client_lfp::{Expected, State};
use lfp::server::Input;
use lfp_proto::frame::{CloseReason, InputKind};
use lfp_proto::identity::Secret;
use lfp_proto::limits::{REKEY_TIME, TICKET_LIFETIME};
use lfp_proto::packet::Kind;
use lfp_proto::seal::Cipher;

use self::rig::{DELAY, Rig};
use crate::guest::Stroke;
use crate::piped::{KIND, Load, Pipes};
use crate::totals::Totals;

/// What a client may take less than this: round trips, with a few milliseconds for who is slow to notice.
fn round_trips(count: u32) -> std::ops::Range<Duration> {
    DELAY * 2 * count..DELAY * 2 * count + Duration::from_millis(20)
}

#[test]
fn a_first_visit_takes_three_round_trips_a_second_two_and_one_with_a_ticket_one() {
    let mut rig = Rig::new("");
    let took = rig.join(Expected::Anyone, None);
    assert!(round_trips(3).contains(&took), "XX took {took:?}");
    let key = rig.client().server_key().expect("a sealed session");
    assert_eq!(key, rig.server.key());
    rig.settle();
    let ticket = rig.client().take_ticket().expect("a ticket comes by itself");
    assert_eq!(ticket.lifetime, TICKET_LIFETIME);
    rig.leave();
    let took = rig.join(Expected::Key(key), None);
    assert!(round_trips(2).contains(&took), "IK took {took:?}");
    rig.settle();
    rig.leave();
    let took = rig.join(Expected::Key(key), Some(ticket.ticket.clone()));
    assert!(round_trips(1).contains(&took), "a ticket took {took:?}");
    rig.settle();
    assert_eq!(rig.server.stats().tickets_redeemed, 1);
    rig.leave();
    let took = rig.join(Expected::Key(key), Some(ticket.ticket));
    assert!(round_trips(2).contains(&took), "a used ticket took {took:?}");
    rig.settle();
    assert_eq!((rig.server.stats().tickets_redeemed, rig.server.stats().sessions_sealed), (1, 4));
}

#[test]
fn a_ticket_is_of_no_use_to_another_client_or_from_elsewhere() {
    let mut rig = Rig::new("");
    rig.join(Expected::Anyone, None);
    rig.settle();
    let key = rig.server.key();
    let ticket = rig.client().take_ticket().expect("a ticket").ticket;
    rig.leave();
    rig.own = Secret::new([0x77; 32]);
    assert!(round_trips(2).contains(&rig.join(Expected::Key(key), Some(ticket.clone()))));
    rig.leave();
    rig.own = Secret::new([0x33; 32]);
    rig.address.set_ip([198, 51, 100, 1].into());
    assert!(round_trips(2).contains(&rig.join(Expected::Key(key), Some(ticket))));
    assert_eq!(rig.server.stats().tickets_redeemed, 0);
}

#[test]
fn sealed_sessions_stay_exact_whatever_the_network_does() {
    for (at, link) in
        ["", "loss=10%", "loss=30%,jitter=20ms", "reorder=20%,dup=20%", "corrupt=20%"].iter().enumerate()
    {
        let mut rig = Rig::new(link);
        rig.ciphers = Cipher::liked(at % 2 == 1);
        let expected = if at % 2 == 0 { Expected::Anyone } else { Expected::Key(rig.server.key()) };
        rig.join(expected, None);
        let cipher = if at % 2 == 1 { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
        assert_eq!(rig.client().cipher(), Some(cipher));
        rig.strokes = vec![Stroke::Type, Stroke::Scroll];
        rig.run(Duration::from_secs(3));
        rig.settle();
        rig.type_key(30 + at as u16);
        rig.run(Duration::from_secs(3));
        let pressed = |action: &&InputKind| matches!(action, InputKind::Key { down: true, .. });
        assert_eq!(rig.actions.iter().filter(pressed).count(), 1, "{link}");
        if link.contains("corrupt") {
            assert!(rig.client().stats().malformed > 0 && rig.server.stats().dropped_checksum > 0);
        }
    }
}

#[test]
fn a_seal_costs_twelve_bytes_a_packet_and_a_ticket() {
    let run = |sealed: bool| {
        let mut rig = Rig::new("");
        if sealed {
            rig.join(Expected::Key(rig.server.key()), None);
        } else {
            rig.join_plain();
        }
        rig.strokes = vec![Stroke::Type, Stroke::Scroll];
        rig.run(Duration::from_secs(2));
        rig.settle();
        let packets = rig.heard[1].iter().filter(|bytes| bytes[0] == 0x10 | Kind::Data as u8);
        packets.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes.len()))
    };
    let ((plain_count, plain), (sealed_count, sealed)) = (run(false), run(true));
    // The ticket may have a packet of its own.
    assert!((plain_count..=plain_count + 1).contains(&sealed_count), "{sealed_count}, {plain_count} packets");
    let more = sealed.checked_sub(plain + 12 * plain_count).expect("a tag is longer than a checksum");
    assert!(more <= 110, "{more} bytes more than {plain_count} tags instead of checksums");
}

#[test]
fn keys_are_replaced_in_time_and_nothing_is_lost_by_it() {
    let mut rig = Rig::new("loss=2%,reorder=5%");
    rig.join(Expected::Anyone, None);
    rig.step = Duration::from_millis(40);
    for _ in 0..5 {
        rig.strokes = vec![Stroke::Type];
        rig.run(REKEY_TIME + Duration::from_secs(2));
        rig.settle();
    }
    let rekeys = rig.client().rekeys();
    assert!((8..=10).contains(&rekeys), "{rekeys} keys in fifty minutes, both ways");
    assert_eq!(*rig.client().state(), State::Established);
}

#[test]
fn streams_go_on_at_another_address() {
    let mut rig = Rig::new("loss=10%");
    rig.server.take_kind(KIND);
    rig.join(Expected::Anyone, None);
    let (mut pipes, mut totals, connection) = (Pipes::default(), Totals::default(), rig.connection());
    for by_client in [true, false] {
        let load = Load { by_client, lengths: [60_000; 2], abandon_at: None };
        let client = rig.client.as_mut().expect("a client");
        pipes.open(connection, client, &mut rig.server, load, &mut totals);
    }
    for turn in 0..60_000_u16 {
        if turn % 1_000 == 500 {
            rig.address.set_port(2_000 + turn);
        }
        rig.run(rig.step);
        let client = rig.client.as_mut().expect("a client");
        pipes.pump(connection, client, &mut rig.server, &mut totals);
        if pipes.all_done() {
            break;
        }
    }
    assert!(pipes.all_done() && totals.count("streams ended") == 2, "{pipes:?}");
    assert!(rig.server.stats().sessions_moved > 1);
}

#[test]
fn a_session_follows_its_client_to_another_address_without_being_asked() {
    let mut rig = Rig::new("");
    rig.join(Expected::Anyone, None);
    rig.settle();
    for port in [7_000, 7_001] {
        rig.address.set_port(port);
        rig.strokes = vec![Stroke::Type];
        rig.type_key(30);
        rig.run(Duration::from_secs(1));
        rig.settle();
    }
    assert_eq!(rig.server.stats().sessions_moved, 2);
    assert_eq!(rig.server.status().next().map(|session| session.address), Some(rig.address));
    assert_eq!(rig.server.stats().sessions_begun, 1);
}

#[test]
fn a_change_of_network_in_mid_scroll_costs_a_question_and_no_session() {
    let mut rig = Rig::new("loss=2%");
    rig.join(Expected::Anyone, None);
    rig.settle();
    rig.strokes = vec![Stroke::Scroll, Stroke::Type];
    rig.run(Duration::from_secs(1));
    let first = rig.heard[1].iter().map(Vec::len).sum::<usize>();
    // What is on its way to the old address is lost, and nobody but the client can know.
    rig.address.set_ip([198, 51, 100, 7].into());
    rig.run(Duration::from_secs(8));
    assert_eq!(rig.server.stats().sessions_moved, 1);
    let before = rig.heard[1].iter().map(Vec::len).sum::<usize>();
    rig.settle();
    let after = rig.heard[1].iter().map(Vec::len).sum::<usize>();
    assert!(after - before < first, "{} bytes to settle, {first} before", after - before);
    assert_eq!((rig.server.stats().sessions_moved, rig.server.stats().sessions_begun), (1, 1));
}

#[test]
fn another_key_than_expected_ends_the_handshake_and_both_can_be_shown() {
    let stranger = Secret::new([0x55; 32]).public();
    for expected in [Expected::Key(stranger), Expected::Fingerprint(stranger.fingerprint())] {
        let mut rig = Rig::new("");
        rig.start(expected, None);
        rig.run(Duration::from_secs(2));
        let found = rig.server.key();
        let shown = State::WrongKey { expected: Some(stranger.fingerprint()), found };
        assert_eq!(*rig.client().state(), shown);
        assert_eq!((rig.server.sessions(), rig.server.stats().sessions_begun), (0, 0));
    }
    let mut rig = Rig::new("");
    let fingerprint = rig.server.key().fingerprint();
    assert!(round_trips(3).contains(&rig.join(Expected::Fingerprint(fingerprint), None)));
}

#[test]
fn a_server_that_was_started_anew_proves_that_it_knows_nothing() {
    let mut rig = Rig::new("");
    rig.join(Expected::Anyone, None);
    rig.settle();
    let fresh = rig.fresh_server();
    let old = std::mem::replace(&mut rig.server, fresh);
    rig.type_key(30);
    rig.run(Duration::from_secs(1));
    let state = State::Closed { reason: CloseReason::Unknown, text: String::new() };
    assert_eq!(*rig.client().state(), state);
    assert_eq!(old.key(), rig.server.key());
    rig.leave();
    assert!(round_trips(2).contains(&rig.join(Expected::Key(old.key()), None)));
    rig.strokes = vec![Stroke::Type];
    rig.run(Duration::from_millis(200));
    rig.settle();
}

#[test]
fn a_client_that_shows_no_keys_is_not_waited_for() {
    let mut rig = Rig::new("");
    rig.start(Expected::Key(rig.server.key()), None);
    rig.run(DELAY * 3 + Duration::from_millis(10));
    // It has sent its wish, and is gone.
    rig.client = None;
    rig.run(Duration::from_secs(1));
    assert_eq!(rig.server.sessions(), 1);
    rig.run(Duration::from_secs(12));
    assert_eq!(rig.server.sessions(), 0);
    rig.server.handle(rig.now, Input::Timeout);
}
