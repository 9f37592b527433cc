//! What a client has that records may build on.

use crate::geometry::{CellRect, CellSet};
use crate::scan::Picture;

/// A reference of a client, as a session knows it.
#[derive(Clone, Debug)]
pub struct Base {
    /// Which of the client's references.
    pub slot: u8,
    /// Tells apart what the slot has been within a session.
    pub generation: u64,
    /// The pixels of the trusted cells.
    pub picture: Picture,
    /// The cells that the client is taken to have so.
    pub trusted: CellSet,
    /// Names pixels and trust of all cells: equal for sessions whose clients have the same.
    pub id: u64,
}

/// That a record is decoded against a base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BaseUse {
    /// Which of the client's references.
    pub slot: u8,
    /// See [`Base::generation`].
    pub generation: u64,
    /// The base cells: see [`lfp_proto::technique::base`].
    pub cells: CellRect,
}

impl Base {
    /// What slot `slot` holds. The grid of `trusted` is the picture's.
    #[must_use]
    pub fn new(slot: u8, generation: u64, picture: Picture, trusted: CellSet) -> Self {
        let mut base = Self { slot, generation, picture, trusted, id: 0 };
        base.id = base.identity(base.trusted.grid().rect());
        base
    }

    /// A record's use of `cells`.
    #[must_use]
    pub const fn using(&self, cells: CellRect) -> BaseUse {
        BaseUse { slot: self.slot, generation: self.generation, cells }
    }

    /// Whether every cell of `cells` may be built on.
    #[must_use]
    pub fn trusts(&self, cells: CellRect) -> bool {
        cells.indices(self.trusted.grid()).all(|index| self.trusted.contains(index))
    }

    /// Names pixels and trust of `cells`, within an epoch of a source.
    #[must_use]
    pub fn identity(&self, cells: CellRect) -> u64 {
        let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
        let mut sum = 0_u64;
        for (y, row) in (cells.y..).zip(self.picture.cell_rows(cells)) {
            let first = self.trusted.grid().index(cells.x, y);
            for (at, changed_at) in row.changed_at[columns.clone()].iter().enumerate() {
                let trusted = u64::from(self.trusted.contains(first + at));
                sum = mix(sum, if trusted == 1 { *changed_at << 1 | 1 } else { 0 });
            }
        }
        sum
    }
}

/// Takes `value` into a sum over many.
pub(super) const fn mix(sum: u64, value: u64) -> u64 {
    (sum.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
