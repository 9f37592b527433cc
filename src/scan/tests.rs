//! The scanner over a source that shows what the test paints.

use std::sync::{Arc, Mutex};

use super::fake::{Screen, fake};
use super::{Delta, Picture, Scanner, Tick, TickState};
use crate::geometry::{CellRect, Size};
use crate::hypervisor::{SourceError, SourceId, View};
use crate::pixel::PixelFormat;
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::frame::SurfaceState;
use lfp_proto::record::Context;

mod modes;

struct Rig {
    screen: Arc<Mutex<Screen>>,
    scanner: Scanner,
    now: u64,
}

impl Rig {
    fn new(width: u16, height: u16, format: PixelFormat) -> Self {
        let (screen, source) = fake(width, height, format);
        Self { screen, scanner: Scanner::new(SourceId(3), source), now: 0 }
    }

    fn tick(&mut self) -> Option<Arc<Tick>> {
        self.now += 10_000;
        self.scanner.tick(Instant::from_micros(self.now))
    }

    fn paint(&self, x: usize, y: usize, bytes: &[u8]) {
        self.screen.lock().unwrap().paint(x, y, bytes);
    }

    fn darken(&self, text: &str) {
        let state = SurfaceState::NoFramebuffer;
        self.screen.lock().unwrap().view = View::Dark { state, text: text.to_owned() };
    }
}

fn live(tick: &Tick) -> (&Picture, &Delta) {
    match &tick.state {
        TickState::Live { picture, delta } => (picture, delta),
        TickState::Dark { .. } => panic!("{tick:?} is dark"),
    }
}

fn cells(tick: &Tick) -> Vec<usize> {
    live(tick).1.cells.iter().collect()
}

#[test]
fn the_first_tick_holds_every_cell_and_the_next_only_what_changed() {
    let mut rig = Rig::new(40, 20, PixelFormat::Xrgb8888);
    let first = rig.tick().expect("a first tick, black as it is");
    assert_eq!((first.number, first.epoch, first.source), (1, Epoch(1), SourceId(3)));
    assert_eq!(first.captured, Instant::from_micros(10_000));
    assert_eq!(cells(&first), [0, 1, 2, 3, 4, 5]);
    assert!(rig.tick().is_none(), "nothing changed, so nothing is published");
    rig.paint(39, 19, &[1, 2, 3, 0]);
    rig.paint(17, 0, &[4, 5, 6, 0]);
    let second = rig.tick().unwrap();
    assert_eq!((second.number, second.epoch, cells(&second)), (2, Epoch(1), vec![1, 5]));
    let (picture, delta) = live(&second);
    assert_eq!((delta.tick, delta.at), (2, second.captured));
    assert_eq!(picture.tile(2, 1)[3 * 16 + 7], 0x03_02_01, "the last pixel, in a clipped cell");
    assert_eq!(picture.tile(1, 0)[1], 0x06_05_04);
    assert_eq!((picture.changed_at(1, 0), picture.changed_at(0, 0)), (2, 1));
    assert_eq!((picture.detail(0, 0), picture.detail(2, 1)), (0, 1));
    assert_eq!(live(&first).0.tile(1, 0)[1], 0, "a past tick keeps its picture");
    assert!(
        Arc::ptr_eq(&live(&first).0.rows[0].tiles[0], &picture.rows[0].tiles[0]),
        "unchanged tiles are shared"
    );
}

#[test]
fn noise_in_the_unused_byte_is_no_change() {
    let mut rig = Rig::new(32, 32, PixelFormat::Xrgb8888);
    rig.tick();
    for x in 0..32 {
        rig.paint(x, 20, &[0, 0, 0, 0xa5]);
    }
    assert!(rig.tick().is_none());
    rig.paint(3, 20, &[0, 1, 0, 0x5a]);
    assert_eq!(rig.tick().map(|tick| cells(&tick)), Some(vec![2]));
    assert_eq!(rig.scanner.counters().cells_same, 2);
}

#[test]
fn packed_pixels_cross_cell_borders() {
    let mut rig = Rig::new(37, 17, PixelFormat::Rgb888);
    rig.tick();
    rig.paint(36, 16, &[10, 20, 30]);
    rig.paint(15, 3, &[1, 0, 0]);
    let tick = rig.tick().unwrap();
    assert_eq!(cells(&tick), [0, 5]);
    let (picture, _) = live(&tick);
    assert_eq!(picture.tile(2, 1)[4], 0x1e_14_0a);
    assert_eq!(picture.tile(0, 0)[3 * 16 + 15], 1);
    let mut pixels = Vec::new();
    picture.read(picture.size.grid().rect(), &mut pixels);
    let painted: Vec<_> = pixels.iter().enumerate().filter(|(_, pixel)| **pixel != 0).collect();
    assert_eq!(painted, [(3 * 37 + 15, &1), (16 * 37 + 36, &0x1e_14_0a)]);
    picture.read(CellRect { x: 1, y: 1, width: 2, height: 1 }, &mut pixels);
    assert_eq!(pixels[..20], [0; 20], "nothing of what was read before");
    assert_eq!(pixels[20..], [0x1e_14_0a]);
}

#[test]
fn modes_and_states_are_epochs() {
    let mut rig = Rig::new(32, 16, PixelFormat::Xrgb8888);
    assert_eq!(rig.tick().unwrap().epoch, Epoch(1));
    *rig.screen.lock().unwrap() = blank(48, 16);
    let wider = rig.tick().unwrap();
    assert_eq!((wider.number, wider.epoch, cells(&wider)), (2, Epoch(2), vec![0, 1, 2]));
    let before = rig.screen.lock().unwrap().view.clone();
    rig.darken("text mode");
    let dark = rig.tick().unwrap();
    assert_eq!((dark.number, dark.epoch), (3, Epoch(3)));
    assert!(
        matches!(&dark.state, TickState::Dark { state: SurfaceState::NoFramebuffer, text } if text == "text mode")
    );
    assert!(rig.tick().is_none() && !rig.scanner.is_live() && rig.scanner.history().is_none());
    rig.darken("still text mode");
    assert_eq!(rig.tick().unwrap().epoch, Epoch(4));
    rig.screen.lock().unwrap().view = before;
    let back = rig.tick().unwrap();
    assert_eq!((back.number, back.epoch, cells(&back)), (5, Epoch(5), vec![0, 1, 2]));
}

fn blank(width: u16, height: u16) -> Screen {
    let (screen, source) = fake(width, height, PixelFormat::Xrgb8888);
    drop(source);
    Arc::into_inner(screen).and_then(|screen| screen.into_inner().ok()).expect("nobody else holds it")
}

#[test]
fn a_torn_sweep_is_made_up_for_by_the_next() {
    let mut rig = Rig::new(16, 48, PixelFormat::Xrgb8888);
    rig.screen.lock().unwrap().errors.push(SourceError::Torn { attempts: 3 });
    assert!(rig.tick().is_none() && !rig.scanner.is_live());
    assert_eq!(rig.tick().map(|tick| (tick.number, cells(&tick))), Some((1, vec![0, 1, 2])));
    rig.paint(0, 0, &[1, 0, 0, 0]);
    rig.screen.lock().unwrap().errors.push(SourceError::Torn { attempts: 3 });
    assert!(rig.tick().is_none());
    rig.paint(0, 40, &[1, 0, 0, 0]);
    let tick = rig.tick().unwrap();
    assert_eq!(cells(&tick), [0, 2], "what the torn sweep copied is not forgotten");
    assert_eq!(rig.scanner.counters().torn, 2);
}

#[test]
fn a_source_that_claims_pixels_and_has_none_is_called_faulty() {
    let mut rig = Rig::new(16, 16, PixelFormat::Xrgb8888);
    rig.tick();
    let lost = || SourceError::Lost("truncated".to_owned());
    rig.screen.lock().unwrap().errors.extend([lost(), lost(), lost(), lost(), lost()]);
    assert!(rig.tick().is_none(), "the next view may explain it");
    let faulty = rig.tick().unwrap();
    assert!(matches!(faulty.state, TickState::Dark { state: SurfaceState::Faulty, .. }));
    assert!((0..3).all(|_| rig.tick().is_none()), "said once");
    assert_eq!(rig.tick().map(|tick| tick.epoch), Some(Epoch(3)), "pixels again");
    let size = Size { width: 0, height: 10 };
    let surface = rig.screen.lock().unwrap().surface();
    rig.screen.lock().unwrap().view = View::Live(crate::hypervisor::Surface { size, ..surface });
    assert!(matches!(rig.tick().unwrap().state, TickState::Dark { state: SurfaceState::Faulty, .. }));
}

#[test]
fn looking_reads_no_pixels_and_tells_of_the_dark() {
    let mut rig = Rig::new(16, 16, PixelFormat::Xrgb8888);
    assert!(rig.scanner.look(Instant::ZERO).is_none());
    assert_eq!(rig.screen.lock().unwrap().sweeps, 0);
    rig.darken("gone");
    assert!(rig.scanner.look(Instant::ZERO).is_some());
    assert!(rig.scanner.look(Instant::ZERO).is_none());
}

#[test]
fn the_time_array_remembers_cells_with_what_they_hold() {
    let mut rig = Rig::new(48, 16, PixelFormat::Xrgb8888);
    rig.tick();
    rig.paint(20, 3, &[9, 9, 9, 0]);
    rig.tick();
    let history = rig.scanner.history_mut().unwrap();
    assert_eq!(history.changed_since(1).map(|cells| cells.iter().collect()), Some(vec![1]));
    assert_eq!((history.context(0), history.context(1)), (Context::Flat, Context::Unknown));
    assert_eq!((history.changes(0), history.changes(1)), (1, 2));
}

#[test]
fn a_screen_that_changes_all_the_time_takes_no_more_memory() {
    let mut rig = Rig::new(36, 36, PixelFormat::Xrgb8888);
    let mut seen = std::collections::HashSet::new();
    for round in 1..=50_u8 {
        for at in 0..9 {
            rig.paint(at % 3 * 16, at / 3 * 16, &[round, at as u8, 7, 0]);
        }
        let tick = rig.tick().expect("all cells changed");
        let (picture, _) = live(&tick);
        for (x, y) in (0..3_u16).flat_map(|x| (0..3_u16).map(move |y| (x, y))) {
            let tile = &picture.rows[usize::from(y)].tiles[usize::from(x)];
            seen.insert(Arc::as_ptr(tile));
            assert_eq!(tile[0], u32::from_le_bytes([round, (y * 3 + x) as u8, 7, 0]));
            assert!(tile[1..].iter().all(|pixel| *pixel == 0), "a tile is used again as if it were new");
        }
    }
    assert!(seen.len() <= 3 * 9, "{} tiles for 9 cells", seen.len());
}
