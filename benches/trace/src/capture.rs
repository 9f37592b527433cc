//! Plays a client's capture back through the client's own library, so that what it showed at any time is known without
//! having disturbed it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use client_lfp::{Client, Config};
use lfp_proto::geometry::CellSet;
use lfp_proto::packet::View;
use lfp_proto::time::Instant;

use crate::Outcome;

const MAGIC: &[u8; 8] = b"LFPCAPT1";
const HEAD_BYTES: usize = 16;
const DATAGRAM_HEAD_BYTES: usize = 11;

/// Datagrams one way, at the size that they have when sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

impl Traffic {
    /// So many datagrams with so many bytes of plain UDP payload: each has 28 bytes of IP and UDP headers before it, and
    /// a tag of 16 bytes at its end when sealed, where a checksum of 4 stands when plain.
    pub(crate) const fn sealed(datagrams: u64, payload_bytes: u64) -> Self {
        Self { datagrams, bytes: payload_bytes + datagrams * (28 + 16 - 4) }
    }

    fn add(&mut self, len: usize) {
        let Self { datagrams, bytes } = Self::sealed(1, len as u64);
        self.datagrams += datagrams;
        self.bytes += bytes;
    }

    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self { datagrams: self.datagrams - earlier.datagrams, bytes: self.bytes - earlier.bytes }
    }
}

/// A capture being played back, perhaps while it is written.
pub(crate) struct Replay {
    file: File,
    wall_at_zero_us: Option<u64>,
    /// Read and not yet played.
    pending: Vec<u8>,
    at: usize,
    client: Option<Client>,
    /// Bytes that had come, and cells that were painted, until all were.
    filled: Vec<(u64, usize)>,
    pub(crate) down: Traffic,
    pub(crate) up: Traffic,
}

impl Replay {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        Ok(Self {
            file: File::open(path)?,
            wall_at_zero_us: None,
            pending: Vec::new(),
            at: 0,
            client: None,
            filled: Vec::new(),
            down: Traffic::default(),
            up: Traffic::default(),
        })
    }

    /// Reads what has been written since.
    pub(crate) fn read_more(&mut self) -> Outcome<()> {
        self.pending.drain(..self.at);
        self.at = 0;
        self.file.read_to_end(&mut self.pending)?;
        if self.wall_at_zero_us.is_none() && self.pending.len() >= HEAD_BYTES {
            if !self.pending.starts_with(MAGIC) {
                return Err("the client's capture is no capture".into());
            }
            self.wall_at_zero_us = Some(u64_at(&self.pending, MAGIC.len()));
            self.at = HEAD_BYTES;
        }
        Ok(())
    }

    /// When the next datagram went or came, in microseconds of the wall clock; `None` if none has been read.
    pub(crate) fn next_us(&self) -> Option<u64> {
        let head = self.pending.get(self.at..self.at + DATAGRAM_HEAD_BYTES)?;
        let len = usize::from(u16::from_le_bytes([head[8], head[9]]));
        let is_whole = self.pending.len() - self.at >= DATAGRAM_HEAD_BYTES + len;
        Some(self.wall_at_zero_us? + u64_at(head, 0)).filter(|_| is_whole)
    }

    /// Plays the next datagram, if one has been read.
    pub(crate) fn step(&mut self) -> Outcome<()> {
        if self.next_us().is_none() {
            return Ok(());
        }
        let head = &self.pending[self.at..self.at + DATAGRAM_HEAD_BYTES];
        let now = Instant::from_micros(u64_at(head, 0));
        let (len, is_up) = (usize::from(u16::from_le_bytes([head[8], head[9]])), head[10] == 1);
        let start = self.at + DATAGRAM_HEAD_BYTES;
        let bytes = &self.pending[start..start + len];
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let view = View::new_checked(bytes).map_err(|error| format!("in the capture: {error:?}"))?;
                empty.insert(Client::new(&Config::default(), view.connection(), now))
            }
        };
        client.handle_timeout(now);
        if is_up {
            // Made anew rather than read, so that the client is as it was; what it says may differ in what it counts.
            let _ = client.poll_transmit(now);
            self.up.add(len);
        } else {
            client.handle_datagram(now, bytes);
            self.down.add(len);
            let picture =
                client.picture().filter(|_| client.painted_at().is_none() || self.filled.is_empty());
            let painted =
                picture.map(|picture| picture.contents.iter().filter(|content| **content > 0).count());
            self.filled.extend(painted.map(|painted| (self.down.bytes, painted)));
        }
        self.at = start + len;
        Ok(())
    }

    /// The client as it is after what has been played; `None` before the first datagram.
    pub(crate) const fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Cells of the first picture that were painted when `bytes` had come.
    pub(crate) fn painted_with(&self, bytes: u64) -> usize {
        let at = self.filled.partition_point(|(came, _)| *came <= bytes);
        at.checked_sub(1).map_or(0, |at| self.filled[at].1)
    }

    /// Moves the cells that changed since the last call into `cells`.
    pub(crate) fn take_damage(&mut self, cells: &mut CellSet) {
        cells.clear();
        if let Some(client) = &mut self.client {
            client.take_damage(cells);
        }
    }
}

fn u64_at(bytes: &[u8], start: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_capture_is_read_as_it_grows() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut replay = Replay::open(file.path()).expect("opened");
        let mut write = |bytes: &[u8]| file.write_all(bytes).expect("written");
        write(b"LFPCAPT1");
        replay.read_more().expect("half a head");
        assert_eq!(replay.next_us(), None);
        let mut client = Client::new(&Config::default(), lfp_proto::units::ConnectionId(7), Instant::ZERO);
        let hello = client.poll_transmit(Instant::ZERO).expect("a client begins with HELLO");
        let mut rest = 1_000_u64.to_le_bytes().to_vec();
        rest.extend(5_u64.to_le_bytes());
        rest.extend((hello.len() as u16).to_le_bytes());
        rest.push(1);
        rest.extend(&hello[..10]);
        write(&rest);
        replay.read_more().expect("a datagram in part");
        assert_eq!(replay.next_us(), None);
        write(&hello[10..]);
        replay.read_more().expect("the rest");
        assert_eq!(replay.next_us(), Some(1_005));
        replay.step().expect("played");
        assert_eq!((replay.next_us(), replay.up), (None, Traffic::sealed(1, hello.len() as u64)));
        assert_eq!(replay.up.bytes, hello.len() as u64 + 40);
    }
}
