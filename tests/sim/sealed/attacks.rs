//! What somebody on the path, or elsewhere, can do: drop and delay, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Client, Config, Expected, Security, State};
use lfp::limits::{HALF_DONE_MAX, HANDSHAKES_BURST, HANDSHAKES_PER_SECOND};
use lfp::units::{ConnectionId, PacketNumber};
use lfp_proto::frame::{Close, CloseReason, Frame, InputKind};
use lfp_proto::greeting::{SealedHello, Step};
use lfp_proto::hello::{Accept, Challenge, Refuse, RefuseReason};
use lfp_proto::limits::{COOKIE_LIFETIME, DATAGRAM_MIN};
use lfp_proto::packet::{Builder, HEADER_LEN, Header, Kind, View};

use super::rig::{DELAY, Rig};
use crate::guest::Stroke;

const ELSEWHERE: ([u8; 4], u16) = ([203, 0, 113, 5], 9_000);

fn elsewhere() -> SocketAddr {
    SocketAddr::from(ELSEWHERE)
}

/// A rig with a session that has typed a key and shows its screen.
fn served() -> Rig {
    let mut rig = Rig::new("");
    rig.join(Expected::Anyone, None);
    rig.strokes = vec![Stroke::Type];
    rig.type_key(30);
    rig.run(Duration::from_secs(1));
    rig.settle();
    rig
}

/// What the guest was given: one key down, and up.
fn assert_typed_once(rig: &Rig) {
    let keys = [true, false].map(|down| InputKind::Key { code: 30, down });
    assert_eq!(rig.actions, keys);
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&sum);
    bytes
}

#[test]
fn what_is_played_back_or_reflected_does_nothing() {
    let mut rig = served();
    let [up, down] = std::mem::take(&mut rig.heard);
    assert!(up.len() > 20 && down.len() > 20);
    let (now, home) = (rig.now, rig.address);
    for bytes in up.iter().chain(&down) {
        rig.attack(home, bytes);
        rig.attack(elsewhere(), bytes);
        rig.client().handle_datagram(now, bytes);
    }
    rig.run(Duration::from_secs(1));
    rig.strokes = vec![Stroke::Type];
    rig.run(Duration::from_secs(1));
    rig.settle();
    assert_typed_once(&rig);
    let stats = rig.server.stats();
    assert_eq!((stats.sessions_begun, stats.sessions_ended, stats.sessions_moved), (1, 0, 0));
    assert!(rig.client().stats().duplicates > 0);
}

#[test]
fn no_forged_tag_header_or_length_gets_through() {
    let mut rig = served();
    let [up, down] = std::mem::take(&mut rig.heard);
    let (now, home) = (rig.now, rig.address);
    let before = (rig.client().stats().records_applied, rig.server.stats().dropped_checksum);
    let of_session = |bytes: &&Vec<u8>| Header::parse(bytes).is_ok_and(|header| header.has_tag());
    let last = |heard: &[Vec<u8>]| heard.iter().rev().find(of_session).expect("a packet").clone();
    for whole in [last(&up), last(&down)] {
        let mut forged = Vec::new();
        for at in 0..whole.len().min(60) * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            forged.push(bytes);
        }
        forged.extend((0..whole.len()).map(|len| whole[..len].to_vec()));
        forged.push([&whole[..], &[0; 16]].concat());
        // Packets yet to come, with tags that are guessed.
        for number in 1..500_u32 {
            let mut bytes = whole.clone();
            let seen = u32::from_le_bytes([bytes[10], bytes[11], bytes[12], bytes[13]]);
            bytes[10..14].copy_from_slice(&(seen + number).to_le_bytes());
            forged.push(bytes);
        }
        for bytes in &forged {
            rig.attack(home, bytes);
            rig.client().handle_datagram(now, bytes);
        }
    }
    assert_eq!(rig.client().stats().records_applied, before.0);
    assert!(rig.server.stats().dropped_checksum > before.1 + 1_000);
    rig.strokes = vec![Stroke::Type];
    rig.run(Duration::from_secs(1));
    rig.settle();
    assert_typed_once(&rig);
}

#[test]
fn nothing_in_the_clear_touches_a_sealed_session() {
    let mut rig = served();
    let (now, home, connection) = (rig.now, rig.address, rig.connection());
    let build = |kind, sealed, fill: &dyn Fn(&mut Builder)| {
        let builder = Builder::new(Vec::new(), DATAGRAM_MIN, kind, connection, PacketNumber(1_000));
        let mut builder = if sealed { builder.of_sealed() } else { builder };
        fill(&mut builder);
        builder.finish()
    };
    let mut forged = Vec::new();
    for sealed in [false, true] {
        let accept =
            Accept { client_time_us: 0, server_time_us: 0, datagram_size: 1_200, idle_timeout_ms: 1 };
        let refuse = Refuse { client_time_us: 0, reason: RefuseReason::ShuttingDown, text: String::new() };
        forged.push(build(Kind::Accept, sealed, &|builder| accept.emit(builder.body())));
        forged.push(build(Kind::Refuse, sealed, &|builder| refuse.emit(builder.body())));
    }
    for reason in [CloseReason::Done, CloseReason::Unknown] {
        let close = Frame::Close(Close { reason, text: "" });
        forged.push(build(Kind::Data, false, &|builder| assert!(builder.push(&close))));
    }
    // RESET with a token that is guessed.
    let mut reset = build(Kind::Reset, true, &|_| {});
    reset.truncate(HEADER_LEN);
    reset.extend([0x5a; 16]);
    forged.push(reset);
    for bytes in &forged {
        rig.client().handle_datagram(now, bytes);
        rig.attack(home, bytes);
        rig.attack(elsewhere(), bytes);
    }
    // A cookie is only ever shown again, and the address is still the client's.
    let cookie = vec![7; 24];
    let challenge = Challenge { client_time_us: 0, cookie };
    let bytes = build(Kind::Challenge, true, &|builder| challenge.emit(builder.body()));
    rig.client().handle_datagram(now, &bytes);
    rig.run(Duration::from_secs(1));
    rig.strokes = vec![Stroke::Type];
    rig.run(Duration::from_secs(1));
    rig.settle();
    assert_typed_once(&rig);
    assert_eq!((rig.server.sessions(), rig.server.stats().sessions_moved), (1, 0));
}

#[test]
fn a_connection_cannot_be_turned_down_to_plain() {
    let plain = |up: bool, bytes: &mut Vec<u8>| {
        if Header::parse(bytes).is_ok_and(|header| !header.has_tag()) {
            bytes[1] ^= 1;
            // A plain HELLO of the attacker's own wish, as good as he can write it.
            let _ = up;
            *bytes = with_checksum(std::mem::take(bytes));
        }
    };
    for plain_too in [false, true] {
        let mut rig = Rig::new("");
        rig.plain_too = plain_too;
        rig.server = rig.fresh_server();
        rig.meddle = Some(plain);
        rig.start(Expected::Anyone, None);
        rig.run(Duration::from_secs(12));
        assert_eq!(*rig.client().state(), State::NoAnswer);
        assert_eq!(rig.server.sessions(), 0);
    }
    // And what a plain client gets of a server that seals is a reason.
    let mut rig = Rig::new("");
    let client = Client::new(&Config::default(), Security::Plain, ConnectionId(3), rig.now);
    rig.client = Some(client);
    rig.run(Duration::from_secs(1));
    assert!(matches!(rig.client().state(), State::Refused { reason: RefuseReason::PlainNotAllowed, .. }));
}

#[test]
fn a_meddler_in_the_handshake_only_keeps_it_from_ending() {
    /// Changes a byte in the middle of each message of a handshake, in the step, in the version of the prologue.
    fn message(_: bool, bytes: &mut Vec<u8>) {
        if Header::parse(bytes).is_ok_and(|header| !header.has_tag()) && bytes.len() > HEADER_LEN + 60 {
            bytes[HEADER_LEN + 50] ^= 1;
            *bytes = with_checksum(std::mem::take(bytes));
        }
    }
    /// Another connection id in all that goes up, back again in all that comes down.
    fn connection(_: bool, bytes: &mut Vec<u8>) {
        bytes[5] ^= 0x80;
        if Header::parse(bytes).is_ok_and(|header| !header.has_tag()) {
            *bytes = with_checksum(std::mem::take(bytes));
        }
    }
    for meddle in [message, connection] {
        for ik in [false, true] {
            let mut rig = Rig::new("");
            let expected = if ik { Expected::Key(rig.server.key()) } else { Expected::Anyone };
            rig.meddle = Some(meddle);
            rig.start(expected, None);
            rig.run(Duration::from_secs(12));
            assert_eq!(*rig.client().state(), State::NoAnswer);
            assert_eq!(rig.server.stats().sessions_begun, 0);
        }
    }
}

#[test]
fn a_refusal_that_anybody_could_send_ends_no_handshake() {
    let mut rig = Rig::new("");
    let key = rig.server.key();
    rig.start(Expected::Key(key), None);
    rig.run(DELAY * 2 + Duration::from_millis(5));
    let hello = rig.heard[0].last().expect("a hello").clone();
    let view = View::new_checked(&hello).expect("a hello");
    let client_time_us = SealedHello::parse(view.payload()).expect("a hello").client_time_us;
    for reason in [RefuseReason::Full, RefuseReason::ShuttingDown, RefuseReason::WrongKey] {
        let refuse = Refuse { client_time_us, reason, text: "go away".to_owned() };
        let builder =
            Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Refuse, view.connection(), PacketNumber(0));
        let mut builder = builder.of_sealed();
        refuse.emit(builder.body());
        let (now, bytes) = (rig.now, builder.finish());
        rig.client().handle_datagram(now, &bytes);
    }
    rig.run(Duration::from_secs(2));
    assert_eq!(
        *rig.client().state(),
        State::Established,
        "it has asked for the key, and it was the right one"
    );
    rig.settle();
}

#[test]
fn an_old_hello_makes_no_session() {
    let mut rig = Rig::new("");
    rig.join(Expected::Anyone, None);
    rig.settle();
    let key = rig.server.key();
    let ticket = rig.client().take_ticket().expect("a ticket").ticket;
    rig.leave();
    rig.join(Expected::Key(key), Some(ticket));
    rig.settle();
    rig.leave();
    let old: Vec<_> = std::mem::take(&mut rig.heard[0]);
    let begun = rig.server.stats().sessions_begun;
    for wait in [Duration::from_millis(1), COOKIE_LIFETIME + Duration::from_secs(5)] {
        rig.run(wait);
        let home = rig.address;
        for bytes in &old {
            let answers = rig.heard[1].len();
            rig.attack(home, bytes);
            let answered: usize = rig.heard[1][answers..].iter().map(Vec::len).sum();
            assert!(answered <= 3 * bytes.len());
        }
    }
    assert_eq!((rig.server.stats().sessions_begun, rig.server.sessions()), (begun, 0));
    assert_eq!(rig.server.stats().tickets_redeemed, 1);
}

/// A HELLO of a sealed connection.
fn hello(connection: u64, cookie: &[u8], step: Step, message: &[u8]) -> Vec<u8> {
    let connection = ConnectionId(connection);
    let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Hello, connection, PacketNumber(0));
    let mut builder = builder.of_sealed();
    let (cookie, message) = (cookie.to_vec(), message.to_vec());
    SealedHello { cookie, client_time_us: 1, step, message }.emit(builder.body());
    builder.pad_to(DATAGRAM_MIN);
    builder.finish()
}

#[test]
fn a_flood_of_hellos_costs_no_memory_and_hurts_no_session() {
    let mut rig = served();
    let begun = rig.now;
    let mut greeted = 0;
    for wave in 0..10_u64 {
        for at in 0..1_000 {
            // Addresses that nobody has, with cookies that are made up.
            let from = SocketAddr::from(([198, 18, wave as u8, at as u8], 1_000 + at as u16));
            rig.attack(from, &hello(at, &[], Step::Ask, &[]));
            rig.attack(from, &hello(at, &[at as u8; 24], Step::Ik, &[7; 300]));
        }
        // One address that can be reached, with cookies as good as they come.
        let challenges = rig.astray.len();
        for at in 0..400 {
            rig.attack(elsewhere(), &hello(wave << 32 | at, &[], Step::Ask, &[]));
        }
        let challenges = rig.astray.split_off(challenges);
        for (to, bytes) in challenges {
            let view = View::new_checked(&bytes).expect("a challenge");
            let cookie = Challenge::parse(view.payload()).expect("a challenge").cookie;
            rig.attack(to, &hello(view.connection().0, &cookie, Step::XxFirst, &[9; 32]));
            rig.attack(to, &hello(view.connection().0, &cookie, Step::Ik, &[9; 300]));
        }
        greeted += rig.astray.len();
        rig.astray.clear();
        assert!(rig.server.half_done() <= HALF_DONE_MAX);
        assert_eq!(rig.server.sessions(), 1);
        rig.strokes = vec![Stroke::Type];
        rig.run(Duration::from_millis(200));
    }
    let seconds = rig.now.saturating_since(begun).as_secs() + 2;
    let stats = *rig.server.stats();
    let computed = stats.greets + stats.handshakes_failed;
    assert!(computed <= HANDSHAKES_BURST + HANDSHAKES_PER_SECOND * seconds, "{computed} handshakes");
    assert!(stats.dropped_handshakes > 1_000 && stats.cookies_forged >= 10_000 && greeted > 0);
    rig.settle();
    assert_typed_once(&rig);
    rig.run(COOKIE_LIFETIME + Duration::from_secs(1));
    rig.attack(elsewhere(), &hello(1, &[], Step::Ask, &[]));
    rig.leave();
    rig.join(Expected::Anyone, None);
    assert!(rig.server.half_done() <= 1, "what was half done is forgotten");
}
