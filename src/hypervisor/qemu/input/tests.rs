use std::time::Duration;

use super::*;
use crate::hypervisor::SourceId;

const SIZE: Size = Size { width: 1280, height: 800 };

fn action(input: InputKind) -> Action {
    Action { source: SourceId(0), at: Instant::ZERO, input, size: SIZE, number: None }
}

const fn key(code: u16, down: bool) -> InputKind {
    InputKind::Key { code, down }
}

const fn left(down: bool) -> InputKind {
    InputKind::Button { button: Button::Left, down }
}

fn queue(inputs: &[InputKind]) -> ActionQueue {
    let mut queue = ActionQueue::default();
    for input in inputs {
        queue.push(action(*input));
    }
    queue
}

/// What the batches say, in short.
fn drain(queue: &mut ActionQueue, held: &mut Held, is_absolute: bool) -> Vec<String> {
    let mut said = Vec::new();
    while !queue.is_empty() {
        let batch = take_batch(queue, held, is_absolute);
        assert!(batch.events.len() < INPUT_EVENTS_PER_BATCH + 4 * 128);
        let words: Vec<String> = batch.events.iter().map(word).collect();
        said.push(words.join(" "));
    }
    said
}

fn word(event: &Value) -> String {
    let data = &event["data"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let down = if data["down"] == true { "+" } else { "-" };
    match event["type"].as_str() {
        Some("key") => down.to_owned() + &text(&data["key"]["data"]),
        Some("btn") => down.to_owned() + &text(&data["button"]),
        Some(kind) => format!("{kind}.{}={}", text(&data["axis"]), data["value"]),
        None => panic!("no type: {event}"),
    }
}

#[test]
fn keys_are_typed_in_order_a_few_at_a_time() {
    let mut queue = queue(&[key(42, true), key(30, true), key(30, false), key(42, false), key(28, true)]);
    let mut held = Held::default();
    assert_eq!(drain(&mut queue, &mut held, true), ["+shift +a -a -shift", "+ret"]);
    assert_eq!(held.releases(), [key(28, false)]);
}

#[test]
fn keys_and_pointer_do_not_share_a_command_and_a_button_ends_one() {
    let mut queue = queue(&[
        InputKind::MoveTo { x: 0, y: 0 },
        InputKind::MoveTo { x: 1279, y: 799 },
        left(true),
        left(false),
        key(30, true),
        InputKind::MoveBy { dx: -3, dy: 4 },
        InputKind::MoveBy { dx: -3, dy: 4 },
    ]);
    assert_eq!(
        drain(&mut queue, &mut Held::default(), true),
        ["abs.x=32755 abs.y=32747 +left", "-left", "+a", "rel.x=-6 rel.y=8"]
    );
}

#[test]
fn absolute_motion_becomes_relative_where_there_is_no_tablet() {
    let mut held = Held::default();
    let mut queue =
        queue(&[InputKind::MoveTo { x: 100, y: 100 }, left(true), InputKind::MoveTo { x: 90, y: 130 }]);
    assert_eq!(drain(&mut queue, &mut held, false), ["rel.x=0 rel.y=0 +left", "rel.x=-10 rel.y=30"]);
}

#[test]
fn every_pixel_comes_back_from_the_absolute_axis() {
    for side in [1_u16, 2, 3, 640, 800, 1280, 1366, 1920, 4096, 16_384] {
        for at in 0..side {
            let value = i64::from(scale(at, side));
            assert!((0..=32_767).contains(&value));
            assert_eq!(value * i64::from(side) / 32_768, i64::from(at), "{at} of {side}");
        }
    }
    assert_eq!(scale(u16::MAX, 800), scale(799, 800));
    assert_eq!(scale(5, 0), 16_384);
}

#[test]
fn wheels_turn_by_notches() {
    let mut queue = queue(&[InputKind::Wheel { dx: 1, dy: -2 }, InputKind::Wheel { dx: 0, dy: 1 }]);
    assert_eq!(
        drain(&mut queue, &mut Held::default(), true),
        ["+wheel-up -wheel-up +wheel-up -wheel-up +wheel-right -wheel-right +wheel-down -wheel-down"]
    );
    let mut queue = self::queue(&[InputKind::Wheel { dx: i8::MIN, dy: i8::MIN }; 3]);
    assert_eq!(drain(&mut queue, &mut Held::default(), true).len(), 3);
}

#[test]
fn unknown_keys_are_not_taken() {
    let mut queue = ActionQueue::default();
    for code in [0, 84, 500, u16::MAX] {
        assert!(!queue.push(action(key(code, true))) && !queue.push(action(key(code, false))));
    }
    assert!(queue.is_empty());
}

#[test]
fn losing_the_focus_releases_what_is_held() {
    let mut held = Held::default();
    let mut queue = queue(&[
        key(29, true),
        key(56, true),
        left(true),
        InputKind::FocusLost,
        InputKind::FocusLost,
        key(30, true),
    ]);
    assert_eq!(drain(&mut queue, &mut held, true), ["+ctrl +alt", "+left", "-left", "-ctrl -alt +a"]);
    assert_eq!(held.releases(), [key(30, false)]);
    let mut queue = self::queue(&[InputKind::FocusLost]);
    let batch = take_batch(&mut queue, &mut Held::default(), true);
    assert_eq!((batch.actions, batch.events.len(), queue.is_empty()), (1, 0, true));
}

#[test]
fn a_full_queue_takes_releases_and_stays_bounded() {
    let mut queue = ActionQueue::default();
    let mut presses = 0;
    while queue.push(action(key(30 + presses % 2, true))) {
        presses += 1;
    }
    assert_eq!(usize::from(presses), ACTIONS_PENDING_MAX);
    for _ in 0..1_000 {
        for key in keys::KEYS {
            assert!(queue.push(action(self::key(key.code, false))), "releases are always taken");
        }
        for button in Button::ALL {
            assert!(queue.push(action(InputKind::Button { button, down: false })));
        }
        assert!(queue.push(action(InputKind::FocusLost)));
        assert!(!queue.push(action(key(30, true))));
        assert!(!queue.push(action(InputKind::MoveTo { x: 1, y: 1 })));
    }
    assert!(queue.waiting.len() <= ACTIONS_PENDING_MAX + keys::KEYS.len() + Button::ALL.len() + 1);
    let mut held = Held::default();
    drain(&mut queue, &mut held, true);
    assert!(held.releases().is_empty());
}

#[test]
fn a_full_queue_never_takes_an_earlier_release_for_a_later_one() {
    let mut queue = queue(&[key(30, true), key(30, false), InputKind::FocusLost, left(true), key(30, true)]);
    while queue.push(action(key(31, true))) {}
    assert!(queue.push(action(key(30, false))) && queue.push(action(left(false))));
    let mut held = Held::default();
    drain(&mut queue, &mut held, true);
    assert_eq!(held.releases(), [key(31, false)]);
}

#[test]
fn motion_without_anything_between_is_one_action() {
    let mut queue = ActionQueue::default();
    for x in 0..1000 {
        assert!(queue.push(action(InputKind::MoveTo { x, y: 0 })));
        assert!(queue.push(action(InputKind::MoveTo { x, y: 1 })));
    }
    assert_eq!((queue.waiting.len(), queue.len()), (1, 2000));
    for _ in 0..3 {
        assert!(queue.push(action(InputKind::MoveBy { dx: i16::MAX, dy: i16::MIN })));
    }
    assert_eq!(queue.waiting.len(), 4, "sums that would not fit stay apart");
}

#[test]
fn the_old_is_dropped_and_releases_are_not() {
    let mut queue = queue(&[key(30, true), key(30, false), left(true), left(false), InputKind::FocusLost]);
    let limit = Instant::ZERO + INPUT_AGE_MAX;
    assert_eq!(queue.expire(limit), 0);
    assert_eq!(queue.expire(limit + Duration::from_micros(1)), 2);
    assert_eq!(drain(&mut queue, &mut Held::default(), true), ["-a", "-left", ""]);
}

#[test]
fn releases_of_a_failed_command_come_first_again() {
    let mut queue = queue(&[key(30, true), key(30, false), key(31, true), key(31, false), key(32, true)]);
    let mut held = Held::default();
    let (releases, lost) = take_batch(&mut queue, &mut held, true).failed();
    assert_eq!(lost, 2);
    queue.put_back(releases);
    assert_eq!(drain(&mut queue, &mut held, true), ["-a -s +d"]);
}
