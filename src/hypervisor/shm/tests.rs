use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lfp_proto::shm::{HEARTBEAT_INTERVAL, Mode, Painter};

use super::*;
use crate::geometry::{PixelRect, Size};

fn size(width: u16, height: u16) -> Size {
    Size::new(width, height).expect("a legal size")
}

fn writer(file: &File) -> impl FnMut(u64, &[u8]) -> io::Result<()> + '_ {
    |offset, bytes| file.write_all_at(bytes, offset)
}

fn whole(size: Size) -> PixelRect {
    PixelRect { x: 0, y: 0, width: size.width, height: size.height }
}

/// A new file at `path` that shows one colour.
fn paint(path: &Path, size: Size, colour: u32) -> (File, Painter) {
    let file = File::create(path).expect("a file");
    let mut painter = Painter::new();
    painter.create(&mut writer(&file)).expect("created");
    painter.set_mode(Mode::xrgb(size), &mut writer(&file)).expect("mode set");
    let picture = vec![colour; size.pixels()];
    painter.paint_xrgb(whole(size), &picture, &mut writer(&file)).expect("painted");
    painter.end(&mut writer(&file)).expect("ended");
    (file, painter)
}

/// Milliseconds on the test's own clock.
fn at(millis: u64) -> Instant {
    Instant::from_micros(1_000_000 + millis * 1000)
}

fn live(view: &View) -> Surface {
    let View::Live(surface) = view else { panic!("{view:?} is not live") };
    *surface
}

fn is_dark(view: &View, expected: SurfaceState, part: &str) -> bool {
    matches!(view, View::Dark { state, text } if *state == expected && text.contains(part))
}

fn capture(source: &mut ShmSource, surface: &Surface) -> Result<(Vec<u8>, CellSet), SourceError> {
    let mut changed = CellSet::new(surface.size.grid());
    let mut shadow = vec![0; surface.shadow_bytes()];
    source.restart();
    source.sweep(surface, &mut shadow, &mut changed).map(|_| (shadow, changed))
}

#[test]
fn a_life_is_followed_from_absence_to_silence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let mut source = ShmSource::new(path.clone());
    assert!(is_dark(&source.view(at(0)), SurfaceState::Gone, "does not exist"));

    let (file, mut painter) = paint(&path, size(40, 20), 0x0012_3456);
    assert!(is_dark(&source.view(at(1)), SurfaceState::Gone, ""), "looked for again after an interval only");
    let surface = live(&source.view(at(300)));
    assert_eq!((surface.size, surface.format), (size(40, 20), PixelFormat::Xrgb8888));
    let (shadow, changed) = capture(&mut source, &surface).expect("captured");
    assert!(shadow.chunks_exact(4).all(|pixel| pixel == [0x56, 0x34, 0x12, 0]));
    assert_eq!(changed.len(), 6);

    painter.set_mode(Mode::xrgb(size(200, 100)), &mut writer(&file)).expect("mode set");
    assert!(
        matches!(capture(&mut source, &surface), Err(SourceError::Torn { .. })),
        "in the middle of an update"
    );
    painter.end(&mut writer(&file)).expect("ended");
    assert!(matches!(capture(&mut source, &surface), Err(SourceError::Torn { .. })), "another mode");
    let surface = live(&source.view(at(310)));
    assert_eq!(surface.size, size(200, 100), "a larger mode is mapped");
    capture(&mut source, &surface).expect("captured");

    let beats = HEARTBEAT_INTERVAL.as_millis() as u64;
    for beat in 0..10 {
        painter.beat(&mut writer(&file)).expect("beaten");
        live(&source.view(at(400 + beat * beats)));
    }
    let last = 400 + 9 * beats;
    let silence = PAINTER_SILENCE.as_millis() as u64;
    live(&source.view(at(last + silence - 1)));
    assert!(is_dark(&source.view(at(last + silence)), SurfaceState::Gone, "sign of life"));
    painter.beat(&mut writer(&file)).expect("beaten");
    live(&source.view(at(last + 1000)));

    painter.finish(true, &mut writer(&file)).expect("finished");
    live(&source.view(at(last + 1200)));
    live(&source.view(at(last + 9000)));
    std::fs::remove_file(&path).expect("removed");
    assert!(is_dark(&source.view(at(last + 9300)), SurfaceState::Gone, "does not exist"));
    let _second = paint(&path, size(8, 8), 1);
    assert_eq!(live(&source.view(at(last + 9600))).size, size(8, 8));
}

#[test]
fn what_a_painter_says_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let file = File::create(&path).expect("a file");
    let mut source = ShmSource::new(path.clone());
    assert!(is_dark(&source.view(at(0)), SurfaceState::Connecting, "no header"));
    file.write_all_at(&[0; 5000], 0).expect("written");
    assert!(is_dark(&source.view(at(300)), SurfaceState::Connecting, "no header"));
    file.write_all_at(b"PNG", 0).expect("written");
    assert!(is_dark(&source.view(at(600)), SurfaceState::Faulty, "does not start with LFPSHMFB"));

    let (file, mut painter) = paint(&path, size(40, 20), 1);
    live(&source.view(at(900)));
    painter.blank(&mut writer(&file)).expect("blanked");
    assert!(is_dark(&source.view(at(901)), SurfaceState::NoFramebuffer, "no picture"));
    painter.finish(false, &mut writer(&file)).expect("finished");
    assert!(is_dark(&source.view(at(902)), SurfaceState::Gone, "closed by its painter"));
}

#[test]
fn lying_headers_are_faulty_and_never_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let (file, _painter) = paint(&path, size(40, 20), 1);
    let mut source = ShmSource::new(path);
    let honest = live(&source.view(at(0)));
    for (offset, lie, part) in [
        (40, 41_u32.to_le_bytes(), "stride"),
        (40, u32::MAX.to_le_bytes(), "width"),
        (44, 21_u32.to_le_bytes(), "claims 40x21"),
        (48, 161_u32.to_le_bytes(), "161 bytes a row"),
        (48, u32::MAX.to_le_bytes(), "claims 40x20"),
        (52, 77_u32.to_le_bytes(), "pixel format: 77"),
        (56, 4100_u32.to_le_bytes(), "from byte 4100"),
        (60, u32::MAX.to_le_bytes(), "claims 40x20"),
        (8, 9_u32.to_le_bytes(), "version 9"),
    ] {
        let mut truth = [0; 4];
        file.write_all_at(&lie, offset).map(drop).expect("written");
        let view = source.view(at(1));
        assert!(is_dark(&view, SurfaceState::Faulty, part), "{part}: {view:?}");
        assert!(capture(&mut source, &honest).is_err(), "{part}");
        match offset {
            40 => truth = 40_u32.to_le_bytes(),
            44 => truth = 20_u32.to_le_bytes(),
            48 => truth = 160_u32.to_le_bytes(),
            56 => truth = 4096_u32.to_le_bytes(),
            8 => truth = 1_u32.to_le_bytes(),
            _ => {}
        }
        file.write_all_at(&truth, offset).expect("written");
        assert_eq!(live(&source.view(at(2))), honest);
    }
}

#[test]
fn a_cut_file_is_an_error_then_dark_then_live_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let (file, _painter) = paint(&path, size(400, 200), 1);
    let mut source = ShmSource::new(path.clone());
    let surface = live(&source.view(at(0)));
    file.set_len(8192).expect("cut");
    assert!(capture(&mut source, &surface).is_err());
    assert!(is_dark(&source.view(at(1)), SurfaceState::Faulty, "and has 8192 bytes"));
    file.set_len(100).expect("cut");
    assert!(is_dark(&source.view(at(2)), SurfaceState::Connecting, "no header"));
    let _second = paint(&path, size(300, 200), 2);
    let surface = live(&source.view(at(300)));
    assert_eq!(surface.size, size(300, 200));
    capture(&mut source, &surface).expect("captured");
}

/// Each update paints the whole surface in one colour, and is as long as it can be: a capture that holds two
/// colours is torn.
#[test]
fn a_capture_is_never_torn() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let modes = [size(320, 200), size(400, 160)];
    let (file, mut painter) = paint(&path, modes[0], 0);
    let stop = Arc::new(AtomicBool::new(false));
    let updates = Arc::new(AtomicU32::new(0));
    let thread = std::thread::spawn({
        let (stop, updates) = (Arc::clone(&stop), Arc::clone(&updates));
        move || {
            let mut mode = modes[0];
            while !stop.load(Ordering::SeqCst) {
                let update = updates.fetch_add(1, Ordering::SeqCst) + 1;
                if update % 64 == 0 {
                    mode = modes[update as usize / 64 % 2];
                    painter.set_mode(Mode::xrgb(mode), &mut writer(&file)).expect("mode set");
                } else {
                    painter.begin(&mut writer(&file)).expect("begun");
                }
                let picture = vec![update & 0x00ff_ffff; mode.pixels()];
                painter.paint_xrgb(whole(mode), &picture, &mut writer(&file)).expect("painted");
                painter.end(&mut writer(&file)).expect("ended");
                // Leave the reader a gap now and then, shorter than a capture as often as not.
                (0..update % 7 * 40).for_each(|_| std::hint::spin_loop());
                if update % 3 == 0 {
                    crate::clock::wait_until(crate::clock::now() + Duration::from_micros(100));
                }
            }
        }
    });
    let mut source = ShmSource::new(path);
    let (mut whole_captures, mut torn) = (0_u32, 0_u32);
    let deadline = crate::clock::now() + Duration::from_secs(20);
    while (whole_captures < 200 || torn < 20) && crate::clock::now() < deadline {
        let View::Live(surface) = source.view(crate::clock::now()) else { continue };
        let captured = capture(&mut source, &surface);
        match captured {
            Ok((shadow, _)) => {
                let first = &shadow[..4];
                assert!(shadow.chunks_exact(4).all(|pixel| pixel == first), "torn after {whole_captures}");
                whole_captures += 1;
            }
            Err(SourceError::Torn { .. }) => torn += 1,
            Err(SourceError::Lost(text)) => panic!("lost: {text}"),
        }
    }
    stop.store(true, Ordering::SeqCst);
    thread.join().expect("the painter ended");
    assert!(whole_captures > 0, "{whole_captures} captures, {torn} torn");
}

#[test]
fn what_was_not_painted_is_not_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let (file, mut painter) = paint(&path, size(100, 100), 0);
    let mut source = ShmSource::new(path);
    let surface = live(&source.view(at(0)));
    let (mut shadow, grid) = (vec![0; surface.shadow_bytes()], surface.size.grid());
    let mut sweep = |source: &mut ShmSource| {
        let mut changed = CellSet::new(grid);
        source.view(at(1));
        source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
        changed.iter().collect::<Vec<_>>()
    };
    assert!(sweep(&mut source).is_empty(), "it is black");
    // Behind the painter's back: no reader need look.
    file.write_at(&[1; 4], HEADER_BYTES as u64).expect("written");
    assert!(sweep(&mut source).is_empty());
    let paint = |painter: &mut Painter, y: u16| {
        let rect = PixelRect { x: 50, y, width: 20, height: 3 };
        painter.begin(&mut writer(&file)).expect("begun");
        painter.paint_xrgb(rect, &vec![5; size(100, 100).pixels()], &mut writer(&file)).expect("painted");
        painter.end(&mut writer(&file)).expect("ended");
    };
    // Across two rows of cells, and then in the last.
    paint(&mut painter, 30);
    paint(&mut painter, 97);
    let cell = |x: usize, y: usize| y * 7 + x;
    let expected = [cell(3, 1), cell(4, 1), cell(3, 2), cell(4, 2), cell(3, 6), cell(4, 6)];
    assert_eq!(sweep(&mut source), expected);
    // More than the ring remembers: everything is looked at, also what was painted behind its back.
    for _ in 0..65 {
        paint(&mut painter, 30);
    }
    assert_eq!(sweep(&mut source), [cell(0, 0)]);
    file.write_at(&[2; 4], HEADER_BYTES as u64 + 64).expect("written");
    source.restart();
    assert_eq!(sweep(&mut source), [cell(1, 0)], "with a new shadow everything is read");
}

#[test]
fn a_file_that_was_let_go_of_is_mapped_again_and_swept_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let (file, mut painter) = paint(&path, size(64, 48), 7);
    let mut source = ShmSource::new(path);
    let surface = live(&source.view(at(0)));
    let mut shadow = vec![0; surface.shadow_bytes()];
    let mut changed = CellSet::new(surface.size.grid());
    let mut sweep =
        |source: &mut ShmSource| source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
    assert_eq!(sweep(&mut source), Reading { bytes: 64 * 48 * 4, notified: false });
    assert_eq!(sweep(&mut source), Reading { bytes: 0, notified: true }, "nothing was painted");
    let row = PixelRect { x: 3, y: 17, width: 5, height: 1 };
    painter.begin(&mut writer(&file)).expect("begun");
    painter.paint_xrgb(row, &[1; 64 * 48], &mut writer(&file)).expect("painted");
    painter.end(&mut writer(&file)).expect("ended");
    assert_eq!(sweep(&mut source), Reading { bytes: 16 * 64 * 4, notified: true }, "a row of cells was");
    source.release();
    assert!(source.0.open().is_none());
    assert_eq!(live(&source.view(at(1))), surface);
    assert_eq!(sweep(&mut source), Reading { bytes: 64 * 48 * 4, notified: false });
}
