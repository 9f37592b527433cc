//! The rules on painted desktops, and in `recorded` on pieces of recorded ones.

mod recorded;

use std::sync::Arc;

use super::{CellContext, RULES, Shape, Watcher, judge};
use crate::ablation::{self, Part, Without};
use crate::geometry::{CellRect, Size};
use crate::hypervisor::synthetic::{Painting, Scene};
use crate::hypervisor::{SourceId, SyntheticSpec};
use crate::pixel::PixelFormat;
use crate::scan::fake::{Screen, fake};
use crate::scan::{Class, Region, Tick};
use crate::time::Instant;
use lfp_proto::record::Context;

#[test]
fn every_rule_but_the_last_can_be_left_out_by_its_name() {
    let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names[..names.len() - 1], ablation::RULES);
    let plane = Shape { flat: 100, ..Shape::default() };
    assert_eq!(judge(&plane, Without::NOTHING).name, "plane");
    let without: Without = ["plane"].map(|name| name.parse::<Part>().expect("a part")).into_iter().collect();
    assert_eq!(judge(&plane, without).name, "controls");
}

/// A painting, shown frame by frame.
struct Rig {
    screen: Arc<std::sync::Mutex<Screen>>,
    watcher: Watcher,
    scene: Scene,
    newest: Option<Arc<Tick>>,
}

const SIZE: Size = Size { width: 640, height: 400 };
/// What the painter's video covers of [`SIZE`], in cells.
const FILM: CellRect = CellRect { x: 8, y: 4, width: 24, height: 15 };

impl Rig {
    fn new(painting: Painting) -> Self {
        let (screen, source) = fake(SIZE.width, SIZE.height, PixelFormat::Xrgb8888);
        let scene = Scene::new(SyntheticSpec { size: SIZE, ..SyntheticSpec::new(painting) });
        Self { screen, watcher: Watcher::new(SourceId(0), source), scene, newest: None }
    }

    /// Shows `frame`, in columns from `still` on the one before.
    fn show(&mut self, at_ms: u64, frame: u64, still: usize) {
        let pixels = self.scene.paint(frame).to_vec();
        self.put_until(at_ms, &pixels, still);
    }

    /// Shows `pixels`.
    fn put(&mut self, at_ms: u64, pixels: &[u32]) {
        self.put_until(at_ms, pixels, usize::MAX);
    }

    fn put_until(&mut self, at_ms: u64, pixels: &[u32], still: usize) {
        let mut screen = self.screen.lock().expect("sound");
        let stride = screen.surface().stride_bytes as usize;
        for (y, row) in pixels.chunks_exact(SIZE.width.into()).enumerate() {
            for (x, pixel) in row.iter().enumerate().take(still) {
                screen.bytes[y * stride + x * 4..][..4].copy_from_slice(&pixel.to_le_bytes());
            }
        }
        drop(screen);
        let tick = self.watcher.tick(Instant::from_micros(at_ms * 1_000 + 1));
        self.newest = tick.or(self.newest.take());
    }

    fn videos(&self) -> Vec<Region> {
        let regions = self.newest.iter().flat_map(|tick| tick.contexts.regions());
        regions.filter(|region| region.context == Context::Video).copied().collect()
    }

    fn cell(&self, x: u16, y: u16) -> CellContext {
        let tick = self.newest.as_ref().expect("a tick");
        tick.contexts.cell(SIZE.grid().index(x, y))
    }
}

#[test]
fn a_painted_video_is_found_with_its_whole_boundary_while_parts_of_it_rest() {
    let mut rig = Rig::new(Painting::Video);
    for frame in 0..15 {
        rig.show(frame * 33, frame, usize::MAX);
    }
    assert_eq!(
        rig.videos().iter().map(|video| video.cells).collect::<Vec<_>>(),
        [FILM],
        "after half a second"
    );
    assert_eq!(rig.cell(12, 8).class, Class::Hot);
    // The right part rests, then all of it but a strip.
    for frame in 15..75 {
        rig.show(frame * 33, frame, if frame < 45 { 320 } else { 240 });
        assert_eq!(rig.videos().iter().map(|video| video.cells).collect::<Vec<_>>(), [FILM], "frame {frame}");
    }
    let persistence = rig.videos()[0].persistence_ms;
    assert!((1_500..2_500).contains(&persistence), "{persistence}");
    // All of it rests for a moment, and goes on.
    rig.show(75 * 33 + 1_500, 76, usize::MAX);
    assert_eq!(rig.videos().len(), 1);
    assert_eq!(rig.cell(12, 8).context, Context::Video);
}

/// Shows a film of [`FILM`]'s size at `place` of a painted page, which says `frame` of both.
fn show_at(rig: &mut Rig, film: &mut Scene, at_ms: u64, frame: u64, place: (usize, usize)) {
    let (left, top) = (usize::from(FILM.x) * 16, usize::from(FILM.y) * 16);
    let (width, height) = (usize::from(FILM.width) * 16, usize::from(FILM.height) * 16);
    let picture = film.paint(frame).to_vec();
    let mut page = rig.scene.paint(0).to_vec();
    let side = usize::from(SIZE.width);
    for y in 0..height {
        let row = &picture[(top + y) * side + left..][..width];
        page[(place.1 + y) * side + place.0..][..width].copy_from_slice(row);
    }
    rig.put(at_ms, &page);
}

#[test]
fn a_painted_video_that_moves_and_pauses_is_exact_to_a_cell_half_a_second_after_each() {
    let mut rig = Rig::new(Painting::Idle);
    let mut film = Scene::new(SyntheticSpec { size: SIZE, ..SyntheticSpec::new(Painting::Video) });
    let whole = |videos: Vec<Region>| videos.iter().map(|video| video.cells).collect::<Vec<_>>();
    // Where it is in pixels, and in cells, which it need not fill.
    let places = [
        ((16, 16), CellRect { x: 1, y: 1, ..FILM }),
        ((72, 48), CellRect { x: 4, y: 3, width: 25, ..FILM }),
        ((247, 160), CellRect { x: 15, y: 10, width: 25, ..FILM }),
    ];
    let (mut at, mut frame) = (0, 0);
    show_at(&mut rig, &mut film, at, frame, places[0].0);
    for (place, cells) in places {
        let shown = at + 33;
        while at < shown + 1_500 {
            (at, frame) = (at + 33, frame + 1);
            show_at(&mut rig, &mut film, at, frame, place);
            let found = whole(rig.videos());
            assert!(at <= shown + 500 || found == [cells], "{} ms at {place:?}: {found:?}", at - shown);
        }
        // It pauses for a second and a half, and is where it was as soon as it goes on.
        (at, frame) = (at + 1_500, frame + 1);
        show_at(&mut rig, &mut film, at, frame, place);
        assert_eq!(whole(rig.videos()), [cells], "after a pause at {place:?}");
    }
}

#[test]
fn typing_is_writing_and_its_cursor_blinks() {
    let mut rig = Rig::new(Painting::Idle);
    for frame in 0..90 {
        rig.show(frame * 33, frame, usize::MAX);
    }
    let tick = rig.newest.as_ref().expect("ticks");
    let regions = tick.contexts.regions();
    assert!(regions.iter().any(|region| region.context == Context::Blink), "{regions:?}");
    assert!(rig.videos().is_empty());
}

#[test]
fn what_rests_is_what_it_looks_like_again() {
    let mut rig = Rig::new(Painting::Scroll);
    for frame in 0..85 {
        rig.show(frame * 33, frame, usize::MAX);
    }
    let sliding = (0..1_000).filter(|at| rig.cell(at % 40, at / 40).context == Context::Scroll).count();
    assert!(sliding > 300, "{sliding} cells");
    // The page rests for a second; the clock goes on.
    for frame in 85..121 {
        rig.show(frame * 33, frame, usize::MAX);
    }
    let sliding = (0..1_000).filter(|at| rig.cell(at % 40, at / 40).context == Context::Scroll).count();
    assert!(sliding < 10, "{sliding} cells");
}

#[test]
fn contexts_are_noted_in_the_time_based_array() {
    let mut rig = Rig::new(Painting::Video);
    for frame in 0..15 {
        rig.show(frame * 33, frame, usize::MAX);
    }
    let history = rig.watcher.history().expect("a mode");
    assert_eq!(history.context(SIZE.grid().index(12, 8)), Context::Video);
}
