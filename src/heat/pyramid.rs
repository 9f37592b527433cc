//! The halving search: is there anything here? where exactly?

use crate::geometry::{CellRect, Grid};

/// A value for each cell, and for each block of 2x2, 4x4, ... cells the largest value in it. Quiet areas cost a search
/// one look.
#[derive(Debug)]
pub struct Pyramid {
    /// From the cells up to a single block.
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    columns: usize,
    rows: usize,
    values: Vec<u32>,
}

impl Pyramid {
    /// All values 0.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        let (mut columns, mut rows) = (usize::from(grid.columns), usize::from(grid.rows));
        let mut levels = Vec::new();
        loop {
            levels.push(Level { columns, rows, values: vec![0; columns * rows] });
            if columns * rows <= 1 {
                return Self { levels };
            }
            (columns, rows) = (columns.div_ceil(2), rows.div_ceil(2));
        }
    }

    /// The value of the cell with row-major `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> u32 {
        self.levels[0].values[index]
    }

    /// Sets the value of the cell with row-major `index`.
    pub fn set(&mut self, index: usize, value: u32) {
        let columns = self.levels[0].columns;
        let (mut x, mut y) = (index % columns, index / columns);
        self.levels[0].values[index] = value;
        for level in 1..self.levels.len() {
            let (below, above) = self.levels.split_at_mut(level);
            let (below, level) = (&below[level - 1], &mut above[0]);
            (x, y) = (x / 2, y / 2);
            let largest = below.largest_of(2 * x, 2 * y);
            let known = &mut level.values[y * level.columns + x];
            if std::mem::replace(known, largest) == largest {
                return;
            }
        }
    }

    /// Shows `visit` the row-major index of every cell of `area` whose value is at least `least`, block by block.
    pub fn search(&self, area: CellRect, least: u32, visit: &mut dyn FnMut(usize)) {
        self.descend(self.levels.len() - 1, 0, 0, area, least, visit);
    }

    fn descend(
        &self,
        depth: usize,
        x: usize,
        y: usize,
        area: CellRect,
        least: u32,
        visit: &mut dyn FnMut(usize),
    ) {
        let level = &self.levels[depth];
        let inside = |at: usize, start: u16, span: u16| {
            (at << depth) < usize::from(start) + usize::from(span) && ((at + 1) << depth) > usize::from(start)
        };
        if level.values[y * level.columns + x] < least
            || !inside(x, area.x, area.width)
            || !inside(y, area.y, area.height)
        {
            return;
        }
        let Some(below) = depth.checked_sub(1) else { return visit(y * level.columns + x) };
        let (columns, rows) = (self.levels[below].columns, self.levels[below].rows);
        for (x, y) in [(2 * x, 2 * y), (2 * x + 1, 2 * y), (2 * x, 2 * y + 1), (2 * x + 1, 2 * y + 1)] {
            if x < columns && y < rows {
                self.descend(below, x, y, area, least, visit);
            }
        }
    }
}

impl Level {
    /// The largest of the up to four values from (`x`, `y`) on.
    fn largest_of(&self, x: usize, y: usize) -> u32 {
        let rows = self.values.chunks_exact(self.columns).skip(y).take(2);
        rows.flat_map(|row| &row[x..(x + 2).min(self.columns)]).copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::scan::fake::Rng;

    #[test]
    fn the_search_finds_what_a_walk_over_all_cells_finds() {
        let mut rng = Rng(3);
        for (width, height) in [(16, 16), (17, 300), (330, 100), (1280, 720)] {
            let grid = Size { width, height }.grid();
            let mut pyramid = Pyramid::new(grid);
            let mut plain = vec![0; grid.cells()];
            for _ in 0..200 {
                let (index, value) = (rng.below(grid.cells() as u64) as usize, rng.below(9) as u32);
                pyramid.set(index, value);
                plain[index] = value;
                let x = rng.below(grid.columns.into()) as u16;
                let area = CellRect { x, y: 0, width: (grid.columns - x).min(9), height: grid.rows };
                let mut found = Vec::new();
                pyramid.search(area, 5, &mut |index| found.push(index));
                found.sort_unstable();
                let expected = area.indices(grid).filter(|index| plain[*index] >= 5).collect::<Vec<_>>();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn quiet_areas_cost_one_look() {
        let grid = Size { width: 1920, height: 1080 }.grid();
        let mut pyramid = Pyramid::new(grid);
        pyramid.set(grid.index(70, 40), 3);
        let mut visits = 0;
        pyramid.search(CellRect { width: 60, height: 30, ..grid.rect() }, 1, &mut |_| visits += 1);
        assert_eq!(visits, 0);
        assert_eq!(pyramid.value(grid.index(70, 40)), 3);
    }
}
