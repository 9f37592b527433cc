//! Which rectangles wanted cells are put into.

use crate::geometry::{CellRect, CellSet};
use crate::scan::Picture;

/// The smallest rectangle that holds those of `cells` that lie in `area`; `None` if there are none.
pub(super) fn bounds(cells: &CellSet, area: CellRect) -> Option<CellRect> {
    let grid = cells.grid();
    let (mut left, mut right, mut top, mut bottom) = (u16::MAX, 0, u16::MAX, 0);
    for y in area.y..area.y + area.height {
        for x in area.x..area.x + area.width {
            if cells.contains(grid.index(x, y)) {
                (left, right) = (left.min(x), right.max(x));
                (top, bottom) = (top.min(y), bottom.max(y));
            }
        }
    }
    (left <= right).then(|| CellRect { x: left, y: top, width: right - left + 1, height: bottom - top + 1 })
}

/// Whether every cell of `area` is in `cells`.
pub(super) fn holds_all(cells: &CellSet, area: CellRect) -> bool {
    area.indices(cells.grid()).all(|index| cells.contains(index))
}

/// Whether at least every other cell of `area` is in `cells`.
pub(super) fn holds_half(cells: &CellSet, area: CellRect) -> bool {
    2 * area.indices(cells.grid()).filter(|index| cells.contains(*index)).count() >= area.cells()
}

/// Halves `area`, which has more than one cell, across its longer side: at the most aligned place, so that
/// cells that are wanted again by someone else fall into the same rectangles, and of those the middlemost.
pub(super) fn split(area: CellRect) -> (CellRect, CellRect) {
    if area.width >= area.height {
        let width = cut(area.x, area.width);
        (CellRect { width, ..area }, CellRect { x: area.x + width, width: area.width - width, ..area })
    } else {
        let height = cut(area.y, area.height);
        (CellRect { height, ..area }, CellRect { y: area.y + height, height: area.height - height, ..area })
    }
}

/// Where in `start .. start + len` to cut, less `start`: the number with the most trailing zeros. There is
/// one such number, because between two multiples of a power of two lies a multiple of the next.
fn cut(start: u16, len: u16) -> u16 {
    debug_assert!(len > 1, "nothing to cut");
    let (first, last) = (start + 1, start + len - 1);
    // The highest bit in which the two ends differ, or where first - 1 and last differ, tells it.
    let place = (first - 1) ^ last;
    let bit = 15 - place.leading_zeros() as u16;
    (last >> bit << bit) - start
}

/// The largest rectangle of wanted cells of one colour, all the same, that begins at the cell at column `x`,
/// row `y`, which must be one, and stays inside `area`: first to the right, then down.
pub(super) fn flat_from(picture: &Picture, wanted: &CellSet, x: u16, y: u16, area: CellRect) -> CellRect {
    let grid = wanted.grid();
    let colour = picture.tile(x, y)[0];
    let same = |x: u16, y: u16| {
        wanted.contains(grid.index(x, y)) && picture.detail(x, y) == 0 && picture.tile(x, y)[0] == colour
    };
    let width = (x..area.x + area.width).take_while(|x| same(*x, y)).count() as u16;
    let height = (y..area.y + area.height).take_while(|y| (x..x + width).all(|x| same(x, *y))).count() as u16;
    CellRect { x, y, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn cuts_at_the_most_aligned_place() {
        for start in 0..70_u16 {
            for len in 2..70 {
                let best = (start + 1..start + len).max_by_key(|place| place.trailing_zeros());
                assert_eq!(Some(start + cut(start, len)), best, "{start} + {len}");
            }
        }
    }

    #[test]
    fn bounds_are_tight() {
        let mut cells = CellSet::new(Size { width: 320, height: 160 }.grid());
        let area = CellRect { x: 4, y: 2, width: 8, height: 8 };
        assert_eq!(bounds(&cells, area), None);
        for (x, y) in [(3, 3), (5, 4), (9, 7), (12, 5), (5, 1)] {
            cells.insert(cells.grid().index(x, y));
        }
        let tight = CellRect { x: 5, y: 4, width: 5, height: 4 };
        assert_eq!(bounds(&cells, area), Some(tight));
        assert!(!holds_all(&cells, tight));
        assert!(holds_all(&cells, CellRect { x: 9, y: 7, width: 1, height: 1 }));
    }
}
