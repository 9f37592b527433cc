//! What a client's user sees decides what it is sent, and how its source is scanned; where input came is passed on.

use std::time::Duration;

use super::world::{World, config};
use crate::heat::Hint;
use crate::hypervisor::SourceId;
use crate::limits::ASIDE_RATE_HZ;
use crate::units::SurfaceId;
use lfp_proto::frame::{Attend, Attention, Button, Frame, InputKind};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A world whose screen changes with every scan.
fn busy(clients: u16) -> World {
    let mut world = World::with(config(1), 200, 150, 1, clients);
    world.painter = Some(Box::new(|rng, screens| {
        let (x, y, colour) = (rng.below(200) as usize, rng.below(150) as usize, rng.next() as u32);
        screens[0].lock().unwrap().paint(x, y, &(colour | 1).to_le_bytes());
    }));
    world.run(ms(500));
    world
}

fn attend(world: &mut World, client: usize, attention: Attention) {
    let frame = Frame::Attention(Attend { surface: SurfaceId(0), attention });
    let bytes = world.clients[client].packet(&[frame]);
    let from = world.clients[client].address;
    world.deliver(from, &bytes, true);
    world.run(ms(50));
}

fn demanded(world: &World) -> Option<u32> {
    world.demands.get(&SourceId(0)).copied()
}

#[test]
fn a_hidden_surface_is_not_sent_nor_scanned_and_comes_back_as_it_is_then() {
    let mut world = busy(1);
    assert_eq!(demanded(&world), Some(60));
    attend(&mut world, 0, Attention::Hidden);
    assert_eq!(demanded(&world), Some(0));
    let records = world.clients[0].records;
    world.run(ms(3_000));
    assert_eq!(world.clients[0].records, records, "not a pixel of what is hidden");
    attend(&mut world, 0, Attention::InView);
    assert_eq!(demanded(&world), Some(60));
    world.painter = None;
    world.run(ms(1_000));
    assert!(world.clients[0].records > records);
    assert!(world.is_exact(0, 0), "all that was missed");
}

#[test]
fn one_who_looks_is_enough_for_a_source_to_be_scanned() {
    let mut world = busy(2);
    attend(&mut world, 0, Attention::Hidden);
    assert_eq!(demanded(&world), Some(60));
    let records = [0, 1].map(|client| world.clients[client].records);
    world.run(ms(1_000));
    assert_eq!(world.clients[0].records, records[0]);
    assert!(world.clients[1].records > records[1] + 30);
    attend(&mut world, 1, Attention::Aside);
    assert_eq!(demanded(&world), Some(ASIDE_RATE_HZ));
    attend(&mut world, 0, Attention::InView);
    attend(&mut world, 0, Attention::Aside);
    attend(&mut world, 1, Attention::InView);
    let marks = [0, 1].map(|client| world.clients[client].marks.len());
    world.run(ms(2_000));
    let more = [0, 1].map(|client| world.clients[client].marks.len() - marks[client]);
    assert!((6..=12).contains(&more[0]) && more[1] > 60, "{more:?} pictures in 2 s");
}

#[test]
fn what_was_said_later_counts_whenever_it_comes() {
    let mut world = busy(1);
    let say = |attention| [Frame::Attention(Attend { surface: SurfaceId(0), attention })];
    let early = world.clients[0].packet(&say(Attention::Hidden));
    let late = world.clients[0].packet(&say(Attention::Aside));
    let from = world.clients[0].address;
    world.deliver(from, &late, true);
    world.run(ms(50));
    world.deliver(from, &early, true);
    world.run(ms(50));
    assert_eq!(demanded(&world), Some(ASIDE_RATE_HZ));
    let unknown = Frame::Attention(Attend { surface: SurfaceId(7), attention: Attention::Hidden });
    let bytes = world.clients[0].packet(&[unknown]);
    world.deliver(from, &bytes, true);
    world.run(ms(50));
    assert_eq!(demanded(&world), Some(ASIDE_RATE_HZ), "there is no such surface");
}

#[test]
fn where_input_came_goes_to_the_pipeline() {
    let mut world = World::new(1, 1);
    world.run(ms(200));
    let now = world.now;
    let click = [true, false].map(|down| InputKind::Button { button: Button::Left, down });
    let key = InputKind::Key { code: 30, down: true };
    let moved = InputKind::MoveTo { x: 40, y: 50 };
    world.clients[0].press(&[moved, click[0], click[1], key, InputKind::MoveBy { dx: 1, dy: 0 }], now);
    world.run(ms(100));
    assert_eq!(world.hints, [Hint::At { x: 40, y: 50 }, Hint::LastChange]);
    world.hints.clear();
    let now = world.now;
    world.clients[0].press(&[click[0]], now);
    world.run(ms(100));
    assert_eq!(world.hints, [Hint::LastChange], "nobody knows where it moved to");
    assert_eq!(demanded(&world), Some(60), "a hint changes no pace");
}
