//! `scripts/bench-trace`: recorded desktops through player, server and client as real processes, and what that cost and
//! looked like. `docs/BENCHMARKS.md` explains every figure and how it is measured.

mod ablate;
mod aims;
mod capture;
mod clock;
mod figures;
mod player;
mod refine;
mod rivals;
mod run;
mod score;
mod stage;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lfp::ablation::Part;

use crate::figures::Figures;
use crate::rivals::Rivals;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Plays recorded desktops in real time through a server and a client on loopback, and prints what it cost and how it
/// looked, beside measured rivals
/// What `client-lfp --profile` takes.
const PROFILES: [&str; 5] = ["desktop", "thin-terminal", "phone", "television", "headless"];

#[derive(Debug, Parser)]
#[command(name = "bench-trace", max_term_width = 110)]
pub(crate) struct Options {
    /// Recorded desktops, or folders of them
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// What kind of client: desktop, thin-terminal, phone, television, headless
    #[arg(long, value_name = "P", default_value = "desktop", value_parser = PROFILES)]
    profile: String,
    /// Scans a second, and the refresh rate of the client's display
    #[arg(long, value_name = "R", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=240))]
    rate: u32,
    /// Have the server send nothing lossy
    #[arg(long)]
    lossless: bool,
    /// A bad network between server and client, such as rtt=100ms,loss=3%,rate=20mbit,seed=1; "" is a relay that does
    /// nothing
    #[arg(long, value_name = "SPEC", value_parser = parse_link)]
    link: Option<String>,
    /// Print one JSON object a trace, on one line, and nothing else
    #[arg(long)]
    json: bool,
    /// Leave a technique or another part out; may be repeated
    #[arg(long, value_name = "NAME")]
    without: Vec<Part>,
    /// Run each trace whole and then without each part in turn, and print what each part saves
    #[arg(long, conflicts_with_all = ["json", "without"])]
    ablate: bool,
    /// Have the scan engine alone find what changes in each frame, our way and the classic ones, and print what each takes
    #[arg(long, conflicts_with_all = ["json", "without", "ablate"])]
    refiners: bool,
    /// Be the player: TRACE SHM LOG
    #[arg(long, hide = true)]
    player: bool,
}

fn main() -> ExitCode {
    match start(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-trace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> Outcome<()> {
    if options.player {
        let [trace, shm, log] = &options.traces[..] else { return Err("a player takes three files".into()) };
        return player::play(trace, shm, log);
    }
    stage::end_with_us()?;
    let traces = traces(options)?;
    if options.refiners {
        return refine::compare(&traces);
    }
    if options.ablate {
        return ablate::ablate(&traces, options);
    }
    let rivals = Rivals::load()?;
    let (mut all, mut failed) = (Vec::new(), 0);
    for trace in &traces {
        let figures = match run::run(trace, options) {
            Ok(figures) => figures,
            Err(error) => {
                eprintln!("bench-trace: {}: {error}", trace.display());
                failed += 1;
                continue;
            }
        };
        if options.json {
            println!("{}", serde_json::to_string(&figures)?);
        } else {
            print!("{}", rivals.beside(&figures));
        }
        all.push(figures);
    }
    if !options.json {
        print!("{}", aims::sum_up(&all, &rivals));
    }
    if failed > 0 { Err(format!("{failed} of {} runs failed", traces.len()).into()) } else { Ok(()) }
}

/// A link that the relay will understand.
fn parse_link(text: &str) -> Result<String, String> {
    text.parse::<lfp_impair::LinkSpec>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// The traces that are named, or lie in a folder that is, by name.
fn traces(options: &Options) -> Outcome<Vec<PathBuf>> {
    let mut traces = Vec::new();
    for path in &options.traces {
        if path.is_dir() {
            let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
            let mut found: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            found.retain(|path| path.extension().is_some_and(|extension| extension == "lfptrace"));
            found.sort();
            traces.extend(found);
        } else {
            traces.push(path.clone());
        }
    }
    if traces.is_empty() { Err("there are no traces (*.lfptrace)".into()) } else { Ok(traces) }
}

/// Whether the run's figures count: what is cheap because it comes late does not.
fn is_fresh(figures: &Figures) -> bool {
    let within = |time: Option<f64>, most: f64| time.is_some_and(|time| time <= most);
    figures.frames_changed == 0
        || within(figures.update_ms.p95, 50.0)
            && within(figures.update_ms.max, 100.0)
            && figures.frames_shown * 100 >= figures.frames_changed * 95
}
