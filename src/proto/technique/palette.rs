//! Colours in the order in which they were met, and the way back from a colour to its place.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Most colours that a palette holds.
pub(super) const COLOURS_MAX: usize = 256;
/// Slots of the table that finds a colour's index: a power of two, at most a quarter full, so that a search ends.
const SLOTS: usize = 4 * COLOURS_MAX;
const FREE: u16 = u16::MAX;

/// Up to 256 colours. Takes its memory, some 3 kB, once.
#[derive(Debug)]
pub(super) struct Palette {
    colours: Vec<u32>,
    /// Index of the colour that hashes here or shortly before.
    slots: Box<[u16; SLOTS]>,
}

impl Default for Palette {
    fn default() -> Self {
        Self { colours: Vec::with_capacity(COLOURS_MAX), slots: Box::new([FREE; SLOTS]) }
    }
}

impl Palette {
    /// How many colours there are.
    pub(super) fn len(&self) -> usize {
        self.colours.len()
    }

    /// The colour with index `index`.
    pub(super) fn at(&self, index: usize) -> Option<u32> {
        self.colours.get(index).copied()
    }

    /// The index of `colour`, if it is there.
    pub(super) fn find(&self, colour: u32) -> Option<usize> {
        let index = self.slots[self.slot(colour)];
        (index != FREE).then_some(usize::from(index))
    }

    /// The index of `colour`, which is added if it is not there; `None` if there is no room for it.
    pub(super) fn add(&mut self, colour: u32) -> Option<usize> {
        let slot = self.slot(colour);
        if self.slots[slot] == FREE {
            if self.colours.len() == COLOURS_MAX {
                return None;
            }
            self.slots[slot] = self.colours.len() as u16;
            self.colours.push(colour);
        }
        Some(usize::from(self.slots[slot]))
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.colours.clear();
        self.slots.fill(FREE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_keep_the_order_in_which_they_came_and_no_more_than_fit_come() {
        let mut palette = Palette::default();
        for round in 0..2 {
            for index in 0..COLOURS_MAX {
                let colour = (index as u32).wrapping_mul(0x0001_0307 + round) & 0x00ff_ffff;
                assert_eq!((palette.find(colour), palette.add(colour)), (None, Some(index)));
                assert_eq!((palette.add(colour), palette.find(colour)), (Some(index), Some(index)));
                assert_eq!((palette.at(index), palette.at(index + 1)), (Some(colour), None));
            }
            assert_eq!((palette.add(0x00ff_fffe), palette.len()), (None, COLOURS_MAX));
            palette.clear();
        }
    }
}
