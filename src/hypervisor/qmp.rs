//! QMP, QEMU's monitor protocol: one JSON object on a line, both ways.
//!
//! [`Conversation`] holds the rules and knows no socket and no clock; [`Monitor`] is one over a Unix socket that
//! never blocks. What comes from a monitor is not trusted: lines, nesting and events between two answers are
//! bounded.
//!
//! A QMP socket serves one client at a time. A second one connects and hears nothing, not even the greeting,
//! until the first leaves; so give QEMU one `-qmp unix:PATH,server=on,wait=off` for each program that wants one.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use lfp_proto::frame::SurfaceState;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, sendmsg,
    socket,
};
use serde_json::{Value, json};

use crate::limits::{QMP_EVENTS_MAX, QMP_LINE_MAX};

mod caller;
#[cfg(test)]
mod tests;

pub use caller::{CallError, Caller};

/// Something that a monitor said.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Message {
    /// The first line.
    Greeting(Version),
    /// The answer to the command with this number: what it returns, or why it failed.
    Answer(u64, Result<Value, String>),
    /// Something happened to the guest: the event's name, such as `RESET`.
    Event(String),
}

/// QEMU's version. Ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) micro: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// What a monitor must not say.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("a line of more than {QMP_LINE_MAX} bytes")]
    Long,
    #[error("`{0}`, which is not QMP")]
    NotQmp(String),
    #[error("{QMP_EVENTS_MAX} events without an answer")]
    Flood,
}

/// One conversation with a monitor, as lines in and out.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// What came of a line that is not complete.
    line: Vec<u8>,
    /// The number of the last command.
    commands: u64,
    /// Events since the last answer.
    events: usize,
}

impl Conversation {
    /// The line that gives a command, and the number that its answer will carry.
    pub(super) fn command(&mut self, name: &str, arguments: Option<Value>) -> (u64, Vec<u8>) {
        self.commands += 1;
        let mut command = json!({ "execute": name, "id": self.commands });
        if let Some(arguments) = arguments {
            command["arguments"] = arguments;
        }
        let mut line = command.to_string().into_bytes();
        line.push(b'\n');
        (self.commands, line)
    }

    /// Takes bytes that came, and hands over each whole message in them.
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        mut hand: impl FnMut(Message),
    ) -> Result<(), Nonsense> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            self.keep(head)?;
            let line = std::mem::take(&mut self.line);
            if !line.trim_ascii().is_empty() {
                hand(self.read(&line)?);
            }
        }
        self.keep(bytes)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Nonsense> {
        if self.line.len() + bytes.len() > QMP_LINE_MAX {
            return Err(Nonsense::Long);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> Result<Message, Nonsense> {
        let not_qmp = || Nonsense::NotQmp(excerpt(line));
        // serde_json refuses nesting deeper than 128.
        let mut message: Value = serde_json::from_slice(line).map_err(|_| not_qmp())?;
        if let Some(name) = message["event"].as_str() {
            self.events += 1;
            if self.events > QMP_EVENTS_MAX {
                return Err(Nonsense::Flood);
            }
            return Ok(Message::Event(name.to_owned()));
        }
        if let Some(greeting) = message.get("QMP") {
            let part = |name| greeting["version"]["qemu"][name].as_u64().ok_or_else(not_qmp);
            let version = Version { major: part("major")?, minor: part("minor")?, micro: part("micro")? };
            return Ok(Message::Greeting(version));
        }
        let id = message["id"].as_u64().ok_or_else(not_qmp)?;
        self.events = 0;
        if let Some(outcome) = message.get_mut("return") {
            return Ok(Message::Answer(id, Ok(outcome.take())));
        }
        let reason = message["error"]["desc"].as_str().ok_or_else(not_qmp)?;
        Ok(Message::Answer(id, Err(shown(reason.as_bytes(), REASON_CHARS))))
    }
}

/// The start of what a monitor said, fit to be shown.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    shown(bytes, EXCERPT_CHARS)
}

fn shown(bytes: &[u8], chars: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * chars)]);
    text.trim().chars().map(|c| if c.is_control() { '.' } else { c }).take(chars).collect()
}

const EXCERPT_CHARS: usize = 60;
/// What a refusal may take to say why: paths stand in it.
const REASON_CHARS: usize = 240;

/// Why a conversation is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The other side closed it.
    #[error("closed")]
    Closed,
    /// It cannot be understood.
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
}

/// A conversation over a socket that never blocks.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: UnixStream,
    conversation: Conversation,
    /// Bytes that wait for room in the socket. Bounded, since its owner asks one thing at a time.
    unsent: Vec<u8>,
    /// The process that listens; `None` if it is not one that we can see.
    pid: Option<u32>,
}

impl Monitor {
    /// Connects to the socket at `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let address = UnixAddr::new(path)?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &address)?;
        let pid = getsockopt(&socket, PeerCredentials)?.pid();
        let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0);
        Ok(Self {
            stream: UnixStream::from(socket),
            conversation: Conversation::default(),
            unsent: Vec::new(),
            pid,
        })
    }

    pub(super) const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether there are bytes that wait for room.
    pub(super) fn wants_room(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Gives a command; the answer will carry the number returned.
    pub(super) fn command(&mut self, name: &str, arguments: Option<Value>) -> Result<u64, Ended> {
        let (id, line) = self.conversation.command(name, arguments);
        self.unsent.extend_from_slice(&line);
        self.flush()?;
        Ok(id)
    }

    /// As [`Monitor::command`], and passes `descriptor` along. Nothing else may wait to be sent.
    pub(super) fn command_with(
        &mut self,
        name: &str,
        arguments: Option<Value>,
        descriptor: BorrowedFd<'_>,
    ) -> Result<u64, Ended> {
        let (id, line) = self.conversation.command(name, arguments);
        let descriptors = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let socket = self.stream.as_raw_fd();
        let sent = sendmsg::<()>(socket, &[IoSlice::new(&line)], &rights, MsgFlags::MSG_NOSIGNAL, None);
        let count = sent.map_err(|_| Ended::Closed)?;
        self.unsent.extend_from_slice(&line[count..]);
        self.flush()?;
        Ok(id)
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        while !self.unsent.is_empty() {
            match (&self.stream).write(&self.unsent) {
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended::Closed),
            }
        }
        Ok(())
    }

    /// Reads once, at most as much as `scratch` holds, so that a monitor that never stops cannot hold up others.
    /// What was said before the end is handed over.
    pub(super) fn receive(&mut self, scratch: &mut [u8], hand: impl FnMut(Message)) -> Result<(), Ended> {
        match (&self.stream).read(scratch) {
            Ok(0) => Err(Ended::Closed),
            Ok(count) => Ok(self.conversation.receive(&scratch[..count], hand)?),
            Err(error) if is_for_later(&error) => Ok(()),
            Err(_) => Err(Ended::Closed),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What it means that there is no connection to `path`, and what to do, after "the monitor at PATH".
pub(super) fn unreachable(path: &Path, error: &io::Error) -> (SurfaceState, String) {
    // The kernel says the same of a socket that nobody listens on.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket()) {
        let text = "is no socket: name the one of QEMU's -qmp unix:PATH,server=on,wait=off";
        return (SurfaceState::Faulty, text.to_owned());
    }
    let gone = |text: &str| (SurfaceState::Gone, text.to_owned());
    let faulty = |text: &str| (SurfaceState::Faulty, text.to_owned());
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => gone("does not exist: start QEMU with -qmp unix:PATH,server=on,wait=off"),
        Some(Errno::ECONNREFUSED) => gone("has nobody behind it: its QEMU has ended"),
        Some(Errno::EACCES | Errno::EPERM) => {
            faulty("may not be opened: run this as the user of the QEMU process, or as root")
        }
        Some(Errno::EAGAIN) => faulty(&format!("takes no connection: {HELD}")),
        Some(Errno::ENAMETOOLONG) => {
            faulty("has too long a name: 107 bytes is what a socket's path may have")
        }
        _ => faulty(&format!("cannot be connected to: {error}")),
    }
}

/// What silence of a monitor means.
pub(super) const HELD: &str = "another client may hold it; a QMP socket serves one client at a time";
