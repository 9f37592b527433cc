//! The server's half.

use alloc::vec::Vec;

use super::Index;
use crate::depth::Depth;
use crate::technique::palette::Palette;

/// Appends bits to bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::technique) struct Writer {
    /// The last bits that were put, those of whole bytes apart.
    window: u64,
    held: u32,
}

impl Writer {
    /// Puts the low `count` bits of `value`, at most 32; the others are zero.
    pub(in crate::technique) fn put(&mut self, value: u32, count: u32, out: &mut Vec<u8>) {
        debug_assert!(count == 32 || value >> count == 0, "{value} in {count} bits");
        self.window = self.window << count | u64::from(value);
        self.held += count;
        while self.held >= 8 {
            self.held -= 8;
            out.push((self.window >> self.held) as u8);
        }
    }

    /// Puts a length, which is above 0.
    pub(in crate::technique) fn put_length(&mut self, length: usize, out: &mut Vec<u8>) {
        let zeros = length.ilog2();
        self.put(0, zeros, out);
        self.put(length as u32, zeros + 1, out);
    }

    /// Bytes that `out`, which the bits go to, has once the last is filled.
    pub(in crate::technique) fn bytes(&self, out: &[u8]) -> usize {
        out.len() + usize::from(self.held > 0)
    }

    /// Fills the last byte.
    pub(in crate::technique) fn finish(&mut self, out: &mut Vec<u8>) {
        self.put(0, self.held.wrapping_neg() % 8, out);
        *self = Self::default();
    }
}

/// The colours that were named so far.
#[derive(Debug, Default)]
pub(in crate::technique) struct Colours {
    palette: Palette,
    depth: Depth,
}

impl Colours {
    /// Begins a payload of pixels of `depth`.
    pub(in crate::technique) fn clear(&mut self, depth: Depth) {
        self.depth = depth;
        self.palette.clear();
    }

    /// Bits that the longest index takes now.
    pub(in crate::technique) fn bits(&self) -> usize {
        Index::among(self.palette.len()).count as usize + 1
    }

    /// Puts a colour; false if it is one too many.
    pub(in crate::technique) fn put(&mut self, colour: u32, bits: &mut Writer, out: &mut Vec<u8>) -> bool {
        let len = self.palette.len();
        let Some(index) = self.palette.add(colour) else { return false };
        let Index { count, short } = Index::among(len);
        match (index as u32).checked_sub(short) {
            None => bits.put(index as u32, count, out),
            Some(_) => bits.put(index as u32 + short, count + 1, out),
        }
        if index == len {
            bits.put(self.depth.pack(colour), self.depth.bits(), out);
        }
        true
    }
}
