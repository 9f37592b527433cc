//! The socket for commands: who asks, and who is answered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dir::COMMANDS;
use super::words::{Answer, Order};
use super::{HostDir, HostError};
use crate::channel::{LineError, Lines, line};
use crate::clock;
use crate::limits::{APPLIANCE_SERVES, CONTROL_ANSWER, HOST_COMMANDS_MAX, PLACE_PATIENCE, UNPLUG_PATIENCE};

/// Asks the process whose directory is `dir`, and waits for the answer.
///
/// # Errors
/// If none runs there, or it ends or goes silent before it has answered.
pub fn ask(dir: &Path, order: &Order) -> Result<Answer, HostError> {
    let path = dir.join(COMMANDS);
    let mut stream = connect(&path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&line(order))?;
    let mut text = String::new();
    let unanswered = |error: &dyn std::fmt::Display| HostError::Unanswered(error.to_string());
    let count =
        BufReader::new(stream.take(ANSWER_MAX)).read_line(&mut text).map_err(|error| unanswered(&error))?;
    if count == 0 {
        return Err(HostError::Unanswered("it has ended".to_owned()));
    }
    serde_json::from_str(&text).map_err(|error| unanswered(&error))
}

/// Connects to a process that may just have been started.
fn connect(path: &Path) -> Result<UnixStream, HostError> {
    let mut failed = None;
    let connected = clock::poll_for(START, || match UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            failed = Some(error);
            None
        }
        outcome => Some(outcome),
    });
    let outcome = connected.unwrap_or_else(|| Err(failed.unwrap_or_else(|| ErrorKind::TimedOut.into())));
    outcome.map_err(|error| HostError::Absent { path: path.to_owned(), error })
}

/// Longest time between the start of a process and its first word.
const START: Duration = Duration::from_secs(1);
/// An order may wait for others of its appliance.
const PATIENCE: Duration = Duration::from_secs(
    3 * (UNPLUG_PATIENCE.as_secs()
        + PLACE_PATIENCE.as_secs()
        + CONTROL_ANSWER.as_secs()
        + APPLIANCE_SERVES.as_secs()),
);
const ANSWER_MAX: u64 = 16 << 20;

/// Everybody who asks.
#[derive(Debug)]
pub(super) struct Commands {
    path: PathBuf,
    listener: UnixListener,
    open: BTreeMap<u64, Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    lines: Lines,
}

impl Drop for Commands {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Commands {
    pub(super) fn listen(dir: &HostDir) -> Result<Self, HostError> {
        Ok(Self {
            path: dir.commands(),
            listener: dir.listen_for_commands()?,
            open: BTreeMap::new(),
            last: 0,
        })
    }

    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Who is connected, by number.
    pub(super) fn clients(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.open.iter().map(|(number, client)| (*number, client.stream.as_fd()))
    }

    /// Takes a connection that waits. Too many are closed.
    pub(super) fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        if self.open.len() < HOST_COMMANDS_MAX && stream.set_nonblocking(true).is_ok() {
            self.last += 1;
            self.open.insert(self.last, Client { stream, lines: Lines::default() });
        }
    }

    /// Reads what a client says: its orders, or what was none.
    pub(super) fn read(&mut self, number: u64, scratch: &mut [u8]) -> Vec<Result<Order, LineError>> {
        let mut heard = Vec::new();
        let Some(client) = self.open.get_mut(&number) else { return heard };
        match (&client.stream).read(scratch) {
            Ok(count) if count > 0 => client.lines.receive(&scratch[..count], |order| heard.push(order)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            _ => drop(self.open.remove(&number)),
        }
        heard
    }

    /// Answers a client. One that does not read within a second is not answered.
    pub(super) fn answer(&mut self, number: u64, answer: &Answer) {
        let Some(client) = self.open.get_mut(&number) else { return };
        let said = client.stream.set_nonblocking(false).and_then(|()| {
            client.stream.set_write_timeout(Some(Duration::from_secs(1)))?;
            client.stream.write_all(&line(answer))?;
            client.stream.set_nonblocking(true)
        });
        if said.is_err() {
            self.open.remove(&number);
        }
    }
}
