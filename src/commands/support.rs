//! What the commands that watch one source share.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lfp_proto::frame::SurfaceState;

use crate::clock;
use crate::config::ConfigError;
use crate::geometry::Size;
use crate::host::HostError;
use crate::hypervisor::discover::DiscoverError;
use crate::hypervisor::trace::TraceError;
use crate::hypervisor::{Source, SourceError, SourceSpec, open_alone};
use crate::identity::IdentityError;
use crate::limits::CELL;
use crate::scan::{Picture, Tile};
use crate::time::Instant;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The source needs a thread that the system does not give.
    #[error("{source_spec} cannot be followed: {error}")]
    Unfollowed {
        /// Which.
        source_spec: SourceSpec,
        /// Why.
        error: io::Error,
    },
    /// The guests of this host cannot be listed.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The source showed nothing in time.
    #[error("{source_spec} showed no picture within {waited_ms} ms: it is {state}; {text}", state = state.name())]
    Dark {
        /// Which.
        source_spec: SourceSpec,
        /// How long it was given.
        waited_ms: u128,
        /// What it said last.
        state: SurfaceState,
        /// The same in words.
        text: String,
    },
    /// The source's pixels could not be read.
    #[error("{source_spec} could not be read: {error}")]
    Unread {
        /// Which.
        source_spec: SourceSpec,
        /// Why.
        error: SourceError,
    },
    /// A file could not be written.
    #[error("{path} could not be written: {error}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file that is to be made is there already.
    #[error("{path} exists; name another file or remove it", path = .0.display())]
    Exists(PathBuf),
    /// A trace has no such moment.
    #[error("{source_spec} has no picture {} s from its first one: it lasts {} s", in_seconds(.at), in_seconds(.length))]
    Beyond {
        /// Which.
        source_spec: SourceSpec,
        /// What was asked for.
        at: Duration,
        /// How long it is.
        length: Duration,
    },
    /// A trace could not be read or written.
    #[error("{path} {error}", path = path.display())]
    Trace {
        /// Which.
        path: PathBuf,
        /// Why.
        error: TraceError,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server's key can be neither read nor made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The host's side of appliances could not start, or did not do what it was asked.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It says why it did not.
    #[error("{0}")]
    Refused(String),
    /// Standard output takes nothing.
    #[error("the result could not be printed: {0}")]
    Print(io::Error),
    /// No handler could be set for Ctrl-C.
    #[error("signals cannot be caught: {0}")]
    Signals(io::Error),
}

/// Exit code when a source has no picture to show.
pub const EXIT_DARK: u8 = 3;

impl CommandError {
    /// The exit code that tells of it; `lfp-server --help` lists them.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Dark { .. } => ExitCode::from(EXIT_DARK),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Prints `text` on standard output. Whoever has closed the pipe does not want it, which is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// When a long command says how far it is: after 5 s, and then at an eighth of the time that has passed, so that a
/// log of days stays short.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    next: Instant,
}

impl Progress {
    /// The command begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, next: now + PROGRESS_FIRST }
    }

    /// Whether it is time to say something; if so, the time since the beginning.
    pub(super) fn due(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_since(self.began);
        let due = now >= self.next;
        if due {
            self.next = now + PROGRESS_FIRST.max(passed / 8);
        }
        due.then_some(passed)
    }
}

const PROGRESS_FIRST: Duration = Duration::from_secs(5);

/// Opens the source that `spec` names.
///
/// # Errors
/// If the system has no thread for one that needs it. What is absent is a dark source, not an error.
pub(super) fn open(spec: &SourceSpec) -> Result<Box<dyn Source>, CommandError> {
    open_alone(spec).map_err(|error| CommandError::Unfollowed { source_spec: spec.clone(), error })
}

/// Says when to stop: Ctrl-C, a polite kill, or the end of the time given.
#[derive(Debug)]
pub(super) struct Stop {
    signalled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Watches for signals from now on, and for the end of `limit` if there is one.
    pub(super) fn install(limit: Option<Duration>) -> Result<Self, CommandError> {
        let signalled = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let registered = signal_hook::flag::register(signal, Arc::clone(&signalled));
            registered.map_err(CommandError::Signals)?;
        }
        Ok(Self { signalled, deadline: limit.map(|limit| clock::now() + limit) })
    }

    /// Whether it is time to stop.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Counts the time given from `now` on.
    pub(super) fn restart(&mut self, now: Instant, limit: Duration) {
        self.deadline = Some(now + limit);
    }
}

/// Waits for the next of a series of moments `interval` apart, and skips those that have passed.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    /// So many moments a second, the first of them now.
    pub(super) fn new(rate_hz: u32) -> Self {
        Self { next: clock::now(), interval: Duration::from_secs(1) / rate_hz.max(1) }
    }

    /// Waits, and says what time it then is.
    pub(super) fn wait(&mut self) -> Instant {
        let now = clock::wait_until(self.next);
        self.next = (self.next + self.interval).max(now);
        now
    }
}

/// A rate of 1 to [`crate::limits::SCAN_RATE_MAX_HZ`], from the command line.
pub(super) fn parse_rate(text: &str) -> Result<u32, String> {
    let most = crate::limits::SCAN_RATE_MAX_HZ;
    let rate = text.parse().ok().filter(|rate| (1..=most).contains(rate));
    rate.ok_or_else(|| format!("a rate is 1 to {most} a second"))
}

/// A time of a millisecond to ten years, from the command line, in seconds.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=315_360_000.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a time is 0.001 to 315360000 seconds".to_owned())
}

/// A moment, from the command line: as [`parse_seconds`], or 0.
pub(super) fn parse_moment(text: &str) -> Result<Duration, String> {
    if text.parse() == Ok(0.0) {
        return Ok(Duration::ZERO);
    }
    parse_seconds(text)
        .map_err(|_| "a moment is 0 to 315360000 seconds, in steps of 0.001 or more".to_owned())
}

fn in_seconds(time: &Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// A picture as one run of `0x00RRGGBB` pixels, kept up to date by cells.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) size: Size,
    pub(super) pixels: Vec<u32>,
}

impl Frame {
    /// Takes the cells with these row-major indices from `picture`, or all of it if the size is another.
    pub(super) fn refresh(&mut self, picture: &Picture, cells: impl Iterator<Item = usize>) {
        let columns = usize::from(picture.size.grid().columns);
        let is_new = self.size != picture.size;
        if is_new {
            self.size = picture.size;
            self.pixels = vec![0; picture.size.pixels()];
            (0..picture.size.grid().cells()).for_each(|index| self.put(index, columns, picture));
        } else {
            cells.for_each(|index| self.put(index, columns, picture));
        }
    }

    fn put(&mut self, index: usize, columns: usize, picture: &Picture) {
        let side = usize::from(CELL);
        let (column, row) = (index % columns, index / columns);
        let tile: &Tile = picture.tile(column as u16, row as u16);
        let width = usize::from(self.size.width);
        let (left, top) = (column * side, row * side);
        let (across, down) = (side.min(width - left), side.min(usize::from(self.size.height) - top));
        for (y, pixels) in tile.chunks_exact(side).take(down).enumerate() {
            let start = (top + y) * width + left;
            self.pixels[start..start + across].copy_from_slice(&pixels[..across]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_rare() {
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let mut progress = Progress::new(at(0));
        let told = (0..86_400).filter(|&second| progress.due(at(second)).is_some());
        let told: Vec<_> = told.collect();
        assert_eq!(told[..3], [5, 10, 15]);
        assert!(told.len() < 90, "{} lines a day", told.len());
    }

    #[test]
    fn times_and_rates_have_bounds() {
        assert_eq!(parse_seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "x", ""] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_rate("240"), Ok(240));
        for wrong in ["0", "241", "-1", "1.5", ""] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
