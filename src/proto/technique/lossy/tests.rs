use alloc::vec;
use alloc::vec::Vec;

use super::tables::quantisers;
use super::transform::{back, forward, pixel};
use super::{Form, QUALITY_MAX, Sampling, decode, encode, sampling};
use crate::geometry::PixelRect;

const FORMS: [Form; 6] = [
    Form { quality: 1, sampling: Sampling::Quarter },
    Form { quality: 30, sampling: Sampling::Full },
    Form { quality: 50, sampling: Sampling::Quarter },
    Form { quality: 75, sampling: Sampling::Full },
    Form { quality: 90, sampling: Sampling::Quarter },
    Form { quality: QUALITY_MAX, sampling: Sampling::Full },
];

fn area(width: u16, height: u16) -> PixelRect {
    PixelRect { x: 0, y: 0, width, height }
}

/// Soft hills with a little grain.
fn photo(width: usize, height: usize) -> Vec<u32> {
    let at = |at: usize| {
        let (x, y) = (at % width, at / width);
        let hill = |a: usize, b: usize| ((x * a + y * b) / 7 % 256).abs_diff(128) as u32;
        let grain = (x * 31 + y * 57) as u32 % 5;
        (60 + hill(9, 4) + grain) << 16 | (40 + hill(3, 11) + grain) << 8 | (100 + hill(5, 2) + grain)
    };
    (0..width * height).map(at).collect()
}

fn channels(pixels: &[u32]) -> impl Iterator<Item = i64> {
    pixels.iter().flat_map(|pixel| [16, 8, 0].map(|shift| i64::from(pixel >> shift & 255)))
}

/// Mean squared error over the channels, in hundredths.
fn error(a: &[u32], b: &[u32]) -> i64 {
    assert_eq!(a.len(), b.len());
    channels(a).zip(channels(b)).map(|(a, b)| (a - b) * (a - b)).sum::<i64>() * 100 / (3 * a.len() as i64)
}

#[test]
fn pictures_come_back_better_the_better_they_are_coded() {
    let pixels = photo(96, 48);
    let mut errors = Vec::new();
    for quality in [10, 30, 50, 70, 90, 100] {
        let (mut payload, mut shown) = (Vec::new(), Vec::new());
        let form = Form { quality, sampling: Sampling::Full };
        assert_eq!(encode(&pixels, 96, form, usize::MAX, &mut payload), 48);
        decode(&payload, area(96, 48), &mut shown).unwrap();
        errors.push(error(&pixels, &shown));
    }
    assert!(errors.is_sorted_by(|worse, better| worse > better), "{errors:?}");
    assert!(errors[2] < 4_000 && errors[5] < 150, "{errors:?}");
}

#[test]
fn clipped_rectangles_come_back_whole() {
    for form in FORMS {
        for (width, height) in [(1, 1), (16, 16), (17, 9), (8, 40), (40, 8), (33, 31)] {
            let pixels = vec![0x0040_8020; usize::from(width) * usize::from(height)];
            let (mut payload, mut shown) = (Vec::new(), Vec::new());
            let rows = encode(&pixels, width.into(), form, usize::MAX, &mut payload);
            assert_eq!(rows, usize::from(height));
            decode(&payload, area(width, height), &mut shown).unwrap();
            assert!(shown.iter().all(|pixel| *pixel == shown[0]), "{form:?}");
            assert!(form.quality < 30 || error(&pixels, &shown) < 2_000, "{form:?} {:x}", shown[0]);
        }
    }
}

#[test]
fn rows_that_fit_are_those_that_are_coded_alone() {
    let pixels = photo(80, 90);
    for form in FORMS {
        let mut whole = Vec::new();
        encode(&pixels, 80, form, usize::MAX, &mut whole);
        for max in [0, 1, 60, 300, 900, whole.len() - 1, whole.len()] {
            let mut cut = vec![7];
            let rows = encode(&pixels, 80, form, max, &mut cut);
            assert!(cut.len() <= max + 1 && (rows % 16 == 0 || rows == 90), "{rows} rows");
            assert_eq!(rows == 90, max >= whole.len());
            if rows == 0 {
                assert_eq!(cut, [7]);
                continue;
            }
            let mut alone = vec![7];
            assert_eq!(encode(&pixels[..rows * 80], 80, form, max, &mut alone), rows);
            assert_eq!(cut, alone);
            let mut shown = Vec::new();
            decode(&cut[1..], area(80, rows as u16), &mut shown).unwrap();
        }
    }
}

#[test]
fn a_scan_ends_with_its_payload() {
    let pixels = photo(48, 32);
    for form in FORMS {
        let mut payload = Vec::new();
        encode(&pixels, 48, form, usize::MAX, &mut payload);
        let mut out = Vec::new();
        for len in 0..payload.len() {
            out.clear();
            assert!(decode(&payload[..len], area(48, 32), &mut out).is_err(), "{len} of {}", payload.len());
        }
        for tail in [0, 0x55, 0xff] {
            let longer: Vec<_> = payload.iter().copied().chain([tail]).collect();
            out.clear();
            assert!(decode(&longer, area(48, 32), &mut out).is_err(), "{tail} behind it");
        }
        for other in [area(48, 33), area(49, 32), area(32, 32), area(48, 16)] {
            out.clear();
            assert!(decode(&payload, other, &mut out).is_err(), "{other:?}");
        }
        for byte in [0, 101, 0x80, 0xff] {
            payload[0] = byte;
            out.clear();
            assert!(decode(&payload, area(48, 32), &mut out).is_err());
        }
    }
}

#[test]
fn nothing_is_kept_for_a_payload_that_cannot_hold_its_cells() {
    let mut out = Vec::new();
    assert!(decode(&[0x80 | 50; 400], area(1024, 1024), &mut out).is_err());
    assert_eq!(out.capacity(), 0);
}

#[test]
fn the_largest_coefficients_have_codes() {
    // The steepest edges there are, at a quality that divides by nothing.
    let pixels: Vec<u32> = (0..64 * 64)
        .map(|at| if (at % 64 / 8 + at / 512) % 2 == 0 && at % 3 > 0 { 0xff_ff_ff } else { 0x00_00_ff })
        .collect();
    for sampling in [Sampling::Full, Sampling::Quarter] {
        let (mut payload, mut shown) = (Vec::new(), Vec::new());
        encode(&pixels, 64, Form { quality: QUALITY_MAX, sampling }, usize::MAX, &mut payload);
        decode(&payload, area(64, 64), &mut shown).unwrap();
        assert!(sampling == Sampling::Quarter || error(&pixels, &shown) < 300);
    }
}

#[test]
fn quality_scales_as_in_libjpeg() {
    let of = |quality: u8| quantisers(quality).map(|table| (table[0], table[63]));
    assert_eq!(of(50), [(16, 99), (17, 99)]);
    assert_eq!(of(100), [(1, 1), (1, 1)]);
    assert_eq!(of(75), [(8, 50), (9, 50)]);
    assert_eq!(of(25), [(32, 198), (34, 198)]);
    assert_eq!(of(1), [(255, 255), (255, 255)]);
}

#[test]
fn the_transform_leads_back() {
    let mut block: [i32; 64] = core::array::from_fn(|at| (at * at * 37 % 256) as i32 - 128);
    let before = block;
    forward(&mut block);
    block.iter_mut().for_each(|value| *value = (*value + 4) >> 3);
    let mut samples = [0; 64];
    back(&mut block, &mut samples);
    for (sample, before) in samples.iter().zip(before) {
        assert!((i32::from(*sample) - 128).abs_diff(before) <= 2, "{sample} for {before}");
    }
}

#[test]
fn greys_stay_grey() {
    for luma in 0..=255 {
        assert_eq!(pixel(luma, 128, 128), u32::from(luma) * 0x01_01_01);
    }
}

#[test]
fn coloured_writing_is_sampled_in_full() {
    let writing: Vec<u32> =
        (0..32 * 32).map(|at| if at % 3 == 0 { 0xd0_00_00 } else { 0x00_00_20 }).collect();
    assert_eq!(sampling(&writing, 32), Sampling::Full);
    assert_eq!(sampling(&photo(32, 32), 32), Sampling::Quarter);
    let grey: Vec<u32> = (0..32 * 32).map(|at| if at % 3 == 0 { 0 } else { 0xff_ff_ff }).collect();
    assert_eq!(sampling(&grey, 32), Sampling::Quarter);
}
