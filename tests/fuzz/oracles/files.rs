//! Sources over files: whatever stands in them and changes meanwhile, what is scanned lies inside.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lfp::geometry::CellSet;
use lfp::hypervisor::trace::TraceReader;
use lfp::hypervisor::{ShmSource, Source, SourceError, SourceId, Surface, TraceSource, View, XwdSource};
use lfp::scan::{Scanner, TickState};
use lfp_proto::shm::{self, FIELDS_BYTES, HEADER_BYTES, Header};
use lfp_proto::time::Instant;

use crate::files::{self, PLACE_UNIT, deed};
use crate::harness::{Outcome, Tally};
use crate::script::{Step, steps};

/// A header of a `shm:` file, and its damage ring.
pub(crate) fn shm_header(input: &[u8]) -> Outcome {
    let mut header = [0; HEADER_BYTES];
    let len = input.len().min(HEADER_BYTES);
    header[..len].copy_from_slice(&input[..len]);
    for since in [0, 1, 63, 64, u64::MAX / 2, u64::MAX] {
        let damage = shm::damage_since(&header, since).map_or(0, Iterator::count);
        assert!(damage <= shm::DAMAGE_SLOTS);
    }
    let fields = header.first_chunk::<FIELDS_BYTES>().expect("a header is longer");
    let parsed = Header::parse(fields).map_err(|error| match error {
        shm::HeaderError::NotShm => "magic",
        shm::HeaderError::Version(_) => "version",
        shm::HeaderError::Field(name, _) => name,
    })?;
    let live = matches!(parsed.state, shm::State::Painting | shm::State::Still);
    assert!(!live || (parsed.size.pixels() > 0 && parsed.offset_bytes >= HEADER_BYTES as u64));
    Ok(())
}

/// A script of what is done to a `shm:` file while it is scanned.
pub(crate) fn shm(input: &[u8], tally: &mut Tally) {
    scanned(input, &files::shm(), |path| Box::new(ShmSource::new(path)), tally);
}

/// A script of what is done to an XWD file while it is scanned.
pub(crate) fn xwd(input: &[u8], tally: &mut Tally) {
    scanned(input, &files::xwd(), |path| Box::new(XwdSource::new(path)), tally);
}

fn scanned(input: &[u8], file: &[u8], source: fn(PathBuf) -> Box<dyn Source>, tally: &mut Tally) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, file).expect("written");
    let late = Arc::new(Mutex::new(VecDeque::new()));
    let meddler = Meddler { source: source(path.clone()), path: path.clone(), late: Arc::clone(&late) };
    let mut scanner = Scanner::new(SourceId(0), Box::new(meddler));
    let mut now = Instant::ZERO;
    scan(&mut scanner, now, tally);
    for step in steps(input) {
        now = now + step.gap;
        match step.what % deed::COUNT {
            deed::WRITE_LATE | deed::RESIZE_LATE => {
                late.lock().expect("sound").push_back((step.what, step.bytes.to_vec()));
            }
            deed::REPLACE => {
                let other = folder.path().join("other");
                fs::write(&other, file).expect("written");
                fs::rename(&other, &path).expect("renamed");
            }
            _ => meddle(&path, step),
        }
        scan(&mut scanner, now, tally);
    }
}

/// Does what a step says to the file.
fn meddle(path: &Path, step: Step<'_>) {
    let Some((place, bytes)) = step.bytes.split_first_chunk::<2>() else { return };
    let place = u64::from(u16::from_le_bytes(*place));
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    match step.what % deed::COUNT {
        deed::WRITE | deed::WRITE_LATE => file.write_all_at(bytes, place).expect("written"),
        _ => file.set_len(place * PLACE_UNIT).expect("resized"),
    }
}

/// A source whose file changes between the look at its mode and the sweep.
struct Meddler {
    source: Box<dyn Source>,
    path: PathBuf,
    /// What is to be done then, once each.
    late: Arc<Mutex<VecDeque<(u8, Vec<u8>)>>>,
}

impl Source for Meddler {
    fn view(&mut self, now: Instant) -> View {
        let view = self.source.view(now);
        if let View::Live(surface) = &view {
            let length = fs::metadata(&self.path).expect("a file").len();
            let end = surface.end_bytes().unwrap_or_else(|| panic!("{surface:?} ends nowhere"));
            // A file that was replaced is mapped until it is looked for again.
            assert!(
                end <= length.max(files::shm().len() as u64 * 64),
                "{surface:?} ends at {end} of {length}"
            );
        }
        view
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), SourceError> {
        if let Some((what, bytes)) = self.late.lock().expect("sound").pop_front() {
            meddle(&self.path, Step { gap: Default::default(), what, bytes: &bytes });
        }
        self.source.sweep(surface, shadow, changed)
    }
}

/// Scans once and counts what came of it.
fn scan(scanner: &mut Scanner, now: Instant, tally: &mut Tally) {
    let Some(tick) = scanner.tick(now) else { return tally.refuse("no change", 1) };
    match &tick.state {
        TickState::Live { picture, delta } => {
            assert_eq!(delta.cells.grid(), picture.size.grid());
            assert!(picture.size.pixels() > 0 && !delta.cells.is_empty());
            tally.take(1);
        }
        TickState::Dark { state, text } => {
            assert!(text.len() <= lfp::limits::TEXT_MAX && !text.is_empty());
            tally.refuse(state.name(), 1);
        }
    }
}

/// A trace, read in memory and played from a file.
pub(crate) fn trace(input: &[u8], tally: &mut Tally) {
    let mut reader = match TraceReader::new(Cursor::new(input)) {
        Ok(reader) => reader,
        Err(_) => return tally.refuse("header", 1),
    };
    let bytes = reader.size().pixels() * 4;
    let mut frames = 0;
    // Each frame takes bytes of the file.
    while let Ok(true) = reader.advance() {
        frames += 1;
        assert!(frames * 12 <= input.len() && reader.picture().len() == bytes);
    }
    tally.take(frames as u64);
    tally.refuse("frame", u64::from(reader.next_at_us().is_some()));
    if reader.rewind().is_ok() {
        assert!(reader.frame() == 0 && reader.picture().iter().all(|byte| *byte == 0));
    }
    play(input);
}

fn play(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, input).expect("written");
    let mut scanner = Scanner::new(SourceId(0), Box::new(TraceSource::new(path, true)));
    for at_us in [0, 1, 10_000, 40_000, 5_000_000, u64::MAX / 2, u64::MAX] {
        scan(&mut scanner, Instant::from_micros(at_us), &mut Tally::default());
    }
    drop(File::open(folder.path()));
}
