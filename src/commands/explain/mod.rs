//! `lfp-server explain SOURCE --out DIR`: what the engines see in a source, as pictures and as JSON.

mod draw;
mod report;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;

use super::support::{
    CommandError, EXIT_DARK, Frame, Pace, Stop, open, parse_moment, parse_rate, parse_seconds,
};
use crate::context::Watcher;
use crate::hypervisor::trace::TraceReader;
use crate::hypervisor::{SourceId, SourceSpec};
use crate::scan::{Tick, TickState};
use crate::time::{Instant, micros};
use report::Report;

/// Shows what the engines see in a source: regions coloured by what they are taken for, heat, what each region costs
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Which source; a trace or a synthetic one is gone through as fast as it can be, others in their own time
    pub source: SourceSpec,
    /// Where the pictures and `frames.jsonl` go; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How much to look at, from the first picture on; of a trace that is not repeated, at most all of it
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_seconds, conflicts_with = "at")]
    pub seconds: Duration,
    /// Draw the picture of this moment alone, in seconds from the first picture on
    #[arg(long, value_name = "T", value_parser = parse_moment)]
    pub at: Option<Duration>,
    /// Time between the pictures drawn, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub every: Duration,
    /// Scans a second
    #[arg(long, value_name = "HZ", default_value = "30", value_parser = parse_rate)]
    pub rate: u32,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// How long to wait for the first picture, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub wait: Duration,
}

/// Goes through the source and explains each tick.
///
/// # Errors
/// If the source cannot be reached or shows no picture, the moment lies beyond its end, or a file cannot be written.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, CommandError> {
    let length = trace_length(&args.source)?;
    if let Some((at, length)) = args.at.zip(length).filter(|(at, length)| at > length) {
        return Err(CommandError::Beyond { source_spec: args.source.clone(), at, length });
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|error| CommandError::Write { path: args.out.clone(), error })?;
    let mut watcher = Watcher::new(SourceId(0), open(&args.source)?);
    let mut clock = Clock::new(args);
    let stop = Stop::install(None)?;
    let mut explained: Option<Explained> = None;
    let mut dark = (SurfaceState::Connecting, "it has not been looked at yet".to_owned());
    let mut is_dark = true;
    let was_interrupted = loop {
        let now = clock.wait();
        if let Some(tick) = watcher.tick(now) {
            match &tick.state {
                TickState::Live { .. } => {
                    is_dark = false;
                    if explained.is_none() {
                        explained = Some(Explained::begin(args, length, now)?);
                    }
                    if let Some(explained) = &mut explained {
                        explained.take_in(tick)?;
                    }
                }
                TickState::Dark { state, text } => {
                    dark = (*state, text.clone());
                    if let Some(explained) = explained.as_ref().filter(|_| !is_dark) {
                        let (at, state) = (explained.at_ms(now), state.name());
                        eprintln!("lfp-server: after {at} ms there is no picture any more: {state}; {text}");
                    }
                    is_dark = true;
                }
            }
        }
        let is_over = match &mut explained {
            Some(explained) => explained.look(args, now)?,
            None if now.saturating_since(clock.began) > args.wait => {
                let (state, text) = dark;
                let waited_ms = args.wait.as_millis();
                return Err(CommandError::Dark { source_spec: args.source.clone(), waited_ms, state, text });
            }
            None => false,
        };
        if is_over || stop.is_due(now) {
            break !is_over;
        }
    };
    if was_interrupted {
        let seen = explained.as_ref().map_or(0, |explained| explained.at_ms(clock.now));
        eprintln!("lfp-server: interrupted; what was seen in the first {seen} ms follows");
    }
    if let Some(explained) = explained {
        explained.finish(args, was_interrupted || is_dark)?;
    }
    Ok(if is_dark { ExitCode::from(EXIT_DARK) } else { ExitCode::SUCCESS })
}

/// How long a recording lasts that is played once; `None` for what has no end.
fn trace_length(source: &SourceSpec) -> Result<Option<Duration>, CommandError> {
    let SourceSpec::Trace { path, repeat: false } = source else { return Ok(None) };
    let wrong = |error| CommandError::Trace { path: path.clone(), error };
    let file = File::open(path).map_err(|error| wrong(error.into()))?;
    let reader = TraceReader::new(BufReader::new(file)).map_err(wrong)?;
    let header = reader.header();
    let length_us = header.frames.saturating_mul(1_000_000) / u64::from(header.fps.max(1));
    Ok(Some(Duration::from_micros(length_us)))
}

/// The time: a clock's, or for a source that is a function of time one that takes none.
struct Clock {
    pace: Option<Pace>,
    now: Instant,
    began: Instant,
    interval: Duration,
}

impl Clock {
    fn new(args: &ExplainArgs) -> Self {
        let is_free = matches!(args.source, SourceSpec::Trace { .. } | SourceSpec::Synthetic(_));
        let pace = (!is_free).then(|| Pace::new(args.rate));
        let now = if is_free { Instant::from_micros(1) } else { crate::clock::now() };
        Self { pace, now, began: now, interval: Duration::from_secs(1) / args.rate }
    }

    fn wait(&mut self) -> Instant {
        self.now = match &mut self.pace {
            Some(pace) => pace.wait(),
            None => self.now + self.interval,
        };
        self.now
    }
}

/// What was explained so far.
struct Explained {
    began: Instant,
    /// When the next picture is to be drawn.
    due: Instant,
    end: Instant,
    tick: Option<Arc<Tick>>,
    frame: Frame,
    report: Report,
    lines: BufWriter<File>,
    pictures: u32,
}

impl Explained {
    fn begin(args: &ExplainArgs, length: Option<Duration>, now: Instant) -> Result<Self, CommandError> {
        let path = args.out.join("frames.jsonl");
        let file = File::create(&path).map_err(|error| CommandError::Write { path, error })?;
        let (due, end) = match args.at {
            Some(at) => (now + at, now + at),
            None => (now, now + length.map_or(args.seconds, |length| length.min(args.seconds))),
        };
        Ok(Self {
            began: now,
            due,
            end,
            tick: None,
            frame: Frame::default(),
            report: Report::default(),
            lines: BufWriter::new(file),
            pictures: 0,
        })
    }

    fn take_in(&mut self, tick: Arc<Tick>) -> Result<(), CommandError> {
        let TickState::Live { picture, delta } = &tick.state else { return Ok(()) };
        self.frame.refresh(picture, delta.cells.iter());
        let at_ms = self.at_ms(tick.captured);
        let line = self.report.take_in(&tick, at_ms);
        writeln!(self.lines, "{line}").map_err(CommandError::Print)?;
        self.tick = Some(tick);
        Ok(())
    }

    /// Draws a picture if it is time for one; says whether everything has been seen.
    fn look(&mut self, args: &ExplainArgs, now: Instant) -> Result<bool, CommandError> {
        if now >= self.due {
            if let Some(tick) = &self.tick {
                let at_ms = self.at_ms(now);
                draw::draw(&args.out, at_ms, tick, &self.frame)?;
                self.pictures += 1;
            }
            self.due = self.due + args.every;
        }
        Ok(now >= self.end)
    }

    /// Milliseconds from the first picture to `now`.
    fn at_ms(&self, now: Instant) -> u64 {
        micros(now.saturating_since(self.began)) / 1_000
    }

    fn finish(mut self, args: &ExplainArgs, is_partial: bool) -> Result<(), CommandError> {
        self.lines.flush().map_err(CommandError::Print)?;
        let mut out = std::io::stdout().lock();
        if args.json {
            writeln!(out, "{}", self.report.json(is_partial)).map_err(CommandError::Print)
        } else {
            let (text, folder) = (self.report.text(), args.out.display());
            let pictures = 2 * self.pictures;
            writeln!(out, "{text}{folder}: {pictures} pictures, frames.jsonl").map_err(CommandError::Print)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_and_a_while_are_explained() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut args = ExplainArgs {
            source: "synthetic:mixed?size=320x240&fps=30".parse().expect("a source"),
            out: folder.path().join("all"),
            seconds: Duration::from_secs(2),
            at: None,
            every: Duration::from_secs(1),
            rate: 30,
            json: true,
            wait: Duration::from_secs(1),
        };
        run(&args).expect("explained");
        let files = |args: &ExplainArgs| std::fs::read_dir(&args.out).expect("a folder").count();
        assert_eq!(files(&args), 1 + 3 * 2, "frames.jsonl, and two pictures a second");
        let text = std::fs::read_to_string(args.out.join("frames.jsonl")).expect("lines");
        for line in text.lines() {
            let frame: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let total = frame["bytes"].as_u64().expect("bytes");
            let sum: u64 = frame["techniques"]
                .as_object()
                .expect("techniques")
                .values()
                .filter_map(|one| one["bytes"].as_u64())
                .sum();
            assert_eq!(total, sum);
            assert!(frame["regions"].as_array().is_some_and(|regions| !regions.is_empty()));
        }
        args.at = Some(Duration::from_millis(1_500));
        args.out = folder.path().join("one");
        run(&args).expect("explained");
        assert_eq!(files(&args), 1 + 2);
    }

    #[test]
    fn a_trace_is_explained_to_its_end_and_no_further() {
        let folder = tempfile::tempdir().expect("a folder");
        let excerpts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces");
        let args = |trace: &str, at: Option<u64>| ExplainArgs {
            source: format!("trace:{}", excerpts.join(trace).display()).parse().expect("a source"),
            out: folder.path().join(format!("{at:?}")),
            seconds: Duration::from_secs(60),
            at: at.map(Duration::from_millis),
            every: Duration::from_secs(1),
            rate: 30,
            json: true,
            wait: Duration::from_secs(1),
        };
        let all = args("drag.lfptrace", None);
        run(&all).expect("explained");
        assert_eq!(std::fs::read_dir(&all.out).expect("a folder").count(), 3, "of a fifth of a second");
        run(&args("drag.lfptrace", Some(0))).expect("the first picture");
        let message = |args: ExplainArgs| run(&args).expect_err("wrong").to_string();
        assert!(message(args("drag.lfptrace", Some(900))).contains("lasts 0.2 s"));
        let absent = message(args("absent.lfptrace", None));
        assert!(absent.contains("absent.lfptrace cannot be read"), "{absent}");
    }
}
