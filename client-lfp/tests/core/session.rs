//! Handshake, keep-alive, close, silence.

use client_lfp::limits::{ANSWERS_AT_ONCE, CLOSE_INTERVAL, CLOSE_REPEATS, KEEP_ALIVE, REFUSED_SILENCE};
use client_lfp::{Config, State};
use lfp_proto::frame::{Close, CloseReason, Frame, InputKind};
use lfp_proto::hello::{Refuse, RefuseReason};
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::units::PacketNumber;

use crate::server::{CONNECTION, Session, WAY, ack_of, ms};

#[test]
fn hello_is_padded_repeated_with_backoff_and_given_up() {
    for (datagram_size, len) in [(1_100, 1_100), (8_900, 1_200)] {
        let mut session = Session::asking(&Config { datagram_size, ..Config::default() });
        assert_eq!(session.sends()[0].len(), len, "no longer than what every path carries");
    }
    let mut session = Session::asking(&Config { datagram_size: 1150, ..Config::default() });
    let start = session.now;
    let mut sent_at = Vec::new();
    while *session.client.state() == State::Connecting {
        for bytes in session.sends() {
            assert_eq!(bytes.len(), 1150);
            sent_at.push(session.now.saturating_since(start).as_millis());
        }
        session.step(ms(60_000));
    }
    assert_eq!(sent_at[..6], [0, 100, 300, 700, 1500, 2500]);
    assert_eq!(*session.client.state(), State::NoAnswer);
    assert_eq!(session.now.saturating_since(start), ms(10_000));
    assert!(session.sends().is_empty() && session.client.poll_timeout().is_none());
}

#[test]
fn a_lost_hello_challenge_and_accept_each_cost_one_interval() {
    let mut session = Session::asking(&Config::default());
    session.hello().expect("a hello, lost");
    session.step(ms(1000));
    session.hello().expect("a hello, whose challenge is lost");
    session.step(ms(1000));
    let hello = session.hello().expect("a hello");
    session.now = session.now + WAY;
    session.challenge(hello.client_time_us, b"one");
    let hello = session.hello().expect("the cookie at once");
    assert_eq!(hello.cookie, b"one");
    session.step(ms(1000));
    let hello = session.hello().expect("the cookie again, as its accept was lost");
    session.now = session.now + WAY + WAY;
    session.accept(hello.client_time_us, session.now - WAY);
    assert_eq!(*session.client.state(), State::Established);
    assert_eq!(session.client.rtt_us(), Some(20_000));
    assert_eq!(session.client.stats().clock_error_us, 10_000);
}

#[test]
fn answers_to_what_was_not_asked_are_ignored() {
    let mut session = Session::asking(&Config::default());
    let hello = session.hello().expect("a hello");
    session.challenge(hello.client_time_us + 1, b"forged");
    session.accept(hello.client_time_us + 1, session.now);
    let text = "no".to_string();
    session.refuse(&Refuse { client_time_us: 7, reason: RefuseReason::Full, text: text.clone() });
    assert_eq!((session.client.state(), session.client.stats().foreign), (&State::Connecting, 3));
    assert!(session.hello().is_none());
    session.refuse(&Refuse { client_time_us: hello.client_time_us, reason: RefuseReason::Full, text });
    assert!(matches!(session.client.state(), State::Refused { reason: RefuseReason::Full, .. }));
}

#[test]
fn challenges_do_not_make_a_client_send_without_end() {
    let mut session = Session::asking(&Config::default());
    let mut hellos = 0;
    while let Some(hello) = session.hello() {
        hellos += 1;
        session.now = session.now + ms(1);
        session.challenge(hello.client_time_us, b"again");
    }
    assert_eq!(hellos, 1 + ANSWERS_AT_ONCE);
}

#[test]
fn a_quiet_session_is_kept_known_and_a_silent_server_ends_it() {
    let mut session = Session::established();
    let start = session.now;
    assert!(session.hears().is_empty());
    session.step(KEEP_ALIVE);
    let frames = session.hears();
    assert!(matches!(frames[..], [(_, Frame::Ping)]), "{frames:?}");
    session.now = session.now + WAY;
    session.say(&[ack_of(frames[0].0)]);
    assert_eq!(session.client.rtt_us(), Some((20_000 * 7 + 10_000) / 8));
    let heard = session.now;
    while *session.client.state() == State::Established {
        session.step(ms(60_000));
        session.sends();
    }
    assert_eq!(*session.client.state(), State::TimedOut);
    assert_eq!(session.now.saturating_since(heard), ms(30_000));
    assert!(session.now.saturating_since(start) < ms(36_000));
}

#[test]
fn a_host_that_refuses_everything_ends_the_session_soon() {
    let mut session = Session::established();
    session.client.handle_refused(session.now);
    let first = session.now;
    while *session.client.state() == State::Established {
        session.step(ms(60_000));
        for bytes in session.sends() {
            assert!(!bytes.is_empty());
            session.client.handle_refused(session.now);
        }
    }
    assert_eq!(*session.client.state(), State::Unreachable);
    assert_eq!(session.now.saturating_since(first), REFUSED_SILENCE);
    assert!(session.sends().is_empty() && session.client.poll_timeout().is_none());
}

#[test]
fn refusals_end_no_session_whose_server_is_heard() {
    let mut session = Session::established();
    let mut asked = 0;
    for _ in 0..200 {
        // Forged: the server answers all the same.
        session.client.handle_refused(session.now);
        session.step(ms(1_000));
        for (number, frame) in session.hears() {
            if matches!(frame, Frame::Ping) {
                asked += 1;
                session.say(&[ack_of(number)]);
            }
        }
        assert_eq!(*session.client.state(), State::Established);
    }
    assert!(asked >= 190, "{asked} times");
    // Once it is heard, nothing more is asked.
    let at = session.now;
    while session.hears().is_empty() {
        session.step(ms(60_000));
    }
    assert!(session.now.saturating_since(at) > KEEP_ALIVE - ms(1_000));
}

#[test]
fn close_lets_go_and_is_repeated() {
    let mut session = Session::established();
    session.client.input(session.now, InputKind::Key { code: 42, down: true });
    session.client.close(session.now);
    let frames = session.hears();
    let [(_, Frame::Input(input)), (_, Frame::Close(close))] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(input.events.last().map(|event| event.kind), Some(InputKind::FocusLost));
    assert_eq!(close.reason, CloseReason::Done);
    let mut closes = 1;
    while *session.client.state() != State::Ended {
        assert!(session.step(CLOSE_INTERVAL));
        closes += session.hears().iter().filter(|(_, frame)| matches!(frame, Frame::Close(_))).count();
    }
    assert_eq!(closes, CLOSE_REPEATS as usize);
    assert!(session.client.poll_timeout().is_none());
}

#[test]
fn a_server_that_closes_is_believed_and_not_answered() {
    let mut session = Session::established();
    session.say(&[Frame::Close(Close { reason: CloseReason::ShuttingDown, text: "bye" }), Frame::Ping]);
    let text = "bye".to_string();
    assert_eq!(*session.client.state(), State::Closed { reason: CloseReason::ShuttingDown, text });
    assert!(session.sends().is_empty() && session.client.poll_timeout().is_none());
}

#[test]
fn a_server_that_has_forgotten_the_connection_is_believed_whatever_the_number() {
    let mut session = Session::established();
    session.say(&[Frame::Ping]);
    let mut builder = Builder::new(Vec::new(), 1200, Kind::Data, CONNECTION, PacketNumber(0));
    builder.push(&Frame::Close(Close { reason: CloseReason::Unknown, text: "" }));
    session.deliver(&builder.finish());
    assert!(matches!(session.client.state(), State::Closed { reason: CloseReason::Unknown, .. }));
}
