//! What a client's refusals may cost.

/// Cells that one confirmed cell makes up for.
const CONFIRMED_WORTH: u64 = 2;

/// How many cells of a surface may still be refused and sent again at once.
///
/// A client that refuses now and then is repaired at once: what it takes makes up for it. One that takes nothing is
/// broken, or wants the server's bandwidth for something else, and gets a picture's worth of repetition, then no more
/// than a trickle until it takes something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit {
    cells: u64,
    most: u64,
}

impl Credit {
    /// Of a surface of `cells` cells.
    pub(super) const fn new(cells: usize) -> Self {
        let most = cells as u64;
        Self { cells: most, most }
    }

    /// The client took `cells` cells.
    pub(super) fn on_confirmed(&mut self, cells: usize) {
        self.cells = (self.cells + CONFIRMED_WORTH * cells as u64).min(self.most);
    }

    /// The client refused `cells` cells.
    pub(super) const fn on_refused(&mut self, cells: usize) {
        self.cells = self.cells.saturating_sub(cells as u64);
    }

    /// Whether nothing more may be sent at once.
    pub(super) const fn is_spent(&self) -> bool {
        self.cells == 0
    }
}
