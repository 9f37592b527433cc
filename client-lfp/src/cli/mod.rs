//! The program around the client's core.

mod capture;
mod clock;
mod exit;
mod help;
mod mirror;
mod options;
mod picture;
mod report;
mod run;
mod script;
mod socket;

use std::io::Write as _;
use std::process::ExitCode;

use clock::Clock;
use exit::Failure;
use options::{Command, Options};
use run::Run;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let clock = Clock::start();
    let command = match Command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(failure) => return fail(&failure),
    };
    match command {
        Command::Help => print(help::HELP),
        Command::Version => print(concat!("client-lfp ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Show(options) => match show(&options, clock) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail(&failure),
        },
    }
}

/// Shows a screen; writes what is to be written, whatever happened.
fn show(options: &Options, clock: Clock) -> Result<(), Failure> {
    let mut run = Run::new(options, clock)?;
    let ended = run.run();
    let written = match &options.png {
        Some(path) => picture::write(path, run.client().picture()),
        None => Ok(()),
    };
    let result = ended.and(written);
    if options.json {
        let report = report::report(&run, result.as_ref().err());
        // Whoever has closed the pipe does not want the report.
        let _ = writeln!(std::io::stdout(), "{report}");
    }
    result
}

fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("client-lfp: {failure}");
    failure.code()
}
