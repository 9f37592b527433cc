//! The host's end of an appliance's control channel.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::channel::control::{Command, FromAppliance, Request, ServiceStatus, Status};
use crate::channel::{CONTROL_PORT, Lines, VERSION, line};
use crate::clock;
use crate::limits::{CONTROL_ANSWER, QMP_READ_BYTES, SOURCES_MAX};
use crate::time::Instant;

/// A connection to an appliance's control channel. What the appliance says is not trusted: lines are bounded, and what
/// is no message is counted.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    lines: Lines,
    /// The number of the last request.
    last: u64,
    /// The appliance has begun anew, and nobody has taken note.
    has_begun: bool,
    /// The version of another language, if it speaks one.
    foreign: Option<u32>,
    answered: BTreeMap<u64, Result<Option<Status>, String>>,
    services: BTreeMap<String, ServiceStatus>,
    nonsense: u64,
    scratch: Vec<u8>,
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// There is no connection any more.
    #[error("the appliance's control channel ({CONTROL_PORT}) {0}")]
    Ended(String),
    /// Nothing came back.
    #[error(
        "the appliance did not answer on its control channel for {} s: is it up, with `serve --control port:{CONTROL_PORT}`?",
        CONTROL_ANSWER.as_secs()
    )]
    Silent,
    /// The appliance says why.
    #[error("the appliance: {0}")]
    Refused(String),
}

impl Link {
    /// Connects to the socket at `path`.
    pub(super) fn connect(path: &Path) -> Result<Self, LinkError> {
        let failed = |error: std::io::Error| {
            LinkError::Ended(format!("at {} cannot be connected to: {error}", path.display()))
        };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            stream,
            lines: Lines::default(),
            last: 0,
            has_begun: false,
            foreign: None,
            answered: BTreeMap::new(),
            services: BTreeMap::new(),
            nonsense: 0,
            scratch: vec![0; QMP_READ_BYTES],
        })
    }

    /// Whether the appliance has begun anew since the last call.
    pub(super) fn take_beginning(&mut self) -> bool {
        std::mem::take(&mut self.has_begun)
    }

    /// What the appliance said last of a service.
    pub(super) fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.get(name)
    }

    /// Asks for something and waits for the answer. An appliance that begins anew meanwhile is asked again.
    pub(super) fn ask(&mut self, command: &Command) -> Result<Option<Status>, LinkError> {
        let until = clock::now() + CONTROL_ANSWER;
        let mut id = self.send(command, until)?;
        let mut again: Option<Instant> = None;
        loop {
            if let Some(outcome) = self.answered.remove(&id) {
                return outcome.map_err(LinkError::Refused);
            }
            if let Some(version) = self.foreign {
                let text = format!("it speaks version {version} of the control channel; this is {VERSION}");
                return Err(LinkError::Refused(text));
            }
            let now = clock::now();
            if now >= until {
                return Err(LinkError::Silent);
            }
            if again.is_some_and(|again| now >= again) {
                again = None;
                id = self.send(command, until)?;
            }
            let had_begun = self.take_beginning();
            self.hear(again.unwrap_or(until).min(until))?;
            if self.has_begun {
                // What was asked may have come before it listened, or still wait there.
                again = Some(clock::now() + AGAIN);
            }
            self.has_begun |= had_begun;
        }
    }

    fn send(&mut self, command: &Command, until: Instant) -> Result<u64, LinkError> {
        self.answered.clear();
        self.last += 1;
        let request = Request { id: self.last, command: command.clone() };
        // Whatever broke off before is a line of its own.
        let bytes = [b"\n".to_vec(), line(&request)].concat();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(count) if count > 0 => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if clock::now() >= until {
                        return Err(LinkError::Silent);
                    }
                    self.wait(PollFlags::POLLOUT, until);
                }
                _ => return Err(closed()),
            }
        }
        Ok(self.last)
    }

    /// Takes what the appliance says, and waits for it until `until` at most.
    pub(super) fn hear(&mut self, until: Instant) -> Result<(), LinkError> {
        self.wait(PollFlags::POLLIN, until);
        let mut scratch = std::mem::take(&mut self.scratch);
        let count = match (&self.stream).read(&mut scratch) {
            Ok(0) => Err(closed()),
            Ok(count) => Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(_) => Err(closed()),
        };
        let mut heard = Vec::new();
        if let Ok(count) = count {
            self.lines.receive(&scratch[..count], |message| heard.push(message));
        }
        self.scratch = scratch;
        for message in heard {
            match message {
                Ok(message) => self.take(message),
                Err(error) => {
                    self.nonsense += 1;
                    if self.nonsense.is_power_of_two() {
                        tracing::warn!(lines = self.nonsense, "an appliance's control channel said {error}");
                    }
                }
            }
        }
        count.map(drop)
    }

    fn wait(&self, events: PollFlags, until: Instant) {
        let mut fds = [PollFd::new(self.stream.as_fd(), events)];
        let timeout = TimeSpec::from(until.saturating_since(clock::now()));
        // A signal's interruption is a wait that was short.
        let _ = ppoll(&mut fds, Some(timeout), None);
    }

    fn take(&mut self, message: FromAppliance) {
        match message {
            FromAppliance::Hello { version, program, error } => {
                tracing::info!(version, program, error, "an appliance has begun");
                self.has_begun = true;
                self.foreign = Some(version).filter(|version| *version != VERSION);
                self.services.clear();
            }
            FromAppliance::Done { id } => self.answer(id, Ok(None)),
            FromAppliance::Status { id, status } => {
                self.services.clear();
                status.services.iter().for_each(|service| self.note(service.clone()));
                self.answer(id, Ok(Some(status)));
            }
            FromAppliance::Error { id: Some(id), text } => self.answer(id, Err(text)),
            FromAppliance::Error { id: None, text } => {
                tracing::warn!("an appliance did not understand the host: {text}");
            }
            FromAppliance::Service(service) => self.note(service),
        }
    }

    fn answer(&mut self, id: u64, outcome: Result<Option<Status>, String>) {
        if id == self.last {
            self.answered.insert(id, outcome);
        }
    }

    fn note(&mut self, service: ServiceStatus) {
        if self.services.len() < SOURCES_MAX || self.services.contains_key(&service.service) {
            self.services.insert(service.service.clone(), service);
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn closed() -> LinkError {
    LinkError::Ended("was closed".to_owned())
}

/// How long an appliance that has begun anew may take to answer what it was asked before.
const AGAIN: Duration = Duration::from_secs(2);
