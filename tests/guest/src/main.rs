//! What the test guest runs: a picture on `/dev/fb0`, a terminal that answers the keyboard, and a report of
//! all that happens on the serial port, each line led by `LFP-GUEST`.
//!
//! Kernel parameters: `lfp.quiet=1` starts with nothing moving. Commands: type `help`.

mod canvas;
mod desk;
mod dispi;
mod font;
mod input;
mod landscape;
mod panel;
mod screen;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use desk::Desk;

/// Between two frames of what moves.
const FRAME: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let mut report = Report::open();
    match run(&mut report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report.line(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(report: &mut Report) -> io::Result<()> {
    let quiet = fs::read_to_string("/proc/cmdline")?.split_whitespace().any(|word| word == "lfp.quiet=1");
    let mut desk = Desk::open(quiet)?;
    let (sender, events) = channel();
    input::listen(&sender);
    report.line(&format!("ready {}", desk.describe()));
    loop {
        match events.recv_timeout(FRAME) {
            Ok(event) => {
                desk.handle(event, report)?;
                // What is typed fast is painted once.
                while let Ok(event) = events.try_recv() {
                    desk.handle(event, report)?;
                }
                desk.refresh()?;
            }
            Err(RecvTimeoutError::Timeout) => desk.frame()?,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("no input threads")),
        }
    }
}

/// The serial port.
pub(crate) struct Report {
    port: Option<File>,
}

impl Report {
    fn open() -> Self {
        Self { port: OpenOptions::new().write(true).open("/dev/ttyS0").ok() }
    }

    /// Writes one line; there is nobody to tell if that fails.
    pub(crate) fn line(&mut self, text: &str) {
        if let Some(port) = &mut self.port {
            let _ = port.write_all(format!("LFP-GUEST {text}\n").as_bytes());
        }
    }
}
