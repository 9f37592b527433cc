//! `fbdev:DEVICE`: a framebuffer device of this machine, as linux/fb.h describes it.

use std::fs::File;
use std::path::PathBuf;

use lfp_proto::frame::SurfaceState;

use super::lookup::Kept;
use super::mapping::{Mapping, framebuffer_info};
use super::{Reading, Source, SourceError, Span, Surface, View};
use crate::geometry::{CellSet, Size};
use crate::pixel::PixelFormat;
use crate::time::Instant;

/// An `fbdev:` source. Panning (double buffering) is followed as a change of offset.
#[derive(Debug)]
pub struct FbdevSource(Kept<Open>);

#[derive(Debug)]
struct Open {
    device: File,
    mapping: Mapping,
}

impl FbdevSource {
    /// The device at `path`; nothing is opened before the first view.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(Kept::new(path))
    }
}

impl Open {
    /// Maps the memory of a device.
    fn new(device: File) -> Result<Self, (SurfaceState, String)> {
        let faulty = |text| (SurfaceState::Faulty, text);
        let (_, fix) = framebuffer_info(&device).map_err(|error| {
            faulty(format!("is no framebuffer device: {error}; name one such as /dev/fb0"))
        })?;
        let mapping =
            Mapping::of_device(&device, memory_bytes(&fix)).map_err(|error| faulty(error.to_string()))?;
        Ok(Self { device, mapping })
    }
}

impl Source for FbdevSource {
    fn view(&mut self, now: Instant) -> View {
        let Self(kept) = self;
        kept.look(now, Open::new);
        let Some(open) = kept.open() else { return kept.dark() };
        let asked = framebuffer_info(&open.device).and_then(|(var, fix)| {
            let length = open.mapping.length().map_err(std::io::Error::other)?;
            Ok(parse(&var, &fix, length))
        });
        match asked {
            Ok(Ok(surface)) => View::Live(surface),
            Ok(Err(error)) => kept.dark_as(SurfaceState::Faulty, &error.to_string()),
            Err(error) => kept.gone(&format!("does not answer: {error}")),
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
        let Some(open) = kept.open() else { return Err(kept.lost(None)) };
        let swept = open.mapping.sweep(surface, shadow, changed).map_err(|error| kept.lost(Some(&error)));
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
        let Some(open) = kept.open() else { return Err(kept.lost(None)) };
        let probed = open.mapping.probe(surface, spans, shadow, changed);
        probed.map(|()| Reading::of_spans(surface, spans)).map_err(|error| kept.lost(Some(&error)))
    }
}

mod var {
    //! Number of each word in `fb_var_screeninfo`; a colour is offset, length and "most significant bit right".
    pub(super) const XRES: usize = 0;
    pub(super) const YRES: usize = 1;
    pub(super) const XOFFSET: usize = 4;
    pub(super) const YOFFSET: usize = 5;
    pub(super) const BITS_PER_PIXEL: usize = 6;
    pub(super) const RED: usize = 8;
    pub(super) const GREEN: usize = 11;
    pub(super) const BLUE: usize = 14;
}

mod fix {
    //! Where each field of `fb_fix_screeninfo` starts.
    pub(super) const SMEM_START: usize = 16;
    pub(super) const SMEM_LEN: usize = 24;
    pub(super) const TYPE: usize = 28;
    pub(super) const LINE_LENGTH: usize = 48;
}

const PACKED_PIXELS: u32 = 0;
const PAGE: u64 = 4096;

/// Why a device's mode is none that can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum ModeError {
    #[error("holds no packed pixels (type {0})")]
    Type(u32),
    #[error("states an impossible size of {0}x{1} pixels")]
    Size(u32, u32),
    #[error(
        "has pixels of {bits} bits with masks {red:x}, {green:x}, {blue:x}, which nothing here reads; \
         set a depth of 16, 24 or 32"
    )]
    Format { bits: u32, red: u32, green: u32, blue: u32 },
    #[error("claims pixels up to byte {end} and has {length} bytes")]
    Beyond { end: u64, length: u64 },
}

/// Bytes from the first page of the device's memory to its end: what can be mapped.
fn memory_bytes(fix: &[u8; 80]) -> usize {
    (in_page(fix) + u64::from(u32_at(fix, fix::SMEM_LEN))) as usize
}

/// Where in its first page the memory starts.
fn in_page(fix: &[u8; 80]) -> u64 {
    u64::from(u32_at(fix, fix::SMEM_START)) % PAGE
}

/// The surface that the two structures describe.
pub(super) fn parse(var: &[u8; 160], fix: &[u8; 80], length: u64) -> Result<Surface, ModeError> {
    let word = |number: usize| u32_at(var, number * 4);
    if u32_at(fix, fix::TYPE) != PACKED_PIXELS {
        return Err(ModeError::Type(u32_at(fix, fix::TYPE)));
    }
    let (width, height) = (word(var::XRES), word(var::YRES));
    let size = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let size = size.and_then(|(width, height)| Size::new(width, height));
    let size = size.ok_or(ModeError::Size(width, height))?;
    let mask = |channel: usize| {
        let (offset, bits) = (word(channel), word(channel + 1));
        let ones = 1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
        ones.checked_shl(offset).unwrap_or(0) as u32
    };
    let (red, green, blue) = (mask(var::RED), mask(var::GREEN), mask(var::BLUE));
    let bits = word(var::BITS_PER_PIXEL);
    let format = PixelFormat::from_masks(bits, red, green, blue, false).ok_or(ModeError::Format {
        bits,
        red,
        green,
        blue,
    })?;
    let stride_bytes = u32_at(fix, fix::LINE_LENGTH);
    let offset_bytes = (u64::from(word(var::YOFFSET)) * u64::from(stride_bytes))
        .saturating_add(u64::from(word(var::XOFFSET)) * format.bytes() as u64)
        .saturating_add(in_page(fix));
    let surface = Surface { size, stride_bytes, format, offset_bytes };
    match surface.end_bytes() {
        Some(end) if end <= length => Ok(surface),
        end => Err(ModeError::Beyond { end: end.unwrap_or(u64::MAX), length }),
    }
}

fn u32_at(bytes: &[u8], start: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[start..start + 4]);
    u32::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 1024 * 768 * 4 * 2;

    /// What the kernel says of a 1024x768 screen at 32 bits, with these words of `fb_var_screeninfo` otherwise.
    fn mode(words: &[(usize, u32)]) -> ([u8; 160], [u8; 80]) {
        let (mut var, mut fix) = ([0; 160], [0; 80]);
        let usual =
            [(0, 1024), (1, 768), (2, 1024), (3, 1536), (6, 32), (8, 16), (9, 8), (11, 8), (12, 8), (15, 8)];
        for &(number, value) in usual.iter().chain(words) {
            var[number * 4..number * 4 + 4].copy_from_slice(&u32::to_ne_bytes(value));
        }
        fix[fix::SMEM_LEN..fix::SMEM_LEN + 4].copy_from_slice(&(LENGTH as u32).to_ne_bytes());
        fix[fix::LINE_LENGTH..fix::LINE_LENGTH + 4].copy_from_slice(&4096_u32.to_ne_bytes());
        (var, fix)
    }

    fn parsed(words: &[(usize, u32)]) -> Result<Surface, ModeError> {
        let (var, fix) = mode(words);
        parse(&var, &fix, LENGTH)
    }

    #[test]
    fn modes_and_panning_are_read() {
        let surface = parsed(&[]).expect("a surface");
        assert_eq!((surface.size, surface.stride_bytes), (Size { width: 1024, height: 768 }, 4096));
        assert_eq!((surface.format, surface.offset_bytes), (PixelFormat::Xrgb8888, 0));
        assert_eq!(parsed(&[(5, 768)]).map(|surface| surface.offset_bytes), Ok(768 * 4096));
        let sixteen = [(6, 16), (8, 11), (9, 5), (11, 5), (12, 6), (15, 5)];
        assert_eq!(parsed(&sixteen).map(|surface| surface.format), Ok(PixelFormat::Rgb565));
        let (_, fix) = mode(&[]);
        assert_eq!(memory_bytes(&fix), LENGTH as usize);
    }

    #[test]
    fn lies_are_named() {
        assert_eq!(parsed(&[(0, 0)]), Err(ModeError::Size(0, 768)));
        assert!(matches!(parsed(&[(5, 769)]), Err(ModeError::Beyond { .. })));
        assert!(matches!(parsed(&[(5, u32::MAX), (4, u32::MAX)]), Err(ModeError::Beyond { .. })));
        assert!(matches!(parsed(&[(0, 1025)]), Err(ModeError::Beyond { .. })));
        assert!(matches!(parsed(&[(8, 200), (9, 200)]), Err(ModeError::Format { .. })));
        assert!(matches!(parsed(&[(6, 8)]), Err(ModeError::Format { bits: 8, .. })));
        let (var, mut fix) = mode(&[]);
        fix[fix::TYPE] = 1;
        assert_eq!(parse(&var, &fix, LENGTH), Err(ModeError::Type(1)));
    }

    #[test]
    fn panning_beyond_all_memory_is_named() {
        let (var, mut fix) = mode(&[(4, u32::MAX), (5, u32::MAX)]);
        fix[fix::LINE_LENGTH..fix::LINE_LENGTH + 4].fill(0xff);
        assert_eq!(parse(&var, &fix, LENGTH), Err(ModeError::Beyond { end: u64::MAX, length: LENGTH }));
    }

    #[test]
    fn what_is_no_device_is_dark() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fb0");
        let mut source = FbdevSource::new(path.clone());
        let is = |view: View, expected: SurfaceState| matches!(view, View::Dark { state, .. } if state == expected);
        assert!(is(source.view(Instant::from_micros(0)), SurfaceState::Gone));
        std::fs::write(&path, [0; 4096]).expect("written");
        assert!(is(source.view(Instant::from_micros(300_000)), SurfaceState::Faulty));
    }
}
