//! Stale refresh: what was sent longest ago, and was never proven since, is verified with what is left of the budget.
//!
//! A client proves bands of its picture that stand still, of its own accord. A band in which something always moves it never
//! proves; so the server asks for what of it rests. A wrong cell is found by that and sent anew; what is right costs a
//! question and an answer, and no pixels.

use std::time::Duration;

use crate::geometry::{CellRect, CellSet, Grid};
use crate::limits::{RECORD_CELLS_MAX, STALE_AGE, STALE_BACKOFF_MAX};
use crate::session::carried::Item;
use crate::session::cells::Cells;
use crate::time::Instant;
use crate::units::{Epoch, SurfaceId};
use lfp_proto::frame::{Frame, Prove};
use lfp_proto::packet::Builder;

/// Time that counts for what is new.
const LATELY: Duration = Duration::from_secs(1);
/// One cell in so many that changed lately is much.
const MUCH_ONE_IN: usize = 4;

/// How much is new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Regime {
    /// Nothing: the budget is all left over.
    Nothing,
    /// A little: most of the budget is.
    Little,
    /// Most of the picture, or as much as the path takes: none is.
    Mostly,
}

impl Regime {
    /// How long the next question waits after one.
    const fn interval(self) -> Duration {
        match self {
            Self::Nothing => Duration::from_secs(1),
            Self::Little => Duration::from_secs(4),
            Self::Mostly => STALE_AGE,
        }
    }
}

/// What is proven of a surface, and what is asked next.
#[derive(Clone, Debug)]
pub(super) struct Stale {
    surface: SurfaceId,
    epoch: Epoch,
    /// Cells whose newest content the client is proven to show exactly.
    proven: CellSet,
    /// Something went out since it was looked last.
    is_open: bool,
    /// When it is looked for what to ask.
    look_at: Option<Instant>,
    /// Doubles with every question that proved nothing.
    backoff: Duration,
    due: Option<CellRect>,
}

impl Stale {
    /// Nothing is proven.
    pub(super) fn new(surface: SurfaceId, epoch: Epoch, grid: Grid) -> Self {
        let (proven, backoff) = (CellSet::new(grid), Duration::ZERO);
        Self { surface, epoch, proven, is_open: false, look_at: None, backoff, due: None }
    }

    /// New content of `cells` went out.
    pub(super) fn on_sent(&mut self, cells: CellRect) {
        for index in cells.indices(self.proven.grid()) {
            self.proven.remove(index);
        }
        self.is_open = true;
    }

    /// The client shows exactly what it should in `cells`.
    pub(super) fn on_proven(&mut self, cells: CellRect) {
        for index in cells.indices(self.proven.grid()) {
            self.proven.insert(index);
        }
        self.backoff = Duration::ZERO;
    }

    /// When [`Stale::on_time`] has something to do.
    pub(super) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Looks for the oldest cells that are settled and not proven, if it is time to. `is_busy`: the path is not idle.
    pub(super) fn on_time(&mut self, now: Instant, cells: &Cells, is_busy: bool) {
        let Some(at) = self.look_at else {
            self.look_at = self.is_open.then(|| now + STALE_AGE);
            return;
        };
        if at > now {
            return;
        }
        let regime = regime(cells, now, is_busy);
        self.is_open = self.proven.len() < self.proven.grid().cells();
        self.look_at = self.is_open.then(|| now + regime.interval());
        if regime == Regime::Mostly || !self.is_open {
            return;
        }
        if let Some(oldest) = oldest(cells, &self.proven) {
            self.due = Some(oldest);
            self.backoff = (self.backoff * 2).clamp(regime.interval(), STALE_BACKOFF_MAX);
            self.look_at = Some(now + self.backoff);
        }
    }

    /// Cells to ask the client about.
    pub(super) const fn due(&self) -> Option<CellRect> {
        self.due
    }

    /// Puts PROVE into a packet, if it is due and fits; says whether it did. If the packet is lost, the cells are asked about
    /// again when their turn comes.
    pub(super) fn put(&mut self, builder: &mut Builder, items: &mut Vec<Item>) -> bool {
        let Some(cells) = self.due else { return false };
        let fits = builder.push(&Frame::Prove(Prove { surface: self.surface, epoch: self.epoch, cells }));
        if fits {
            self.due = None;
            items.push(Item::Prove);
        }
        fits
    }

    /// Bytes that this takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.proven.grid().cells().div_ceil(8)
    }
}

fn regime(cells: &Cells, now: Instant, is_busy: bool) -> Regime {
    let changed = cells.changed_since(Instant::ZERO.max(now - LATELY));
    if is_busy || changed * MUCH_ONE_IN >= cells.grid().cells() {
        Regime::Mostly
    } else if changed > 0 {
        Regime::Little
    } else {
        Regime::Nothing
    }
}

/// Settled cells that are not proven: a rectangle of them that begins with the one whose content is oldest, first to the
/// right, then down.
fn oldest(cells: &Cells, proven: &CellSet) -> Option<CellRect> {
    let grid = cells.grid();
    let is_open = |x: u16, y: u16| {
        let cell = CellRect { x, y, width: 1, height: 1 };
        !proven.contains(grid.index(x, y)) && cells.settled(cell)
    };
    let columns = usize::from(grid.columns);
    let place = |index: usize| ((index % columns) as u16, (index / columns) as u16);
    let open = (0..grid.cells()).filter(|index| {
        let (x, y) = place(*index);
        is_open(x, y)
    });
    let first = open.min_by_key(|index| cells.contents()[*index])?;
    let (x, y) = place(first);
    let width = (x..grid.columns).take_while(|x| is_open(*x, y)).count() as u16;
    let most = (RECORD_CELLS_MAX / usize::from(width)).max(1);
    let rows = (y..grid.rows).take_while(|y| (x..x + width).all(|x| is_open(x, *y))).take(most);
    Some(CellRect { x, y, width, height: rows.count() as u16 })
}

#[cfg(test)]
mod tests;
