//! The references of an epoch, as they follow from what was sent.

use std::collections::BTreeSet;

use lfp::geometry::CellRect;
use lfp::units::{ContentNumber, PacketNumber};
use lfp_proto::frame::Hold;
use lfp_proto::limits::REFERENCES_MAX;

use crate::kept::Slots;

/// What each slot holds: contents up to a number; 0: nothing.
pub(crate) type Throughs = [u64; REFERENCES_MAX as usize];

/// What was said of the references of an epoch.
#[derive(Debug)]
pub(crate) struct Holds {
    /// How many the client keeps.
    kept: u8,
    pub(crate) throughs: Throughs,
    /// The server knows that the client has heard of it.
    confirmed: [bool; REFERENCES_MAX as usize],
    /// (cell, content) that the server has been told were refused.
    pub(crate) refused: BTreeSet<(usize, u64)>,
}

impl Holds {
    pub(crate) const fn new(kept: u8) -> Self {
        let slots = [0; REFERENCES_MAX as usize];
        Self { kept, throughs: slots, confirmed: [false; REFERENCES_MAX as usize], refused: BTreeSet::new() }
    }

    /// HOLD is sent in packet `number`; says whether it is of something new.
    pub(crate) fn on_hold(&mut self, hold: &Hold, number: PacketNumber) -> bool {
        assert!(
            hold.slot < self.kept,
            "LFP-4.8: reference {} of a client that keeps {}",
            hold.slot,
            self.kept
        );
        let slot = usize::from(hold.slot);
        let through = hold.through(number).expect("something is held").0;
        assert!(through >= self.throughs[slot], "a HOLD goes back to {through} from {:?}", self.throughs);
        let new = through > self.throughs[slot];
        if new {
            self.throughs[slot] = through;
            self.confirmed[slot] = false;
        }
        new
    }

    /// A packet came that carried these HOLDs, as slot and through.
    pub(crate) fn on_acked(&mut self, holds: &[(u8, u64)]) {
        for (slot, through) in holds {
            let slot = usize::from(*slot);
            self.confirmed[slot] |= self.throughs[slot] == *through;
        }
    }

    /// PIXELS are sent in a packet that carried `holds` before.
    pub(crate) fn assert_told(&self, holds: &[(u8, u64)]) {
        for (slot, through) in (0..).zip(self.throughs) {
            let told = holds.contains(&(slot, through));
            assert!(
                through == 0 || told || self.confirmed[usize::from(slot)],
                "LFP-8.4: HOLD of slot {slot} rides along until it is acked"
            );
        }
    }
}

/// The largest content of a cell up to `through`, of those that were sent of it, with its tick.
pub(crate) fn held(contents: &[(u64, u64)], through: u64) -> Option<(u64, u64)> {
    let beyond = contents.partition_point(|(content, _)| *content <= through);
    contents[..beyond].last().copied()
}

/// The check of base cells with these contents, written without the code under test.
pub(crate) fn checksum(contents: impl Iterator<Item = ContentNumber>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    contents.for_each(|content| crc.update(&content.0.to_le_bytes()));
    crc.finalize()
}

/// The cells that lie `dx`, `dy` pixels away from `cells` on a surface of `width` x `height` pixels, written without
/// the code under test; `None` if some pixels are outside.
pub(crate) fn source_cells(cells: CellRect, dx: i64, dy: i64, width: u16, height: u16) -> Option<CellRect> {
    let along = |first: u16, count: u16, by: i64, side: u16| {
        let from = i64::from(first) * 16;
        let to = ((i64::from(first) + i64::from(count)) * 16).min(i64::from(side));
        let (from, to) = (from + by, to + by);
        let inside = from >= 0 && to <= i64::from(side);
        inside.then_some(((from / 16) as u16, ((to - 1) / 16 - from / 16 + 1) as u16))
    };
    let (x, width) = along(cells.x, cells.width, dx, width)?;
    let (y, height) = along(cells.y, cells.height, dy, height)?;
    Some(CellRect { x, y, width, height })
}

/// What a client has of an epoch, as it follows from what came to it and from the specification alone.
#[derive(Debug, Default)]
pub(crate) struct Came {
    throughs: Throughs,
    /// Of each cell: the contents that it has been given, ascending.
    cells: Vec<Vec<u64>>,
    pub(crate) slots: Slots,
}

impl Came {
    /// An epoch of so many cells.
    pub(crate) fn new(cells: usize) -> Self {
        Self { throughs: Throughs::default(), cells: vec![Vec::new(); cells], slots: Slots::default() }
    }

    /// HOLD came.
    pub(crate) fn on_hold(&mut self, slot: u8, through: u64) {
        let held = &mut self.throughs[usize::from(slot)];
        *held = through.max(*held);
    }

    /// The client may keep these cells as `content`: those that it has been given nothing of.
    pub(crate) fn on_keep(&mut self, cells: &[usize], content: u64) {
        for index in cells {
            if self.cells[*index].is_empty() {
                self.cells[*index].push(content);
            }
        }
    }

    /// A record came for these cells at `content`; `base`: its base cells, slot and check. Says whether it has to be
    /// refused for its base; `None` if it may be superseded.
    pub(crate) fn on_record(
        &mut self,
        cells: &[usize],
        content: u64,
        base: Option<(&[usize], usize, u32)>,
    ) -> Option<bool> {
        let news = |index: &usize| self.cells[*index].binary_search(&content).is_err();
        let superseded = !cells.iter().any(news);
        if let Some((from, slot, check)) = base {
            if !self.is_sound(from, slot, check) {
                return self.has_news(cells, content).then_some(true);
            }
        }
        for index in cells {
            if let Err(place) = self.cells[*index].binary_search(&content) {
                self.cells[*index].insert(place, content);
            }
        }
        (!superseded).then_some(false)
    }

    /// Whether base cells are what `check` says.
    pub(crate) fn is_sound(&self, from: &[usize], slot: usize, check: u32) -> bool {
        let through = self.throughs[slot];
        let held = |index: &usize| {
            let contents = &self.cells[*index];
            contents[..contents.partition_point(|content| *content <= through)].last().copied()
        };
        let contents: Option<Vec<_>> = from.iter().map(held).collect();
        contents.is_some_and(|held| checksum(held.into_iter().map(ContentNumber)) == check)
    }

    /// Whether a record of `content` for these cells is not superseded for sure.
    pub(crate) fn has_news(&self, cells: &[usize], content: u64) -> bool {
        let new = |index: &usize| self.cells[*index].binary_search(&content).is_err();
        cells.iter().any(new) && self.is_newest(cells, content)
    }

    /// Whether some of the cells show less than `content`.
    fn is_newest(&self, cells: &[usize], content: u64) -> bool {
        cells.iter().any(|index| self.cells[*index].last().is_none_or(|newest| *newest < content))
    }
}
