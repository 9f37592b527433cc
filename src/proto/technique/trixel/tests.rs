//! Round trips, and payloads that must be refused.

use alloc::vec;
use alloc::vec::Vec;

use super::decode;
use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::PixelRect;

fn area(width: u16, height: u16) -> PixelRect {
    PixelRect { x: 0, y: 0, width, height }
}

fn decoded(payload: &[u8], area: PixelRect) -> Result<Vec<u32>, Refusal> {
    let mut out = Vec::new();
    decode(payload, area, Depth::Bits24, &mut out).map(|()| out)
}

/// Packs bits, given as text.
fn packed(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at));
    bits.chunks(8).map(byte).collect()
}

const RED: &str = "111111110000000000000000";
const BLUE: &str = "000000000000000011111111";

#[test]
fn known_payloads_decode() {
    // A new red; of the two other kinds the second: three more before it are the same.
    let payload = packed(&["1", RED, "1 011"].join(" "));
    assert_eq!(decoded(&payload, area(2, 2)), Ok(vec![0xff_0000; 4]));
    // Red and blue, which is the next free index of one colour; then the two above.
    let payload = packed(&["010", RED, "1", BLUE, "0 010"].join(" "));
    assert_eq!(decoded(&payload, area(2, 2)), Ok(vec![0xff_0000, 0x0000_00ff, 0xff_0000, 0x0000_00ff]));
    // Above reaches into what it appends; then new ones: of two colours, the first index has one bit, the second two.
    let payload = packed(&["010", RED, "1", BLUE, "0 00100", "0", "1 0"].join(" "));
    assert!(decoded(&payload, area(2, 4)).is_err(), "above, the first other kind is new: not so");
    let payload = packed(&["010", RED, "1", BLUE, "0 00100 0 010 0 10"].join(" "));
    let mut expected = [0xff_0000, 0x0000_00ff].repeat(3);
    expected.extend([0xff_0000, 0x0000_00ff]);
    assert_eq!(decoded(&payload, area(2, 4)), Ok(expected));
}

#[test]
fn payloads_that_are_not_exactly_the_pixels_are_refused() {
    let refused = |what: &str, payload: &[u8], area| {
        assert_eq!(decoded(payload, area), Err(Refusal::Payload), "{what}");
    };
    let good = packed(&["1", RED, "1 011"].join(" "));
    refused("too long for the rectangle", &good, area(3, 1));
    refused("too short for the rectangle", &good, area(5, 1));
    refused("a byte behind the last", &[&good[..], &[0]].concat(), area(2, 2));
    refused("cut", &good[..good.len() - 1], area(2, 2));
    let mut filled = good;
    *filled.last_mut().expect("it is not empty") |= 1;
    refused("filled with ones", &filled, area(2, 2));
    refused("nothing", &[], area(1, 1));
    refused("a length without end", &[0; 40], area(16, 16));
    refused("nothing above", &packed(&["1", RED, "0 1"].join(" ")), area(2, 1));
    refused("no whole row above", &packed(&["1", RED, "0 1"].join(" ")), area(2, 2));
    refused("a third index of two", &packed(&["011", RED, "1", BLUE, "11"].join(" ")), area(3, 1));
}

#[cfg(feature = "encode")]
mod round_trips {
    use super::super::Encoder;
    use super::*;

    /// A small deterministic generator (xorshift64*).
    struct Rng(u64);

    impl Rng {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
        }
    }

    /// Strokes of so many colours on one ground.
    fn painted(rng: &mut Rng, width: usize, height: usize, colours: u64) -> Vec<u32> {
        let mut pixels = vec![0x00ff_fff0; width * height];
        for _ in 0..rng.below(80) {
            let (x, y) = (rng.below(width as u64) as usize, rng.below(height as u64) as usize);
            let (right, bottom) = (x + 1 + rng.below(9) as usize, y + 1 + rng.below(9) as usize);
            let colour = (rng.below(colours) as u32 * 0x0001_0307) & 0x00ff_ffff;
            let grain = rng.below(8) == 0;
            for y in y..bottom.min(height) {
                for pixel in &mut pixels[y * width..][x..right.min(width)] {
                    let noise = if grain { rng.below(colours) as u32 } else { 0 };
                    *pixel = colour ^ noise;
                }
            }
        }
        pixels
    }

    #[test]
    fn every_picture_of_few_colours_comes_back() {
        let (mut rng, mut encoder) = (Rng(1), Encoder::default());
        for _ in 0..400 {
            let (width, height) = (1 + rng.below(70) as usize, 1 + rng.below(60) as usize);
            let colours = 1 << rng.below(7);
            let pixels = painted(&mut rng, width, height, colours);
            let mut payload = vec![9];
            assert_eq!(encoder.encode(&pixels, width, usize::MAX, &mut payload), height);
            assert_eq!(payload[0], 9);
            assert_eq!(decoded(&payload[1..], area(width as u16, height as u16)), Ok(pixels));
        }
    }

    #[test]
    fn the_rows_that_fit_are_what_they_are_alone() {
        let (mut rng, mut encoder) = (Rng(2), Encoder::default());
        let mut cut = 0;
        for _ in 0..200 {
            let (width, height) = (1 + rng.below(70) as usize, 1 + rng.below(90) as usize);
            let colours = 4 << rng.below(9);
            let pixels = painted(&mut rng, width, height, colours);
            let max = rng.below(600) as usize;
            let mut payload = vec![7];
            let rows = encoder.encode(&pixels, width, max, &mut payload);
            assert!(payload.len() <= 1 + max && (rows % 16 == 0 || rows == height));
            cut += usize::from(rows > 0 && rows < height);
            let (mut alone, kept) = (vec![7], &pixels[..rows * width]);
            if rows > 0 {
                assert_eq!(encoder.encode(kept, width, max, &mut alone), rows);
                assert_eq!(decoded(&payload[1..], area(width as u16, rows as u16)).as_deref(), Ok(kept));
            }
            assert_eq!(payload, alone);
        }
        assert!(cut > 20, "{cut} were cut");
    }

    #[test]
    fn one_colour_too_many_ends_the_rows() {
        let mut encoder = Encoder::default();
        let mut pixels: Vec<u32> = (0..16 * 48).map(|at| at % 256).collect();
        let mut payload = Vec::new();
        assert_eq!(encoder.encode(&pixels, 16, usize::MAX, &mut payload), 48);
        assert_eq!(decoded(&payload, area(16, 48)).as_ref(), Ok(&pixels));
        pixels[16 * 20] = 256;
        payload.clear();
        assert_eq!(encoder.encode(&pixels, 16, usize::MAX, &mut payload), 16);
        assert_eq!(decoded(&payload, area(16, 16)).as_deref(), Ok(&pixels[..256]));
    }
}
