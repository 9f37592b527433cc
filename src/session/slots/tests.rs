//! Slots through stores, acks, losses and refusals.

use super::*;
use crate::geometry::Size;

const SIZE: Size = Size { width: 64, height: 32 };

fn rect(x: u16) -> CellRect {
    CellRect { x, y: 0, width: 2, height: 2 }
}

fn confirmed(slots: &mut Slots) -> Vec<(u32, u32, bool)> {
    let known = slots.known().expect("a cache");
    let entry = |entry: &logic::Entry| {
        assert_eq!(entry.tiles.len(), entry.cells.cells());
        (entry.stored.slot, entry.stored.generation, entry.confirmed)
    };
    known.entries.iter().map(entry).collect()
}

#[test]
fn only_what_came_is_used_and_only_as_long_as_nothing_else_is_sent_there() {
    let (mut slots, picture) = (Slots::new(true), Picture::black(SIZE));
    let first = slots.store(rect(0), &picture).expect("a slot");
    assert!(!slots.use_now(first), "it is on its way");
    assert_eq!(confirmed(&mut slots), [(0, 1, false)]);
    slots.on_confirmed(first);
    assert!(slots.use_now(first));
    assert_eq!(confirmed(&mut slots), [(0, 1, true)]);
    slots.forget(first);
    assert!(!slots.use_now(first));
    let next = slots.store(rect(1), &picture).expect("a slot");
    slots.on_confirmed(first);
    assert!(!slots.use_now(first) && !slots.use_now(next), "that was the one before");
    slots.on_confirmed(next);
    slots.forget(first);
    assert!(slots.use_now(next));
    slots.forget_all();
    assert!(!slots.use_now(next) && confirmed(&mut slots).is_empty());
}

#[test]
fn the_slot_that_was_used_least_lately_is_taken_and_none_beyond_the_bound() {
    let (mut slots, picture) = (Slots::new(true), Picture::black(SIZE));
    let all: Vec<_> = (0..CACHE_SLOTS).filter_map(|_| slots.store(rect(0), &picture)).collect();
    all.iter().for_each(|stored| slots.on_confirmed(*stored));
    assert!((0..).zip(&all).all(|(slot, stored)| *stored == Stored { slot, generation: 1 }));
    assert!(slots.use_now(all[0]));
    assert_eq!(slots.store(rect(0), &picture), Some(Stored { slot: 1, generation: 2 }));
    slots.forget(all[9]);
    assert_eq!(slots.store(rect(0), &picture), Some(Stored { slot: 9, generation: 2 }), "it is empty");
    assert_eq!(slots.slots.len(), CACHE_SLOTS);
    assert!(slots.memory_bytes() < 17 << 20);
}

#[test]
fn a_client_without_a_cache_stores_nothing() {
    let mut slots = Slots::new(false);
    assert_eq!(slots.store(rect(0), &Picture::black(SIZE)), None);
    assert!(slots.known().is_none());
    assert_eq!(slots.memory_bytes(), 0);
}
