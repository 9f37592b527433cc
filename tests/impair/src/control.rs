//! Lines that change the relay while it runs.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use lfp_impair::{LinkSpec, parse_span};
use nix::errno::Errno;

/// Longest line taken; a longer one is dropped with a word to the user.
const LINE_MAX: usize = 1_024;

/// Something to do now.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Drop everything for so long.
    Blackout(Duration),
    /// Print what the links did so far, as JSON.
    Report,
    /// Treat datagrams so from now on.
    Link(Box<LinkSpec>),
}

/// Standard input as lines, read only when it has something.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Whether nothing more will come.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// Reads once from `input`, which poll called readable, and gives the commands of the lines that are whole.
    pub(crate) fn read(&mut self, input: impl AsFd) -> io::Result<Vec<Command>> {
        let mut buffer = [0; LINE_MAX];
        match nix::unistd::read(input, &mut buffer) {
            Ok(0) => self.ended = true,
            Ok(len) => self.pending.extend_from_slice(&buffer[..len]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut commands = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.pending.drain(..=end).collect();
            match parse(String::from_utf8_lossy(&line).trim()) {
                Ok(command) => commands.extend(command),
                Err(error) => eprintln!("lfp-impair: {error}"),
            }
        }
        if self.pending.len() > LINE_MAX {
            eprintln!("lfp-impair: a control line has more than {LINE_MAX} bytes; dropped");
            self.pending.clear();
        }
        Ok(commands)
    }
}

fn parse(line: &str) -> Result<Option<Command>, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" => Ok(None),
        "report" if rest.is_empty() => Ok(Some(Command::Report)),
        "blackout" => parse_span(rest.trim())
            .map(|span| Some(Command::Blackout(span)))
            .ok_or_else(|| format!("{line:?}: expected a time, such as blackout 10s")),
        "link" => {
            rest.parse().map(|spec| Some(Command::Link(Box::new(spec)))).map_err(|error| format!("{error}"))
        }
        _ => Err(format!("{line:?} is no control line; there are blackout DURATION, link SPEC and report")),
    }
}
