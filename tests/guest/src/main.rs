//! What the test guest runs: a picture on `/dev/fb0`, a terminal that answers the keyboard, and a report of
//! all that happens on the serial port, each line led by `LFP-GUEST`.
//!
//! Kernel parameters: `lfp.quiet=1` starts with nothing moving, `lfp.frame_ms=N` sets the time between two frames
//! of what moves. Commands: type `help`.

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

/// Between two frames of what moves, in milliseconds, unless the kernel's command line says otherwise.
const FRAME_MS: u64 = 50;

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
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let parameter = |name: &str| command_line.split_whitespace().find_map(|word| word.strip_prefix(name));
    let quiet = parameter("lfp.quiet=") == Some("1");
    let frame_ms = parameter("lfp.frame_ms=").and_then(|text| text.parse().ok()).unwrap_or(FRAME_MS);
    let mut desk = Desk::open(quiet)?;
    let (sender, events) = channel();
    input::listen(&sender);
    report.line(&format!("ready {}", desk.describe()));
    loop {
        match events.recv_timeout(Duration::from_millis(frame_ms)) {
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
