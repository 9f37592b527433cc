//! Which way a source is scanned, and that probing misses nothing for long.

use std::time::Duration;

use super::*;
use crate::geometry::CellRect;
use crate::limits::{PROBE_AFTER, PROBE_MEMORY};
use crate::scan::fake::Rng;
use crate::scan::trough::TURNS;
use crate::scan::{Mode, Refiner, Strategy};

/// A screen of 640x480 pixels, scanned once, 100 times a second from then on.
fn rig(strategy: Strategy) -> Rig {
    let mut rig = Rig::new(640, 480, PixelFormat::Xrgb8888);
    rig.scanner.follow(strategy);
    rig.tick().expect("a first tick");
    rig
}

/// Lets time pass in which nothing is found.
fn rest(rig: &mut Rig, span: Duration) {
    for _ in 0..span.as_millis() / 10 {
        assert!(rig.tick().is_none());
    }
}

fn fill(rig: &Rig, (x, y): (usize, usize), (width, height): (usize, usize), colour: u32) {
    for row in y..y + height {
        for column in x..x + width {
            rig.paint(column, row, &colour.to_le_bytes());
        }
    }
}

/// Whether the newest tick shows what is painted.
fn is_shown(rig: &Rig, tick: &Tick) -> bool {
    let (picture, mut pixels) = (live(tick).0, Vec::new());
    picture.read(picture.size.grid().rect(), &mut pixels);
    let screen = rig.screen.lock().unwrap();
    let stride = screen.surface().stride_bytes as usize;
    let rows = screen.bytes.chunks(stride).zip(pixels.chunks(640));
    rows.into_iter().all(|(row, pixels)| {
        row.chunks_exact(4).zip(pixels).all(|(bytes, pixel)| bytes[..3] == pixel.to_le_bytes()[..3])
    })
}

#[test]
fn an_idle_source_is_probed_until_something_happens() {
    let mut rig = rig(Strategy::Auto);
    rest(&mut rig, PROBE_AFTER - Duration::from_millis(20));
    assert_eq!((rig.scanner.mode(), rig.scanner.counters().probes), (Mode::Sweep, 0));
    rest(&mut rig, Duration::from_millis(40));
    let whole = 640 * 480 * 4;
    assert_eq!(rig.scanner.mode(), Mode::Probe);
    assert!(rig.scanner.counters().bytes_last * 12 <= whole, "{} bytes", rig.scanner.counters().bytes_last);
    // One pixel, and one behind it that no search around the first would find.
    rig.paint(300, 217, &[1, 2, 3, 0]);
    rig.paint(9, 473, &[1, 2, 3, 0]);
    let found = (0..TURNS).find_map(|_| rig.tick()).expect("found within 16 ticks");
    assert_eq!(cells(&found), [13 * 40 + 18, 29 * 40], "a hit brings the sweep at once");
    let counters = rig.scanner.counters();
    assert_eq!(counters.surprises, 1);
    assert!(counters.bytes_last > whole, "{} bytes", counters.bytes_last);
    rest(&mut rig, Duration::from_millis(20));
    assert_eq!((rig.scanner.mode(), rig.scanner.counters().bytes_last), (Mode::Sweep, whole));
    rest(&mut rig, PROBE_AFTER);
    assert_eq!(rig.scanner.mode(), Mode::Probe);
}

#[test]
fn what_blinks_all_the_time_keeps_no_source_from_being_probed_and_is_seen_at_once() {
    let mut rig = rig(Strategy::Auto);
    for round in 0..12_u8 {
        fill(&rig, (104, 84), (2, 3), u32::from(round) + 1);
        assert_eq!(rig.tick().map(|tick| cells(&tick)), Some(vec![5 * 40 + 6]), "in the tick behind it");
        rest(&mut rig, Duration::from_millis(490));
    }
    assert_eq!((rig.scanner.mode(), rig.scanner.counters().surprises), (Mode::Probe, 0));
    // It writes over its border.
    fill(&rig, (108, 84), (9, 3), 99);
    assert_eq!(rig.tick().map(|tick| cells(&tick)), Some(vec![5 * 40 + 6, 5 * 40 + 7]));
    assert_eq!(rig.scanner.counters().surprises, 1);
    rest(&mut rig, PROBE_AFTER + PROBE_MEMORY);
    assert_eq!(rig.scanner.mode(), Mode::Probe);
    let before = rig.scanner.counters().bytes_last;
    rest(&mut rig, Duration::from_millis(10));
    assert_eq!(rig.scanner.counters().bytes_last, before, "what has cooled is not looked at all the time");
    assert_eq!(before, 640 * 480 * 4 / 16);
}

#[test]
fn a_hint_brings_the_sweep_back_or_is_probed_in_every_tick() {
    let hint = CellRect { x: 10, y: 10, width: 7, height: 7 };
    let mut auto = rig(Strategy::Auto);
    rest(&mut auto, PROBE_AFTER * 2);
    auto.scanner.hint([hint].into_iter());
    rest(&mut auto, Duration::from_millis(10));
    assert_eq!(auto.scanner.mode(), Mode::Sweep);
    let mut probed = rig(Strategy::Probe);
    probed.scanner.hint([hint].into_iter());
    for y in 160..272 {
        fill(&probed, (161 + y % 5, y), (1, 1), 7);
        let tick =
            probed.tick().expect("a pixel that changes where it was hinted is seen in the tick behind it");
        assert!(is_shown(&probed, &tick));
        assert_eq!(probed.scanner.mode(), Mode::Probe);
    }
    let outside = CellRect { x: 39, y: 29, width: 2, height: 2 };
    probed.scanner.hint([outside].into_iter());
}

#[test]
fn a_hit_leads_to_all_of_the_change_in_the_same_tick() {
    let mut rig = rig(Strategy::Probe);
    for (round, (x, y, width, height)) in (1..).zip([
        (3, 5, 200, 90),
        (0, 0, 640, 480),
        (630, 470, 10, 10),
        (100, 100, 1, 300),
        (90, 33, 77, 16),
    ]) {
        fill(&rig, (x, y), (width, height), round);
        let tick = (0..TURNS).find_map(|_| rig.tick()).expect("found within 16 ticks");
        assert!(is_shown(&rig, &tick), "change {round}");
        rest(&mut rig, Duration::from_millis(170));
    }
}

#[test]
fn nothing_stays_unseen_for_longer_than_sixteen_ticks() {
    for (strategy, refiner) in [(Strategy::Probe, Refiner::Cells), (Strategy::Sweep, Refiner::Classic)] {
        let mut rig = rig(strategy);
        rig.scanner.refine(refiner);
        unseen_for_sixteen_ticks_at_most(rig);
    }
}

fn unseen_for_sixteen_ticks_at_most(mut rig: Rig) {
    let mut rng = Rng(11);
    let mut below = |bound: u64| rng.below(bound) as usize;
    let mut shown = rig.tick();
    for _ in 0..60 {
        for _ in 0..below(4) {
            let (x, y) = (below(640), below(480));
            fill(&rig, (x, y), (below(40).min(640 - x), below(30).min(480 - y)), below(1 << 24) as u32);
        }
        for _ in 0..TURNS {
            shown = rig.tick().or(shown);
        }
        let tick = shown.as_ref();
        assert!(tick.is_none_or(|tick| is_shown(&rig, tick)));
    }
}

#[test]
fn a_source_that_says_what_changed_is_not_probed() {
    for (strategy, probes) in [(Strategy::Probe, 1), (Strategy::Auto, 0)] {
        let mut rig = rig(strategy);
        rig.screen.lock().unwrap().notified = true;
        rest(&mut rig, PROBE_AFTER * 2);
        assert_eq!((rig.scanner.mode(), rig.scanner.counters().probes), (Mode::Notified, probes));
    }
}

#[test]
fn whoever_comes_back_to_an_idle_source_sees_all_of_it_at_once() {
    for strategy in [Strategy::Auto, Strategy::Probe] {
        let mut rig = rig(strategy);
        rest(&mut rig, PROBE_AFTER * 2);
        assert_eq!(rig.scanner.mode(), Mode::Probe);
        rig.scanner.look(Instant::from_micros(rig.now));
        fill(&rig, (333, 5), (1, 1), 9);
        assert_eq!(rig.tick().map(|tick| cells(&tick)), Some(vec![20]));
        assert_eq!(rig.scanner.mode(), Mode::Sweep);
    }
}

#[test]
fn what_was_let_go_of_is_scanned_again_as_if_it_had_not_been() {
    let mut rig = rig(Strategy::Auto);
    rig.scanner.release();
    assert_eq!((rig.scanner.mode(), rig.screen.lock().unwrap().releases), (Mode::Released, 1));
    fill(&rig, (20, 20), (3, 3), 5);
    let tick = rig.tick().expect("what has changed meanwhile");
    assert_eq!((cells(&tick), tick.epoch), (vec![41], Epoch(1)));
}

#[test]
fn the_classic_refinement_goes_to_the_edges_of_what_its_rows_hit() {
    let mut rig = rig(Strategy::Sweep);
    rig.scanner.refine(Refiner::Classic);
    // Between two rows that are 16 apart, and across the border of two columns of 32 pixels.
    fill(&rig, (60, 37), (9, 20), 3);
    let found = (0..TURNS).find_map(|_| rig.tick()).expect("found");
    assert_eq!(cells(&found), [83, 84, 123, 124], "cells that look the same are no change");
    assert!(is_shown(&rig, &found));
    let counters = rig.scanner.counters();
    assert_eq!(counters.cells_same, 4, "and were damaged in vain");
}
