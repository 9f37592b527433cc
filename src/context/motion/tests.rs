//! What moves is found, wherever it goes; and nothing is claimed that is not so.

use std::sync::Arc;

use super::verify::{MIDDLE, came_from, telling};
use super::{Move, Search, Vector};
use crate::geometry::{CellRect, CellSet, Size};
use crate::hypervisor::SyntheticSpec;
use crate::hypervisor::synthetic::{Painting, Scene};
use crate::limits::{CELL, CELL_PIXELS};
use crate::scan::Picture;

/// A picture, and how to make the next one of rows of pixels.
pub(crate) struct Reel {
    pub(crate) picture: Picture,
    number: u64,
}

impl Reel {
    pub(crate) fn new(size: Size) -> Self {
        Self { picture: Picture::black(size), number: 0 }
    }

    /// Takes on `pixels`; the picture before, and the cells that differ.
    pub(crate) fn show(&mut self, pixels: &[u32]) -> (Picture, CellSet) {
        let old = self.picture.clone();
        self.number += 1;
        let (grid, width) = (old.size.grid(), usize::from(old.size.width));
        let mut changed = CellSet::new(grid);
        for (x, y) in (0..grid.rows).flat_map(|y| (0..grid.columns).map(move |x| (x, y))) {
            let area = old.size.clip(CellRect { x, y, width: 1, height: 1 });
            let mut tile = [0; CELL_PIXELS];
            for row in 0..usize::from(area.height) {
                let from = (usize::from(area.y) + row) * width + usize::from(area.x);
                let to = row * usize::from(CELL);
                tile[to..to + usize::from(area.width)]
                    .copy_from_slice(&pixels[from..from + usize::from(area.width)]);
            }
            if tile != *old.tile(x, y) {
                self.picture.put(x, y, Arc::new(tile), self.number);
                changed.insert(grid.index(x, y));
            }
        }
        (old, changed)
    }
}

fn pixel(picture: &Picture, x: u16, y: u16) -> u32 {
    picture.tile(x / CELL, y / CELL)[usize::from(y % CELL * CELL + x % CELL)]
}

/// Checks each move pixel by pixel; the share of the changed cells that they cover, in percent.
fn check(old: &Picture, new: &Picture, changed: &CellSet, moves: &[Move]) -> usize {
    let mut covered = CellSet::new(changed.grid());
    for one in moves {
        let to = new.size.clip(one.cells);
        assert_eq!((to.width, to.height), (one.source.width, one.source.height));
        assert_eq!(Vector::between((one.source.x, one.source.y), (to.x, to.y)), one.vector);
        for (x, y) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (x, y))) {
            assert_eq!(
                pixel(new, to.x + x, to.y + y),
                pixel(old, one.source.x + x, one.source.y + y),
                "{one:?}"
            );
        }
        assert!(
            one.cells.indices(changed.grid()).all(|index| covered.insert(index)),
            "{one:?} overlaps another"
        );
    }
    let moved = changed.iter().filter(|index| covered.contains(*index)).count();
    moved * 100 / changed.len().max(1)
}

/// The mean share of what changed that is found to have moved, in percent, over frames of a painting.
fn share(painting: Painting, size: Size) -> usize {
    let spec = SyntheticSpec { size, ..SyntheticSpec::new(painting) };
    let (mut scene, mut reel, mut search) = (Scene::new(spec), Reel::new(size), Search::new(size));
    reel.show(scene.paint(0));
    let shares = (1..40).map(|frame| {
        let (old, changed) = reel.show(scene.paint(frame));
        let moves = search.find(&old, &reel.picture, &changed);
        check(&old, &reel.picture, &changed, moves)
    });
    shares.sum::<usize>() / 39
}

#[test]
fn scrolled_pages_and_dragged_windows_are_found() {
    // Sides that are no multiple of a cell's, so that there are clipped cells.
    let size = Size { width: 630, height: 475 };
    assert!(share(Painting::Scroll, size) >= 85);
    assert!(share(Painting::WindowDrag, size) >= 70);
    assert_eq!(share(Painting::Video, size), 0, "grain is new each time");
}

/// Noise is the same wherever it is looked for, so each vector of a list is found at once.
#[test]
fn several_vectors_of_any_offset_are_found_in_one_tick() {
    let size = Size { width: 640, height: 400 };
    let (width, height) = (640_i32, 400_i32);
    let noise =
        |x: i32, y: i32| (((x * 7919 + y * 104_729) as u32).wrapping_mul(0x9e37_79b1) >> 9) & 0xff_ff_ff;
    let vectors = [(3, 0), (0, -5), (-17, 9), (31, -33), (1, 1)].map(|(dx, dy)| Vector { dx, dy });
    // Five columns of noise, each of which moves in its own way.
    let paint = |moved: bool| -> Vec<u32> {
        let at = |index: i32| {
            let (x, y) = (index % width, index / width);
            let column = (x / 128) as usize;
            let Vector { dx, dy } = if moved { vectors[column] } else { Vector::default() };
            noise(x - dx + 10_000 * column as i32, y - dy)
        };
        (0..width * height).map(at).collect()
    };
    let (mut reel, mut search) = (Reel::new(size), Search::new(size));
    reel.show(&paint(false));
    let (old, changed) = reel.show(&paint(true));
    let moves = search.find(&old, &reel.picture, &changed);
    assert!(check(&old, &reel.picture, &changed, moves) >= 60);
    for vector in vectors {
        assert!(moves.iter().any(|one| one.vector == vector), "{vector:?} is missing: {moves:?}");
    }
    let place = changed.grid().index(2, 10);
    assert_eq!(search.vector(place), Some(vectors[0]));
}

#[test]
fn what_has_not_moved_for_long_is_found_when_it_does() {
    let size = Size { width: 320, height: 240 };
    let noise =
        |seed: u32, x: u32, y: u32| (x * 7919 + y * 104_729 + seed * 31).wrapping_mul(0x9e37_79b1) >> 9;
    let paint = |seed: u32, by: u32| -> Vec<u32> {
        (0..320 * 240).map(|at| noise(seed, at % 320 + 1000 - by, at / 320) & 0xff_ff_ff).collect()
    };
    let (mut reel, mut search) = (Reel::new(size), Search::new(size));
    for seed in 0..20 {
        let (old, changed) = reel.show(&paint(seed, 0));
        assert!(search.find(&old, &reel.picture, &changed).is_empty());
    }
    let (old, changed) = reel.show(&paint(19, 7));
    let moves = search.find(&old, &reel.picture, &changed);
    assert!(check(&old, &reel.picture, &changed, moves) >= 80);
}

#[test]
fn rows_that_repeat_and_one_colour_are_no_trouble() {
    let size = Size { width: 640, height: 400 };
    let (mut reel, mut search) = (Reel::new(size), Search::new(size));
    for frame in 0..6_u32 {
        let stripes: Vec<u32> = (0..640 * 400).map(|at| ((at + frame) / 3 % 2) * 0xff_ff_ff).collect();
        let (old, changed) = reel.show(&stripes);
        check(&old, &reel.picture, &changed, search.find(&old, &reel.picture, &changed));
        let (old, changed) = reel.show(&vec![frame; 640 * 400]);
        assert!(search.find(&old, &reel.picture, &changed).is_empty());
    }
}

/// What [`came_from`] says, pixel by pixel.
fn came_plainly(old: &Picture, new: &Picture, x: u16, y: u16, vector: Vector) -> bool {
    let to = new.size.clip(CellRect { x, y, width: 1, height: 1 });
    let there = |at: u16, step: i32, side: u16| {
        let place = i32::from(at) - step;
        (0..i32::from(side)).contains(&place).then_some(place as u16)
    };
    (to.y..to.y + to.height).flat_map(|y| (to.x..to.x + to.width).map(move |x| (x, y))).all(|(x, y)| {
        let from = there(x, vector.dx, old.size.width).zip(there(y, vector.dy, old.size.height));
        from.is_some_and(|(from_x, from_y)| pixel(old, from_x, from_y) == pixel(new, x, y))
    })
}

#[test]
fn every_way_of_verifying_says_what_single_pixels_say() {
    // With clipped cells, paper, and ink on it.
    let (width, height) = (100_i32, 70_i32);
    let size = Size { width: width as u16, height: height as u16 };
    let ink = |x: i32, y: i32| {
        let hash = ((x * 7919 + y * 104_729) as u32).wrapping_mul(0x9e37_79b1) >> 13;
        if x < 40 || hash % 3 > 0 { 0xff_ff_ff } else { 0x20_20_20 }
    };
    let (mut moved, mut kept) = (0, 0);
    for (dx, dy) in [(0, 0), (0, 5), (0, -16), (16, 0), (3, 0), (-7, 9), (15, -1), (-1, -33), (48, 31)] {
        let vector = Vector { dx, dy };
        let paint = |dx: i32, dy: i32, stray: Option<i32>| -> Vec<u32> {
            let mut pixels: Vec<u32> =
                (0..width * height).map(|at| ink(at % width - dx, at / width - dy)).collect();
            stray.into_iter().for_each(|at| pixels[at as usize] ^= 1);
            pixels
        };
        for stray in (0..width * height).step_by(97).map(Some).chain([None]) {
            let mut reel = Reel::new(size);
            reel.show(&paint(0, 0, None));
            let (old, _) = reel.show(&paint(dx, dy, stray));
            let new = &reel.picture;
            let grid = size.grid();
            for (x, y) in (0..grid.rows).flat_map(|y| (0..grid.columns).map(move |x| (x, y))) {
                let plainly = came_plainly(&old, new, x, y, vector);
                for place in [MIDDLE, telling(new.tile(x, y)), 0, 255] {
                    assert_eq!(
                        came_from(&old, new, x, y, vector, place),
                        plainly,
                        "cell {x}, {y} by {vector:?} with {stray:?}, {place} first"
                    );
                }
                moved += usize::from(plainly);
                kept += usize::from(!plainly);
            }
        }
    }
    assert!(moved > 10_000 && kept > 5_000, "{moved} and {kept} cells");
}

#[test]
fn a_vector_that_is_supposed_finds_what_a_search_from_nothing_finds() {
    let size = Size { width: 630, height: 475 };
    let spec = SyntheticSpec { size, ..SyntheticSpec::new(Painting::Scroll) };
    let (mut scene, mut reel) = (Scene::new(spec), Reel::new(size));
    let (mut search, mut other) = (Search::new(size), Search::new(size));
    reel.show(scene.paint(0));
    for frame in 1..20 {
        let (old, changed) = reel.show(scene.paint(frame));
        search.forget();
        let moves = search.find(&old, &reel.picture, &changed).to_vec();
        let share = check(&old, &reel.picture, &changed, &moves);
        other.forget();
        other.suppose(moves.iter().map(|one| one.vector));
        let supposed = other.find(&old, &reel.picture, &changed);
        assert!(check(&old, &reel.picture, &changed, supposed) + 2 >= share, "frame {frame}");
        // What is supposed in vain is no harm.
        other.forget();
        other.suppose((1..30).map(|dx| Vector { dx, dy: 77 }));
        assert_eq!(other.find(&old, &reel.picture, &changed), moves, "frame {frame}");
    }
}
