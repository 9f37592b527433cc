//! The picture of a source as shared, immutable tiles: the shadow.

use std::sync::Arc;

use crate::geometry::Size;
use crate::limits::CELL_PIXELS;

/// The pixels of one cell, XRGB8888 (`0x00RRGGBB`), rows of [`crate::limits::CELL`] pixels; what lies outside
/// the surface is 0.
pub type Tile = [u32; CELL_PIXELS];

/// One row of cells. Shared between the pictures of successive ticks until a cell in it changes.
#[derive(Clone, Debug)]
pub struct CellRow {
    /// The pixels of each cell.
    pub tiles: Vec<Arc<Tile>>,
    /// The number of the tick in which each cell last changed.
    pub changed_at: Vec<u64>,
}

/// A whole surface as of one tick. Cloning it copies a pointer per row of cells.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Size in pixels.
    pub size: Size,
    /// Rows of cells, top to bottom.
    pub rows: Vec<Arc<CellRow>>,
}

impl Picture {
    /// A black picture that has never changed.
    #[must_use]
    pub fn black(size: Size) -> Self {
        let columns = usize::from(size.grid().columns);
        let row = Arc::new(CellRow {
            tiles: vec![Arc::new([0; CELL_PIXELS]); columns],
            changed_at: vec![0; columns],
        });
        Self { size, rows: vec![row; usize::from(size.grid().rows)] }
    }

    /// The pixels of the cell at column `x`, row `y`.
    #[must_use]
    pub fn tile(&self, x: u16, y: u16) -> &Tile {
        &self.rows[usize::from(y)].tiles[usize::from(x)]
    }

    /// The number of the tick in which the cell at column `x`, row `y` last changed.
    #[must_use]
    pub fn changed_at(&self, x: u16, y: u16) -> u64 {
        self.rows[usize::from(y)].changed_at[usize::from(x)]
    }
}
