//! In which order cells are handed out.

use std::sync::Arc;

use super::*;
use crate::geometry::Size;
use crate::limits::CELL_PIXELS;

/// Four blocks, side by side.
const SIZE: Size = Size { width: 4 * 16 * BLOCK, height: 16 * BLOCK };

fn block_of(cells: &CellSet) -> Vec<u16> {
    let columns = usize::from(SIZE.grid().columns);
    let mut blocks: Vec<_> = cells.iter().map(|index| (index % columns) as u16 / BLOCK).collect();
    blocks.dedup();
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

#[test]
fn of_a_first_picture_what_holds_least_goes_first_and_what_is_warm_before_it() {
    let mut picture = Picture::black(SIZE);
    // Writing in the first block, a little of it in the third.
    let written: Vec<u32> = (0..CELL_PIXELS as u32).collect();
    let written: Arc<[u32; CELL_PIXELS]> = Arc::new(written.try_into().unwrap());
    for x in 0..BLOCK {
        picture.put(x, 3, Arc::clone(&written), 1);
    }
    picture.put(2 * BLOCK, 0, written, 1);
    let mut cells = Cells::new(SIZE.grid());
    assert!(cells.has_blank());
    cells.begin_pass();
    let warm = [CellRect { x: 3 * BLOCK + 2, y: 1, width: 1, height: 1 }];
    let mut order = Vec::new();
    while cells.has_round() {
        order.extend(block_of(&cells.take(1, usize::MAX, &warm, Some(&picture))));
    }
    assert_eq!(order, [3, 1, 2, 0]);
}

#[test]
fn of_later_pictures_the_top_goes_first() {
    let mut cells = Cells::new(SIZE.grid());
    cells.begin_pass();
    let taken = cells.take(1, usize::MAX, &[], None);
    assert_eq!((block_of(&taken), taken.len()), (vec![0], usize::from(BLOCK * BLOCK)));
    assert_eq!(block_of(&cells.take(2, usize::MAX, &[], None)), [1]);
}
