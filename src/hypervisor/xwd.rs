//! `xwd:FILE`: the framebuffer of an X server that keeps it in a file, as `Xvfb -fbdir` does, in the format of `xwd`
//! (X11/XWDFile.h): 25 words of header, a window name, colour entries of 12 bytes, pixels.

use std::path::PathBuf;

use lfp_proto::frame::SurfaceState;

use super::lookup::Kept;
use super::mapping::{Mapping, MappingError};
use super::{Reading, Source, SourceError, Span, Surface, View};
use crate::geometry::{CellSet, Size};
use crate::pixel::PixelFormat;
use crate::time::Instant;

/// An `xwd:` source. X servers say nothing of when they draw: a capture may hold half a drawing operation.
#[derive(Debug)]
pub struct XwdSource(Kept<Mapping>);

impl XwdSource {
    /// The file at `path`; nothing is opened before the first view.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(Kept::new(path))
    }
}

impl Source for XwdSource {
    fn view(&mut self, now: Instant) -> View {
        let Self(kept) = self;
        if kept.open().is_some_and(Mapping::is_outgrown) {
            kept.reopen();
        }
        kept.look(now, |file| {
            Mapping::of_file(file).map_err(|error| match error {
                MappingError::Empty => (SurfaceState::Connecting, "has no header yet".to_owned()),
                error => (SurfaceState::Faulty, error.to_string()),
            })
        });
        let Some(mapping) = kept.open() else { return kept.dark() };
        let mut header = [0; HEADER_BYTES];
        let read = mapping.copy_out(0, &mut header).and_then(|()| mapping.length());
        match read.map(|length| parse(&header, length)) {
            Ok(Ok(surface)) => View::Live(surface),
            Ok(Err(error)) => kept.dark_as(SurfaceState::Faulty, &error.to_string()),
            Err(error) => kept.gone(&error.to_string()),
        }
    }

    fn release(&mut self) {
        self.0.reopen();
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let Self(kept) = self;
        let Some(mapping) = kept.open() else { return Err(kept.lost(None)) };
        let swept = mapping.sweep(surface, shadow, changed).map_err(|error| kept.lost(Some(&error)));
        swept.map(|()| Reading::whole(surface))
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let Self(kept) = self;
        let Some(mapping) = kept.open() else { return Err(kept.lost(None)) };
        let probed = mapping.probe(surface, spans, shadow, changed).map_err(|error| kept.lost(Some(&error)));
        probed.map(|()| Reading::of_spans(surface, spans))
    }
}

/// Bytes of the header's words.
const HEADER_BYTES: usize = 100;
const COLOUR_BYTES: u64 = 12;
const VERSION: u32 = 7;
const Z_PIXMAP: u32 = 2;

mod word {
    //! Number of each word in the header.
    pub(super) const HEADER_SIZE: usize = 0;
    pub(super) const FILE_VERSION: usize = 1;
    pub(super) const PIXMAP_FORMAT: usize = 2;
    pub(super) const WIDTH: usize = 4;
    pub(super) const HEIGHT: usize = 5;
    pub(super) const BYTE_ORDER: usize = 7;
    pub(super) const BITS_PER_PIXEL: usize = 11;
    pub(super) const BYTES_PER_LINE: usize = 12;
    pub(super) const RED_MASK: usize = 14;
    pub(super) const GREEN_MASK: usize = 15;
    pub(super) const BLUE_MASK: usize = 16;
    pub(super) const COLOURS: usize = 19;
}

/// Why a header is none that can be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum HeaderError {
    #[error("is no XWD file of version {VERSION}")]
    NotXwd,
    #[error(
        "holds pixels that are not in one plane (format {0}); start the X server with a true-colour screen"
    )]
    Planes(u32),
    #[error("states an impossible size of {0}x{1} pixels")]
    Size(u32, u32),
    #[error(
        "has pixels of {bits} bits with masks {red:x}, {green:x}, {blue:x}, which nothing here reads; \
         start the X server with depth 24, 16 or 15"
    )]
    Format { bits: u32, red: u32, green: u32, blue: u32 },
    #[error("claims pixels up to byte {end} and has {length} bytes")]
    Beyond { end: u64, length: u64 },
}

/// The surface that a header describes. The header's words are big endian, unless whoever wrote it forgot to swap
/// them: its version, 7, tells.
fn parse(header: &[u8; HEADER_BYTES], length: u64) -> Result<Surface, HeaderError> {
    let word_with = |number: usize, from_bytes: fn([u8; 4]) -> u32| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[number * 4..number * 4 + 4]);
        from_bytes(bytes)
    };
    let from_bytes = if word_with(word::FILE_VERSION, u32::from_le_bytes) == VERSION {
        u32::from_le_bytes
    } else {
        u32::from_be_bytes
    };
    let word = |number: usize| word_with(number, from_bytes);
    if word(word::FILE_VERSION) != VERSION || (word(word::HEADER_SIZE) as usize) < HEADER_BYTES {
        return Err(HeaderError::NotXwd);
    }
    if word(word::PIXMAP_FORMAT) != Z_PIXMAP {
        return Err(HeaderError::Planes(word(word::PIXMAP_FORMAT)));
    }
    let (width, height) = (word(word::WIDTH), word(word::HEIGHT));
    let size = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let size = size.and_then(|(width, height)| Size::new(width, height));
    let size = size.ok_or(HeaderError::Size(width, height))?;
    let bits = word(word::BITS_PER_PIXEL);
    let (red, green, blue) = (word(word::RED_MASK), word(word::GREEN_MASK), word(word::BLUE_MASK));
    let big_endian = word(word::BYTE_ORDER) == 1;
    let format = PixelFormat::from_masks(bits, red, green, blue, big_endian).ok_or(HeaderError::Format {
        bits,
        red,
        green,
        blue,
    })?;
    let offset_bytes = u64::from(word(word::HEADER_SIZE)) + u64::from(word(word::COLOURS)) * COLOUR_BYTES;
    let surface = Surface { size, stride_bytes: word(word::BYTES_PER_LINE), format, offset_bytes };
    match surface.end_bytes() {
        Some(end) if end <= length => Ok(surface),
        end => Err(HeaderError::Beyond { end: end.unwrap_or(u64::MAX), length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Xvfb -screen 0 WxHxdepth -fbdir` writes, with the words in either order.
    fn header(big_endian: bool, words: &[(usize, u32)]) -> [u8; HEADER_BYTES] {
        let mut all = [0_u32; 25];
        for &(number, value) in [
            (word::HEADER_SIZE, 160),
            (word::FILE_VERSION, 7),
            (word::PIXMAP_FORMAT, 2),
            (3, 24),
            (word::WIDTH, 60),
            (word::HEIGHT, 40),
            (word::BYTE_ORDER, 0),
            (word::BITS_PER_PIXEL, 32),
            (word::BYTES_PER_LINE, 240),
            (word::RED_MASK, 0xff_0000),
            (word::GREEN_MASK, 0xff00),
            (word::BLUE_MASK, 0xff),
            (word::COLOURS, 256),
        ]
        .iter()
        .chain(words)
        {
            all[number] = value;
        }
        let mut bytes = [0; HEADER_BYTES];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(all) {
            bytes.copy_from_slice(&if big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
        }
        bytes
    }

    const LENGTH: u64 = 160 + 256 * 12 + 240 * 40;

    #[test]
    fn headers_of_either_order_and_every_depth_are_read() {
        for big_endian in [true, false] {
            let surface = parse(&header(big_endian, &[]), LENGTH).expect("a surface");
            assert_eq!((surface.size, surface.stride_bytes), (Size { width: 60, height: 40 }, 240));
            assert_eq!((surface.format, surface.offset_bytes), (PixelFormat::Xrgb8888, 160 + 3072));
        }
        let green = (word::GREEN_MASK, 0x7e0);
        let words = [(word::BITS_PER_PIXEL, 16), (word::RED_MASK, 0xf800), green, (word::BLUE_MASK, 0x1f)];
        assert_eq!(parse(&header(true, &words), LENGTH).map(|s| s.format), Ok(PixelFormat::Rgb565));
        let words =
            [words[0], (word::RED_MASK, 0x7c00), (word::GREEN_MASK, 0x3e0), words[3], (word::BYTE_ORDER, 1)];
        assert_eq!(parse(&header(true, &words), LENGTH).map(|s| s.format), Ok(PixelFormat::Xrgb1555Be));
    }

    #[test]
    fn lies_are_named() {
        let with = |number: usize, value: u32| {
            parse(&header(true, &[(number, value)]), LENGTH).expect_err("a lie").to_string()
        };
        assert!(with(word::FILE_VERSION, 6).contains("no XWD file"));
        assert!(with(word::HEADER_SIZE, 99).contains("no XWD file"));
        assert!(with(word::HEADER_SIZE, u32::MAX).contains("claims pixels up to"));
        assert!(with(word::PIXMAP_FORMAT, 1).contains("not in one plane"));
        assert!(with(word::WIDTH, 0).contains("0x40"));
        assert!(with(word::HEIGHT, 0x1_0001).contains("60x65537"));
        assert!(with(word::BITS_PER_PIXEL, 8).contains("depth 24, 16 or 15"));
        assert!(with(word::BYTES_PER_LINE, 239).contains("claims pixels"));
        assert!(with(word::BYTES_PER_LINE, 241).contains("claims pixels"));
        assert!(with(word::COLOURS, u32::MAX).contains("claims pixels"));
        assert!(parse(&header(true, &[]), LENGTH - 1).is_err());
        assert_eq!(parse(&[0; HEADER_BYTES], LENGTH), Err(HeaderError::NotXwd));
    }

    #[test]
    fn a_server_that_comes_and_goes_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("Xvfb_screen0");
        let mut source = XwdSource::new(path.clone());
        let at = |millis: u64| Instant::from_micros(millis * 1000);
        let state = |view: View| match view {
            View::Dark { state, .. } => state,
            View::Live(_) => SurfaceState::Live,
        };
        assert_eq!(state(source.view(at(0))), SurfaceState::Gone);
        let mut file = header(true, &[]).to_vec();
        file.resize(LENGTH as usize, 0x55);
        std::fs::write(&path, &file[..1000]).expect("written");
        assert_eq!(state(source.view(at(300))), SurfaceState::Faulty, "not all of it is there");
        std::fs::write(&path, &file).expect("written");
        let View::Live(surface) = source.view(at(301)) else { panic!("a whole file is mapped at once") };
        let mut shadow = vec![0; surface.shadow_bytes()];
        let mut changed = CellSet::new(surface.size.grid());
        source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
        assert!(shadow.iter().all(|&byte| byte == 0x55) && changed.len() == surface.size.grid().cells());
        source.release();
        assert!(matches!(source.sweep(&surface, &mut shadow, &mut changed), Err(SourceError::Lost(_))));
        assert_eq!(
            source.view(at(301)),
            View::Live(surface),
            "what was let go of is there when it is looked for"
        );
        assert_eq!(
            source.sweep(&surface, &mut shadow, &mut changed).expect("swept"),
            Reading { bytes: 9600, notified: false }
        );
        std::fs::write(&path, &file[..50]).expect("cut");
        assert!(matches!(source.sweep(&surface, &mut shadow, &mut changed), Err(SourceError::Lost(_))));
        assert_ne!(state(source.view(at(302))), SurfaceState::Live);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(state(source.view(at(900))), SurfaceState::Gone);
    }
}
