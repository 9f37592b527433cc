//! The bitmap cache of an epoch, as it follows from what was sent and from what came.

use std::collections::{BTreeMap, BTreeSet};

use lfp::geometry::Size;
use lfp_proto::frame::Refusal;
use lfp_proto::limits::{CACHE_SLOT_CELLS, CACHE_SLOTS};
use lfp_proto::record::Record;
use lfp_proto::technique::Technique;
use lfp_proto::wire::Reader;

/// A slot, and a generation of it.
pub(crate) type Name = (u32, u32);

/// What the server has had its client keep.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pictures: BTreeMap<Name, (Size, Vec<u32>)>,
    /// The newest generation that was sent to each slot.
    newest: BTreeMap<u32, u32>,
    /// The server has been told that it came.
    confirmed: BTreeSet<Name>,
    /// The network has painted over what was stored.
    pub(crate) poisoned: BTreeSet<Name>,
}

impl Kept {
    /// A store is sent, of a picture of `size` and so many cells.
    pub(crate) fn on_store(&mut self, name: Name, size: Size, cells: usize, pixels: Vec<u32>) {
        let (slot, generation) = name;
        assert!(
            (slot as usize) < CACHE_SLOTS && cells <= CACHE_SLOT_CELLS,
            "LFP-8.7: {cells} cells in {slot}"
        );
        let before = self.newest.insert(slot, generation).unwrap_or(0);
        assert!(generation > before, "LFP-8.9: slot {slot} has {generation} after {before}");
        self.pictures.insert(name, (size, pixels));
    }

    /// The picture for a use that is sent.
    pub(crate) fn for_use(&self, name: Name) -> (Size, &[u32]) {
        assert!(self.confirmed.contains(&name), "LFP-8.10: {name:?} is used and not known to be there");
        assert_eq!(self.newest.get(&name.0), Some(&name.1), "LFP-8.10: something else is sent to that slot");
        let (size, pixels) = &self.pictures[&name];
        (*size, pixels)
    }

    /// The server is told what became of a store.
    pub(crate) fn on_told(&mut self, name: Name, refused: bool) {
        if !refused {
            self.confirmed.insert(name);
        }
    }
}

/// The slot and generation that a record stores or uses, read without the code under test.
pub(crate) fn name_of(record: &Record<'_>) -> Option<Name> {
    let mut reader = Reader::new(record.payload);
    let mut number = || reader.varint_u32("a number").ok();
    if record.technique == Technique::Store as u8 {
        // The vector.
        number()?;
        number()?;
    } else if record.technique != Technique::Use as u8 {
        return None;
    }
    Some((number()?, number()?))
}

/// What a client has to do with a record: nothing is said of one that may be superseded.
pub(crate) type Expected = Option<(Refusal, bool)>;

/// Which generation each slot of a client has.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<u32, u32>);

impl Slots {
    pub(crate) fn holds(&self, (slot, generation): Name) -> bool {
        self.0.get(&slot) == Some(&generation)
    }

    /// A store came whose base is there, or not.
    pub(crate) fn on_store(&mut self, (slot, generation): Name, sound: bool) -> Expected {
        let held = self.0.entry(slot).or_default();
        if generation <= *held {
            return None;
        }
        if sound {
            *held = generation;
        }
        Some((Refusal::Base, !sound))
    }
}
