use alloc::vec;
use alloc::vec::Vec;

use super::{Base, Decoder, Encoder};
use crate::frame::Refusal;
use crate::geometry::PixelRect;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Something like a screen: areas of one colour, marks in few colours, a slope, and some noise.
    fn picture(&mut self, width: usize, height: usize) -> Vec<u32> {
        let mut pixels = vec![0x00f0_f0f0; width * height];
        for _ in 0..self.below(12) {
            let (x, y) = (self.below(width as u64) as usize, self.below(height as u64) as usize);
            let (w, h) = (1 + self.below(20) as usize, 1 + self.below(12) as usize);
            let (kind, colour) = (self.below(4), self.below(1 << 24) as u32);
            for (row, line) in pixels.chunks_exact_mut(width).enumerate().skip(y).take(h) {
                for (column, pixel) in line.iter_mut().enumerate().skip(x).take(w) {
                    *pixel = match kind {
                        0 => colour,
                        1 if (row * 7 + column * 5) % 3 == 0 => colour,
                        1 => *pixel,
                        2 => (row as u32 * 3 + column as u32 * 2) & 0xff,
                        _ => self.below(1 << 24) as u32,
                    };
                }
            }
        }
        pixels
    }
}

const fn area(width: usize, height: usize) -> PixelRect {
    PixelRect { x: 0, y: 0, width: width as u16, height: height as u16 }
}

fn round_trip(
    coders: &mut (Encoder, Decoder),
    pixels: &[u32],
    width: usize,
    base: Option<&[u32]>,
    max: usize,
) -> usize {
    let base = base.map(|pixels| Base { pixels, stride: width });
    let (mut bytes, mut decoded) = (Vec::new(), Vec::new());
    let rows = coders.0.encode(pixels, width, base, max, &mut bytes);
    assert!(bytes.len() <= max, "{} bytes", bytes.len());
    if rows > 0 {
        let result = coders.1.decode(&bytes, area(width, rows), base, &mut decoded);
        assert_eq!((result, decoded.len()), (Ok(()), rows * width));
        assert!(decoded == pixels[..rows * width], "{width} x {rows} pixels differ");
    }
    rows
}

#[test]
fn what_is_decoded_is_what_was_encoded() {
    let (mut random, mut coders) = (Random(1), <(Encoder, Decoder)>::default());
    for round in 0..400 {
        let (width, height) = (1 + random.below(90) as usize, 1 + random.below(50) as usize);
        let pixels = random.picture(width, height);
        let base = match round % 3 {
            0 => None,
            1 => Some(random.picture(width, height)),
            _ => {
                let mut base = pixels.clone();
                for _ in 0..random.below(9) {
                    let at = random.below(base.len() as u64) as usize;
                    base[at] ^= 1 << random.below(24);
                }
                Some(base)
            }
        };
        let rows = round_trip(&mut coders, &pixels, width, base.as_deref(), usize::MAX);
        assert_eq!(rows, height);
    }
}

#[test]
fn what_does_not_fit_ends_behind_a_row_of_cells() {
    let (mut random, mut coders) = (Random(2), <(Encoder, Decoder)>::default());
    for round in 0..200 {
        let (width, height) = (64, 40);
        let (pixels, base) = (random.picture(width, height), random.picture(width, height));
        let base = (round % 2 == 0).then_some(&base[..]);
        let rows = round_trip(&mut coders, &pixels, width, base, 20 + random.below(700) as usize);
        assert!([0, 16, 32, 40].contains(&rows), "{rows} rows");
    }
}

#[test]
fn equal_to_its_base_costs_next_to_nothing() {
    let (mut random, mut encoder) = (Random(3), Encoder::default());
    let pixels = random.picture(256, 64);
    let mut bytes = Vec::new();
    encoder.encode(&pixels, 256, Some(Base { pixels: &pixels, stride: 256 }), 1_000, &mut bytes);
    assert!(bytes.len() <= 6, "{} bytes", bytes.len());
}

#[test]
fn a_payload_cut_short_or_too_long_does_not_pass_for_the_whole() {
    let (mut random, mut coders) = (Random(4), <(Encoder, Decoder)>::default());
    let pixels = random.picture(48, 32);
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    assert_eq!(coders.0.encode(&pixels, 48, None, usize::MAX, &mut bytes), 32);
    for len in 0..bytes.len() {
        out.clear();
        let decoded = coders.1.decode(&bytes[..len], area(48, 32), None, &mut out);
        assert!(decoded == Err(Refusal::Payload) || out != pixels, "{len} of {} bytes", bytes.len());
    }
    bytes.extend([1; 5]);
    out.clear();
    assert_eq!(coders.1.decode(&bytes, area(48, 32), None, &mut out), Err(Refusal::Payload));
}

#[test]
fn no_bytes_make_it_panic() {
    let (mut random, mut decoder) = (Random(5), Decoder::default());
    for round in 0..2_000 {
        let (width, height) = (1 + random.below(40) as usize, 1 + random.below(40) as usize);
        let bytes: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        let base = random.picture(width, height);
        let base = (round % 2 == 0).then_some(Base { pixels: &base, stride: width });
        let mut out = Vec::new();
        let decoded = decoder.decode(&bytes, area(width, height), base, &mut out);
        assert!(decoded.is_err() || out.iter().all(|pixel| *pixel < 1 << 24), "{round}");
        assert!(out.len() <= width * height);
    }
}
