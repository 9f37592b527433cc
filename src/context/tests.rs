//! The rules on pieces of recorded desktops (`tests/data/traces`), and on painted ones.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CellContext, RULES, Shape, Watcher, judge};
use crate::ablation::{self, Part, Without};
use crate::geometry::{CellRect, PixelRect, Size};
use crate::hypervisor::synthetic::{Painting, Scene};
use crate::hypervisor::trace::{TraceReader, TraceWriter};
use crate::hypervisor::{SourceId, SyntheticSpec};
use crate::pixel::PixelFormat;
use crate::scan::fake::{Screen, fake};
use crate::scan::{Class, Region, Tick};
use crate::time::Instant;
use lfp_proto::record::Context;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces")
}

/// Name, recording, first frame, frames, and the piece of the screen.
const EXCERPTS: [(&str, &str, u64, u64, PixelRect); 4] = [
    ("video", "6_video", 0, 16, PixelRect { x: 512, y: 240, width: 368, height: 240 }),
    ("terminal", "5_terminal", 86, 12, PixelRect { x: 32, y: 160, width: 480, height: 240 }),
    ("drag", "4_windows", 48, 7, PixelRect { x: 160, y: 96, width: 384, height: 256 }),
    ("web", "2_web", 99, 5, PixelRect { x: 16, y: 96, width: 448, height: 192 }),
];

/// Cuts the excerpt `name` anew out of its recording in the folder `traces`.
fn cut(name: &str, traces: &Path) {
    let (_, trace, first, frames, area) =
        EXCERPTS.into_iter().find(|excerpt| excerpt.0 == name).expect("an excerpt");
    let file = File::open(traces.join(trace).with_extension("lfptrace")).expect("a recording");
    let mut reader = TraceReader::new(BufReader::new(file)).expect("a trace");
    let size = Size { width: area.width, height: area.height };
    let out = File::create(folder().join(name).with_extension("lfptrace")).expect("a file");
    let mut writer = TraceWriter::new(out, name, size, reader.header().fps, 19).expect("begun");
    let begin = (0..first).all(|_| reader.advance().expect("a frame"));
    assert!(begin, "{trace} has frame {first}");
    let mut origin = None;
    for _ in 0..frames {
        let at_us = reader.next_at_us().expect("so many frames");
        reader.advance().expect("a frame");
        let row = usize::from(reader.size().width) * 4;
        let rows = reader.picture().chunks_exact(row).skip(area.y.into()).take(area.height.into());
        let piece = usize::from(area.x) * 4..usize::from(area.x + area.width) * 4;
        let bytes: Vec<u8> = rows.flat_map(|row| row[piece.clone()].iter().copied()).collect();
        writer.add(at_us - *origin.get_or_insert(at_us), &bytes).expect("written");
    }
    writer.finish().expect("written");
}

/// The ticks of an excerpt, with the times of its frames in milliseconds. It is cut anew first where `LFP_CUT_EXCERPTS`
/// names the folder of the recordings.
fn play(name: &str) -> Vec<(u64, Arc<Tick>)> {
    if let Some(traces) = std::env::var_os("LFP_CUT_EXCERPTS") {
        cut(name, Path::new(&traces));
    }
    let file = File::open(folder().join(name).with_extension("lfptrace")).expect("an excerpt");
    let mut reader = TraceReader::new(BufReader::new(file)).expect("a trace");
    let (screen, source) = fake(reader.size().width, reader.size().height, PixelFormat::Xrgb8888);
    let mut watcher = Watcher::new(SourceId(0), source);
    let mut ticks = Vec::new();
    while let Some(at_us) = reader.next_at_us() {
        reader.advance().expect("a frame");
        show(&mut screen.lock().expect("sound"), reader.picture());
        ticks.extend(watcher.tick(Instant::from_micros(at_us + 1)).map(|tick| (at_us / 1_000, tick)));
    }
    ticks
}

fn show(screen: &mut Screen, picture: &[u8]) {
    let surface = screen.surface();
    let (stride, row) = (surface.stride_bytes as usize, usize::from(surface.size.width) * 4);
    for (to, from) in screen.bytes.chunks_exact_mut(stride).zip(picture.chunks_exact(row)) {
        to[..row].copy_from_slice(from);
    }
}

/// Percent of the cells that changed in the ticks from the third on that are taken for `context`.
fn share(ticks: &[(u64, Arc<Tick>)], context: Context) -> usize {
    let (mut all, mut such) = (0, 0);
    for (_, tick) in &ticks[2..] {
        let crate::scan::TickState::Live { delta, .. } = &tick.state else { panic!("dark") };
        for index in delta.cells.iter() {
            all += 1;
            such += usize::from(tick.contexts.cell(index).context == context);
        }
    }
    such * 100 / all.max(1)
}

fn videos(tick: &Tick) -> Vec<CellRect> {
    let videos = tick.contexts.regions().iter().filter(|region| region.context == Context::Video);
    videos.map(|region| region.cells).collect()
}

#[test]
fn every_rule_but_the_last_can_be_left_out_by_its_name() {
    let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names[..names.len() - 1], ablation::RULES);
    let plane = Shape { flat: 100, ..Shape::default() };
    assert_eq!(judge(&plane, Without::NOTHING).name, "plane");
    let without: Without = ["plane"].map(|name| name.parse::<Part>().expect("a part")).into_iter().collect();
    assert_eq!(judge(&plane, without).name, "controls");
}

#[test]
fn a_recorded_video_is_found_within_half_a_second_exact_to_a_cell() {
    let ticks = play("video");
    // It covers the pixels (540, 270) to (859, 449) of the recording, in the excerpt (28, 30) to (347, 209).
    let window = CellRect { x: 1, y: 1, width: 21, height: 13 };
    let exact: Vec<_> =
        ticks.iter().filter(|(_, tick)| videos(tick) == [window]).map(|(at, _)| *at).collect();
    assert!(exact.first().is_some_and(|at| *at <= 500), "exact at {exact:?} ms");
    let (_, last) = ticks.last().expect("ticks");
    assert_eq!(videos(last), [window]);
}

#[test]
fn a_recorded_terminal_scrolls_and_is_no_video() {
    let ticks = play("terminal");
    let (scroll, drag) = (share(&ticks, Context::Scroll), share(&ticks, Context::Drag));
    assert!(scroll >= 40 && drag <= 5, "{scroll} % scroll, {drag} % drag");
    assert!(ticks.iter().all(|(_, tick)| videos(tick).is_empty()));
}

#[test]
fn a_recorded_window_is_dragged() {
    let ticks = play("drag");
    let drag = share(&ticks, Context::Drag);
    assert!(drag >= 50, "{drag} %");
    let vectors =
        ticks.iter().flat_map(|(_, tick)| tick.contexts.regions()).filter_map(|region| region.vector);
    assert!(vectors.clone().any(|vector| !vector.is_straight()));
}

#[test]
fn a_recorded_page_is_writing_and_scrolls() {
    let ticks = play("web");
    let scroll = share(&ticks, Context::Scroll);
    assert!(scroll >= 60, "{scroll} %");
    let (_, first) = &ticks[0];
    let count =
        |context: Context| (0..28 * 12).filter(|index| first.contexts.cell(*index).look == context).count();
    let (text, photo) = (count(Context::Text), count(Context::Photo));
    assert!(text >= 60, "{text} cells of text, {photo} of a photograph");
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
        let pixels = self.scene.paint(frame);
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
