//! What moves need not be exact; what rests is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{Link, World, config};
use crate::ablation::{Part, Without};
use crate::geometry::CellRect;
use crate::limits::REFINE_REST;
use crate::scan::fake::Screen;
use lfp_proto::frame::Verdict;
use lfp_proto::technique::Technique;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const WIDTH: usize = 320;
const HEIGHT: usize = 240;
/// The film's cells, and the cursor's cell.
const FILM: CellRect = CellRect { x: 3, y: 2, width: 9, height: 7 };
const CURSOR: CellRect = CellRect { x: 17, y: 13, width: 1, height: 1 };

fn paint_film(screen: &mut Screen, picture: usize) {
    let area = |start: u16, len: u16| usize::from(start) * 16..usize::from(start + len) * 16;
    for y in area(FILM.y, FILM.height) {
        for x in area(FILM.x, FILM.width) {
            let wave = |a: usize, b: usize| ((x * a + y * b + picture * 9) / 3 % 256).abs_diff(128) as u8;
            let grain = ((x * 7 + y * 13 + picture * 5) % 11 % 4) as u8;
            screen.paint(
                x,
                y,
                &[40 + wave(5, 3) + grain, 70 + wave(2, 7) + grain, 50 + wave(4, 4) + grain, 0],
            );
        }
    }
}

fn paint_cursor(screen: &mut Screen, on: bool) {
    let colour = if on { [0xe0; 4] } else { [0x10; 4] };
    for y in 0..12 {
        screen.paint(usize::from(CURSOR.x) * 16 + 4, usize::from(CURSOR.y) * 16 + y, &colour);
    }
}

/// A world in which a film plays and a cursor blinks, and what makes the film stop.
fn cinema(without: Without, link: Link) -> (World, Arc<AtomicBool>) {
    let config = crate::server::Config { without, ..config(1) };
    let mut world = World::with(config, WIDTH as u16, HEIGHT as u16, 1, 1);
    world.link = link;
    let plays = Arc::new(AtomicBool::new(true));
    let (is_on, mut scans) = (Arc::clone(&plays), 0);
    world.painter = Some(Box::new(move |_, screens| {
        let mut screen = screens[0].lock().unwrap();
        scans += 1;
        if is_on.load(Ordering::Relaxed) && scans % 2 == 0 {
            paint_film(&mut screen, scans / 2);
        }
        if scans % 10 == 0 {
            paint_cursor(&mut screen, scans % 20 == 0);
        }
    }));
    (world, plays)
}

/// Cells and bytes that were sent so that they are not exact.
fn lossy(world: &World) -> (u64, u64) {
    let stats = world.server.status().next().unwrap().stats;
    let sums = stats.sent.by_technique().find(|(technique, _)| *technique == Technique::Lossy);
    sums.map_or((0, 0), |(_, sums)| (sums.cells, sums.bytes))
}

fn shows(world: &World, cells: CellRect) -> bool {
    let (truth, screen) = (world.truth(0), world.clients[0].screen.as_ref().unwrap());
    let rows = usize::from(cells.y) * 16..usize::from(cells.y + cells.height) * 16;
    let (left, width) = (usize::from(cells.x) * 16, usize::from(cells.width) * 16);
    rows.map(|y| y * WIDTH + left..y * WIDTH + left + width)
        .all(|row| truth[row.clone()] == screen.pixels[row])
}

fn verdict(world: &mut World, cells: CellRect) -> Verdict {
    let now = world.now;
    let id = world.clients[0].ask(cells, now);
    world.run_till(ms(500), |world| world.clients[0].replies.contains_key(&id));
    world.clients[0].replies[&id].verdict
}

#[test]
fn a_film_that_stops_is_exact_half_a_second_later_whatever_blinks_beside_it() {
    let (mut world, plays) = cinema(Without::NOTHING, Link::default());
    world.run(ms(3_000));
    let (cells, bytes) = lossy(&world);
    assert!(cells > 1_000 && bytes < cells * 120, "{cells} cells in {bytes} bytes");
    assert_eq!(verdict(&mut world, FILM), Verdict::Unsettled);
    plays.store(false, Ordering::Relaxed);
    world.run(ms(100));
    assert!(!shows(&world, FILM) && verdict(&mut world, FILM) == Verdict::Unsettled);
    let took = world.run_till(ms(1_000), |world| shows(world, FILM));
    assert!(took <= ms(400), "exact {took:?} after a tenth of a second");
    world.run(ms(100));
    assert_eq!(verdict(&mut world, FILM), Verdict::Exact);
    let stats = world.server.status().next().unwrap().stats;
    assert!(stats.cells_refined >= FILM.cells() as u64 && stats.digests_differing == 0);
    let sent = lossy(&world);
    world.run(ms(2_000));
    assert_eq!(lossy(&world), sent, "a cursor is no film");
}

#[test]
fn what_rests_is_exact_though_a_film_fills_the_path() {
    let link = Link { rate_bps: Some(3_000_000), queue_bytes: 32 * 1024, ..Link::default() };
    let (mut world, _) = cinema(Without::NOTHING, link);
    world.run(ms(3_000));
    // The upper rows of the film stand still from here on.
    let held = std::cell::RefCell::new(0);
    world.painter = Some(Box::new(move |_, screens| {
        let mut screen = screens[0].lock().unwrap();
        let before = screen.bytes.clone();
        *held.borrow_mut() += 1;
        paint_film(&mut screen, 1_000 + *held.borrow());
        let top = usize::from(FILM.y + 2) * 16 * screen.surface().stride_bytes as usize;
        screen.bytes[..top].copy_from_slice(&before[..top]);
    }));
    let top = CellRect { height: 2, ..FILM };
    let took = world.run_till(ms(4_000), |world| shows(world, top));
    assert!(took >= REFINE_REST && took <= ms(2_500), "{took:?}");
    assert!(!shows(&world, FILM), "the film goes on");
}

#[test]
fn nothing_is_lossy_where_that_is_left_out() {
    let (mut world, plays) = cinema([Part::Lossy].into_iter().collect(), Link::default());
    world.run(ms(2_000));
    assert_eq!(lossy(&world), (0, 0));
    plays.store(false, Ordering::Relaxed);
    world.run_till(ms(200), |world| shows(world, FILM));
}

#[test]
fn losses_do_not_leave_a_film_blurred() {
    let link = Link { loss_percent: 15, jitter: ms(20), duplicate_percent: 5, ..Link::default() };
    let (mut world, plays) = cinema(Without::NOTHING, link);
    world.run(ms(3_000));
    plays.store(false, Ordering::Relaxed);
    world.run_till(ms(3_000), |world| shows(world, FILM));
    assert!(lossy(&world).0 > 1_000);
}
