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
}

/// Converts a row's bytes to XRGB8888.
///
/// # Panics
/// If `bytes` does not hold exactly `pixels.len()` pixels.
pub fn convert_row(format: PixelFormat, bytes: &[u8], pixels: &mut [u32]) {
    assert_eq!(bytes.len(), pixels.len() * format.bytes(), "bytes of a row");
    for (pixel, bytes) in pixels.iter_mut().zip(bytes.chunks_exact(format.bytes())) {
        *pixel = match (format, bytes) {
            (PixelFormat::Xrgb8888 | PixelFormat::Rgb888, [b, g, r, ..])
            | (PixelFormat::Xbgr8888 | PixelFormat::Bgr888, [r, g, b, ..])
            | (PixelFormat::Xrgb8888Be, [_, r, g, b]) => u32::from_be_bytes([0, *r, *g, *b]),
            _ => 0,
        };
    }
}
