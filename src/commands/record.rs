//! `lfp-server record SOURCE --out FILE`: writes what a source shows as a trace.

use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;

use super::support::{CommandError, Frame, Pace, Progress, Stop, open, parse_rate, parse_seconds, print};
use crate::clock;
use crate::geometry::Size;
use crate::hypervisor::trace::{TraceError, TraceWriter};
use crate::hypervisor::{SourceId, SourceSpec};
use crate::scan::{Scanner, TickState};
use crate::time::{Instant, micros};

/// Records what a source shows as a trace, which `trace:FILE` plays
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// Which source
    pub source: SourceSpec,
    /// The trace to make; a file that is there is left alone
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How long to record, from the first picture on; Ctrl-C ends it earlier
    #[arg(long, value_name = "N", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Pictures a second
    #[arg(long, value_name = "HZ", default_value = "30", value_parser = parse_rate)]
    pub rate: u32,
    /// How hard zstd tries, 1 to 19
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(i32).range(1..=19))]
    pub level: i32,
    /// How long to wait for the first picture, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub wait: Duration,
}

/// Records until the time is over, Ctrl-C, or the mode changes: a trace has one size, and ends in good order where
/// another begins. While the source is dark its last picture stands.
///
/// # Errors
/// If the source cannot be reached or showed no picture, or the file exists or cannot be written. What was recorded
/// by then is no whole trace.
pub fn run(args: &RecordArgs) -> Result<ExitCode, CommandError> {
    let mut scanner = Scanner::new(SourceId(0), open(&args.source)?);
    let mut stop = Stop::install(Some(args.wait))?;
    let mut pace = Pace::new(args.rate);
    let mut progress = Progress::new(clock::now());
    let mut recording: Option<Recording> = None;
    let mut dark = (SurfaceState::Connecting, "it has not been looked at yet".to_owned());
    let end = loop {
        let now = pace.wait();
        let tick = scanner.tick(now);
        match tick.as_deref().map(|tick| &tick.state) {
            Some(TickState::Live { picture, delta }) => {
                if recording.is_none() {
                    recording = Some(Recording::begin(args, picture.size, now)?);
                    stop.restart(now, args.seconds);
                }
                if let Some(recording) = recording.as_mut() {
                    if recording.frame.size != picture.size && recording.writer.frames() > 0 {
                        break End::OtherSize(picture.size);
                    }
                    recording.frame.refresh(picture, delta.cells.iter());
                }
            }
            Some(TickState::Dark { state, text }) => {
                if recording.is_some() {
                    tracing::warn!(state = state.name(), text, "no picture any more; the last one goes on");
                }
                dark = (*state, text.clone());
            }
            None => {}
        }
        if progress.due(now).is_some() {
            tell(recording.as_ref(), &dark, now);
        }
        let is_over = stop.is_due(now);
        match &mut recording {
            Some(_) if is_over => break End::Time,
            Some(recording) => recording.add(args, now)?,
            None if is_over => {
                let (state, text) = dark;
                let waited_ms = args.wait.as_millis();
                return Err(CommandError::Dark { source_spec: args.source.clone(), waited_ms, state, text });
            }
            None => {}
        }
    };
    match recording {
        Some(recording) => recording.finish(args, &end),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// How far it is.
fn tell(recording: Option<&Recording>, dark: &(SurfaceState, String), now: Instant) {
    match recording {
        Some(recording) => {
            let seconds = now.saturating_since(recording.began).as_secs();
            tracing::info!(seconds, frames = recording.writer.frames(), "recording");
        }
        None => tracing::info!(state = dark.0.name(), text = dark.1, "waiting for a picture"),
    }
}

/// Why a recording ended.
enum End {
    Time,
    OtherSize(Size),
}

struct Recording {
    writer: TraceWriter<BufWriter<File>>,
    frame: Frame,
    began: Instant,
    bytes: Vec<u8>,
}

impl Recording {
    fn begin(args: &RecordArgs, size: Size, now: Instant) -> Result<Self, CommandError> {
        let file = File::create_new(&args.out).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => CommandError::Exists(args.out.clone()),
            _ => CommandError::Write { path: args.out.clone(), error },
        })?;
        let name = args.source.to_string();
        let writer = TraceWriter::new(BufWriter::new(file), &name, size, args.rate, args.level);
        let writer = writer.map_err(|error| failed(args, error))?;
        Ok(Self { writer, frame: Frame::default(), began: now, bytes: Vec::new() })
    }

    fn add(&mut self, args: &RecordArgs, now: Instant) -> Result<(), CommandError> {
        self.bytes.clear();
        self.bytes.extend(self.frame.pixels.iter().flat_map(|pixel| pixel.to_le_bytes()));
        let at_us = micros(now.saturating_since(self.began));
        self.writer.add(at_us, &self.bytes).map_err(|error| failed(args, error))
    }

    fn finish(self, args: &RecordArgs, end: &End) -> Result<ExitCode, CommandError> {
        let (frames, old) = (self.writer.frames(), self.frame.size);
        self.writer.finish().map_err(|error| failed(args, error))?;
        let (path, Size { width, height }) = (args.out.display(), old);
        let done = format!("{path}: {frames} frames of {width}x{height} pixels\n");
        print(&done).map_err(CommandError::Print)?;
        if let End::OtherSize(new) = end {
            tracing::warn!(
                from = format!("{width}x{height}"),
                to = format!("{}x{}", new.width, new.height),
                "the mode changed and a trace has one size: this one ends there; record again for the new mode"
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn failed(args: &RecordArgs, error: TraceError) -> CommandError {
    CommandError::Trace { path: args.out.clone(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PixelRect;
    use crate::hypervisor::trace::TraceReader;
    use lfp_proto::shm::{Mode, Painter};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    fn args(source: &str, out: &Path, millis: u64) -> RecordArgs {
        RecordArgs {
            source: source.parse().expect("a source"),
            out: out.to_owned(),
            seconds: Duration::from_millis(millis),
            rate: 60,
            level: 1,
            wait: Duration::from_secs(5),
        }
    }

    fn reader(path: &Path) -> TraceReader<std::io::BufReader<File>> {
        let file = File::open(path).expect("a trace");
        TraceReader::new(std::io::BufReader::new(file)).expect("a trace")
    }

    #[test]
    fn a_recording_is_what_was_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("x.lfptrace");
        let args = args("synthetic:video?size=160x120&fps=30&seed=4", &out, 200);
        run(&args).expect("recorded");
        assert!(matches!(run(&args), Err(CommandError::Exists(_))), "never written over");
        let SourceSpec::Synthetic(spec) = args.source else { panic!("synthetic") };
        let mut scene = crate::hypervisor::synthetic::Scene::new(spec);
        let mut reader = reader(&out);
        assert!((3..=14).contains(&reader.header().frames), "{} frames", reader.header().frames);
        while let Some(at_us) = reader.next_at_us() {
            reader.advance().expect("a frame");
            let painted = scene.paint(at_us * 30 / 1_000_000);
            assert!(
                painted.iter().flat_map(|pixel| pixel.to_le_bytes()).eq(reader.picture().iter().copied())
            );
        }
    }

    #[test]
    fn another_mode_ends_a_recording_in_good_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (shm, out) = (folder.path().join("screen"), folder.path().join("x.lfptrace"));
        let file = File::create(&shm).expect("a file");
        let mut write = |offset, bytes: &[u8]| file.write_all_at(bytes, offset);
        let mut painter = Painter::new();
        painter.create(&mut write).expect("created");
        let mut show = |width: u16| {
            let size = Size { width, height: 20 };
            painter.set_mode(Mode::xrgb(size), &mut write).expect("mode set");
            let rect = PixelRect { x: 0, y: 0, width, height: 20 };
            painter.paint_xrgb(rect, &vec![u32::from(width); size.pixels()], &mut write).expect("painted");
            painter.end(&mut write).expect("ended");
        };
        show(40);
        let args = args(&format!("shm:{}", shm.display()), &out, 60_000);
        let recorder = std::thread::spawn(move || run(&args).map(|_| ()));
        clock::poll_for(Duration::from_secs(20), || out.exists().then_some(())).expect("begun");
        // Frames stay in the writer's buffer until the end: nothing shows that there are some.
        clock::poll_for(Duration::from_millis(100), || None::<()>);
        show(50);
        recorder.join().expect("joined").expect("recorded");
        let mut reader = reader(&out);
        assert_eq!(reader.size(), Size { width: 40, height: 20 });
        assert!(reader.header().frames > 0);
        while reader.advance().expect("a frame") {}
        assert!(reader.picture().chunks(4).all(|pixel| pixel == [40, 0, 0, 0]));
    }
}
