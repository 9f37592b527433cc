//! Writes a trace, frame by frame.

use std::io::{Seek, SeekFrom, Write};

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::{Header, MAGIC, PIXEL_FORMAT, TraceError};
use crate::geometry::Size;

/// Writes a trace. The number of frames stands in its first line, which [`TraceWriter::finish`] writes once more.
pub struct TraceWriter<W: Write + Seek> {
    output: W,
    header: Header,
    previous: Vec<u8>,
    change: Vec<u8>,
    zstd: Compressor<'static>,
}

/// Digits that the number of frames is padded to, so that the first line keeps its length.
const FRAMES_DIGITS: usize = 20;

impl<W: Write + Seek> TraceWriter<W> {
    /// Begins a trace of pictures of this size. `level` is zstd's, 1 to 19: recording live wants a low one.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn new(mut output: W, name: &str, size: Size, fps: u32, level: i32) -> Result<Self, TraceError> {
        let header = Header {
            magic: MAGIC.to_owned(),
            name: name.to_owned(),
            width: size.width,
            height: size.height,
            pixel_format: PIXEL_FORMAT.to_owned(),
            fps,
            frames: 0,
            description: String::new(),
            app: concat!("lfp-server ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let bytes = size.pixels() * 4;
        let mut zstd = Compressor::new(level)?;
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
        output.write_all(&first_line(&header)?)?;
        Ok(Self { output, header, previous: vec![0; bytes], change: vec![0; bytes], zstd })
    }

    /// Adds the picture as it was `at_us` microseconds after the recording began: rows without padding, four
    /// bytes B, G, R, X a pixel; X is written as 0.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// If the picture has another size.
    pub fn add(&mut self, at_us: u64, picture: &[u8]) -> Result<(), TraceError> {
        assert_eq!(picture.len(), self.previous.len(), "a picture of another size");
        let pixels = picture.chunks_exact(4).zip(self.previous.chunks_exact_mut(4));
        for ((new, old), change) in pixels.zip(self.change.chunks_exact_mut(4)) {
            let new = [new[0], new[1], new[2], 0];
            change.iter_mut().zip(new.iter().zip(&*old)).for_each(|(change, (new, old))| *change = new ^ old);
            old.copy_from_slice(&new);
        }
        let payload = self.zstd.compress(&self.change)?;
        self.output.write_all(&at_us.to_le_bytes())?;
        let length = u32::try_from(payload.len()).map_err(|_| TraceError::Frame {
            frame: self.header.frames,
            what: "it is larger than 4 GiB".to_owned(),
        })?;
        self.output.write_all(&length.to_le_bytes())?;
        self.output.write_all(&payload)?;
        self.header.frames += 1;
        Ok(())
    }

    /// Frames written so far.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.header.frames
    }

    /// Writes the number of frames into the first line, and gives the output back.
    ///
    /// # Errors
    /// If it cannot be written; the trace then claims no frames.
    pub fn finish(mut self) -> Result<W, TraceError> {
        self.output.seek(SeekFrom::Start(0))?;
        self.output.write_all(&first_line(&self.header)?)?;
        self.output.seek(SeekFrom::End(0))?;
        self.output.flush()?;
        Ok(self.output)
    }
}

/// The header as JSON, its end padded with blanks to a length that does not depend on the number of frames.
fn first_line(header: &Header) -> Result<Vec<u8>, TraceError> {
    let mut line = serde_json::to_vec(header).map_err(|error| TraceError::Header(error.to_string()))?;
    let digits = header.frames.checked_ilog10().unwrap_or(0) as usize + 1;
    line.resize(line.len() + FRAMES_DIGITS - digits, b' ');
    line.push(b'\n');
    Ok(line)
}

impl<W: Write + Seek> std::fmt::Debug for TraceWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceWriter").field("header", &self.header).finish()
    }
}
