//! Kernels in the widest instructions that the CPU has: the same bodies, compiled once more for AVX2.
//!
//! The bodies are loops over arrays of a known length that the compiler turns into vector code; for a plain x86-64, whose
//! vectors have 128 bits and no product of 32-bit numbers, that takes two to three times as many instructions.

#![expect(
    unsafe_code,
    reason = "a function for instructions that not every CPU has may be called only where they are"
)]

use super::anchors::{self, ANCHORS};
use super::cpu::Level;
use super::detail;
use super::features::{self, Features};
use crate::limits::CELL_PIXELS;

/// [`anchors::anchors`] in the instructions of [`Level::chosen`].
#[must_use]
pub fn anchors(tile: &[u32; CELL_PIXELS]) -> [u32; ANCHORS] {
    #[cfg(target_arch = "x86_64")]
    if Level::chosen() >= Level::Avx2 {
        // SAFETY: the level is at most the one that was detected, so the CPU has AVX2; it asks for nothing else.
        return unsafe { avx2::anchors(tile) };
    }
    anchors::anchors(tile)
}

/// [`features::features`] in the instructions of [`Level::chosen`].
///
/// # Panics
/// If the corner is empty or larger than a cell.
#[must_use]
pub fn features(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> Features {
    #[cfg(target_arch = "x86_64")]
    if Level::chosen() >= Level::Avx2 {
        // SAFETY: the level is at most the one that was detected, so the CPU has AVX2; it asks for nothing else.
        return unsafe { avx2::features(tile, width, height) };
    }
    features::features(tile, width, height)
}

/// [`detail::detail`] in the instructions of [`Level::chosen`].
///
/// # Panics
/// If the corner is empty or larger than a cell.
#[must_use]
pub fn detail(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> u8 {
    #[cfg(target_arch = "x86_64")]
    if Level::chosen() >= Level::Avx2 {
        // SAFETY: the level is at most the one that was detected, so the CPU has AVX2; it asks for nothing else.
        return unsafe { avx2::detail(tile, width, height) };
    }
    detail::detail(tile, width, height)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{ANCHORS, CELL_PIXELS, Features};

    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn anchors(tile: &[u32; CELL_PIXELS]) -> [u32; ANCHORS] {
        super::anchors::anchors(tile)
    }

    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn features(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> Features {
        super::features::features(tile, width, height)
    }

    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn detail(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> u8 {
        super::detail::detail(tile, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_gives_what_plain_integers_give() {
        let mut state = 5_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for round in 0..2_000 {
            let colours = 1 + below(300);
            let tile = std::array::from_fn(|at| match round % 3 {
                0 => (below(colours) as u32).wrapping_mul(0x9e37_79b1) >> 8,
                1 => (at as u32 / 7 % colours as u32 * 0x01_01_01) & 0xff_ff_ff,
                _ => below(1 << 24) as u32,
            });
            let (width, height) = (1 + below(16) as usize, 1 + below(16) as usize);
            assert_eq!(anchors(&tile), anchors::anchors(&tile));
            assert_eq!(features(&tile, width, height), features::features(&tile, width, height));
            assert_eq!(detail(&tile, width, height), detail::detail(&tile, width, height));
        }
    }
}
