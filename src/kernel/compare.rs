//! Compare and copy: what differs between a row of pixels and its shadow, by cell columns.

use crate::limits::{CELL, SURFACE_SIDE_MAX};

const WORDS: usize = (SURFACE_SIDE_MAX / CELL) as usize / 64;
const _: () = assert!(WORDS * 64 * CELL as usize == SURFACE_SIDE_MAX as usize);

/// A set of cell columns, wide enough for any surface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Columns([u64; WORDS]);

impl Columns {
    /// Adds a column; one beyond the widest surface panics.
    #[inline]
    pub fn insert(&mut self, column: usize) {
        self.0[column / 64] |= 1 << (column % 64);
    }

    /// The columns in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest.checked_sub(1)?;
                Some(at * 64 + bit)
            })
        })
    }
}

/// Copies the row `source` over `shadow` (of the same length) and adds to `changed` each column of `cell_bytes`
/// bytes in which they differed. For memory that nobody else writes.
pub fn compare_and_copy(source: &[u8], shadow: &mut [u8], cell_bytes: usize, changed: &mut Columns) {
    assert_eq!(source.len(), shadow.len(), "a row and its shadow");
    if source == shadow {
        return;
    }
    let cells = source.chunks(cell_bytes).zip(shadow.chunks_mut(cell_bytes));
    for (column, (new, old)) in cells.enumerate() {
        if new != old {
            old.copy_from_slice(new);
            changed.insert(column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_marked_and_all_is_copied() {
        for cell_bytes in [32, 48, 64] {
            for len in [1, cell_bytes - 1, cell_bytes, cell_bytes * 3 + 5] {
                for at in 0..len {
                    let mut shadow = vec![9; len];
                    let mut source = shadow.clone();
                    source[at] = 8;
                    let mut changed = Columns::default();
                    compare_and_copy(&source, &mut shadow, cell_bytes, &mut changed);
                    assert_eq!(shadow, source);
                    assert!(changed.iter().eq([at / cell_bytes]));
                }
            }
        }
    }

    #[test]
    fn the_widest_surface_fits() {
        let mut columns = Columns::default();
        columns.insert(0);
        columns.insert(usize::from(SURFACE_SIDE_MAX / CELL) - 1);
        assert!(columns.iter().eq([0, 1023]));
    }
}
