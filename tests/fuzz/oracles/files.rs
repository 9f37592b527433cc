//! Sources over files: whatever stands in them and changes meanwhile, what is scanned lies inside.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lfp::geometry::CellSet;
use lfp::hypervisor::trace::TraceReader;
use lfp::hypervisor::{
    Reading, ShmSource, Source, SourceError, SourceId, Surface, TraceSource, View, XwdSource,
};
use lfp::scan::{Scanner, TickState};
use lfp_proto::shm::{self, FIELDS_BYTES, HEADER_BYTES, Header};
use lfp_proto::time::Instant;
use tempfile::TempDir;

use super::texts::lies_inside;
use crate::files::{self, PLACE_UNIT, deed};
use crate::harness::{Outcome, Tally};
use crate::script::steps;

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
    let place = Arc::new(Mutex::new(Place::new(file)));
    let path = place.lock().expect("sound").path();
    let meddled = Meddled { source: source(path), place: Arc::clone(&place) };
    let mut scanner = Scanner::new(SourceId(0), Box::new(meddled));
    let mut now = Instant::ZERO;
    scan(&mut scanner, now, tally);
    for step in steps(input) {
        now = now + step.gap;
        let mut place = place.lock().expect("sound");
        match step.what % deed::COUNT {
            deed::WRITE_LATE | deed::RESIZE_LATE => {
                place.late.push_back(Late { what: step.what, bytes: step.bytes.to_vec() });
            }
            deed::REPLACE => place.replace(file),
            _ => place.meddle(step.what, step.bytes),
        }
        drop(place);
        scan(&mut scanner, now, tally);
    }
}

/// A file that is changed and replaced.
struct Place {
    folder: TempDir,
    /// Every file that was there, the newest last.
    files: Vec<File>,
    /// What is to be done between two looks at the mode and their sweeps, once each.
    late: VecDeque<Late>,
}

/// See [`Place::meddle`].
struct Late {
    what: u8,
    bytes: Vec<u8>,
}

impl Place {
    fn new(file: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut place = Self { folder, files: Vec::new(), late: VecDeque::new() };
        place.replace(file);
        place
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    /// Puts a new file there.
    fn replace(&mut self, bytes: &[u8]) {
        let other = self.folder.path().join("other");
        let file = File::create(&other).expect("made");
        file.write_all_at(bytes, 0).expect("written");
        fs::rename(&other, self.path()).expect("renamed");
        self.files.push(file);
    }

    /// Does to the newest file what a step says.
    fn meddle(&self, what: u8, bytes: &[u8]) {
        let (Some(file), Some((at, bytes))) = (self.files.last(), bytes.split_first_chunk::<2>()) else {
            return;
        };
        let at = u64::from(u16::from_le_bytes(*at));
        match what % deed::COUNT {
            deed::WRITE | deed::WRITE_LATE => file.write_all_at(bytes, at).expect("written"),
            _ => file.set_len(at * PLACE_UNIT).expect("resized"),
        }
    }

    /// The length of the longest file: one that was replaced stays mapped until it is looked for again.
    fn length(&self) -> u64 {
        self.files.iter().map(|file| file.metadata().expect("a file").len()).max().unwrap_or(0)
    }
}

/// A source whose file changes between the look at its mode and the sweep.
struct Meddled {
    source: Box<dyn Source>,
    place: Arc<Mutex<Place>>,
}

impl Source for Meddled {
    fn view(&mut self, now: Instant) -> View {
        let view = self.source.view(now);
        if let View::Live(surface) = &view {
            lies_inside(surface, self.place.lock().expect("sound").length());
        }
        view
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let mut place = self.place.lock().expect("sound");
        if let Some(Late { what, bytes }) = place.late.pop_front() {
            place.meddle(what, &bytes);
        }
        drop(place);
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
}
