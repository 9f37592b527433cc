//! The bitmap cache of one epoch: pictures in slots that the server names.

use lfp_proto::frame::Refusal;
use lfp_proto::geometry::Size;
use lfp_proto::limits::{CACHE_SLOT_CELLS, CACHE_SLOTS, CELL_PIXELS};
use lfp_proto::technique::cache::Stored;

/// The slots. One takes no memory before something is stored there, and no more than its bound then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
}

/// What a slot holds.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// 0: nothing.
    generation: u32,
    width: u16,
    height: u16,
    /// Rows from the top without padding.
    pixels: Vec<u32>,
}

impl Cache {
    /// Whether there may be a store of `cells` cells in a slot.
    ///
    /// # Errors
    /// [`Refusal::Cache`] if there may not.
    // SPEC [LFP-8.7]: A client MUST refuse a store (reason cache) whose slot is not below 128 or that is of more than 128
    // cells.
    pub(crate) const fn check(stored: Stored, cells: usize) -> Result<(), Refusal> {
        if stored.slot as usize >= CACHE_SLOTS || cells > CACHE_SLOT_CELLS {
            return Err(Refusal::Cache);
        }
        Ok(())
    }

    /// Whether a store as `stored` would be kept.
    pub(crate) fn takes(&self, stored: Stored) -> bool {
        stored.generation > self.slots.get(stored.slot as usize).map_or(0, |slot| slot.generation)
    }

    /// Keeps `pixels`, rows of a picture of `size`, of a store that was checked.
    // SPEC [LFP-8.6]: A client MUST keep the pixels of a store in its slot, in place of what it held, if the store's
    // generation is larger than any that the slot has had; any other store is superseded.
    pub(crate) fn keep(&mut self, stored: Stored, size: Size, mut pixels: Vec<u32>) {
        debug_assert!(self.takes(stored) && (stored.slot as usize) < CACHE_SLOTS);
        debug_assert!(pixels.len() <= CACHE_SLOT_CELLS * CELL_PIXELS);
        let at = stored.slot as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        let Size { width, height } = size;
        // No more memory than the picture takes.
        pixels.shrink_to_fit();
        self.slots[at] = Slot { generation: stored.generation, width, height, pixels };
    }

    /// The pixels that are kept as `stored`, and their size.
    pub(crate) fn picture(&self, stored: Stored) -> Option<(&[u32], Size)> {
        let slot = self.slots.get(stored.slot as usize)?;
        let holds = slot.generation == stored.generation && slot.generation > 0;
        holds.then_some((&slot.pixels[..], Size { width: slot.width, height: slot.height }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_its_largest_generation_and_no_other() {
        let mut cache = Cache::default();
        let stored = |slot, generation| Stored { slot, generation };
        let size = Size::new(2, 1).expect("legal");
        assert!(!cache.takes(stored(0, 0)) && cache.picture(stored(0, 0)).is_none());
        cache.keep(stored(127, 3), size, vec![1, 2]);
        assert_eq!(cache.picture(stored(127, 3)), Some((&[1, 2][..], size)));
        for other in [stored(127, 2), stored(127, 4), stored(126, 3), stored(126, 0), stored(128, 3)] {
            assert_eq!(cache.picture(other), None, "{other:?}");
        }
        assert!(!cache.takes(stored(127, 3)) && !cache.takes(stored(127, 2)) && cache.takes(stored(127, 4)));
        cache.keep(stored(127, 9), size, vec![3, 4]);
        assert_eq!(cache.picture(stored(127, 3)), None);
        assert_eq!(cache.picture(stored(127, 9)), Some((&[3, 4][..], size)));
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let check = |slot, cells| Cache::check(Stored { slot, generation: 1 }, cells);
        assert_eq!(check(127, 128), Ok(()));
        assert_eq!(check(128, 1), Err(Refusal::Cache));
        assert_eq!(check(u32::MAX, 1), Err(Refusal::Cache));
        assert_eq!(check(0, 129), Err(Refusal::Cache));
    }
}
