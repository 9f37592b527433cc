//! Every datagram with its time in a file, so that a run can be played back and looked into afterwards, at next to no
//! cost while it runs.
//!
//! The file: `LFPCAPT1`, the wall clock at the program's time zero in microseconds since 1970 (u64), then for each
//! datagram its time since then in microseconds (u64), its length in bytes (u16), which way it went (u8: 0 down, 1 up),
//! and its UDP payload. Integers are little endian. A datagram that came has the time when it had been acted on: its
//! pixels are shown then. What is sent after the session was closed is not in it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lfp_proto::time::Instant;

use crate::cli::clock::Clock;
use crate::cli::exit::Failure;

const MAGIC: &[u8; 8] = b"LFPCAPT1";
/// Bytes that are gathered for one write.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a datagram may wait to be written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// Which way a datagram went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// From the server.
    Down = 0,
    /// To it.
    Up = 1,
}

/// A capture under way.
#[derive(Debug)]
pub(crate) struct Capture {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    flush_at: Instant,
}

impl Capture {
    /// Makes the file, which must not be there.
    pub(crate) fn create(path: &Path, clock: Clock) -> Result<Self, Failure> {
        let file = File::create_new(path).map_err(|error| Failure::file(path, error))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&clock.wall_at_zero_us().to_le_bytes());
        Ok(Self { path: path.into(), file, buffer, flush_at: Instant::ZERO })
    }

    /// Notes a datagram that went `way` at `at`.
    pub(crate) fn note(&mut self, at: Instant, way: Way, bytes: &[u8]) -> Result<(), Failure> {
        if self.buffer.len() + 11 + bytes.len() > BUFFER_BYTES {
            self.finish()?;
        }
        // The socket takes nothing longer than a datagram of the protocol and a byte.
        let len = bytes.len().min(usize::from(u16::MAX));
        self.buffer.extend_from_slice(&at.as_micros().to_le_bytes());
        self.buffer.extend_from_slice(&(len as u16).to_le_bytes());
        self.buffer.push(way as u8);
        self.buffer.extend_from_slice(&bytes[..len]);
        Ok(())
    }

    /// When [`Capture::flush`] is to be called if nothing else happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.buffer.is_empty()).then_some(self.flush_at)
    }

    /// Writes what has waited for long enough.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), Failure> {
        if now < self.flush_at || self.buffer.is_empty() {
            return Ok(());
        }
        self.flush_at = now + FLUSH_INTERVAL;
        self.finish()
    }

    /// Writes what waits.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let written: io::Result<()> = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| Failure::file(&self.path, error))
    }
}
