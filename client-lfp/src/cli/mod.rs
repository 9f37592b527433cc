//! The program around the client's core.

mod ask;
mod capture;
mod clock;
mod comeback;
mod exit;
mod help;
mod keep;
mod list;
mod mirror;
mod options;
mod overlay;
mod picture;
mod progress;
mod report;
mod run;
mod script;
mod socket;
mod trust;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clock::Clock;
use exit::Failure;
use options::{Command, Options};
use run::Run;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let clock = Clock::start();
    let done = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(help::HELP),
        Ok(Command::Version) => print(concat!("client-lfp ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Show(options)) if options.list => list::list(&options, clock),
        Ok(Command::Show(options)) => show(&options, clock),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("client-lfp: {failure}");
            failure.code()
        }
    }
}

/// Shows a screen; writes what is to be written, whatever happened.
fn show(options: &Options, clock: Clock) -> Result<(), Failure> {
    let mut run = Run::new(options, clock)?;
    let ended = run.run();
    let written = match &options.png {
        Some(path) => picture::write(path, run.picture()),
        None => Ok(()),
    };
    let result = ended.and(run.input_taken()).and(written);
    if options.json {
        let report = report::report(&run, result.as_ref().err());
        return result.and(print(&format!("{report}\n")));
    }
    match run.server() {
        Some(server) => result.and(print(&ask::figures(server))),
        None => result,
    }
}

/// Prints `text`. Whoever has closed the pipe does not want it, which is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::file("standard output", error)),
        _ => Ok(()),
    }
}
