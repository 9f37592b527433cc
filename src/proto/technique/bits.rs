//! Bits of a payload, from each byte's most significant on, and what [trixel](super::trixel) and
//! [pixel scan](super::scan) put into them: lengths, and colours in the order in which they are first used.

#[cfg(feature = "encode")]
mod write;

#[cfg(feature = "encode")]
pub(super) use write::{Colours, Writer};

use crate::depth::Depth;
use crate::frame::Refusal;
use crate::limits::{CELL_PIXELS, RECORD_CELLS_MAX};

/// Most colours that a payload names.
pub(super) const COLOURS_MAX: usize = 256;
/// Zeros before the highest bit of the longest length.
const ZEROS_MAX: u32 = (RECORD_CELLS_MAX * CELL_PIXELS).ilog2();

/// Takes bits off the front of a payload.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The next bits, from the most significant on; those that are not held are zero.
    window: u64,
    held: u32,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, window: 0, held: 0 }
    }

    /// Holds at least 32 bits, if as many are left.
    #[inline]
    fn refill(&mut self) {
        if self.held >= 32 {
            return;
        }
        if let Some((four, rest)) = self.rest.split_first_chunk::<4>() {
            self.window |= u64::from(u32::from_be_bytes(*four)) << (32 - self.held);
            (self.rest, self.held) = (rest, self.held + 32);
            return;
        }
        for byte in self.rest {
            self.window |= u64::from(*byte) << (56 - self.held);
            self.held += 8;
        }
        self.rest = &[];
    }

    /// The next `count` bits, at most 32.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Refusal> {
        self.refill();
        if count > self.held {
            return Err(Refusal::Payload);
        }
        // Two shifts: one by 64 would be none.
        let value = (self.window >> 32 >> (32 - count)) as u32;
        self.window <<= count;
        self.held -= count;
        Ok(value)
    }

    /// A length, which is above 0: as many zeros as it has bits below its highest, and then its bits.
    #[inline]
    pub(super) fn length(&mut self) -> Result<usize, Refusal> {
        self.refill();
        let zeros = self.window.leading_zeros();
        if zeros > ZEROS_MAX || zeros >= self.held {
            return Err(Refusal::Payload);
        }
        self.window <<= zeros;
        self.held -= zeros;
        self.take(zeros + 1).map(|length| length as usize)
    }

    /// Nothing may be left but zeros that fill the last byte.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        self.refill();
        if self.held < 8 && self.window == 0 { Ok(()) } else { Err(Refusal::Payload) }
    }
}

/// The colours that a payload has named so far.
#[derive(Debug)]
pub(super) struct Palette {
    colours: [u32; COLOURS_MAX],
    len: usize,
    index: Index,
    depth: Depth,
}

impl Palette {
    pub(super) const fn new(depth: Depth) -> Self {
        Self { colours: [0; COLOURS_MAX], len: 0, index: Index::among(0), depth }
    }

    /// The next colour: its index, or the next free index and then the colour.
    #[inline]
    pub(super) fn colour(&mut self, bits: &mut Reader<'_>) -> Result<u32, Refusal> {
        let Index { count, short } = self.index;
        let mut index = bits.take(count)?;
        if index >= short {
            index = (index << 1 | bits.take(1)?) - short;
        }
        let index = index as usize;
        if index < self.len {
            return Ok(self.colours[index]);
        }
        // Only with the next free index, as there are no larger codes.
        let colour = self.depth.unpack(bits.take(self.depth.bits())?);
        self.colours[index] = colour;
        self.len += 1;
        self.index = Index::among(self.len);
        Ok(colour)
    }
}

/// How an index is written: the first `short` of them with `count` bits, the rest, `short` larger, with one more.
#[derive(Clone, Copy, Debug)]
struct Index {
    count: u32,
    short: u32,
}

impl Index {
    /// Among `len` colours, and the next free index if there is room for one.
    const fn among(len: usize) -> Self {
        let indices = if len < COLOURS_MAX { len as u32 + 1 } else { COLOURS_MAX as u32 };
        let count = indices.ilog2();
        Self { count, short: (2 << count) - indices }
    }
}

const _: () = assert!(COLOURS_MAX == 256 && ZEROS_MAX < 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_end_with_the_payload() {
        let mut bits = Reader::new(&[0b1010_0111, 1, 2, 3, 4, 5, 0b1100_0000]);
        assert_eq!(bits.take(0), Ok(0));
        assert_eq!((bits.take(1), bits.take(3), bits.take(4)), (Ok(1), Ok(2), Ok(7)));
        assert_eq!((bits.take(32), bits.take(8), bits.take(2)), (Ok(0x0102_0304), Ok(5), Ok(3)));
        assert_eq!(bits.clone().finish(), Ok(()));
        assert_eq!(bits.take(6), Ok(0));
        assert_eq!(bits.take(1), Err(Refusal::Payload));
        assert_eq!(Reader::new(&[0]).finish(), Err(Refusal::Payload), "a whole byte is left");
        let mut bits = Reader::new(&[0b1000_0001]);
        assert_eq!(bits.take(1), Ok(1));
        assert_eq!(bits.finish(), Err(Refusal::Payload), "what fills the byte is not zero");
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(Reader::new(&[0b1000_0000]).length(), Ok(1));
        assert_eq!(Reader::new(&[0b0110_0000]).length(), Ok(3));
        assert_eq!(Reader::new(&[0b0000_1111]).length(), Err(Refusal::Payload), "cut");
        assert_eq!(Reader::new(&[]).length(), Err(Refusal::Payload));
        assert_eq!(Reader::new(&[0, 0, 0b0000_1000, 0, 0, 0]).length(), Ok(1 << 20));
        assert_eq!(Reader::new(&[0, 0, 0b0000_0100, 0, 0, 0]).length(), Err(Refusal::Payload), "too long");
    }

    #[test]
    fn an_index_takes_no_more_bits_than_its_number_needs() {
        for len in 0..=COLOURS_MAX {
            let Index { count, short } = Index::among(len);
            let indices = (len + 1).min(COLOURS_MAX) as u32;
            let codes = short + 2 * ((1 << count) - short);
            assert_eq!(codes, indices, "{len} colours");
        }
    }
}
