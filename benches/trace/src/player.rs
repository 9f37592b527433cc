//! The player: a process of its own that paints a trace into a `shm:` file in real time, and notes when it painted
//! each frame.
//!
//! It paints the first frame, says `ready`, and holds it until a line comes on standard input. Then it paints each
//! frame when it is due, says `done` after the last one, and holds that until standard input ends.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use lfp::hypervisor::trace::{TraceError, TraceReader};
use lfp_proto::geometry::{CellSet, PixelRect, Size};
use lfp_proto::limits::CELL;
use lfp_proto::shm::{HEARTBEAT_INTERVAL, Mode, Painter};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Outcome;
use crate::clock;

/// A trace, read frame by frame, with the cells that each frame changes.
pub(crate) struct Frames {
    reader: TraceReader<BufReader<File>>,
    before: Vec<u8>,
    /// The cells that the last frame changed.
    pub(crate) changed: CellSet,
}

impl Frames {
    /// Opens a trace and reads its first frame, which changes every cell.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let broken = |error: TraceError| format!("{} {error}", path.display());
        let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let mut reader = TraceReader::new(BufReader::with_capacity(256 * 1024, file)).map_err(broken)?;
        let size = reader.size();
        reader.advance().map_err(broken)?;
        Ok(Self { before: reader.picture().to_vec(), changed: CellSet::full(size.grid()), reader })
    }

    pub(crate) fn size(&self) -> Size {
        self.reader.size()
    }

    /// The current picture, four bytes a pixel.
    pub(crate) fn picture(&self) -> &[u8] {
        self.reader.picture()
    }

    /// When the next frame is due, in microseconds since the recording began.
    fn next_at_us(&self) -> Option<u64> {
        self.reader.next_at_us()
    }

    /// Goes to the next frame; says whether there was one.
    pub(crate) fn advance(&mut self) -> Outcome<bool> {
        self.before.copy_from_slice(self.reader.picture());
        if !self.reader.advance().map_err(|error| format!("the trace {error}"))? {
            return Ok(false);
        }
        self.changed.clear();
        let size = self.reader.size();
        let (columns, stride) = (usize::from(size.grid().columns), usize::from(size.width) * 4);
        let rows = self.reader.picture().chunks_exact(stride).zip(self.before.chunks_exact(stride));
        for (y, (now, then)) in rows.enumerate().filter(|(_, (now, then))| now != then) {
            let cells = now.chunks(usize::from(CELL) * 4).zip(then.chunks(usize::from(CELL) * 4));
            for (x, _) in cells.enumerate().filter(|(_, (now, then))| now != then) {
                self.changed.insert(y / usize::from(CELL) * columns + x);
            }
        }
        Ok(true)
    }
}

/// Plays `trace` into `shm`; at the end `log` holds how late the latest frame was, and the wall times at which
/// the first frame was there, the play began, and each further frame was there, in microseconds.
pub(crate) fn play(trace: &Path, shm: &Path, log: &Path) -> Outcome<()> {
    let mut frames = Frames::open(trace)?;
    let mut canvas = Canvas::create(shm, frames.size())?;
    canvas.paint(&frames, true)?;
    let mut painted = vec![clock::wall_us()];
    say("ready")?;
    canvas.hold(None)?;
    let (start, first) = (lfp::clock::now(), recorded_start(trace)?);
    painted.push(clock::wall_us());
    let mut late = Duration::ZERO;
    while let Some(at) = frames.next_at_us() {
        // Read ahead of time, so that decoding it makes nothing late.
        frames.advance()?;
        let due = start + Duration::from_micros(at.saturating_sub(first));
        while due.saturating_since(lfp::clock::now()) > BEAT {
            canvas.beat()?;
            lfp::clock::wait_until(lfp::clock::now() + BEAT);
        }
        late = late.max(lfp::clock::wait_until(due).saturating_since(due));
        canvas.paint(&frames, false)?;
        painted.push(clock::wall_us());
    }
    painted.insert(0, late.as_micros() as u64);
    let bytes: Vec<u8> = painted.iter().flat_map(|at| at.to_le_bytes()).collect();
    std::fs::write(log, bytes)?;
    say("done")?;
    canvas.hold(Some(()))
}

/// What a player noted.
#[derive(Debug)]
pub(crate) struct PlayLog {
    /// The most that a frame was late, in microseconds.
    pub(crate) late_us: u64,
    /// When it was told to go, in microseconds of the wall clock.
    pub(crate) began_us: u64,
    /// When each frame after the first was painted.
    pub(crate) painted_us: Vec<u64>,
}

impl PlayLog {
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let bytes = std::fs::read(path)?;
        let times: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|time| u64::from_le_bytes(time.try_into().unwrap_or_default()))
            .collect();
        let [late_us, _, began_us, painted_us @ ..] = &times[..] else {
            return Err("the player's log is cut short".into());
        };
        Ok(Self { late_us: *late_us, began_us: *began_us, painted_us: painted_us.to_vec() })
    }
}

const BEAT: Duration = Duration::from_millis(HEARTBEAT_INTERVAL.as_millis() as u64 / 2);

fn recorded_start(trace: &Path) -> Outcome<u64> {
    let reader = TraceReader::new(BufReader::new(File::open(trace)?)).map_err(|error| error.to_string())?;
    Ok(reader.next_at_us().unwrap_or_default())
}

fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush()
}

struct Canvas {
    file: File,
    painter: Painter,
}

impl Canvas {
    fn create(path: &Path, size: Size) -> Outcome<Self> {
        let file = File::create(path)?;
        let mut painter = Painter::new();
        painter.create(&mut |offset, bytes| file.write_all_at(bytes, offset))?;
        painter.set_mode(Mode::xrgb(size), &mut |offset, bytes| file.write_all_at(bytes, offset))?;
        Ok(Self { file, painter })
    }

    /// Paints what has changed. The mode has begun the first update already.
    fn paint(&mut self, frames: &Frames, is_first: bool) -> io::Result<()> {
        if frames.changed.is_empty() {
            return self.beat();
        }
        let write = &mut |offset, bytes: &[u8]| self.file.write_all_at(bytes, offset);
        if !is_first {
            self.painter.begin(write)?;
        }
        for rect in bands(&frames.changed, frames.size()) {
            self.painter.paint_bytes(rect, frames.picture(), write)?;
        }
        self.painter.end(write)
    }

    fn beat(&mut self) -> io::Result<()> {
        self.painter.beat(&mut |offset, bytes| self.file.write_all_at(bytes, offset))
    }

    /// Shows what is there until a line comes, or until standard input ends.
    fn hold(&mut self, until_end: Option<()>) -> Outcome<()> {
        let input = io::stdin();
        let timeout = PollTimeout::try_from(BEAT).map_err(|error| error.to_string())?;
        loop {
            self.beat()?;
            let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout)? > 0 {
                let read = input.read_line(&mut String::new())?;
                match (read, until_end) {
                    (0, None) => return Err("nobody said when to play".into()),
                    (0, Some(())) | (_, None) => return Ok(()),
                    (_, Some(())) => {}
                }
            }
        }
    }
}

/// For each row of cells with changes, the band from the first to the last of them.
fn bands(cells: &CellSet, size: Size) -> Vec<PixelRect> {
    let columns = usize::from(cells.grid().columns);
    let mut bands: Vec<PixelRect> = Vec::new();
    for index in cells.iter() {
        let cell = lfp_proto::geometry::CellRect {
            x: (index % columns) as u16,
            y: (index / columns) as u16,
            width: 1,
            height: 1,
        };
        let area = size.clip(cell);
        match bands.last_mut() {
            Some(band) if band.y == area.y => band.width = area.x + area.width - band.x,
            _ => bands.push(area),
        }
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_hold_every_change() {
        let size = Size::new(70, 40).expect("legal");
        let mut cells = CellSet::new(size.grid());
        for index in [1, 3, 5, 14] {
            cells.insert(index);
        }
        let rect = |x, y, width, height| PixelRect { x, y, width, height };
        assert_eq!(bands(&cells, size), [rect(16, 0, 48, 16), rect(0, 16, 16, 16), rect(64, 32, 6, 8)]);
    }
}
