//! The bitmap cache of a client, as the server knows it: which slot holds what, and what is known to have come.

use std::sync::Arc;

use crate::geometry::CellRect;
use crate::limits::CACHE_SLOTS;
use crate::logic::{self, EncodedRecord};
use crate::scan::{Picture, Tile};
use crate::session::cells::Cells;
use lfp_proto::technique::Technique;
use lfp_proto::technique::cache::{Store, Stored, Use};

/// The slots of one surface in one epoch. They go with it, so that nothing of one source is ever used for another.
///
/// | state of a slot | event | next |
/// | --- | --- | --- |
/// | any | a store is made for it, as the one that was used least lately | under way |
/// | under way | the packet of the store came, and it was not refused | confirmed |
/// | under way, confirmed | the store was lost, refused or not sent; a use was refused; a digest differed | empty |
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Most slots; 0 if the client has no cache.
    most: usize,
    clock: u64,
    /// For encoders; made anew after a change.
    known: Option<Arc<logic::Slots>>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// On the clock; 0: it is empty.
    used_at: u64,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    cells: CellRect,
    tiles: Arc<[Arc<Tile>]>,
    confirmed: bool,
}

impl Slots {
    /// All empty, if the client `has` a cache.
    pub(super) const fn new(has: bool) -> Self {
        let most = if has { CACHE_SLOTS } else { 0 };
        Self { slots: Vec::new(), most, clock: 0, known: None }
    }

    /// What encoders may use, and need not store again; the lately used first. `None` if the client has no cache.
    pub(super) fn known(&mut self) -> Option<Arc<logic::Slots>> {
        if self.most > 0 && self.known.is_none() {
            let mut entries: Vec<_> = (0..)
                .zip(&self.slots)
                .filter_map(|(slot, Slot { generation, used_at, held })| {
                    let Held { cells, ref tiles, confirmed } = *held.as_ref()?;
                    let stored = Stored { slot, generation: *generation };
                    Some((used_at, logic::Entry { stored, cells, tiles: Arc::clone(tiles), confirmed }))
                })
                .collect();
            entries.sort_by_key(|(used_at, _)| std::cmp::Reverse(**used_at));
            let entries = entries.into_iter().map(|(_, entry)| entry).collect();
            self.known = Some(Arc::new(logic::Slots { entries }));
        }
        self.known.clone()
    }

    /// Takes a slot for `cells` of `picture`; `None` if the client has no cache, or generations have run out.
    // SPEC [LFP-8.9]: A server MUST give each store to a slot a larger generation, from 1, than any before it in that
    // epoch.
    pub(super) fn store(&mut self, cells: CellRect, picture: &Picture) -> Option<Stored> {
        let is_full = self.slots.iter().all(|slot| slot.held.is_some());
        if is_full && self.slots.len() < self.most {
            self.slots.push(Slot { generation: 0, used_at: 0, held: None });
        }
        let (slot, place) = (0..).zip(&mut self.slots).min_by_key(|(_, slot)| slot.used_at)?;
        place.generation = place.generation.checked_add(1)?;
        self.clock += 1;
        place.used_at = self.clock;
        let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
        let tiles =
            picture.cell_rows(cells).flat_map(|row| row.tiles[columns.clone()].iter().map(Arc::clone));
        place.held = Some(Held { cells, tiles: tiles.collect(), confirmed: false });
        self.known = None;
        Some(Stored { slot, generation: place.generation })
    }

    /// A store came and was not refused.
    pub(super) fn on_confirmed(&mut self, stored: Stored) {
        if let Some(held) = self.slot(stored).and_then(|slot| slot.held.as_mut()) {
            held.confirmed = true;
            self.known = None;
        }
    }

    /// A store was lost, refused or not sent, or a use of it was refused.
    pub(super) fn forget(&mut self, stored: Stored) {
        if let Some(slot) = self.slot(stored) {
            (slot.held, slot.used_at) = (None, 0);
            self.known = None;
        }
    }

    /// The client is believed to show something else than it was sent; it may have stored that.
    pub(super) fn forget_all(&mut self) {
        self.slots.iter_mut().for_each(|slot| (slot.held, slot.used_at) = (None, 0));
        self.known = None;
    }

    /// Whether a use of a slot may go out; if so, it counts as used.
    // SPEC [LFP-8.10]: A server MUST NOT send a use of a generation before the packet of its store is acked and the store
    // not refused, nor after it has sent another store to that slot.
    pub(super) fn use_now(&mut self, stored: Stored) -> bool {
        let now = self.clock + 1;
        let slot = self.slot(stored).filter(|slot| slot.held.as_ref().is_some_and(|held| held.confirmed));
        let Some(slot) = slot else { return false };
        slot.used_at = now;
        self.clock = now;
        true
    }

    /// Bytes that this takes: the pixels are likely to be nowhere else any more.
    pub(super) fn memory_bytes(&self) -> usize {
        let held = self.slots.iter().filter_map(|slot| slot.held.as_ref());
        self.slots.capacity() * size_of::<Slot>()
            + held.map(|held| held.tiles.len() * (size_of::<Tile>() + size_of::<usize>())).sum::<usize>()
    }

    fn slot(&mut self, stored: Stored) -> Option<&mut Slot> {
        self.slots.get_mut(stored.slot as usize).filter(|slot| slot.generation == stored.generation)
    }
}

/// A record will not be sent: what it paints is given back, what it stores is not.
pub(super) fn drop_unsent(record: &EncodedRecord, cells: &mut Cells, slots: &mut Slots) {
    match stored_of(record) {
        Some(stored) => slots.forget(stored),
        None => cells.give_back_rect(record.cells),
    }
}

/// What a record stores, if it is a store.
pub(super) fn stored_of(record: &EncodedRecord) -> Option<Stored> {
    let is_store = record.technique == Technique::Store;
    is_store.then(|| Store::parse(&record.payload).ok()).flatten().map(|store| store.stored)
}

/// What a record takes out of the cache, if it is a use.
pub(super) fn used_of(record: &EncodedRecord) -> Option<Stored> {
    let is_use = record.technique == Technique::Use;
    is_use.then(|| Use::parse(&record.payload).ok()).flatten().map(|used| used.stored)
}

#[cfg(test)]
mod tests;
