//! The picture of a source as shared, immutable tiles: the shadow.

use std::sync::Arc;

use crate::geometry::{CellRect, PixelRect, Size};
use crate::kernel::dispatch::detail;
use crate::limits::{CELL, CELL_PIXELS};

const SIDE: usize = CELL as usize;

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
    /// How much there is in each cell, see [`crate::kernel::detail`]; 0 if and only if it has one colour.
    pub detail: Vec<u8>,
}

impl CellRow {
    /// Becomes `other`, in the memory that it has.
    fn copy_from(&mut self, other: &Self) {
        self.tiles.clone_from(&other.tiles);
        self.changed_at.clone_from(&other.changed_at);
        self.detail.clone_from(&other.detail);
    }
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
        let tile = Arc::new([0; CELL_PIXELS]);
        let row = Arc::new(CellRow {
            tiles: vec![tile; columns],
            changed_at: vec![0; columns],
            detail: vec![0; columns],
        });
        Self { size, rows: vec![row; usize::from(size.grid().rows)] }
    }

    /// Becomes `other`, in the memory that it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.size = other.size;
        self.rows.clone_from(&other.rows);
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

    /// How much there is in the cell at column `x`, row `y`: 0 if and only if it has one colour.
    #[must_use]
    pub fn detail(&self, x: u16, y: u16) -> u8 {
        self.rows[usize::from(y)].detail[usize::from(x)]
    }

    /// The number of the newest tick in which a cell of `cells` changed. Together with the rectangle it
    /// names the rectangle's content within an epoch.
    #[must_use]
    pub fn newest_change(&self, cells: CellRect) -> u64 {
        let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
        self.cell_rows(cells)
            .flat_map(|row| row.changed_at[columns.clone()].iter().copied())
            .max()
            .unwrap_or_default()
    }

    /// The rows of cells that `cells` crosses, in their whole width.
    pub fn cell_rows(&self, cells: CellRect) -> impl Iterator<Item = &CellRow> {
        self.rows[usize::from(cells.y)..usize::from(cells.y + cells.height)].iter().map(|row| &**row)
    }

    /// Writes the pixels of `cells`, clipped to the surface, to `out` in place of what it holds: rows from top to
    /// bottom without padding.
    ///
    /// # Panics
    /// If `cells` does not lie inside the grid.
    pub fn read(&self, cells: CellRect, out: &mut Vec<u32>) {
        let area = self.size.clip(cells);
        // Not cleared: every pixel is written below, and what fits the length of the last call need not be filled before.
        out.resize(area.pixels(), 0);
        let (first, width) = (usize::from(cells.x), usize::from(area.width).max(1));
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let tiles = &self.rows[usize::from(cells.y) + y / SIDE].tiles[first..];
            let at = y % SIDE * SIDE;
            let mut whole = out.chunks_exact_mut(SIDE);
            for (out, tile) in whole.by_ref().zip(tiles) {
                out.copy_from_slice(&tile[at..at + SIDE]);
            }
            let rest = whole.into_remainder();
            if !rest.is_empty() {
                rest.copy_from_slice(&tiles[width / SIDE][at..at + rest.len()]);
            }
        }
    }

    /// Appends the pixels of `area`, which is one row high and lies inside the picture, to `out`.
    ///
    /// # Panics
    /// If it does not.
    pub fn read_row(&self, area: PixelRect, out: &mut Vec<u32>) {
        let tiles = &self.rows[usize::from(area.y) / SIDE].tiles;
        let row = usize::from(area.y) % SIDE * SIDE;
        let (mut x, end) = (usize::from(area.x), usize::from(area.x + area.width));
        while x < end {
            let (from, to) = (x % SIDE, SIDE.min(x % SIDE + end - x));
            out.extend_from_slice(&tiles[x / SIDE][row + from..row + to]);
            x += to - from;
        }
    }

    /// Takes the cells of `cells` over from `from`, a picture of the same size.
    pub fn adopt(&mut self, cells: CellRect, from: &Self) {
        let columns = usize::from(cells.x)..usize::from(cells.x + cells.width);
        for y in usize::from(cells.y)..usize::from(cells.y + cells.height) {
            let (row, other) = (&mut self.rows[y], &from.rows[y]);
            if Arc::ptr_eq(row, other) {
                continue;
            }
            if columns.len() == other.tiles.len() {
                *row = Arc::clone(other);
                continue;
            }
            let row = Arc::make_mut(row);
            row.tiles[columns.clone()].clone_from_slice(&other.tiles[columns.clone()]);
            row.changed_at[columns.clone()].copy_from_slice(&other.changed_at[columns.clone()]);
            row.detail[columns.clone()].copy_from_slice(&other.detail[columns.clone()]);
        }
    }

    /// Shares the rows that are the same in `other`, a picture of the same size of the same epoch.
    pub fn share(&mut self, other: &Self) {
        for (row, other) in self.rows.iter_mut().zip(&other.rows) {
            if !Arc::ptr_eq(row, other) && row.changed_at == other.changed_at {
                *row = Arc::clone(other);
            }
        }
    }

    /// Puts `tile`, which is 0 outside the surface, into the cell at column `x`, row `y`, as changed in tick
    /// `number`; returns the tile that was there. Past pictures that share the row keep what they have.
    pub fn put(&mut self, x: u16, y: u16, tile: Arc<Tile>, number: u64) -> Arc<Tile> {
        self.put_with(x, y, tile, number, &mut Vec::new())
    }

    /// [`Picture::put`] that takes the memory for a row which past pictures share from `spare`, rows that nobody else holds,
    /// while there are some.
    pub fn put_with(
        &mut self,
        x: u16,
        y: u16,
        tile: Arc<Tile>,
        number: u64,
        spare: &mut Vec<Arc<CellRow>>,
    ) -> Arc<Tile> {
        let area = self.size.clip(CellRect { x, y, width: 1, height: 1 });
        let row = &mut self.rows[usize::from(y)];
        if Arc::get_mut(row).is_none() {
            if let Some(mut own) = spare.pop() {
                if let Some(free) = Arc::get_mut(&mut own) {
                    free.copy_from(row);
                    *row = own;
                }
            }
        }
        let row = Arc::make_mut(row);
        let x = usize::from(x);
        row.changed_at[x] = number;
        row.detail[x] = detail(&tile, usize::from(area.width), usize::from(area.height));
        std::mem::replace(&mut row.tiles[x], tile)
    }
}
