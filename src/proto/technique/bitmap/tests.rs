//! Round trips, and payloads that must be refused.

use alloc::vec;
use alloc::vec::Vec;

use super::filter::Filter;
use super::{coding, decode};
use crate::frame::Refusal;
use crate::geometry::PixelRect;

/// A small deterministic generator (xorshift64*).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

fn area(width: u16, height: u16) -> PixelRect {
    PixelRect { x: 0, y: 0, width, height }
}

fn stored(plain: &[u8]) -> Vec<u8> {
    let len = u16::try_from(plain.len()).unwrap();
    let mut stream = vec![1];
    stream.extend(len.to_le_bytes());
    stream.extend((!len).to_le_bytes());
    stream.extend(plain);
    stream
}

fn decoded(payload: &[u8], area: PixelRect) -> Result<Vec<u32>, Refusal> {
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    decode(payload, area, &mut scratch, &mut out).map(|()| out)
}

#[cfg(feature = "encode")]
fn painted(rng: &mut Rng, width: usize, height: usize) -> Vec<u32> {
    let colours = 1 << rng.below(12);
    let smooth = rng.below(2) == 0;
    (0..width * height)
        .map(|at| {
            let noise = rng.below(colours) as u32;
            let gradient = ((at % width) * 3 + (at / width) * 0x0102) as u32;
            (if smooth { gradient + noise % 3 } else { noise.wrapping_mul(0x0001_0305) }) & 0x00ff_ffff
        })
        .collect()
}

#[cfg(feature = "encode")]
#[test]
fn every_picture_comes_back() {
    let mut rng = Rng(1);
    for effort in [super::Effort::Fast, super::Effort::Usual, super::Effort::Thorough] {
        let mut encoder = super::Encoder::new(effort);
        for _ in 0..60 {
            let (width, height) = (1 + rng.below(70) as u16, 1 + rng.below(40) as u16);
            let pixels = painted(&mut rng, width.into(), height.into());
            let mut payload = vec![9];
            assert!(encoder.encode(&pixels, width.into(), usize::MAX, &mut payload));
            assert_eq!(payload[0], 9);
            assert_eq!(decoded(&payload[1..], area(width, height)), Ok(pixels));
        }
    }
}

#[cfg(feature = "encode")]
#[test]
fn a_limit_is_kept_and_what_does_not_fit_leaves_nothing() {
    let mut rng = Rng(2);
    let mut encoder = super::Encoder::default();
    for _ in 0..40 {
        let pixels = painted(&mut rng, 48, 32);
        let mut whole = Vec::new();
        assert!(encoder.encode(&pixels, 48, usize::from(u16::MAX), &mut whole));
        let mut exact = Vec::new();
        assert!(encoder.encode(&pixels, 48, whole.len(), &mut exact), "the same within its own length");
        assert_eq!(exact, whole);
        for limit in [0, 1, 2, 3, whole.len() / 2, whole.len() - 1] {
            let mut out = vec![7];
            assert!(!encoder.encode(&pixels, 48, limit, &mut out));
            assert_eq!(out, [7]);
        }
    }
}

#[cfg(feature = "encode")]
#[test]
fn every_filter_is_undone() {
    let mut rng = Rng(3);
    for filter in Filter::ALL {
        for pixels in 1..40 {
            let mut row = || (0..pixels * 3).map(|_| rng.next() as u8).collect::<Vec<_>>();
            let (line, above) = (row(), row());
            let mut filtered = vec![0; line.len()];
            filter.apply(&line, &above, &mut filtered);
            filter.undo(&mut filtered, &above);
            assert_eq!(filtered, line, "{filter:?}");
            filter.apply(&line, &vec![0; line.len()], &mut filtered);
            filter.undo(&mut filtered, &[]);
            assert_eq!(filtered, line, "{filter:?} of a first row");
        }
    }
}

#[test]
fn known_payloads_decode() {
    let mut payload = vec![coding::FILTERED];
    payload.extend(stored(&[Filter::Left as u8, 1, 2, 3, 1, 1, 1, Filter::Up as u8, 0, 0, 0, 1, 0, 0]));
    assert_eq!(decoded(&payload, area(2, 2)), Ok(vec![0x030201, 0x040302, 0x030201, 0x040303]));
    let mut payload = vec![coding::PALETTE_2, 2];
    payload.extend(stored(&[0, 0, 0, 255, 255, 255, 0, 0, 255, 0b0001_1000]));
    assert_eq!(decoded(&payload, area(3, 1)), Ok(vec![0, 0xff_ffff, 0xff_0000]));
}

#[test]
fn payloads_that_are_not_exactly_the_pixels_are_refused() {
    let refused = |payload: &[u8], area| assert_eq!(decoded(payload, area), Err(Refusal::Payload));
    let filtered = |plain: &[u8]| [&[coding::FILTERED][..], &stored(plain)].concat();
    let palette = |coding, last, plain: &[u8]| [&[coding, last][..], &stored(plain)].concat();
    refused(&[], area(1, 1));
    refused(&[coding::FILTERED], area(1, 1));
    refused(&[coding::PALETTE_8], area(1, 1));
    refused(&[5, 0], area(1, 1));
    refused(&filtered(&[0, 1, 2]), area(1, 1));
    refused(&filtered(&[0, 1, 2, 3, 4]), area(1, 1));
    refused(&filtered(&[5, 1, 2, 3]), area(1, 1));
    let mut trailing = filtered(&[0, 1, 2, 3]);
    assert_eq!(decoded(&trailing, area(1, 1)), Ok(vec![0x030201]));
    trailing.push(0);
    refused(&trailing, area(1, 1));
    refused(&palette(coding::PALETTE_1, 2, &[0; 10]), area(1, 1));
    refused(&palette(coding::PALETTE_8, 0, &[0, 0, 0, 1]), area(1, 1));
    refused(&palette(coding::PALETTE_1, 1, &[0, 0, 0, 1, 1, 1, 0b1100_0001]), area(2, 1));
}

#[test]
fn an_empty_area_is_refused_by_every_technique() {
    let payload = [&[coding::PALETTE_1, 0][..], &stored(&[1, 2, 3])].concat();
    for technique in crate::technique::Technique::ALL {
        for area in [area(0, 5), area(5, 0)] {
            let verdict = crate::technique::decode(
                technique,
                &payload,
                area,
                None,
                &mut crate::technique::Scratch::default(),
                &mut Vec::new(),
            );
            assert_eq!(verdict, Err(Refusal::Payload), "{technique:?}");
        }
    }
}

#[test]
fn a_bomb_takes_no_more_than_its_area() {
    // 16 MiB of zeros in a few kilobytes.
    let mut payload = vec![coding::FILTERED];
    payload.extend(miniz_oxide::deflate::compress_to_vec(&vec![0; 16 << 20], 6));
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    assert_eq!(decode(&payload, area(16, 16), &mut scratch, &mut out), Err(Refusal::Payload));
    assert!(scratch.capacity() <= 2 * 16 * (1 + 16 * 3) && out.capacity() == 0);
}

#[test]
fn any_change_of_a_payload_is_refused_or_gives_all_pixels() {
    let mut rng = Rng(4);
    let mut payload = vec![coding::FILTERED];
    let plain: Vec<u8> =
        (0..16 * 49).map(|at| if at % 49 == 0 { (at % 5) as u8 } else { (at / 7) as u8 }).collect();
    payload.extend(miniz_oxide::deflate::compress_to_vec(&plain, 6));
    assert!(decoded(&payload, area(16, 16)).is_ok());
    for _ in 0..2_000 {
        let mut bad = payload.clone();
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << rng.below(8);
        if let Ok(pixels) = decoded(&bad, area(16, 16)) {
            assert_eq!(pixels.len(), 256);
        }
    }
}
