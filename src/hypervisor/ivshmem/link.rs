//! The bytes of a guest port: a virtio port's device, or a Unix socket in its place. Never blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::{LineError, Lines, line};

/// An open port.
#[derive(Debug)]
pub(super) struct Link {
    file: File,
    /// A device is there whether or not somebody is behind it; a socket ends with the other side.
    is_device: bool,
    lines: Lines,
    /// Bytes that wait for room. Bounded, since its owner says a bounded number of things without an answer.
    unsent: Vec<u8>,
    /// Times in a row that there was said to be something to read, and was not.
    vain: u32,
}

/// Why nothing can be said or heard now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The link is of no more use.
    Closed,
    /// The device is there and nobody behind it: it is to be kept, and asked again after a while. Waiting for it would
    /// return at once.
    Away,
}

impl Link {
    /// Opens what is at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        let (file, is_device) = if kind.is_socket() {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
            connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
            (File::from(socket), false)
        } else if kind.is_char_device() {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            (OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?, true)
        } else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is neither a device nor a socket"));
        };
        Ok(Self { file, is_device, lines: Lines::default(), unsent: Vec::new(), vain: 0 })
    }

    /// Whether there are bytes that wait for room.
    pub(super) fn wants_room(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Bytes that wait for room.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    /// Puts a message behind what waits for room. [`Link::flush`] sends it.
    pub(super) fn say<T: Serialize>(&mut self, message: &T) {
        self.unsent.extend_from_slice(&line(message));
    }

    /// Forgets what was under way in both directions, and ends whatever line the other side may think has begun.
    pub(super) fn begin(&mut self) {
        self.lines.clear();
        self.unsent.clear();
        self.unsent.push(b'\n');
        self.vain = 0;
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        while !self.unsent.is_empty() {
            match self.file.write(&self.unsent) {
                Ok(0) => return Err(self.end()),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended::Closed),
            }
        }
        Ok(())
    }

    /// Reads once, at most as much as `scratch` holds; says how much that was. What was said before an end is handed
    /// over.
    pub(super) fn receive<T: DeserializeOwned>(
        &mut self,
        scratch: &mut [u8],
        hand: impl FnMut(Result<T, LineError>),
    ) -> Result<usize, Ended> {
        match self.file.read(scratch) {
            Ok(0) => Err(self.end()),
            Ok(count) => {
                self.vain = 0;
                self.lines.receive(&scratch[..count], hand);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.vain += 1;
                // Something hangs up and has no end: whatever it is, it must not keep a thread busy.
                if self.vain > VAIN_MAX { Err(self.end()) } else { Ok(0) }
            }
            Err(_) => Err(Ended::Closed),
        }
    }

    /// Whether somebody is behind a device that nobody was behind. An error if the device is gone.
    pub(super) fn is_back(&mut self) -> Result<bool, Ended> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let answered = poll(&mut fds, PollTimeout::ZERO).is_ok();
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        if answered && !events.contains(PollFlags::POLLHUP) {
            return Ok(true);
        }
        // A device that was unplugged hangs up, too, and says so only to who reads.
        match self.file.read(&mut [0]) {
            Ok(_) => Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(_) => Err(Ended::Closed),
        }
    }

    const fn end(&self) -> Ended {
        if self.is_device { Ended::Away } else { Ended::Closed }
    }
}

const VAIN_MAX: u32 = 64;

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair(is_device: bool) -> (Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        let file = File::from(OwnedFd::from(ours));
        (Link { file, is_device, lines: Lines::default(), unsent: Vec::new(), vain: 0 }, theirs)
    }

    #[test]
    fn a_device_outlives_whoever_is_behind_it() {
        let mut scratch = [0; 64];
        for (is_device, ended) in [(true, Ended::Away), (false, Ended::Closed)] {
            let (mut link, mut theirs) = pair(is_device);
            theirs.write_all(b"1\n2\n3").expect("written");
            let mut heard = Vec::new();
            assert_eq!(link.receive(&mut scratch, |one: Result<u32, _>| heard.push(one)), Ok(5));
            assert_eq!(heard, [Ok(1), Ok(2)]);
            drop(theirs);
            assert_eq!(link.receive(&mut scratch, |_: Result<u32, _>| ()), Err(ended));
            assert_eq!(link.is_back(), Ok(false));
        }
    }

    #[test]
    fn what_hangs_up_without_an_end_keeps_nobody_busy() {
        let (mut link, _theirs) = pair(true);
        let mut scratch = [0; 64];
        let vain =
            (0..1000).take_while(|_| link.receive(&mut scratch, |_: Result<u32, _>| ()).is_ok()).count();
        assert_eq!(vain, VAIN_MAX as usize);
        assert_eq!(link.is_back(), Ok(true));
    }

    #[test]
    fn what_finds_no_room_waits_for_it() {
        let (mut link, mut theirs) = pair(true);
        while !link.wants_room() {
            link.say(&"x".repeat(10_000));
            assert_eq!(link.flush(), Ok(()));
        }
        let mut scratch = vec![0; 1 << 20];
        assert!(theirs.read(&mut scratch).expect("read") > 0);
        link.begin();
        link.say(&7);
        assert_eq!((link.flush(), link.wants_room()), (Ok(()), false));
    }
}
