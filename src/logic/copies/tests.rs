//! What is copied, and that it is right.

use std::sync::Arc;

use super::*;
use crate::limits::CELL;
use crate::logic::{EncodeRequest, Encoded, Encoder};
use crate::pixel::Fit;
use crate::scan::fake::Rng;
use crate::scan::{Delta, Tick, TickState};
use crate::time::Instant;
use lfp_proto::technique::base::BaseView;
use lfp_proto::technique::{Scratch, Technique, decode};

const SIZE: Size = Size { width: 300, height: 200 };

/// A page of text, of which `top` rows of pixels have gone by.
fn page(top: usize, number: u64) -> Picture {
    let mut picture = Picture::black(SIZE);
    let pixel = |x: usize, y: usize| {
        let y = y + top;
        let mut rng = Rng(((y / 20 * 50 + x / 9) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let ink = y % 20 < 14 && x % 9 < 7 && (rng.next() >> (x % 9 + y % 20)) & 1 == 1;
        if ink { 0x10_20_30 } else { 0xff_ff_f0 }
    };
    let grid = SIZE.grid();
    for index in 0..grid.cells() {
        let place = cell(index, SIZE);
        let area = SIZE.clip(place);
        let mut tile = [0; 256];
        for row in 0..usize::from(area.height) {
            for column in 0..usize::from(area.width) {
                tile[row * usize::from(CELL) + column] =
                    pixel(usize::from(area.x) + column, usize::from(area.y) + row);
            }
        }
        picture.put(place.x, place.y, Arc::new(tile), number);
    }
    picture
}

fn request(base: Option<Base>, kept: CellSet) -> EncodeRequest {
    let bare = EncodeRequest::bare(SourceId(1), Epoch(1), CellSet::full(SIZE.grid()), 1_100);
    EncodeRequest { base: base.map(Arc::new), motion: true, kept, ..bare }
}

fn encode(encoder: &Encoder, request: &EncodeRequest, picture: &Picture) -> Encoded {
    let at = Instant::from_micros(10);
    let delta = Delta { tick: 2, at, cells: CellSet::full(SIZE.grid()) };
    let state = TickState::Live { picture: picture.clone(), delta };
    let tick = Tick {
        source: SourceId(1),
        fit: Fit::NATIVE,
        full: SIZE,
        number: 2,
        captured: at,
        epoch: Epoch(1),
        state,
        contexts: Arc::default(),
    };
    encoder.encode(request, &tick)
}

/// The pixels of a base, and rubbish where it is not to be trusted.
fn pixels(base: &Base) -> Vec<u32> {
    let mut pixels = Vec::new();
    base.picture.read(SIZE.grid().rect(), &mut pixels);
    for index in (0..SIZE.grid().cells()).filter(|index| !base.trusted.contains(*index)) {
        let area = SIZE.clip(cell(index, SIZE));
        for y in area.y..area.y + area.height {
            let start = usize::from(y) * usize::from(SIZE.width) + usize::from(area.x);
            pixels[start..start + usize::from(area.width)].fill(0x00ba_d000);
        }
    }
    pixels
}

/// Every record decodes to the picture, on what may be trusted; gives the bytes and the cells of copies.
fn check(encoded: &Encoded, base: &Base, picture: &Picture) -> (usize, usize) {
    let (shown, grid) = (pixels(base), SIZE.grid());
    let (mut bytes, mut copied) = (0, 0);
    let (mut decoded, mut expected, mut seen) = (Vec::new(), Vec::new(), CellSet::new(grid));
    for record in &encoded.records {
        let area = SIZE.clip(record.cells);
        let view = BaseView { pixels: &shown, stride: SIZE.width.into(), size: SIZE, area };
        let view = record.base.map(|used| {
            assert!(base.trusts(used.cells), "{used:?}");
            view
        });
        decode(record.technique, &record.payload, area, view, &mut Scratch::default(), &mut decoded).unwrap();
        picture.read(record.cells, &mut expected);
        assert!(decoded == expected, "{:?} {:?} differs", record.technique, record.cells);
        let new = record.cells.indices(grid).filter(|index| seen.insert(*index)).count();
        // What lies between cells of a rectangle that builds on the base comes along, even if it comes again.
        let all_new = new == record.cells.cells();
        assert!(
            all_new || record.base.is_some() && record.technique != Technique::Copy,
            "a cell comes twice"
        );
        bytes += record.wire_len();
        copied += if record.technique == Technique::Copy { record.cells.cells() } else { 0 };
    }
    (bytes, copied)
}

#[test]
fn a_scroll_is_copied_and_what_came_in_is_not() {
    let (old, new) = (page(0, 1), page(24, 2));
    let base = Base::new(0, 1, old, CellSet::full(SIZE.grid()));
    let with = encode(&Encoder::default(), &request(Some(base.clone()), CellSet::default()), &new);
    let (bytes, copied) = check(&with, &base, &new);
    assert!(with.left.is_empty() && with.same.is_empty());
    assert!(copied * 10 >= SIZE.grid().cells() * 7, "{copied} cells copied");
    let without = encode(&Encoder::default(), &request(None, CellSet::default()), &new);
    let (all, none) = check(&without, &base, &new);
    assert!(none == 0 && bytes * 2 < all, "{bytes} bytes instead of {all}");
}

#[test]
fn nothing_is_copied_from_cells_that_are_not_trusted() {
    let (old, new) = (page(0, 1), page(24, 2));
    let mut rng = Rng(5);
    for one_in in [2, 5, 30] {
        let mut trusted = CellSet::full(SIZE.grid());
        (0..SIZE.grid().cells()).filter(|_| rng.below(one_in) == 0).for_each(|index| {
            trusted.remove(index);
        });
        let base = Base::new(1, 1, old.clone(), trusted);
        let encoded = encode(&Encoder::default(), &request(Some(base.clone()), CellSet::default()), &new);
        let (_, copied) = check(&encoded, &base, &new);
        assert!(one_in < 30 || copied > 0);
    }
}

#[test]
fn what_is_as_it_was_is_not_sent_and_what_was_lost_is_copied_back() {
    let (old, new) = (page(0, 1), page(0, 2));
    let grid = SIZE.grid();
    let base = Base::new(0, 1, old, CellSet::full(grid));
    let mut kept = CellSet::new(grid);
    (0..grid.cells() / 2).for_each(|index| {
        kept.insert(index);
    });
    let encoded = encode(&Encoder::default(), &request(Some(base.clone()), kept.clone()), &new);
    assert!(encoded.same == kept && encoded.left.is_empty());
    let (bytes, copied) = check(&encoded, &base, &new);
    assert!(copied * 10 >= grid.cells() * 4 && bytes < 200, "{copied} cells copied in {bytes} bytes");
}

#[test]
fn sessions_in_step_share_a_search_and_others_do_not() {
    let (old, new) = (page(0, 1), page(24, 2));
    let encoder = Encoder::default();
    let base = Base::new(0, 1, old.clone(), CellSet::full(SIZE.grid()));
    let first = encode(&encoder, &request(Some(base.clone()), CellSet::default()), &new);
    let step = Base::new(1, 9, old.clone(), CellSet::full(SIZE.grid()));
    let second = encode(&encoder, &request(Some(step.clone()), CellSet::default()), &new);
    assert_eq!((encoder.counters().motions.hits, encoder.counters().motions.misses), (1, 1));
    assert_eq!(first.records.len(), second.records.len());
    check(&second, &step, &new);
    let mut trusted = CellSet::full(SIZE.grid());
    trusted.remove(100);
    let apart = Base::new(0, 1, old, trusted);
    assert_ne!(apart.id, base.id);
    check(&encode(&encoder, &request(Some(apart.clone()), CellSet::default()), &new), &apart, &new);
    assert_eq!(encoder.counters().motions.misses, 2);
}
