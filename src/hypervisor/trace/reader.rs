//! Reads a trace, frame by frame.

use std::io::{BufRead, Read, Seek, SeekFrom};

use zstd::bulk::Decompressor;
use zstd::zstd_safe::compress_bound;

use super::{Header, MAGIC, PIXEL_FORMAT, TraceError};
use crate::geometry::Size;
use crate::limits::TRACE_HEADER_MAX;

/// Reads a trace and keeps its current picture. Holds two pictures and one compressed frame, whatever the file says.
pub struct TraceReader<R> {
    input: R,
    header: Header,
    size: Size,
    /// Where the first frame starts in the file.
    frames_start: u64,
    /// Frames read so far.
    frame: u64,
    /// The next frame's timestamp and length.
    next: Option<(u64, usize)>,
    picture: Vec<u8>,
    compressed: Vec<u8>,
    change: Vec<u8>,
    zstd: Decompressor<'static>,
}

impl<R: BufRead + Seek> TraceReader<R> {
    /// Reads the header, and how the first frame begins. The picture is black until [`TraceReader::advance`].
    ///
    /// # Errors
    /// If it is no trace, or none of ours.
    pub fn new(mut input: R) -> Result<Self, TraceError> {
        let mut line = Vec::new();
        input.by_ref().take(TRACE_HEADER_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(TraceError::Header(format!("its first {} bytes hold no whole line", line.len())));
        }
        let header: Header =
            serde_json::from_slice(&line).map_err(|error| TraceError::Header(error.to_string()))?;
        if header.magic != MAGIC {
            return Err(TraceError::Header(format!("its magic is {:?}", header.magic)));
        }
        if header.pixel_format != PIXEL_FORMAT {
            return Err(TraceError::Header(format!("its pixels are {:?}", header.pixel_format)));
        }
        let size = header.size().ok_or_else(|| {
            TraceError::Header(format!("no screen has {}x{} pixels", header.width, header.height))
        })?;
        let bytes = size.pixels() * 4;
        let mut reader = Self {
            input,
            header,
            size,
            frames_start: line.len() as u64,
            frame: 0,
            next: None,
            picture: vec![0; bytes],
            compressed: Vec::new(),
            change: vec![0; bytes],
            zstd: Decompressor::new()?,
        };
        reader.read_frame_head()?;
        Ok(reader)
    }

    /// The first line.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Width and height in pixels.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The current picture: rows without padding, XRGB8888 little endian.
    #[must_use]
    pub fn picture(&self) -> &[u8] {
        &self.picture
    }

    /// Frames read so far.
    #[must_use]
    pub const fn frame(&self) -> u64 {
        self.frame
    }

    /// When the next frame is due, in microseconds since the recording began; `None` after the last.
    #[must_use]
    pub fn next_at_us(&self) -> Option<u64> {
        self.next.map(|(at, _)| at)
    }

    /// Brings the picture to the next frame; says whether there was one.
    ///
    /// # Errors
    /// If the frame is broken or cut short. The picture then stays as it was.
    pub fn advance(&mut self) -> Result<bool, TraceError> {
        let Some((_, length)) = self.next else { return Ok(false) };
        // Grows with what is there, not with what is claimed.
        self.compressed.clear();
        let filled = self.input.by_ref().take(length as u64).read_to_end(&mut self.compressed);
        filled.map_err(|error| self.broken(format!("its payload cannot be read: {error}")))?;
        if self.compressed.len() < length {
            let read = self.compressed.len();
            return Err(self.broken(format!("the file ends after {read} bytes of its {length}")));
        }
        let decoded = self.zstd.decompress_to_buffer(&self.compressed, &mut self.change[..]);
        let decoded = decoded.map_err(|error| self.broken(format!("zstd says: {error}")))?;
        if decoded != self.picture.len() {
            return Err(self.broken(format!("it has {decoded} bytes, not {}", self.picture.len())));
        }
        for (byte, change) in self.picture.iter_mut().zip(&self.change) {
            *byte ^= change;
        }
        self.frame += 1;
        self.read_frame_head()?;
        Ok(true)
    }

    /// Starts over, with a black picture.
    ///
    /// # Errors
    /// If the file cannot be read any more.
    pub fn rewind(&mut self) -> Result<(), TraceError> {
        self.input.seek(SeekFrom::Start(self.frames_start))?;
        self.frame = 0;
        self.picture.fill(0);
        self.read_frame_head()
    }

    fn read_frame_head(&mut self) -> Result<(), TraceError> {
        self.next = None;
        if self.frame == self.header.frames {
            return Ok(());
        }
        let mut head = [0; 12];
        let filled = self.input.read_exact(&mut head);
        filled.map_err(|error| self.broken(format!("the file ends before it: {error}")))?;
        let [t0, t1, t2, t3, t4, t5, t6, t7, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > compress_bound(self.picture.len()) {
            return Err(self.broken(format!("it claims {length} bytes, more than any picture needs")));
        }
        self.next = Some((u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]), length));
        Ok(())
    }

    fn broken(&self, what: String) -> TraceError {
        TraceError::Frame { frame: self.frame, what }
    }
}

impl<R> std::fmt::Debug for TraceReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceReader").field("header", &self.header).field("frame", &self.frame).finish()
    }
}
