//! What is worth a slot, and what comes back out of one.

use super::*;
use crate::geometry::Size;
use crate::limits::CELL_PIXELS;
use crate::scan::fake::Rng;

const SIZE: Size = Size { width: 20 * CELL - 3, height: 12 * CELL - 5 };

/// A picture of noise, as of tick `number`.
fn noise(number: u64) -> Picture {
    let mut picture = Picture::black(SIZE);
    paint(&mut picture, SIZE.grid().rect(), number);
    picture
}

fn paint(picture: &mut Picture, cells: CellRect, number: u64) {
    for index in cells.indices(SIZE.grid()) {
        let (x, y) = place(index, SIZE.grid());
        let area = SIZE.clip(CellRect { x, y, width: 1, height: 1 });
        let mut rng = Rng((number << 32) + index as u64 + 1);
        let mut tile = [0; CELL_PIXELS];
        for row in 0..usize::from(area.height) {
            let start = row * usize::from(CELL);
            tile[start..start + usize::from(area.width)].fill_with(|| rng.next() as u32 & 0x00ff_ffff);
        }
        picture.put(x, y, Arc::new(tile), number);
    }
}

fn base(picture: &Picture) -> Base {
    Base::new(0, 1, picture.clone(), CellSet::full(SIZE.grid()))
}

fn entry(picture: &Picture, cells: CellRect, slot: u32) -> Entry {
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    let tiles = picture.cell_rows(cells).flat_map(|row| row.tiles[columns.clone()].to_vec()).collect();
    Entry { stored: Stored { slot, generation: 1 }, cells, tiles, confirmed: true }
}

fn rect(x: u16, y: u16, width: u16, height: u16) -> CellRect {
    CellRect { x, y, width, height }
}

fn set(cells: CellRect) -> CellSet {
    let mut set = CellSet::new(SIZE.grid());
    for index in cells.indices(SIZE.grid()) {
        set.insert(index);
    }
    set
}

fn proposed(slots: &Slots, old: &Base, new: &Picture, wanted: &CellSet) -> Vec<CellRect> {
    propose(slots, old, new, wanted, &Contexts::unknown(), &[])
}

#[test]
fn what_is_covered_is_proposed_whole_in_pieces_that_slots_hold() {
    let (old, new) = (noise(1), noise(2));
    let wanted = CellSet::full(SIZE.grid());
    let pieces = proposed(&Slots::default(), &base(&old), &new, &wanted);
    let mut seen = CellSet::new(SIZE.grid());
    for piece in &pieces {
        assert!(piece.cells() <= CACHE_SLOT_CELLS);
        assert!(piece.indices(SIZE.grid()).all(|index| seen.insert(index)), "{piece:?} overlaps");
    }
    assert_eq!(seen.len(), SIZE.grid().cells());
    assert_eq!(pieces, proposed(&Slots::default(), &base(&old), &new, &wanted));
}

#[test]
fn what_is_known_trusted_no_more_or_copied_is_not_proposed() {
    let old = noise(1);
    let covered = rect(2, 2, 8, 4);
    let mut new = old.clone();
    paint(&mut new, covered, 2);
    let wanted = set(covered);
    assert_eq!(proposed(&Slots::default(), &base(&old), &new, &wanted), [covered]);
    let slots = Slots { entries: vec![Entry { confirmed: false, ..entry(&old, rect(2, 2, 8, 3), 0) }] };
    assert_eq!(proposed(&slots, &base(&old), &new, &wanted), [rect(2, 5, 8, 1)], "it is on its way");
    let mut trusted = CellSet::full(SIZE.grid());
    trusted.subtract(&set(rect(0, 0, 6, 12)));
    let partly = Base::new(0, 1, old.clone(), trusted);
    assert_eq!(proposed(&Slots::default(), &partly, &new, &wanted), [rect(6, 2, 4, 4)]);
    let moved = Copied { cells: covered, vector: Vector { dx: 16, dy: 0 }, base: rect(3, 2, 8, 4) };
    let left = propose(&Slots::default(), &base(&old), &new, &wanted, &Contexts::unknown(), &[moved]);
    assert_eq!(left, [rect(2, 2, 1, 4)], "what is copied stays on the screen");
}

#[test]
fn little_is_not_worth_a_slot() {
    let mut old = Picture::black(SIZE);
    let mut new = old.clone();
    paint(&mut new, rect(0, 0, 8, 8), 2);
    let wanted = set(rect(0, 0, 8, 8));
    assert!(proposed(&Slots::default(), &base(&old), &new, &wanted).is_empty(), "one colour");
    let mut tile = [0; CELL_PIXELS];
    tile[30] = 0xff;
    old.put(3, 3, Arc::new(tile), 1);
    assert!(proposed(&Slots::default(), &base(&old), &new, &wanted).is_empty(), "a dot");
}

#[test]
fn what_comes_back_is_found_where_it_is_the_same_and_nowhere_else() {
    let old = noise(1);
    let mut shown = noise(2);
    let slots = Slots { entries: vec![entry(&old, rect(1, 1, 8, 6), 0), entry(&old, rect(12, 6, 8, 6), 1)] };
    let wanted = CellSet::full(SIZE.grid());
    assert!(find(&slots, &shown, &wanted).is_empty());
    // The first comes back but for its first row, the second whole, and it is clipped.
    paint(&mut shown, rect(1, 2, 8, 5), 1);
    paint(&mut shown, rect(12, 6, 8, 6), 1);
    let found = find(&slots, &shown, &wanted);
    let stored = |slot| Stored { slot, generation: 1 };
    let expected = [
        Found { cells: rect(1, 2, 8, 5), used: Use { stored: stored(0), x: 0, y: CELL } },
        Found { cells: rect(12, 6, 8, 6), used: Use { stored: stored(1), x: 0, y: 0 } },
    ];
    assert_eq!(found, expected);
    // Only what is wanted, and only what is known to be there.
    let some = find(&slots, &shown, &set(rect(4, 3, 2, 9)));
    assert_eq!(some.iter().map(|found| found.cells).collect::<Vec<_>>(), [rect(4, 3, 2, 4)]);
    let mut unsure = slots;
    unsure.entries.iter_mut().for_each(|entry| entry.confirmed = false);
    assert!(find(&unsure, &shown, &wanted).is_empty());
}

#[test]
fn one_pixel_less_is_not_the_same() {
    let old = noise(1);
    let slots = Slots { entries: vec![entry(&old, rect(0, 0, 3, 1), 0)] };
    let mut shown = old.clone();
    let mut tile = *old.tile(1, 0);
    tile[255] ^= 1;
    shown.put(1, 0, Arc::new(tile), 2);
    let cells = find(&slots, &shown, &CellSet::full(SIZE.grid()));
    assert!(cells.iter().all(|found| found.cells.width == 1 && found.cells.x != 1), "{cells:?}");
}
