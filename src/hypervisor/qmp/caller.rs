//! A monitor for somebody who waits for each answer, in a thread of its own: the host's side, for appliances' monitors.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde_json::Value;

use super::{Ended, HELD, Message, Monitor, Version, unreachable};
use crate::clock;
use crate::hypervisor::{SurfaceState, procfs};
use crate::limits::{MONITOR_ANSWER, MONITOR_GREETING, QMP_READ_BYTES};
use crate::time::Instant;

/// Why a command of a monitor was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error("the monitor at {path} {text}", path = path.display())]
    Unreachable {
        /// Where it should be.
        path: PathBuf,
        /// Why not, and what to do.
        text: String,
        /// Nobody listens there.
        is_gone: bool,
    },
    /// The connection has ended.
    #[error("the monitor has ended: it {0}")]
    Ended(String),
    /// The monitor answers that it did not do it.
    #[error("{command}: {reason}")]
    Refused {
        /// What was asked for.
        command: String,
        /// In QEMU's words.
        reason: String,
    },
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Caller {
    monitor: Monitor,
    version: Version,
    scratch: Vec<u8>,
}

impl Caller {
    /// Connects to the monitor at `path`, and waits until it takes commands.
    ///
    /// # Errors
    /// If nobody listens there, or another client holds it.
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let failed = |text, is_gone| CallError::Unreachable { path: path.to_owned(), text, is_gone };
        let monitor = Monitor::connect(path).map_err(|error| {
            let (state, text) = unreachable(path, &error);
            failed(text, state == SurfaceState::Gone)
        })?;
        let mut caller = Self { monitor, version: Version::default(), scratch: vec![0; QMP_READ_BYTES] };
        let until = clock::now() + MONITOR_GREETING;
        loop {
            let mut greeting = None;
            caller.receive(until, |message| {
                if let Message::Greeting(version) = message {
                    greeting = Some(version);
                }
            })?;
            if let Some(version) = greeting {
                caller.version = version;
                break;
            }
            if clock::now() >= until {
                return Err(failed(format!("does not greet: {HELD}"), false));
            }
        }
        caller.call("qmp_capabilities", None)?;
        Ok(caller)
    }

    /// Gives a command and waits for what it returns. Events meanwhile are let pass.
    ///
    /// # Errors
    /// If it is refused, or the monitor ends or stays silent for [`MONITOR_ANSWER`], after which the connection is
    /// of no use.
    pub fn call(&mut self, command: &str, arguments: Option<Value>) -> Result<Value, CallError> {
        let id = self.monitor.command(command, arguments).map_err(over)?;
        self.answer(command, id)
    }

    /// As [`Caller::call`], and passes `descriptor` along.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub fn call_with(
        &mut self,
        command: &str,
        arguments: Option<Value>,
        descriptor: BorrowedFd<'_>,
    ) -> Result<Value, CallError> {
        let id = self.monitor.command_with(command, arguments, descriptor).map_err(over)?;
        self.answer(command, id)
    }

    fn answer(&mut self, command: &str, id: u64) -> Result<Value, CallError> {
        let until = clock::now() + MONITOR_ANSWER;
        loop {
            let mut answer = None;
            self.receive(until, |message| match message {
                Message::Answer(answered, outcome) if answered == id => answer = Some(outcome),
                _ => {}
            })?;
            if let Some(outcome) = answer {
                return outcome.map_err(|reason| CallError::Refused { command: command.to_owned(), reason });
            }
            if clock::now() >= until {
                let limit = MONITOR_ANSWER.as_secs();
                return Err(CallError::Ended(format!("has not answered {command} for {limit} s")));
            }
        }
    }

    /// Lets pass what the monitor has said of itself, and waits for more until `until`, or until it says something.
    ///
    /// # Errors
    /// If the monitor has ended.
    pub fn listen(&mut self, until: Instant) -> Result<(), CallError> {
        self.receive(until, |_| ())
    }

    fn receive(&mut self, until: Instant, hand: impl FnMut(Message)) -> Result<(), CallError> {
        self.monitor.flush().map_err(over)?;
        let room = if self.monitor.wants_room() { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = [PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN | room)];
        let timeout = TimeSpec::from(until.saturating_since(clock::now()));
        // A signal's interruption is a wait that was short.
        let _ = ppoll(&mut fds, Some(timeout), None);
        self.monitor.receive(&mut self.scratch, hand).map_err(over)
    }

    /// Whether QEMU's version is at least this one.
    #[must_use]
    pub fn is_at_least(&self, major: u64, minor: u64) -> bool {
        self.version >= Version { major, minor, micro: 0 }
    }

    /// The process that answers; `None` if it cannot be seen from here.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.monitor.pid()
    }

    /// What a path means that QEMU was given: relative ones begin where it was started.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        let folder = self.pid().filter(|_| path.is_relative()).and_then(procfs::folder);
        folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

fn over(ended: Ended) -> CallError {
    CallError::Ended(match ended {
        Ended::Closed => "has closed".to_owned(),
        Ended::Nonsense(nonsense) => format!("said {nonsense}"),
    })
}
