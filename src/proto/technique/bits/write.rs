//! The server's half.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{COLOURS_MAX, Index};
use crate::depth::Depth;

/// Slots of the table that finds a colour's index: a power of two, at most a quarter full.
const SLOTS: usize = 4 * COLOURS_MAX;
const FREE: u16 = u16::MAX;

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

/// The colours that were named so far, with their indices.
#[derive(Debug)]
pub(in crate::technique) struct Colours {
    colours: Vec<u32>,
    /// Index of the colour that hashes here or shortly before.
    slots: Box<[u16; SLOTS]>,
    depth: Depth,
}

impl Default for Colours {
    fn default() -> Self {
        Self {
            colours: Vec::with_capacity(COLOURS_MAX),
            slots: Box::new([FREE; SLOTS]),
            depth: Depth::default(),
        }
    }
}

impl Colours {
    /// Begins a payload of pixels of `depth`.
    pub(in crate::technique) fn clear(&mut self, depth: Depth) {
        self.depth = depth;
        self.colours.clear();
        self.slots.fill(FREE);
    }

    /// Bits that the longest index takes now.
    pub(in crate::technique) fn bits(&self) -> usize {
        Index::among(self.colours.len()).count as usize + 1
    }

    /// Puts a colour; false if it is one too many.
    pub(in crate::technique) fn put(&mut self, colour: u32, bits: &mut Writer, out: &mut Vec<u8>) -> bool {
        let slot = self.slot(colour);
        let len = self.colours.len();
        let index = if self.slots[slot] == FREE { len } else { usize::from(self.slots[slot]) };
        if index == COLOURS_MAX {
            return false;
        }
        let Index { count, short } = Index::among(len);
        match (index as u32).checked_sub(short) {
            None => bits.put(index as u32, count, out),
            Some(_) => bits.put(index as u32 + short, count + 1, out),
        }
        if index == len {
            bits.put(self.depth.pack(colour), self.depth.bits(), out);
            self.slots[slot] = len as u16;
            self.colours.push(colour);
        }
        true
    }

    /// The slot that holds `colour`, or the free one where it belongs.
    fn slot(&self, colour: u32) -> usize {
        let mut slot = (colour.wrapping_mul(0x9e37_79b1) >> 16) as usize % SLOTS;
        loop {
            match self.colours.get(usize::from(self.slots[slot])) {
                Some(held) if *held != colour => slot = (slot + 1) % SLOTS,
                _ => return slot,
            }
        }
    }
}

const _: () = assert!(SLOTS.is_power_of_two() && FREE as usize >= COLOURS_MAX);
