use std::io::Cursor;

use super::*;
use crate::geometry::CellSet;
use crate::hypervisor::{Source, View};
use crate::time::Instant;
use lfp_proto::frame::SurfaceState;

fn size(width: u16, height: u16) -> Size {
    Size::new(width, height).expect("a legal size")
}

/// Frame `number` of the test's own recording: every pixel holds it, the unused byte holds noise.
fn picture(number: u8) -> Vec<u8> {
    [number, 2, number / 2, 0xaa].repeat(size(40, 24).pixels())
}

fn recorded(frames: u8) -> Vec<u8> {
    let output = Cursor::new(Vec::new());
    let mut writer = TraceWriter::new(output, "test", size(40, 24), 10, 1).expect("begun");
    for number in 0..frames {
        writer.add(50_000 + u64::from(number) * 100_000, &picture(number)).expect("added");
    }
    writer.finish().expect("finished").into_inner()
}

fn read(bytes: &[u8]) -> Result<TraceReader<Cursor<&[u8]>>, TraceError> {
    TraceReader::new(Cursor::new(bytes))
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(7_000_000 + millis * 1000)
}

#[test]
fn what_is_written_is_read() {
    let bytes = recorded(12);
    let mut reader = read(&bytes).expect("a trace");
    assert_eq!((reader.size(), reader.header().frames, reader.header().fps), (size(40, 24), 12, 10));
    for round in 0..2 {
        for number in 0..12_u8 {
            assert_eq!(reader.next_at_us(), Some(50_000 + u64::from(number) * 100_000));
            assert!(reader.advance().expect("a frame"));
            let expected = picture(number);
            let colours = |bytes: &[u8]| bytes.chunks(4).map(|p| [p[0], p[1], p[2]]).collect::<Vec<_>>();
            assert_eq!(colours(reader.picture()), colours(&expected), "round {round}");
            assert!(reader.picture().chunks(4).all(|pixel| pixel[3] == 0));
        }
        assert!(!reader.advance().expect("the end"));
        reader.rewind().expect("rewound");
    }
}

#[test]
fn broken_traces_are_refused_in_words() {
    let bytes = recorded(3);
    let header =
        String::from_utf8_lossy(&bytes[..bytes.iter().position(|&byte| byte == b'\n').expect("a line")]);
    let with =
        |from: &str, to: &str| read(header.replace(from, to).as_bytes()).expect_err("broken").to_string();
    assert!(with("LFPTRACE1", "LFPTRACE2").contains("no whole line"));
    let with = |from: &str, to: &str| {
        read((header.replace(from, to) + "\n").as_bytes()).expect_err("broken").to_string()
    };
    assert!(with("LFPTRACE1", "LFPTRACE2").contains("its magic is"));
    assert!(with("BGRX8888", "RGB24").contains("its pixels are"));
    assert!(with("\"width\":40", "\"width\":0").contains("no screen has 0x24"));
    assert!(with("\"width\":40", "\"width\":4000000000").contains("is no LFPTRACE1 trace"));
    assert!(with("\"width\":40", "\"width\":41").contains("the file ends before it"));
    assert!(read(&vec![b' '; 1 << 20]).expect_err("broken").to_string().contains("no whole line"));

    let first = header.len() + 1;
    let mut lie = bytes.clone();
    lie[first + 8..first + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read(&lie).expect_err("broken").to_string().contains("more than any picture needs"));
    for cut in first..bytes.len() {
        let Ok(mut reader) = read(&bytes[..cut]) else { continue };
        let end = (0..4).find_map(|_| reader.advance().err());
        assert!(end.is_some(), "cut at {cut}");
    }
    for at in (first + 12..bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        if let Ok(mut reader) = read(&flipped) {
            while let Ok(true) = reader.advance() {}
        }
    }
}

/// The bytes that the source shows.
fn read_all(source: &mut TraceSource, millis: u64) -> Vec<u8> {
    let View::Live(surface) = source.view(at(millis)) else { panic!("dark") };
    let (mut shadow, mut changed) = (vec![0; surface.shadow_bytes()], CellSet::new(surface.size.grid()));
    source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
    shadow
}

#[test]
fn a_trace_plays_in_real_time_and_holds_or_repeats() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.lfptrace");
    std::fs::write(&path, recorded(5)).expect("written");
    for (repeat, after_the_end) in [(false, 4), (true, 0)] {
        let mut source = TraceSource::new(path.clone(), repeat);
        let mut shown = |millis| read_all(&mut source, millis)[0];
        assert_eq!(shown(0), 0, "the first frame is shown at once");
        assert_eq!(shown(99), 0);
        assert_eq!(shown(100), 1);
        assert_eq!(shown(350), 3);
        assert_eq!(shown(400), 4);
        assert_eq!(shown(500), after_the_end);
    }
}

#[test]
fn time_stands_still_for_a_trace_that_nobody_watches() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.lfptrace");
    std::fs::write(&path, recorded(100)).expect("written");
    let mut source = TraceSource::new(path, false);
    let look = |source: &mut TraceSource, millis: u64, reads: bool| {
        if reads {
            read_all(source, millis);
        } else {
            source.view(at(millis));
        }
        source.frames_played().expect("it plays")
    };
    let most = 1 + u64::from(crate::limits::TRACE_FRAMES_PER_VIEW);
    assert_eq!(look(&mut source, 0, true), 1);
    assert_eq!(look(&mut source, 9_000, true), most, "what was missed is not made up for");
    assert_eq!(look(&mut source, 9_250, true), most + 3);
    let played = look(&mut source, 9_350, false);
    for second in 10..40 {
        assert_eq!(look(&mut source, second * 1_000, false), played, "nobody reads it");
    }
    assert_eq!(look(&mut source, 40_000, true), played, "somebody looks again");
    assert_eq!(look(&mut source, 40_100, true), played + 1);
}

#[test]
fn absent_and_broken_traces_are_looked_for_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.lfptrace");
    let mut source = TraceSource::new(path.clone(), false);
    let state = |view: View| match view {
        View::Dark { state, .. } => state,
        View::Live(_) => SurfaceState::Live,
    };
    assert_eq!(state(source.view(at(0))), SurfaceState::Gone);
    std::fs::write(&path, "rubbish").expect("written");
    assert_eq!(state(source.view(at(300))), SurfaceState::Faulty);
    assert_eq!(state(source.view(at(600))), SurfaceState::Faulty);
    let cut = recorded(5);
    std::fs::write(&path, &cut[..cut.len() - 3]).expect("written");
    read_all(&mut source, 900);
    assert_eq!(state(source.view(at(2900))), SurfaceState::Faulty, "its end is missing");
    assert_eq!(state(source.view(at(3900))), SurfaceState::Faulty, "and is not tried again");
    std::fs::write(&path, &cut).expect("written");
    assert_eq!(state(source.view(at(4900))), SurfaceState::Live);
}
