//! Cells, rectangles and sets of cells.

use alloc::vec;
use alloc::vec::Vec;

use crate::limits::{CELL, SURFACE_PIXELS_MAX, SURFACE_SIDE_MAX};

/// Width and height of a surface in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Size {
    /// Pixels per row.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Size {
    /// A size, if a surface may have it; `None` for an empty or too large one.
    #[must_use]
    pub fn new(width: u16, height: u16) -> Option<Self> {
        let side = 1..=SURFACE_SIDE_MAX;
        let area = usize::from(width) * usize::from(height);
        (side.contains(&width) && side.contains(&height) && area <= SURFACE_PIXELS_MAX)
            .then_some(Self { width, height })
    }

    /// The cells that cover this size.
    #[must_use]
    pub const fn grid(self) -> Grid {
        Grid { columns: self.width.div_ceil(CELL), rows: self.height.div_ceil(CELL) }
    }

    /// Pixels in all.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The pixels that `cells` covers, clipped to this size.
    #[must_use]
    pub fn clip(self, cells: CellRect) -> PixelRect {
        let edge = |cell: u16, side: u16| (u32::from(cell) * u32::from(CELL)).min(u32::from(side)) as u16;
        let (x, y) = (edge(cells.x, self.width), edge(cells.y, self.height));
        let right = edge(cells.x.saturating_add(cells.width), self.width);
        let bottom = edge(cells.y.saturating_add(cells.height), self.height);
        PixelRect { x, y, width: right - x, height: bottom - y }
    }
}

/// A surface's cells: columns and rows of [`CELL`] pixel squares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Grid {
    /// Cells per row.
    pub columns: u16,
    /// Rows of cells.
    pub rows: u16,
}

impl Grid {
    /// Cells in all.
    #[must_use]
    pub const fn cells(self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// The row-major index of the cell at column `x`, row `y`.
    #[must_use]
    pub const fn index(self, x: u16, y: u16) -> usize {
        y as usize * self.columns as usize + x as usize
    }

    /// The whole grid as a rectangle.
    #[must_use]
    pub const fn rect(self) -> CellRect {
        CellRect { x: 0, y: 0, width: self.columns, height: self.rows }
    }

    /// Whether `rect` is not empty and lies inside the grid.
    #[must_use]
    pub fn contains(self, rect: CellRect) -> bool {
        let end = |start: u16, span: u16| u32::from(start) + u32::from(span);
        rect.width > 0
            && rect.height > 0
            && end(rect.x, rect.width) <= u32::from(self.columns)
            && end(rect.y, rect.height) <= u32::from(self.rows)
    }
}

/// A rectangle of whole cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CellRect {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl CellRect {
    /// Cells in all.
    #[must_use]
    pub const fn cells(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Row-major indices, in `grid`, of the cells. The rectangle must lie inside the grid.
    pub fn indices(self, grid: Grid) -> impl Iterator<Item = usize> {
        debug_assert!(grid.contains(self), "{self:?} is not inside {grid:?}");
        (self.y..self.y + self.height)
            .flat_map(move |y| (self.x..self.x + self.width).map(move |x| grid.index(x, y)))
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PixelRect {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl PixelRect {
    /// Pixels in all.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The cells that its pixels, of which there are some, lie in.
    #[must_use]
    pub const fn cells_touched(self) -> CellRect {
        let (x, y) = (self.x / CELL, self.y / CELL);
        let (right, bottom) = ((self.x + self.width - 1) / CELL, (self.y + self.height - 1) / CELL);
        CellRect { x, y, width: right - x + 1, height: bottom - y + 1 }
    }
}

/// A set of a grid's cells, one bit each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CellSet {
    grid: Grid,
    words: Vec<u64>,
}

impl CellSet {
    /// The empty set over `grid`.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        Self { grid, words: vec![0; grid.cells().div_ceil(64)] }
    }

    /// Every cell of `grid`.
    #[must_use]
    pub fn full(grid: Grid) -> Self {
        let mut set = Self::new(grid);
        set.fill();
        set
    }

    /// The grid whose cells this set can hold.
    #[must_use]
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// Adds the cell with row-major `index`; says whether it was absent.
    ///
    /// # Panics
    /// If `index` lies outside the grid.
    pub fn insert(&mut self, index: usize) -> bool {
        assert!(index < self.grid.cells(), "cell {index} is outside {:?}", self.grid);
        let (word, bit) = (&mut self.words[index / 64], 1 << (index % 64));
        let absent = *word & bit == 0;
        *word |= bit;
        absent
    }

    /// Removes the cell with row-major `index`; says whether it was there.
    pub fn remove(&mut self, index: usize) -> bool {
        let Some(word) = self.words.get_mut(index / 64) else { return false };
        let bit = 1 << (index % 64);
        let present = *word & bit != 0;
        *word &= !bit;
        present
    }

    /// Whether the cell with row-major `index` is in the set.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    /// Adds every cell of `other`, which must have the same grid.
    ///
    /// # Panics
    /// If the grids differ.
    pub fn union(&mut self, other: &Self) {
        assert_eq!(self.grid, other.grid, "cell sets of different grids");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Removes every cell of `other`, which must have the same grid.
    ///
    /// # Panics
    /// If the grids differ.
    pub fn subtract(&mut self, other: &Self) {
        assert_eq!(self.grid, other.grid, "cell sets of different grids");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Removes what is not in `other`.
    ///
    /// # Panics
    /// If the grids differ.
    pub fn intersect(&mut self, other: &Self) {
        assert_eq!(self.grid, other.grid, "cell sets of different grids");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Removes every cell.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Adds every cell of the grid.
    pub fn fill(&mut self) {
        self.words.fill(u64::MAX);
        let spare = self.words.len() * 64 - self.grid.cells();
        if let Some(last) = self.words.last_mut() {
            *last >>= spare;
        }
    }

    /// How many cells are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no cell is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Row-major indices of the cells in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(at * 64 + bit as usize)
            })
        })
    }
}
