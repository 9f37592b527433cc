//! The rules on pieces of recorded desktops (`tests/data/traces`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use super::super::{RULES, Watcher};
use crate::geometry::{CellRect, PixelRect, Size};
use crate::hypervisor::SourceId;
use crate::hypervisor::trace::{TraceReader, TraceWriter};
use crate::pixel::PixelFormat;
use crate::scan::fake::{Screen, fake};
use crate::scan::{Tick, TickState};
use crate::time::Instant;
use lfp_proto::record::Context;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces")
}

/// Name, recording, first frame, frames, and the piece of the screen.
const EXCERPTS: [(&str, &str, u64, u64, PixelRect); 9] = [
    ("video", "6_video", 0, 16, PixelRect { x: 512, y: 240, width: 368, height: 240 }),
    ("terminal", "5_terminal", 86, 12, PixelRect { x: 32, y: 160, width: 480, height: 240 }),
    ("drag", "4_windows", 48, 7, PixelRect { x: 160, y: 96, width: 384, height: 256 }),
    ("web", "2_web", 99, 5, PixelRect { x: 16, y: 96, width: 448, height: 192 }),
    ("cursor", "7_idle", 0, 100, PixelRect { x: 464, y: 416, width: 176, height: 80 }),
    ("cards", "2_web", 58, 8, PixelRect { x: 896, y: 240, width: 352, height: 192 }),
    ("toolbar", "2_web", 0, 2, PixelRect { x: 16, y: 0, width: 448, height: 208 }),
    ("gravel", "6_video", 0, 2, PixelRect { x: 560, y: 560, width: 128, height: 80 }),
    ("uncovered", "4_windows", 45, 24, PixelRect { x: 208, y: 480, width: 144, height: 112 }),
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
        writer.add(at_us - *origin.get_or_insert(at_us), &piece(&reader, area)).expect("written");
    }
    writer.finish().expect("written");
}

/// The ticks of an excerpt, with the times of its frames in milliseconds. All are cut anew first where `LFP_CUT_EXCERPTS`
/// names the folder of the recordings.
fn play(name: &str) -> Vec<(u64, Arc<Tick>)> {
    let (.., area) = EXCERPTS.into_iter().find(|excerpt| excerpt.0 == name).expect("an excerpt");
    play_part(name, PixelRect { x: 0, y: 0, ..area })
}

/// The ticks of the piece `part` of an excerpt.
fn play_part(name: &str, part: PixelRect) -> Vec<(u64, Arc<Tick>)> {
    static CUT: Once = Once::new();
    if let Some(traces) = std::env::var_os("LFP_CUT_EXCERPTS") {
        CUT.call_once(|| EXCERPTS.iter().for_each(|(name, ..)| cut(name, Path::new(&traces))));
    }
    let file = File::open(folder().join(name).with_extension("lfptrace")).expect("an excerpt");
    let mut reader = TraceReader::new(BufReader::new(file)).expect("a trace");
    let (screen, source) = fake(part.width, part.height, PixelFormat::Xrgb8888);
    let mut watcher = Watcher::new(SourceId(0), source);
    let mut ticks = Vec::new();
    while let Some(at_us) = reader.next_at_us() {
        reader.advance().expect("a frame");
        show(&mut screen.lock().expect("sound"), &piece(&reader, part));
        ticks.extend(watcher.tick(Instant::from_micros(at_us + 1)).map(|tick| (at_us / 1_000, tick)));
    }
    ticks
}

/// The rows of the piece `area` of a trace's picture.
fn piece(reader: &TraceReader<BufReader<File>>, area: PixelRect) -> Vec<u8> {
    let row = usize::from(reader.size().width) * 4;
    let rows = reader.picture().chunks_exact(row).skip(area.y.into()).take(area.height.into());
    let columns = usize::from(area.x) * 4..usize::from(area.x + area.width) * 4;
    rows.flat_map(|row| row[columns.clone()].iter().copied()).collect()
}

fn show(screen: &mut Screen, picture: &[u8]) {
    let surface = screen.surface();
    let (stride, row) = (surface.stride_bytes as usize, usize::from(surface.size.width) * 4);
    for (to, from) in screen.bytes.chunks_exact_mut(stride).zip(picture.chunks_exact(row)) {
        to[..row].copy_from_slice(from);
    }
}

/// The names of the rules by which the regions of these ticks are what they are.
fn rules(ticks: &[(u64, Arc<Tick>)]) -> BTreeSet<&'static str> {
    ticks.iter().flat_map(|(_, tick)| tick.contexts.regions()).map(|region| region.rule).collect()
}

/// The cells that are taken for `context`.
fn such(tick: &Tick, context: Context) -> Vec<(u16, u16)> {
    let TickState::Live { picture, .. } = &tick.state else { panic!("dark") };
    let grid = picture.size.grid();
    let is_such = |x: u16, y: u16| tick.contexts.cell(grid.index(x, y)).context == context;
    let places = (0..grid.rows).flat_map(|y| (0..grid.columns).map(move |x| (x, y)));
    places.filter(|(x, y)| is_such(*x, *y)).collect()
}

/// Percent of the cells that changed in the ticks from the third on that are taken for `context`.
fn share(ticks: &[(u64, Arc<Tick>)], context: Context) -> usize {
    let (mut all, mut such) = (0, 0);
    for (_, tick) in &ticks[2..] {
        let TickState::Live { delta, .. } = &tick.state else { panic!("dark") };
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

#[test]
fn every_rule_holds_somewhere_on_a_recorded_desktop() {
    let mut held: BTreeSet<_> = EXCERPTS.iter().flat_map(|(name, ..)| rules(&play(name))).collect();
    held.extend(rules(&play_part("gravel", COARSE)));
    held.extend(rules(&play_part("toolbar", PAPER)));
    let missing: Vec<_> = RULES.iter().map(|rule| rule.name).filter(|name| !held.contains(name)).collect();
    assert_eq!(missing, ["anything"], "what holds of everything is for what no rule knows");
}

#[test]
fn a_recorded_cursor_blinks_and_the_writing_beside_it_does_not() {
    let ticks = play("cursor");
    // It stands at the beginning of the line, from (513, 456) of the recording on.
    let cursor = [(3, 2), (3, 3)];
    let (_, last) = ticks.last().expect("ticks");
    assert_eq!(such(last, Context::Blink), cursor);
    let first = ticks.iter().find(|(_, tick)| !such(tick, Context::Blink).is_empty());
    assert!(first.is_some_and(|(at, _)| *at <= 1_500), "on, off, on: {:?}", first.map(|(at, _)| at));
    for name in ["terminal", "drag", "web", "video"] {
        assert!(!rules(&play(name)).contains("flips"), "{name}");
    }
}

#[test]
fn recorded_shades_between_cards_are_a_ramp_and_the_writing_on_them_is_not() {
    let ticks = play("cards");
    let (_, first) = &ticks[0];
    let regions = first.contexts.regions();
    let found: Vec<_> = regions.iter().map(|region| (region.rule, region.count)).collect();
    assert_eq!(found, [("ramp", 33), ("writing", 231)]);
    let shades = such(first, Context::Gradient);
    let is_rim = |(x, y): (u16, u16)| x == 0 || y == 11;
    assert!(shades.len() == 33 && shades.into_iter().all(is_rim), "left of the card, and under it");
}

#[test]
fn a_recorded_tool_bar_is_an_interface_and_the_heading_under_it_is_writing() {
    let ticks = play("toolbar");
    let (_, first) = &ticks[0];
    let region = first.contexts.regions()[0];
    assert_eq!((region.rule, region.context), ("controls", Context::Interface));
    let controls = such(first, Context::Interface);
    assert!(controls.len() >= 40 && controls.iter().all(|(_, y)| *y < 6), "{controls:?}");
    let heading = such(first, Context::Text).into_iter().filter(|(x, y)| (5..17).contains(x) && *y >= 10);
    assert_eq!(heading.count(), 24, "two lines of cells");
}

/// Where nothing is written on the page in the excerpt `toolbar`.
const PAPER: PixelRect = PixelRect { x: 16, y: 96, width: 432, height: 64 };
/// Where the gravel in the excerpt of that name is coarsest.
const COARSE: PixelRect = PixelRect { x: 32, y: 32, width: 64, height: 16 };

#[test]
fn recorded_gravel_is_a_photograph_and_noise_where_it_is_coarsest() {
    let (_, whole) = &play("gravel")[0];
    assert_eq!(whole.contexts.regions().iter().map(|region| region.rule).collect::<Vec<_>>(), ["picture"]);
    let (photo, noise) = (such(whole, Context::Photo).len(), such(whole, Context::Noise).len());
    assert!(photo + noise == 40 && (4..12).contains(&noise), "{photo} and {noise}: it is nothing else");
    let (_, part) = &play_part("gravel", COARSE)[0];
    assert_eq!(part.contexts.regions().iter().map(|region| region.rule).collect::<Vec<_>>(), ["static"]);
}

#[test]
fn what_a_recorded_window_uncovers_is_no_video() {
    let ticks = play("uncovered");
    assert!(rules(&ticks).is_superset(&["picture", "slides-on"].into()), "{:?}", rules(&ticks));
    assert!(
        ticks.iter().all(|(_, tick)| videos(tick).is_empty()),
        "a photograph on which a window is dragged"
    );
}
