//! One private port: a guest, for an appliance. The socket that the appliance's QEMU connects to, and the
//! conversation over it; what the words mean is decided in [`super::switch`].

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::words::PortStatus;
use super::{HostDir, HostError};
use crate::channel::guest::{FromAppliance, FromHost};
use crate::channel::{LineError, Lines, line};
use crate::hypervisor::MemoryIdentity;
use crate::limits::{
    PORT_IN_BURST_BYTES, PORT_IN_BYTES_PER_SECOND, PORT_OUT_BYTES_MAX, PORT_REFUSAL_INTERVAL,
    PORT_REFUSALS_BURST,
};
use crate::time::{Instant, micros};

/// A port. The socket goes with it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) appliance: String,
    pub(super) guest: String,
    /// It is open whether something is attached or not.
    pub(super) is_fixed: bool,
    pub(super) place: Place,
    path: PathBuf,
    listener: UnixListener,
    connection: Option<Connection>,
    /// What was said as hello.
    hello: Option<FromHost>,
    inputs: u64,
    refused: u64,
}

/// What the appliance has of the guest's memory, as far as the host knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The host gave it none: its own configuration says what it reads.
    Unknown,
    /// It is being plugged in.
    Coming,
    /// This file, at this address.
    At(MemoryIdentity, String),
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    lines: Lines,
    /// What waits for room.
    out: Vec<u8>,
    /// Bytes that it may still say, as of a moment.
    credit: u64,
    credited: Instant,
    /// Refusals that it may still be told of, as of a moment.
    refusals: u32,
    refused_at: Instant,
    /// The next hello of the appliance answers ours.
    is_answer_due: bool,
    greeted: Greeted,
    /// Ascends with every hello: what was asked for before is not answered after.
    conversation: u64,
    is_watched: bool,
    last_input: u64,
    shown: Option<FromHost>,
}

/// What the appliance has said hello with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Greeted {
    /// Nothing yet.
    No,
    /// Our version.
    Yes,
    /// Another one.
    Foreign,
}

impl Port {
    /// Listens.
    pub(super) fn open(
        dir: &HostDir,
        appliance: &str,
        guest: &str,
        is_fixed: bool,
    ) -> Result<Self, HostError> {
        let listener = dir.listen_at_port(appliance, guest)?;
        let place = if is_fixed { Place::Unknown } else { Place::Coming };
        let (appliance, guest, path) = (appliance.to_owned(), guest.to_owned(), dir.port(appliance, guest));
        Ok(Self {
            appliance,
            guest,
            is_fixed,
            place,
            path,
            listener,
            connection: None,
            hello: None,
            inputs: 0,
            refused: 0,
        })
    }

    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The connection, whether it is to be read at `now`, and whether room in it is waited for.
    pub(super) fn socket(&self, now: Instant) -> Option<(BorrowedFd<'_>, bool, bool)> {
        let connection = self.connection.as_ref()?;
        Some((connection.stream.as_fd(), connection.credit(now) > 0, !connection.out.is_empty()))
    }

    /// Takes the connection that waits, and says hello to it; says whether there is a new one. A second one beside
    /// the first is closed: a port is one QEMU's.
    pub(super) fn accept(&mut self, now: Instant, hello: &FromHost) -> bool {
        let Ok((stream, _)) = self.listener.accept() else { return false };
        if self.connection.is_some() || stream.set_nonblocking(true).is_err() {
            return false;
        }
        self.connection = Some(Connection {
            stream,
            lines: Lines::default(),
            out: Vec::new(),
            credit: PORT_IN_BURST_BYTES,
            credited: now,
            refusals: PORT_REFUSALS_BURST,
            refused_at: now,
            is_answer_due: false,
            greeted: Greeted::No,
            conversation: 0,
            is_watched: false,
            last_input: 0,
            shown: None,
        });
        self.hello(hello);
        true
    }

    /// Says hello; the appliance's next one answers it.
    fn hello(&mut self, hello: &FromHost) {
        self.hello = Some(hello.clone());
        let Some(connection) = &mut self.connection else { return };
        connection.is_answer_due = true;
        // Whatever broke off before is a line of its own.
        connection.push(b"\n");
        connection.push(&line(hello));
    }

    /// Reads what came, once, into `scratch`; false if the connection has ended, which is then closed.
    pub(super) fn read(
        &mut self,
        now: Instant,
        scratch: &mut [u8],
        hand: impl FnMut(Result<FromAppliance, LineError>),
    ) -> bool {
        let Some(connection) = &mut self.connection else { return true };
        let credit = connection.credit(now);
        let most = scratch.len().min(usize::try_from(credit).unwrap_or(usize::MAX));
        let is_open = match (&connection.stream).read(&mut scratch[..most]) {
            Ok(0) => most == 0,
            Ok(count) => {
                (connection.credit, connection.credited) = (credit - count as u64, now);
                connection.lines.receive(&scratch[..count], hand);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !is_open {
            self.connection = None;
        }
        is_open
    }

    /// Sends what waits; false if the connection has ended, which is then closed.
    pub(super) fn flush(&mut self) -> bool {
        let is_open = self.connection.as_mut().is_none_or(Connection::flush);
        if !is_open {
            self.connection = None;
        }
        is_open
    }

    /// The appliance has said hello. Ours is said again if its was no answer: it has begun anew.
    pub(super) fn on_hello(&mut self, version: u32, hello: &FromHost) {
        let Some(connection) = &mut self.connection else { return };
        connection.greeted = if version == crate::channel::VERSION { Greeted::Yes } else { Greeted::Foreign };
        connection.conversation += 1;
        connection.last_input = 0;
        connection.shown = None;
        if !std::mem::take(&mut connection.is_answer_due) {
            connection.is_watched = false;
            self.hello(hello);
        }
    }

    /// Says hello again if it would be another one: a guest that was not known has been found.
    pub(super) fn renew(&mut self, hello: &FromHost) {
        if self.connection.is_some() && self.hello.as_ref() != Some(hello) {
            self.hello(hello);
        }
    }

    pub(super) fn greeted(&self) -> Greeted {
        self.connection.as_ref().map_or(Greeted::No, |connection| connection.greeted)
    }

    /// Which conversation this is.
    pub(super) fn conversation(&self) -> u64 {
        self.connection.as_ref().map_or(0, |connection| connection.conversation)
    }

    pub(super) fn set_watched(&mut self, is_watched: bool) {
        if let Some(connection) = &mut self.connection {
            connection.is_watched = is_watched;
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_watched)
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether `number` ascends, as an input's has to.
    pub(super) fn take_number(&mut self, number: u64) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let ascends = number > connection.last_input;
        connection.last_input = connection.last_input.max(number);
        ascends
    }

    /// An input was passed on.
    pub(super) fn count_input(&mut self) {
        self.inputs += 1;
    }

    /// Says something. What an appliance does not read is not said.
    pub(super) fn say(&mut self, message: &FromHost) {
        if let Some(connection) = &mut self.connection {
            connection.push(&line(message));
        }
    }

    /// Says what the guest shows, if it is not what was said last. Later, if the appliance does not read.
    pub(super) fn show(&mut self, view: &FromHost) {
        let Some(connection) = &mut self.connection else { return };
        if connection.shown.as_ref() != Some(view) && connection.push(&line(view)) {
            connection.shown = Some(view.clone());
        }
    }

    /// Says that something was not done; only counts it where that happens too often.
    pub(super) fn refuse(&mut self, now: Instant, number: Option<u64>, text: &str) {
        self.refused += 1;
        if self.connection.as_mut().is_some_and(|connection| connection.may_refuse(now)) {
            self.say(&FromHost::Refused { number, text: text.to_owned() });
        }
        if self.refused.is_power_of_two() {
            let (appliance, guest, refused) = (&self.appliance, &self.guest, self.refused);
            tracing::warn!(appliance, guest, refused, "refused what an appliance asked for: {text}");
        }
    }

    pub(super) fn status(&self) -> PortStatus {
        PortStatus {
            path: self.path.clone(),
            is_connected: self.connection.is_some(),
            is_greeted: self.greeted() == Greeted::Yes,
            is_watched: self.is_watched(),
            inputs: self.inputs,
            refused: self.refused,
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        // The appliance's folder goes with its last port.
        let _ = self.path.parent().map(std::fs::remove_dir);
    }
}

impl Connection {
    /// Bytes that may be read at `now`.
    fn credit(&self, now: Instant) -> u64 {
        let passed = micros(now.saturating_since(self.credited));
        let earned = passed.saturating_mul(PORT_IN_BYTES_PER_SECOND) / 1_000_000;
        self.credit.saturating_add(earned).min(PORT_IN_BURST_BYTES)
    }

    fn may_refuse(&mut self, now: Instant) -> bool {
        let passed = now.saturating_since(self.refused_at).as_micros() / PORT_REFUSAL_INTERVAL.as_micros();
        let earned = u32::try_from(passed).unwrap_or(PORT_REFUSALS_BURST).min(PORT_REFUSALS_BURST);
        if earned > 0 {
            self.refusals = (self.refusals + earned).min(PORT_REFUSALS_BURST);
            self.refused_at = now;
        }
        let may = self.refusals > 0;
        self.refusals -= u32::from(may);
        may
    }

    /// Whether there was room.
    fn push(&mut self, bytes: &[u8]) -> bool {
        if self.out.len() + bytes.len() > PORT_OUT_BYTES_MAX {
            return false;
        }
        self.out.extend_from_slice(bytes);
        // An end shows when it is read.
        self.flush();
        true
    }

    fn flush(&mut self) -> bool {
        while !self.out.is_empty() {
            match (&self.stream).write(&self.out) {
                Ok(0) => return false,
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// How soon a port that has said too much is looked at again.
pub(super) const THROTTLED: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn hello() -> FromHost {
        FromHost::Hello { version: 1, guest: "web".to_owned(), input: true, power: Vec::new() }
    }

    #[test]
    fn an_appliance_that_does_not_read_and_says_too_much_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = HostDir::open(&folder.path().join("host")).expect("a directory");
        let mut port = Port::open(&dir, "svm", "web", true).expect("listens");
        let mut client = UnixStream::connect(dir.port("svm", "web")).expect("connects");
        let at = |ms: u64| Instant::from_micros(1_000 * ms);
        assert!(port.accept(at(0), &hello()) && port.is_connected());
        let _second = UnixStream::connect(dir.port("svm", "web")).expect("connects");
        assert!(!port.accept(at(0), &hello()), "a port is one QEMU's");
        // Far more than a socket holds.
        for number in 0..20_000 {
            port.say(&FromHost::Taken { number });
            port.refuse(at(0), Some(number), "no");
        }
        let view = FromHost::Dark { state: "gone".to_owned(), text: "x".repeat(200) };
        port.show(&view);
        let connection = port.connection.as_ref().expect("connected");
        assert!(connection.out.len() <= PORT_OUT_BYTES_MAX && connection.shown.is_none());
        client.set_nonblocking(true).expect("set");
        let line = vec![b'x'; 1024];
        let mut scratch = vec![0; 4096];
        let (mut read, mut sent) = (0, 0);
        for _ in 0..1_000 {
            sent += client.write(&line).unwrap_or(0);
            while port.socket(at(0)).is_some_and(|(_, is_read, _)| is_read) {
                let before = port.connection.as_ref().expect("connected").credit;
                assert!(port.read(at(0), &mut scratch, |_| ()));
                let after = port.connection.as_ref().expect("connected").credit;
                read += before - after;
                if before == after {
                    break;
                }
            }
        }
        assert!(sent as u64 > PORT_IN_BURST_BYTES && read == PORT_IN_BURST_BYTES, "{read} of {sent}");
        assert!(port.socket(at(10)).expect("open").1, "it earns more by and by");
        // What it shows is said once there is room.
        client.set_nonblocking(false).expect("set");
        let mut reader = BufReader::new(client);
        let mut text = String::new();
        while !text.contains("gone") {
            assert!(port.flush());
            port.show(&view);
            text.clear();
            reader.read_line(&mut text).expect("a line");
        }
    }
}
