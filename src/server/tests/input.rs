//! Keys and buttons: in order, once, by one at a time, and always let go of.

use std::time::Duration;

use super::world::{Link, World, config, service};
use crate::directory::InputPolicy;
use crate::hypervisor::SourceId;
use crate::limits::{HELD_MAX, INPUT_HOLD, INPUT_SILENCE};
use lfp_proto::frame::{Button, InputKind};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn key(code: u16, down: bool) -> InputKind {
    InputKind::Key { code, down }
}

/// What the guests got so far.
fn got(world: &World) -> Vec<InputKind> {
    world.actions.iter().map(|(_, action)| action.input).collect()
}

fn press(world: &mut World, client: usize, kinds: &[InputKind]) {
    let now = world.now;
    world.clients[client].press(kinds, now);
    world.run(ms(100));
}

fn connected(clients: u16) -> World {
    let mut world = World::new(1, clients);
    world.run(ms(200));
    world
}

#[test]
fn events_come_once_and_in_order_however_the_network_behaves() {
    let mut world = connected(1);
    world.link = Link { jitter: ms(40), loss_percent: 30, duplicate_percent: 30, ..Link::default() };
    let mut expected = Vec::new();
    for code in 1..100 {
        let pair = [key(code, true), key(code, false)];
        let now = world.now;
        world.clients[0].press(&pair, now);
        expected.extend(pair);
        world.run(ms(20));
    }
    world.run_till(ms(2_000), |world| world.clients[0].input_ack.is_some_and(|ack| ack.through == 198));
    assert_eq!(got(&world), expected);
    assert_eq!(world.clients[0].input_ack.unwrap().dropped, 0);
}

#[test]
fn a_key_reaches_the_guest_in_half_a_round_trip_and_the_ack_follows() {
    let mut world = connected(1);
    let pressed_at = world.now;
    world.clients[0].press(&[key(30, true)], pressed_at);
    world.run_till(ms(100), |world| !world.actions.is_empty());
    assert_eq!(world.now, pressed_at + ms(10));
    assert_eq!(world.actions[0].1.at, world.now);
    world.run_till(ms(20), |world| world.clients[0].input_ack.is_some());
}

#[test]
fn what_is_held_is_released_on_focus_lost_close_and_silence() {
    let ups = [key(29, false), key(46, false), InputKind::Button { button: Button::Left, down: false }];
    let downs = [key(29, true), key(46, true), InputKind::Button { button: Button::Left, down: true }];
    let ends: [&dyn Fn(&mut World); 3] = [
        &|world| press(world, 0, &[InputKind::FocusLost]),
        &|world| {
            let (from, bytes) = (world.clients[0].address, world.clients[0].close());
            world.deliver(from, &bytes, true);
            world.run(ms(100));
        },
        &|world| {
            world.link.loss_percent = 100;
            world.run(INPUT_SILENCE + ms(100));
        },
    ];
    for end in ends {
        let mut world = connected(1);
        press(&mut world, 0, &downs);
        assert_eq!(got(&world), downs);
        end(&mut world);
        assert_eq!(got(&world)[3..], ups);
    }
}

#[test]
fn silence_releases_only_once_and_a_late_release_means_nothing() {
    let mut world = connected(1);
    press(&mut world, 0, &[key(42, true)]);
    world.link.loss_percent = 100;
    world.run(INPUT_SILENCE * 3);
    world.link.loss_percent = 0;
    press(&mut world, 0, &[key(42, false), key(43, true), key(43, false)]);
    assert_eq!(got(&world), [key(42, true), key(42, false), key(43, true), key(43, false)]);
    assert_eq!(world.clients[0].input_ack.unwrap().dropped, 0);
}

#[test]
fn one_session_at_a_time_has_a_guests_input() {
    let mut world = connected(2);
    press(&mut world, 0, &[key(1, true)]);
    press(&mut world, 1, &[key(2, true), InputKind::MoveTo { x: 1, y: 1 }, key(2, false)]);
    assert_eq!(got(&world), [key(1, true)]);
    let ack = world.clients[1].input_ack.unwrap();
    assert_eq!((ack.through, ack.dropped), (3, 2), "the release has nothing to release");
    // Whoever rests gives way, and lets go.
    world.run(INPUT_HOLD);
    press(&mut world, 1, &[key(3, true)]);
    assert_eq!(got(&world)[1..], [key(1, false), key(3, true)]);
    press(&mut world, 0, &[key(1, false), key(4, true)]);
    assert_eq!(got(&world).len(), 3);
    // Whoever leaves does so at once.
    let (from, bytes) = (world.clients[1].address, world.clients[1].close());
    world.deliver(from, &bytes, true);
    world.run(ms(50));
    press(&mut world, 0, &[key(5, true)]);
    assert_eq!(got(&world)[3..], [key(3, false), key(5, true)]);
}

#[test]
fn a_service_to_look_at_takes_no_input() {
    let mut config = config(1);
    config.directory.insert(&service(0), [SourceId(0)], 60, InputPolicy::None);
    let mut world = World::with(config, 200, 150, 1, 1);
    world.run(ms(200));
    press(&mut world, 0, &[key(1, true), key(1, false), InputKind::MoveBy { dx: 1, dy: 1 }]);
    assert!(world.actions.is_empty());
    let ack = world.clients[0].input_ack.unwrap();
    assert_eq!((ack.through, ack.dropped), (3, 3));
}

#[test]
fn a_pointer_stays_on_its_surface_and_the_guest_learns_its_size() {
    let mut world = connected(1);
    press(&mut world, 0, &[InputKind::MoveTo { x: 60_000, y: 149 }, InputKind::Wheel { dx: 0, dy: -1 }]);
    assert_eq!(got(&world), [InputKind::MoveTo { x: 199, y: 149 }, InputKind::Wheel { dx: 0, dy: -1 }]);
    let size = world.actions[0].1.size;
    assert_eq!((size.width, size.height), (200, 150));
}

#[test]
fn a_guest_that_was_never_seen_takes_keys_and_no_places() {
    let mut world = World::new(1, 1);
    let text = "off".to_owned();
    world.set_view(0, crate::hypervisor::View::Dark { state: lfp_proto::frame::SurfaceState::Gone, text });
    world.run(ms(200));
    press(&mut world, 0, &[InputKind::MoveTo { x: 5, y: 5 }, key(1, true), key(1, false)]);
    assert_eq!(got(&world), [key(1, true), key(1, false)]);
    assert_eq!(world.clients[0].input_ack.unwrap().dropped, 1);
}

#[test]
fn nobody_holds_more_than_hands_can() {
    let mut world = connected(1);
    for chunk in 0..10 {
        let keys: Vec<_> = (0..30).map(|code| key(chunk * 30 + code + 1, true)).collect();
        press(&mut world, 0, &keys);
    }
    assert_eq!(world.actions.len(), HELD_MAX);
    assert_eq!(world.clients[0].input_ack.unwrap().dropped, 300 - HELD_MAX as u64);
    press(&mut world, 0, &[InputKind::FocusLost]);
    assert_eq!(world.actions.len(), 2 * HELD_MAX);
}

#[test]
fn shutting_down_releases_everything() {
    let mut world = connected(1);
    press(&mut world, 0, &[key(7, true)]);
    world.server.handle(world.now, crate::server::Input::Shutdown);
    world.run(ms(100));
    assert_eq!(got(&world), [key(7, true), key(7, false)]);
}
