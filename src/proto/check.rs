//! The checksums by which both sides compare what they have: DIGEST's two, and the check of a base.

use crate::units::ContentNumber;

/// CRC-32 over content numbers, each as 64-bit little endian: a base's check, and a digest's contents. The caller
/// gives them row-major.
#[must_use]
pub fn contents(numbers: impl IntoIterator<Item = ContentNumber>) -> u32 {
    // Many at a time: of eight bytes alone the sum costs several times as much.
    const BLOCK: usize = 32;
    let (mut hasher, mut bytes, mut filled) = (crc32fast::Hasher::new(), [[0; 8]; BLOCK], 0);
    for number in numbers {
        bytes[filled] = number.0.to_le_bytes();
        filled += 1;
        if filled == BLOCK {
            hasher.update(bytes.as_flattened());
            filled = 0;
        }
    }
    hasher.update(bytes[..filled].as_flattened());
    hasher.finalize()
}

/// CRC-32 over pixels (`0x00RRGGBB`), each as B, G, R, 0: a digest's pixels. The caller gives the rows of the clipped
/// pixel rectangle from top to bottom, in as many pieces as it likes.
#[must_use]
pub fn pixels<'a>(rows: impl IntoIterator<Item = &'a [u32]>) -> u32 {
    let mut sum = Pixels::default();
    for row in rows {
        sum.update(row);
    }
    sum.finish()
}

/// [`pixels`] for a caller that has the pieces one at a time.
#[derive(Clone, Debug, Default)]
pub struct Pixels(crc32fast::Hasher);

impl Pixels {
    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u32]) {
        // Whole pixels side by side, which the compiler copies in vectors.
        const BLOCK: usize = 256;
        let mut bytes = [[0; 4]; BLOCK];
        for block in piece.chunks(BLOCK) {
            for (four, pixel) in bytes.iter_mut().zip(block) {
                *four = (pixel & 0x00ff_ffff).to_le_bytes();
            }
            self.0.update(bytes[..block.len()].as_flattened());
        }
    }

    /// The checksum of all that was added.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{contents, pixels};
    use crate::units::ContentNumber;

    #[test]
    fn pieces_do_not_matter_and_the_fourth_byte_is_zero() {
        let row: Vec<u32> = (0..700_u32).map(|at| at.wrapping_mul(0x0102_0305)).collect();
        let plain: Vec<u8> = row.iter().flat_map(|pixel| (pixel & 0x00ff_ffff).to_le_bytes()).collect();
        assert_eq!(pixels([&row[..]]), crc32fast::hash(&plain));
        assert_eq!(pixels(row.chunks(7)), crc32fast::hash(&plain));
    }

    #[test]
    fn contents_are_summed_as_64_bit_numbers() {
        assert_eq!(
            contents([ContentNumber(0x31), ContentNumber(0)]),
            crc32fast::hash(b"1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        );
        assert_eq!(contents([]), 0);
    }
}
