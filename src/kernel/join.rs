//! Union: which cells hang together.

/// Joins neighbouring cells into groups. Its memory is taken once; a join costs what its cells cost.
#[derive(Debug)]
pub struct Joiner {
    columns: usize,
    /// Per cell: the cell whose group it belongs to, as of the join with this stamp.
    parents: Vec<(u32, u32)>,
    stamp: u32,
}

impl Joiner {
    /// For a grid of so many columns and rows.
    #[must_use]
    pub fn new(columns: usize, rows: usize) -> Self {
        Self { columns, parents: vec![(0, 0); columns * rows], stamp: 0 }
    }

    /// Joins the cells with the row-major indices `cells`, ascending, that touch (at a corner too) and of which
    /// `alike` says that they belong together.
    ///
    /// # Panics
    /// If a cell lies outside the grid.
    pub fn join(&mut self, cells: impl Iterator<Item = usize>, alike: impl Fn(usize, usize) -> bool) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.parents.fill((0, 0));
            self.stamp = 1;
        }
        for cell in cells {
            self.parents[cell] = (self.stamp, cell as u32);
            let column = cell % self.columns;
            let west = (column > 0).then(|| cell - 1);
            let above = cell.checked_sub(self.columns);
            let beside = [
                west,
                above.filter(|_| column > 0).map(|cell| cell - 1),
                above,
                above.filter(|_| column + 1 < self.columns).map(|cell| cell + 1),
            ];
            for other in beside.into_iter().flatten() {
                if self.parents[other].0 == self.stamp && alike(cell, other) {
                    self.unite(cell, other);
                }
            }
        }
    }

    /// The first cell of the group that `cell` was put into by the last join.
    ///
    /// # Panics
    /// If `cell` was not in it.
    #[must_use]
    pub fn first(&mut self, cell: usize) -> usize {
        assert_eq!(self.parents[cell].0, self.stamp, "cell {cell} was not joined");
        let mut at = cell;
        while self.parents[at].1 as usize != at {
            // Halves the way for who comes next.
            let above = self.parents[at].1 as usize;
            self.parents[at].1 = self.parents[above].1;
            at = self.parents[at].1 as usize;
        }
        at
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        // The lower index leads, so that the outcome does not depend on the order.
        self.parents[a.max(b)].1 = a.min(b) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_and_is_alike_is_one_group() {
        // a b . b
        // . a b .
        // b . . a
        let cells = [(0, 'a'), (1, 'b'), (3, 'b'), (5, 'a'), (6, 'b'), (8, 'b'), (11, 'a')];
        let kind = |index: usize| cells.iter().find(|(cell, _)| *cell == index).map(|(_, kind)| *kind);
        let mut joiner = Joiner::new(4, 3);
        joiner.join(cells.iter().map(|(cell, _)| *cell), |a, b| kind(a) == kind(b));
        let firsts = cells.map(|(cell, _)| joiner.first(cell));
        assert_eq!(firsts, [0, 1, 1, 0, 1, 8, 11]);
        joiner.join([0, 1, 2, 4].into_iter(), |_, _| true);
        assert_eq!([0, 1, 2, 4].map(|cell| joiner.first(cell)), [0; 4]);
    }

    #[test]
    fn the_last_column_does_not_touch_the_first() {
        let mut joiner = Joiner::new(3, 3);
        joiner.join([2, 3, 5, 6].into_iter(), |_, _| true);
        assert_eq!([2, 3, 5, 6].map(|cell| joiner.first(cell)), [2, 3, 2, 3]);
    }
}
