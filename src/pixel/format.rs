//! Pixel formats of sources, and their conversion to XRGB8888.

use serde::{Deserialize, Serialize};

/// How a source stores a pixel. Named from the most significant bit of the pixel's integer; `Be` where that
/// integer is big endian in memory, little endian otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PixelFormat {
    /// 32 bits; in memory B, G, R, X.
    Xrgb8888 = 0,
    /// 32 bits big endian; in memory X, R, G, B.
    Xrgb8888Be = 1,
    /// 32 bits; in memory R, G, B, X.
    Xbgr8888 = 2,
    /// 24 bits packed; in memory B, G, R.
    Rgb888 = 3,
    /// 24 bits packed; in memory R, G, B.
    Bgr888 = 4,
    /// 16 bits: 5 red, 6 green, 5 blue.
    Rgb565 = 5,
    /// 16 bits big endian: 5 red, 6 green, 5 blue.
    Rgb565Be = 6,
    /// 15 bits in 16: 5 red, 5 green, 5 blue.
    Xrgb1555 = 7,
    /// 15 bits in 16, big endian.
    Xrgb1555Be = 8,
}

impl PixelFormat {
    /// Every format, in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::Xrgb8888,
        Self::Xrgb8888Be,
        Self::Xbgr8888,
        Self::Rgb888,
        Self::Bgr888,
        Self::Rgb565,
        Self::Rgb565Be,
        Self::Xrgb1555,
        Self::Xrgb1555Be,
    ];

    /// Bytes that a pixel takes in memory.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Xrgb8888 | Self::Xrgb8888Be | Self::Xbgr8888 => 4,
            Self::Rgb888 | Self::Bgr888 => 3,
            Self::Rgb565 | Self::Rgb565Be | Self::Xrgb1555 | Self::Xrgb1555Be => 2,
        }
    }

    /// The name in messages and JSON, as serde has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xrgb8888 => "xrgb8888",
            Self::Xrgb8888Be => "xrgb8888be",
            Self::Xbgr8888 => "xbgr8888",
            Self::Rgb888 => "rgb888",
            Self::Bgr888 => "bgr888",
            Self::Rgb565 => "rgb565",
            Self::Rgb565Be => "rgb565be",
            Self::Xrgb1555 => "xrgb1555",
            Self::Xrgb1555Be => "xrgb1555be",
        }
    }

    /// The format with this number (`format as u8`), if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The format of pixels of `bits` bits whose integer holds the colours under these masks and stands in memory
    /// big endian or little endian; `None` if it is none that we read.
    #[must_use]
    pub const fn from_masks(bits: u32, red: u32, green: u32, blue: u32, big_endian: bool) -> Option<Self> {
        Some(match (bits, red, green, blue, big_endian) {
            (32, 0xff_0000, 0xff00, 0xff, false) => Self::Xrgb8888,
            (32, 0xff_0000, 0xff00, 0xff, true) => Self::Xrgb8888Be,
            (32, 0xff, 0xff00, 0xff_0000, false) => Self::Xbgr8888,
            (24, 0xff_0000, 0xff00, 0xff, false) | (24, 0xff, 0xff00, 0xff_0000, true) => Self::Rgb888,
            (24, 0xff, 0xff00, 0xff_0000, false) | (24, 0xff_0000, 0xff00, 0xff, true) => Self::Bgr888,
            (16, 0xf800, 0x07e0, 0x001f, false) => Self::Rgb565,
            (16, 0xf800, 0x07e0, 0x001f, true) => Self::Rgb565Be,
            (15 | 16, 0x7c00, 0x03e0, 0x001f, false) => Self::Xrgb1555,
            (15 | 16, 0x7c00, 0x03e0, 0x001f, true) => Self::Xrgb1555Be,
            _ => return None,
        })
    }
}

/// Converts a row's bytes to XRGB8888 (`0x00RRGGBB`). Channels of 5 and 6 bits are widened by repeating their high
/// bits, so that black stays black and white becomes white.
///
/// # Panics
/// If `bytes` does not hold exactly `pixels.len()` pixels.
pub fn convert_row(format: PixelFormat, bytes: &[u8], pixels: &mut [u32]) {
    assert_eq!(bytes.len(), pixels.len() * format.bytes(), "bytes of a row");
    match format {
        PixelFormat::Xrgb8888 => each(bytes, pixels, |[b, g, r, _]| rgb(r, g, b)),
        PixelFormat::Xrgb8888Be => each(bytes, pixels, |[_, r, g, b]| rgb(r, g, b)),
        PixelFormat::Xbgr8888 => each(bytes, pixels, |[r, g, b, _]| rgb(r, g, b)),
        PixelFormat::Rgb888 => each(bytes, pixels, |[b, g, r]| rgb(r, g, b)),
        PixelFormat::Bgr888 => each(bytes, pixels, |[r, g, b]| rgb(r, g, b)),
        PixelFormat::Rgb565 => each(bytes, pixels, |pair| from_565(u16::from_le_bytes(pair))),
        PixelFormat::Rgb565Be => each(bytes, pixels, |pair| from_565(u16::from_be_bytes(pair))),
        PixelFormat::Xrgb1555 => each(bytes, pixels, |pair| from_1555(u16::from_le_bytes(pair))),
        PixelFormat::Xrgb1555Be => each(bytes, pixels, |pair| from_1555(u16::from_be_bytes(pair))),
    }
}

#[inline]
fn each<const N: usize>(bytes: &[u8], pixels: &mut [u32], convert: impl Fn([u8; N]) -> u32) {
    for (pixel, bytes) in pixels.iter_mut().zip(bytes.chunks_exact(N)) {
        *pixel = convert(bytes.try_into().expect("a chunk of N bytes"));
    }
}

#[inline]
const fn rgb(red: u8, green: u8, blue: u8) -> u32 {
    u32::from_be_bytes([0, red, green, blue])
}

#[inline]
const fn from_565(pixel: u16) -> u32 {
    let pixel = pixel as u32;
    let (red, green, blue) = (pixel >> 11, pixel >> 5 & 0x3f, pixel & 0x1f);
    widen_5(red) << 16 | (green << 2 | green >> 4) << 8 | widen_5(blue)
}

#[inline]
const fn from_1555(pixel: u16) -> u32 {
    let pixel = pixel as u32;
    widen_5(pixel >> 10 & 0x1f) << 16 | widen_5(pixel >> 5 & 0x1f) << 8 | widen_5(pixel & 0x1f)
}

#[inline]
const fn widen_5(channel: u32) -> u32 {
    channel << 3 | channel >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the format's documentation says, bit by bit: which bits of the integer hold a channel.
    fn reference(format: PixelFormat, bytes: &[u8]) -> u32 {
        let big_endian =
            matches!(format, PixelFormat::Xrgb8888Be | PixelFormat::Rgb565Be | PixelFormat::Xrgb1555Be);
        let mut memory = bytes.to_vec();
        if big_endian {
            memory.reverse();
        }
        let integer = memory.iter().rev().fold(0_u32, |integer, byte| integer << 8 | u32::from(*byte));
        let channels = match format {
            PixelFormat::Xrgb8888 | PixelFormat::Xrgb8888Be | PixelFormat::Rgb888 => {
                [(16, 8), (8, 8), (0, 8)]
            }
            PixelFormat::Xbgr8888 | PixelFormat::Bgr888 => [(0, 8), (8, 8), (16, 8)],
            PixelFormat::Rgb565 | PixelFormat::Rgb565Be => [(11, 5), (5, 6), (0, 5)],
            PixelFormat::Xrgb1555 | PixelFormat::Xrgb1555Be => [(10, 5), (5, 5), (0, 5)],
        };
        channels.into_iter().fold(0, |pixel, (shift, bits)| {
            let channel = integer >> shift & ((1 << bits) - 1);
            // Bit replication: the channel's bits, over and over, cut to eight.
            let repeated = (0..8).fold(0, |wide, bit| {
                let from = bits - 1 - bit % bits;
                wide << 1 | (channel >> from & 1)
            });
            pixel << 8 | repeated
        })
    }

    #[test]
    fn every_format_converts_as_documented() {
        let mut state = 3_u64;
        let mut bytes = vec![0; 4 * 3 * 20_000];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        for format in PixelFormat::ALL {
            let mut pixels = vec![0; bytes.len() / format.bytes()];
            convert_row(format, &bytes, &mut pixels);
            for (pixel, bytes) in pixels.iter().zip(bytes.chunks_exact(format.bytes())) {
                assert_eq!(*pixel, reference(format, bytes), "{format:?} {bytes:?}");
            }
        }
    }

    #[test]
    fn every_16_bit_pixel_converts_as_documented() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for format in PixelFormat::ALL.into_iter().filter(|format| format.bytes() == 2) {
            let mut pixels = vec![0; 65_536];
            convert_row(format, &bytes, &mut pixels);
            for (pixel, bytes) in pixels.iter().zip(bytes.chunks_exact(2)) {
                assert_eq!(*pixel, reference(format, bytes), "{format:?} {bytes:?}");
            }
            assert_eq!((pixels[0], pixels[65_535]), (0, 0xff_ffff), "black and white");
        }
    }

    #[test]
    fn numbers_names_and_sizes_agree_everywhere() {
        for format in PixelFormat::ALL {
            let number = format as u8;
            assert_eq!(PixelFormat::from_number(number), Some(format));
            assert_eq!(lfp_proto::shm::pixel_bytes(number), Some(format.bytes()));
            assert_eq!(serde_json::to_value(format).ok(), Some(format.name().into()));
        }
        assert_eq!(PixelFormat::from_number(9), None);
        assert_eq!(lfp_proto::shm::pixel_bytes(9), None);
    }

    #[test]
    fn masks_name_formats() {
        let of = PixelFormat::from_masks;
        assert_eq!(of(32, 0xff_0000, 0xff00, 0xff, false), Some(PixelFormat::Xrgb8888));
        assert_eq!(of(24, 0xff_0000, 0xff00, 0xff, true), Some(PixelFormat::Bgr888));
        assert_eq!(of(16, 0x7c00, 0x3e0, 0x1f, true), Some(PixelFormat::Xrgb1555Be));
        assert_eq!(of(8, 0, 0, 0, false), None);
        assert_eq!(of(32, 0x3ff0_0000, 0xf_fc00, 0x3ff, false), None, "ten bits a channel");
    }
}
