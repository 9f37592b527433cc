//! Recorded framebuffer sequences: the file format `LFPTRACE1`, read and written here, and the source that plays
//! one in real time.
//!
//! A trace is one line of JSON ([`Header`]), then for each frame a timestamp (u64, microseconds since the start), a
//! length (u32) and so many bytes of one zstd frame: the picture XOR the picture before it, rows without padding,
//! four bytes B, G, R, 0 a pixel; the first is XORed with zeros. Integers are little endian.

mod reader;
mod source;
mod writer;

pub use reader::TraceReader;
pub use source::TraceSource;
pub use writer::TraceWriter;

use serde::{Deserialize, Serialize};

use crate::geometry::Size;

/// The `magic` of a trace.
pub const MAGIC: &str = "LFPTRACE1";
/// The one pixel format of traces.
pub const PIXEL_FORMAT: &str = "BGRX8888";

/// The first line of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: String,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Pixels a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// [`PIXEL_FORMAT`].
    pub pixel_format: String,
    /// Frames a second, about.
    pub fps: u32,
    /// Frames in the file.
    pub frames: u64,
    /// What it shows.
    #[serde(default)]
    pub description: String,
    /// What was recorded.
    #[serde(default)]
    pub app: String,
}

impl Header {
    /// Width and height, if a surface may have them.
    #[must_use]
    pub fn size(&self) -> Option<Size> {
        Size::new(self.width, self.height)
    }
}

/// Why a trace cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file system says no.
    #[error("cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The first line is no trace's.
    #[error("is no {MAGIC} trace, such as `lfp-server record` makes: {0}")]
    Header(String),
    /// A frame is not what it should be.
    #[error("is broken in frame {frame}: {what}; record it again")]
    Frame {
        /// Which, from 0.
        frame: u64,
        /// What is wrong.
        what: String,
    },
}

#[cfg(test)]
mod tests;
