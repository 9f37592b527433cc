//! Input over loss.

use client_lfp::limits::INPUT_HEARTBEAT;
use lfp_proto::frame::{Frame, Input, InputAck, InputKind};

use crate::server::{Session, ms};

fn inputs(session: &mut Session, span: core::time::Duration) -> Vec<Input> {
    let input = |(_, frame)| if let Frame::Input(input) = frame { Some(input) } else { None };
    session.hears_for(span).into_iter().filter_map(input).collect()
}

fn key(code: u16, down: bool) -> InputKind {
    InputKind::Key { code, down }
}

#[test]
fn every_frame_repeats_what_is_not_acked() {
    let mut session = Session::live(16, 16);
    session.client.input(session.now, key(30, true));
    assert_eq!(session.hears().len(), 2, "with the ack that was owed");
    session.client.input(session.now, key(30, false));
    let sent = inputs(&mut session, ms(100));
    assert!((2..=4).contains(&sent.len()));
    assert!(sent.iter().all(|input| input.surface == crate::server::SURFACE && input.events.len() == 2));
    session.say(&[Frame::InputAck(InputAck { through: 2, dropped: 0 })]);
    assert!(inputs(&mut session, ms(1000)).is_empty());
    assert_eq!(session.client.input_waiting(), 0);
}

#[test]
fn in_a_blackout_presses_expire_and_releases_stay() {
    let mut session = Session::live(16, 16);
    session.client.input(session.now, key(30, true));
    session.client.input(session.now, key(30, false));
    session.client.input(session.now, InputKind::MoveTo { x: 1, y: 1 });
    let sent = inputs(&mut session, ms(10_000));
    assert!(sent.len() < 40, "{} frames in a blackout", sent.len());
    assert_eq!(sent.last().map(|input| input.events.len()), Some(1));
    assert_eq!(session.client.stats().input_dropped, 2);
    assert!(sent.iter().all(|input| input.events.iter().any(|event| event.kind == key(30, false))));
}

#[test]
fn a_held_key_is_proved_every_second() {
    let mut session = Session::established();
    session.client.input(session.now, key(42, true));
    session.hears();
    session.say(&[Frame::InputAck(InputAck { through: 1, dropped: 0 })]);
    let frames = session.hears_for(INPUT_HEARTBEAT * 4 + ms(100));
    assert_eq!(frames.iter().filter(|(_, frame)| matches!(frame, Frame::Ping)).count(), 4);
}
