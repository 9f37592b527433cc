//! Sweeping pictures that nobody else writes: traces and painters of ours.

use crate::geometry::CellSet;
use crate::hypervisor::{Reading, Span, Surface};
use crate::kernel::compare::{Columns, compare_and_copy};
use crate::limits::CELL;

/// Compares `picture` (rows without padding, from its start) with `shadow`, copies what differs and adds each
/// changed cell to `changed`.
///
/// # Panics
/// If the three are not all of the surface's size.
pub fn sweep(surface: &Surface, picture: &[u8], shadow: &mut [u8], changed: &mut CellSet) -> Reading {
    let grid = surface.size.grid();
    assert_eq!(changed.grid(), grid, "cells of another surface");
    assert_eq!(shadow.len(), surface.shadow_bytes(), "shadow of another surface");
    assert_eq!(picture.len(), shadow.len(), "picture of another surface");
    let cell_rows = surface.row_bytes() * usize::from(CELL);
    let rows_of_cells = picture.chunks(cell_rows).zip(shadow.chunks_mut(cell_rows));
    for (row_of_cells, (picture, shadow)) in rows_of_cells.enumerate() {
        if picture == shadow {
            continue;
        }
        let mut columns = Columns::default();
        let rows = picture.chunks(surface.row_bytes()).zip(shadow.chunks_mut(surface.row_bytes()));
        for (picture, shadow) in rows {
            compare_and_copy(picture, shadow, surface.cell_row_bytes(), &mut columns);
        }
        let first = row_of_cells * usize::from(grid.columns);
        for column in columns.iter() {
            changed.insert(first + column);
        }
    }
    Reading::whole(surface)
}

/// [`sweep`] of `spans` alone.
///
/// # Panics
/// As [`sweep`], and if a span does not lie in the surface.
pub fn probe(
    surface: &Surface,
    spans: &[Span],
    picture: &[u8],
    shadow: &mut [u8],
    changed: &mut CellSet,
) -> Reading {
    assert_eq!(picture.len(), shadow.len(), "picture of another surface");
    let (row_bytes, grid) = (surface.row_bytes(), changed.grid());
    for span in spans {
        assert!(span.lies_in(surface), "{span:?} is not in {surface:?}");
        let bytes = span.bytes_of_row(surface);
        let mut columns = Columns::default();
        for row in usize::from(span.y)..usize::from(span.y + span.height) {
            let at = row * row_bytes + bytes.start..row * row_bytes + bytes.end;
            compare_and_copy(&picture[at.clone()], &mut shadow[at], surface.cell_row_bytes(), &mut columns);
        }
        let first = grid.index(span.first, span.y / CELL);
        columns.iter().for_each(|column| {
            changed.insert(first + column);
        });
    }
    Reading::of_spans(surface, spans)
}
