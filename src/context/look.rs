//! What a region's pixels look like.

use crate::geometry::CellRect;
use crate::scan::Picture;
use lfp_proto::record::Context;

/// What the region `cells` of `picture` holds.
///
/// # Panics
/// If `cells` is empty or does not lie inside the picture's grid.
#[must_use]
pub fn examine(picture: &Picture, cells: CellRect) -> Context {
    let colour = picture.tile(cells.x, cells.y)[0];
    let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
    let flat = picture.cell_rows(cells).all(|row| {
        row.detail[columns.clone()].iter().all(|detail| *detail == 0)
            && row.tiles[columns.clone()].iter().all(|tile| tile[0] == colour)
    });
    if flat { Context::Flat } else { Context::Unknown }
}
