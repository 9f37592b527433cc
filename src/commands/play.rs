//! `lfp-server play SOURCE --shm FILE`: paints what a source shows into a shared-memory file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;
use lfp_proto::shm::{HEARTBEAT_INTERVAL, MAGIC, Mode, Painter, may_take_over};

use super::support::{CommandError, Frame, Pace, Progress, Stop, open, parse_rate, parse_seconds};
use crate::clock;
use crate::geometry::{CellRect, CellSet, PixelRect};
use crate::hypervisor::{SourceId, SourceSpec};
use crate::scan::{Picture, Scanner, Tick, TickState};
use crate::time::Instant;

/// Paints what a source shows into a shared-memory file, which `shm:FILE` then is
#[derive(Debug, clap::Args)]
pub struct PlayArgs {
    /// Which source
    pub source: SourceSpec,
    /// The file to make; one that a painter left there is replaced, and no other
    #[arg(long, value_name = "FILE")]
    pub shm: PathBuf,
    /// Stop after so many seconds; else at Ctrl-C
    #[arg(long, value_name = "N", value_parser = parse_seconds)]
    pub seconds: Option<Duration>,
    /// Paint the first picture, leave it standing, and stop
    #[arg(long)]
    pub once: bool,
    /// How often to look, per second
    #[arg(long, value_name = "HZ", default_value = "60", value_parser = parse_rate)]
    pub rate: u32,
}

/// How long `--once` waits for a picture, unless `--seconds` says.
const ONCE_WAIT: Duration = Duration::from_secs(10);

/// Plays until it is told to stop. The file then says that it is closed, or still if `--once` was asked for.
///
/// # Errors
/// If the source cannot be reached, the file cannot be written, or `--once` saw no picture.
pub fn run(args: &PlayArgs) -> Result<ExitCode, CommandError> {
    let mut scanner = Scanner::new(SourceId(0), open(&args.source)?);
    let limit = args.seconds.or(args.once.then_some(ONCE_WAIT));
    let stop = Stop::install(limit)?;
    let mut canvas = Canvas::create(&args.shm)?;
    let mut pace = Pace::new(args.rate);
    let mut progress = Progress::new(clock::now());
    let mut ticks = 0_u64;
    loop {
        let now = pace.wait();
        if let Some(tick) = scanner.tick(now) {
            ticks += 1;
            canvas.paint(&tick, now)?;
        }
        if let Some(passed) = progress.due(now) {
            canvas.tell(passed, ticks);
        }
        canvas.beat(now)?;
        let is_painted = canvas.painter.mode().is_some();
        if args.once && is_painted {
            canvas.finish(true)?;
            return Ok(ExitCode::SUCCESS);
        }
        if stop.is_due(clock::now()) {
            let dark = canvas.dark.take();
            canvas.finish(false)?;
            return match dark {
                Some((state, text)) if args.once => Err(CommandError::Dark {
                    source_spec: args.source.clone(),
                    waited_ms: limit.unwrap_or_default().as_millis(),
                    state,
                    text,
                }),
                _ => Ok(ExitCode::SUCCESS),
            };
        }
    }
}

/// The file, and what was painted on it.
struct Canvas {
    path: PathBuf,
    file: File,
    painter: Painter,
    frame: Frame,
    beaten: Instant,
    dark: Option<(SurfaceState, String)>,
}

/// Whether `path` may be taken over: nothing is there, or a file that a painter left.
fn is_ours_or_absent(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(_) => {
            let mut start = Vec::new();
            File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
            Ok(may_take_over(&start))
        }
    }
}

impl Canvas {
    /// Makes the file beside its place and moves it there, so that who watches an older one is not disturbed.
    fn create(path: &Path) -> Result<Self, CommandError> {
        let failed = |error: io::Error| CommandError::Write { path: path.to_owned(), error };
        if !is_ours_or_absent(path).map_err(failed)? {
            return Err(CommandError::Exists(path.to_owned()));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(name);
        let file = File::create(&beside).map_err(failed)?;
        let mut painter = Painter::new();
        let created = painter.create(&mut |offset, bytes| file.write_all_at(bytes, offset));
        if let Err(error) = created.and_then(|()| std::fs::rename(&beside, path)) {
            // The error that counts is the first; the file beside goes if it can.
            let _ = std::fs::remove_file(&beside);
            return Err(failed(error));
        }
        let (frame, path) = (Frame::default(), path.to_owned());
        let dark = Some((SurfaceState::Connecting, "it has not been looked at yet".to_owned()));
        Ok(Self { path, file, painter, frame, beaten: clock::now(), dark })
    }

    /// How far it is.
    fn tell(&self, passed: Duration, pictures: u64) {
        match &self.dark {
            None => tracing::info!(seconds = passed.as_secs(), pictures, "playing"),
            Some((state, text)) => tracing::info!(state = state.name(), text, "waiting for a picture"),
        }
    }

    fn paint(&mut self, tick: &Tick, now: Instant) -> Result<(), CommandError> {
        self.beaten = now;
        let painted = match &tick.state {
            TickState::Live { picture, delta } => {
                self.dark = None;
                self.paint_cells(picture, &delta.cells)
            }
            TickState::Dark { state, text } => {
                self.dark = Some((*state, text.clone()));
                self.painter.blank(&mut |offset, bytes| self.file.write_all_at(bytes, offset))
            }
        };
        painted.map_err(|error| self.failed(error))
    }

    fn paint_cells(&mut self, picture: &Picture, cells: &CellSet) -> io::Result<()> {
        self.frame.refresh(picture, cells.iter());
        let write = &mut |offset, bytes: &[u8]| self.file.write_all_at(bytes, offset);
        let mode = Mode::xrgb(picture.size);
        if self.painter.mode() == Some(mode) {
            self.painter.begin(write)?;
            for rect in runs(cells) {
                self.painter.paint_xrgb(picture.size.clip(rect), &self.frame.pixels, write)?;
            }
        } else {
            self.painter.set_mode(mode, write)?;
            let whole = PixelRect { x: 0, y: 0, width: picture.size.width, height: picture.size.height };
            self.painter.paint_xrgb(whole, &self.frame.pixels, write)?;
        }
        self.painter.end(write)
    }

    fn beat(&mut self, now: Instant) -> Result<(), CommandError> {
        if now.saturating_since(self.beaten) < HEARTBEAT_INTERVAL / 2 {
            return Ok(());
        }
        self.beaten = now;
        let beaten = self.painter.beat(&mut |offset, bytes| self.file.write_all_at(bytes, offset));
        beaten.map_err(|error| self.failed(error))
    }

    fn finish(self, keep: bool) -> Result<(), CommandError> {
        let Self { path, file, painter, .. } = self;
        let finished = painter.finish(keep, &mut |offset, bytes| file.write_all_at(bytes, offset));
        finished.map_err(|error| CommandError::Write { path, error })
    }

    fn failed(&self, error: io::Error) -> CommandError {
        CommandError::Write { path: self.path.clone(), error }
    }
}

/// The cells of a set as rectangles: runs in a row, joined with equal runs of the rows above.
fn runs(cells: &CellSet) -> Vec<CellRect> {
    let columns = usize::from(cells.grid().columns);
    let mut rects: Vec<CellRect> = Vec::new();
    let mut run: Option<CellRect> = None;
    for index in cells.iter() {
        let (x, y) = ((index % columns) as u16, (index / columns) as u16);
        match &mut run {
            Some(run) if run.y == y && run.x + run.width == x => run.width += 1,
            _ => {
                let done = run.replace(CellRect { x, y, width: 1, height: 1 });
                done.into_iter().for_each(|done| join(&mut rects, done));
            }
        }
    }
    run.into_iter().for_each(|done| join(&mut rects, done));
    rects
}

fn join(rects: &mut Vec<CellRect>, run: CellRect) {
    let above =
        |rect: &&mut CellRect| rect.x == run.x && rect.width == run.width && rect.y + rect.height == run.y;
    // Runs come in order, so that only the last few can lie right above.
    match rects.iter_mut().rev().take(usize::from(u8::MAX)).find(above) {
        Some(rect) => rect.height += 1,
        None => rects.push(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;
    use crate::hypervisor::{ShmSource, Source, View};

    #[test]
    fn runs_cover_the_set_and_nothing_else() {
        let grid = Grid { columns: 9, rows: 5 };
        let mut state = 1_u64;
        for _ in 0..200 {
            let mut cells = CellSet::new(grid);
            for index in 0..grid.cells() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 62 != 0 {
                    cells.insert(index);
                }
            }
            let mut covered = CellSet::new(grid);
            for rect in runs(&cells) {
                assert!(rect.indices(grid).all(|index| covered.insert(index)), "no cell twice");
            }
            assert_eq!(covered, cells);
        }
        assert_eq!(runs(&CellSet::full(grid)), [grid.rect()]);
    }

    #[test]
    fn only_a_painter_s_file_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("a file");
            path
        };
        for (path, ours) in [
            (folder.path().join("absent"), true),
            (place("empty", b""), true),
            (place("older", b"LFPSHMFB and more"), true),
            (place("letter", b"precious"), false),
            (folder.path().to_owned(), false),
            (PathBuf::from("/dev/null"), false),
        ] {
            assert_eq!(is_ours_or_absent(&path).expect("it can be looked at"), ours, "{}", path.display());
        }
    }

    #[test]
    fn what_is_played_is_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let shm = folder.path().join("screen");
        let source: SourceSpec = "synthetic:mixed?size=300x200&fps=30".parse().expect("a source");
        let args = PlayArgs {
            source: source.clone(),
            shm: shm.clone(),
            seconds: Some(Duration::from_millis(300)),
            once: false,
            rate: 60,
        };
        let player = std::thread::spawn(move || run(&args).map(|_| ()));
        let mut scanner = Scanner::new(SourceId(1), Box::new(ShmSource::new(shm.clone())));
        let ticks = clock::poll_for(Duration::from_secs(20), || {
            let ticks = scanner.tick(clock::now()).map_or(0, |tick| tick.number);
            (ticks >= 4 || player.is_finished()).then_some(ticks)
        });
        assert!(ticks.is_some());
        player.join().expect("joined").expect("played");
        let mut watcher = ShmSource::new(shm.clone());
        assert!(matches!(watcher.view(clock::now()), View::Dark { state: SurfaceState::Gone, .. }));

        let args = PlayArgs { source: source.clone(), shm: shm.clone(), seconds: None, once: true, rate: 60 };
        run(&args).expect("played once");
        let mut watcher = ShmSource::new(shm);
        let View::Live(surface) = watcher.view(clock::now()) else { panic!("its picture stands") };
        let mut shadow = vec![0; surface.shadow_bytes()];
        watcher.sweep(&surface, &mut shadow, &mut CellSet::new(surface.size.grid())).expect("swept");
        let SourceSpec::Synthetic(spec) = source else { panic!("synthetic") };
        let mut scene = crate::hypervisor::synthetic::Scene::new(spec);
        let expected: Vec<u8> = scene.paint(0).iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
        assert!(shadow == expected);
    }

    #[test]
    fn once_says_why_there_was_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = PlayArgs {
            source: "trace:/nowhere".parse().expect("a source"),
            shm: folder.path().join("screen"),
            seconds: Some(Duration::from_millis(30)),
            once: true,
            rate: 60,
        };
        let error = run(&args).expect_err("nothing to paint").to_string();
        assert!(error.contains("within 30 ms: it is gone; /nowhere does not exist"), "{error}");
    }
}
