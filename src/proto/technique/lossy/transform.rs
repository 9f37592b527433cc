//! The cosine transform of 8 x 8 blocks, in integers, and the way between colours.

/// 4,096 cos(k pi / 16) for k from 0 to 8, rounded.
const COS: [i32; 9] = [4096, 4017, 3784, 3406, 2896, 2276, 1567, 799, 0];

/// What the frequency `u` weighs at the place `x`, in 8,192nds.
const fn weight(u: usize, x: usize) -> i32 {
    if u == 0 {
        return COS[4];
    }
    // The cosine has a period of 32 sixteenths of pi, and two symmetries.
    let k = (2 * x + 1) * u % 32;
    let k = if k > 16 { 32 - k } else { k };
    if k > 8 { -COS[16 - k] } else { COS[k] }
}

/// [`weight`] by frequency and place.
const WEIGHTS: [[i32; 8]; 8] = {
    let mut weights = [[0; 8]; 8];
    let mut at = 0;
    while at < 64 {
        weights[at / 8][at % 8] = weight(at / 8, at % 8);
        at += 1;
    }
    weights
};

/// Bounds of a coefficient before the transform back.
pub(super) const COEFFICIENTS: core::ops::RangeInclusive<i32> = -2048..=2047;

const _: () = {
    // The largest sums of both passes back fit 32 bits.
    let (mut at, mut sum) = (0, 0_i64);
    while at < 8 {
        sum += WEIGHTS[at][0].abs() as i64;
        at += 1;
    }
    let first = ((sum << 11) + (1 << 10)) >> 11;
    assert!(first * sum + (1 << 14) < i32::MAX as i64);
};

/// Eight values back from their frequencies, not scaled: even and odd frequencies apart, since the even ones are the
/// same from both ends, and the odd ones opposite.
fn line_back(frequencies: [i32; 8]) -> [i32; 8] {
    let [f0, f1, f2, f3, f4, f5, f6, f7] = frequencies;
    core::array::from_fn(|x| {
        let near = x.min(7 - x);
        let w = |u: usize| WEIGHTS[u][near];
        let even = f0 * w(0) + f2 * w(2) + f4 * w(4) + f6 * w(6);
        let odd = f1 * w(1) + f3 * w(3) + f5 * w(5) + f7 * w(7);
        if x < 4 { even + odd } else { even - odd }
    })
}

/// The samples, 0 to 255, of a block of coefficients within [`COEFFICIENTS`], both row by row.
pub(super) fn back(block: &mut [i32; 64], samples: &mut [u8; 64]) {
    if block[1..].iter().all(|coefficient| *coefficient == 0) {
        // The same arithmetic where all sums have one term.
        let column = (block[0] * COS[4] + (1 << 10)) >> 11;
        let sample = ((column * COS[4] + (1 << 14)) >> 15) + 128;
        return samples.fill(sample.clamp(0, 255) as u8);
    }
    for x in 0..8 {
        let column = line_back(core::array::from_fn(|y| block[y * 8 + x]));
        for (y, value) in column.into_iter().enumerate() {
            block[y * 8 + x] = (value + (1 << 10)) >> 11;
        }
    }
    for (line, samples) in block.chunks_exact(8).zip(samples.chunks_exact_mut(8)) {
        let row = line_back(core::array::from_fn(|x| line[x]));
        for (sample, value) in samples.iter_mut().zip(row) {
            *sample = (((value + (1 << 14)) >> 15) + 128).clamp(0, 255) as u8;
        }
    }
}

/// The pixel of a luma and two chroma samples.
pub(super) const fn pixel(luma: u8, blue: u8, red: u8) -> u32 {
    let (luma, blue, red) = (luma as i32, blue as i32 - 128, red as i32 - 128);
    let half = 1 << 15;
    let r = luma + ((91_881 * red + half) >> 16);
    let g = luma - ((22_554 * blue + 46_802 * red + half) >> 16);
    let b = luma + ((116_130 * blue + half) >> 16);
    byte(r) << 16 | byte(g) << 8 | byte(b)
}

const fn byte(value: i32) -> u32 {
    if value < 0 {
        0
    } else if value > 255 {
        255
    } else {
        value as u32
    }
}

/// Luma, blue and red of a pixel, in 256ths: chroma is averaged before it is rounded.
#[cfg(feature = "encode")]
pub(super) const fn parts(pixel: u32) -> [i32; 3] {
    let (r, g, b) = ((pixel >> 16 & 255) as i32, (pixel >> 8 & 255) as i32, (pixel & 255) as i32);
    [
        (19_595 * r + 38_470 * g + 7_471 * b) >> 8,
        (-11_059 * r - 21_709 * g + 32_768 * b) >> 8,
        (32_768 * r - 27_439 * g - 5_329 * b) >> 8,
    ]
}

/// Fraction bits of what [`forward`] gives.
#[cfg(feature = "encode")]
pub(super) const FORWARD_BITS: u32 = 3;

/// The coefficients of a block of samples less 128, both row by row, with [`FORWARD_BITS`] bits of fraction.
#[cfg(feature = "encode")]
pub(super) fn forward(block: &mut [i32; 64]) {
    for line in block.chunks_exact_mut(8) {
        let row = line_forward(core::array::from_fn(|x| line[x]));
        for (place, value) in line.iter_mut().zip(row) {
            *place = (value + (1 << 8)) >> 9;
        }
    }
    for x in 0..8 {
        let column = line_forward(core::array::from_fn(|y| block[y * 8 + x]));
        for (y, value) in column.into_iter().enumerate() {
            block[y * 8 + x] = (value + (1 << 13)) >> 14;
        }
    }
}

#[cfg(feature = "encode")]
fn line_forward(values: [i32; 8]) -> [i32; 8] {
    let sums: [i32; 4] = core::array::from_fn(|x| values[x] + values[7 - x]);
    let differences: [i32; 4] = core::array::from_fn(|x| values[x] - values[7 - x]);
    core::array::from_fn(|u| {
        let halves = if u % 2 == 0 { &sums } else { &differences };
        (0..4).map(|x| halves[x] * WEIGHTS[u][x]).sum()
    })
}
