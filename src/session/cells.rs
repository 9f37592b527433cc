//! What a client has of a surface, cell by cell.

use crate::geometry::{CellRect, CellSet, Grid};
use crate::limits::{CELL, REFINE_REST};
use crate::scan::{Class, Contexts, Picture};
use crate::time::Instant;
use crate::units::ContentNumber;
use lfp_proto::record::Context;

/// Side in cells of the aligned blocks that work is handed out in: the encoder's, so that sessions which want the
/// same cells arrive at the same rectangles.
const BLOCK: u16 = 16;
/// How long a video has to have been one, and a picture that changes all the time, for its pixels not to be worth their
/// bytes: what a window that is dragged over a photograph uncovers is best copied, from exact pixels.
const VIDEO_MS: u32 = 400;
const PHOTO_MS: u32 = 2_000;
/// Regions that are looked at for that.
const FILMS_MAX: usize = 16;
const _: () = assert!(CELL == 16 && BLOCK == 16);

/// Knowledge of every cell of one surface in one epoch.
///
/// A cell that is not in any of the three sets of work has been sent as it was in tick `sent_tick`, exactly unless it is in
/// `lossy`, and no newer change of it is known.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    grid: Grid,
    /// The tick whose pixels went out last; 0: none did.
    sent_tick: Vec<u64>,
    /// The content number that they have; 0: none.
    content: Vec<u64>,
    /// The client is known to show that content.
    confirmed: CellSet,
    /// The client is known, or believed, not to show it.
    lost: CellSet,
    /// A record of the cell was refused for its base: the next one goes without.
    plain: CellSet,
    /// To be sent in the next pass.
    wanted: CellSet,
    /// To be sent in this pass, and not handed out yet.
    round: CellSet,
    /// Handed out in this pass: with an encoder, or encoded and not sent yet.
    under_way: CellSet,
    /// Sent last so that they are not exact.
    lossy: CellSet,
    /// When each cell is known to have changed last.
    changed: Vec<Instant>,
    /// No cell of `lossy` has rested for long enough before this.
    rests_at: Option<Instant>,
}

impl Cells {
    /// The client has nothing, and wants everything.
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            sent_tick: vec![0; grid.cells()],
            content: vec![0; grid.cells()],
            confirmed: CellSet::new(grid),
            lost: CellSet::new(grid),
            plain: CellSet::new(grid),
            wanted: CellSet::full(grid),
            round: CellSet::new(grid),
            under_way: CellSet::new(grid),
            lossy: CellSet::new(grid),
            changed: vec![Instant::ZERO; grid.cells()],
            rests_at: None,
        }
    }

    pub(super) const fn grid(&self) -> Grid {
        self.grid
    }

    /// Tick `number`, captured at `at`, changed `changed`: wanted, unless pixels of that tick or a newer one went out
    /// already.
    pub(super) fn on_delta(&mut self, number: u64, at: Instant, changed: &CellSet) {
        for index in changed.iter() {
            self.changed[index] = at;
            if self.sent_tick[index] < number {
                self.wanted.insert(index);
            }
        }
    }

    /// Ticks after number `known` were missed, of which the last was captured at `at`: every cell that `picture` says has
    /// changed since it went out is wanted.
    pub(super) fn on_gap(&mut self, known: u64, at: Instant, picture: &Picture) {
        for (y, row) in picture.rows.iter().enumerate() {
            for (x, changed_at) in row.changed_at.iter().enumerate() {
                let index = y * usize::from(self.grid.columns) + x;
                if *changed_at > known {
                    self.changed[index] = at;
                }
                if self.sent_tick[index] < *changed_at {
                    self.wanted.insert(index);
                }
            }
        }
    }

    /// The tick whose pixels of the cell with row-major `index` went out last, or were found not to need to; 0: none.
    pub(super) fn sent_tick(&self, index: usize) -> u64 {
        self.sent_tick[index]
    }

    /// Whether a pass could begin.
    pub(super) fn wants(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether this pass still has cells to hand out.
    pub(super) fn has_round(&self) -> bool {
        !self.round.is_empty()
    }

    /// Whether every cell of this pass has been sent or given back.
    pub(super) fn pass_is_over(&self) -> bool {
        self.round.is_empty() && self.under_way.is_empty()
    }

    /// Begins a pass over all that is wanted now. What is wanted from here on waits for the next, so that no cell waits
    /// for another that changes all the time.
    pub(super) fn begin_pass(&mut self) {
        debug_assert!(self.pass_is_over());
        std::mem::swap(&mut self.wanted, &mut self.round);
    }

    /// Hands out at least `least` cells of this pass, if it has so many, in whole blocks, and fewer than `most` and a
    /// block: first where it is `warm`, then, of a `first` picture, blocks with little in them, then from top to bottom.
    pub(super) fn take(
        &mut self,
        least: usize,
        most: usize,
        warm: &[CellRect],
        first: Option<&Picture>,
    ) -> CellSet {
        let mut taken = CellSet::new(self.grid);
        let mut count = 0;
        while count < least {
            let in_round =
                |area: &CellRect| area.indices(self.grid).find(|index| self.round.contains(*index));
            let urgent = warm.iter().filter(|area| self.grid.contains(**area)).find_map(in_round);
            let plainest = || first.and_then(|picture| self.plainest(picture));
            let next = || plainest().or_else(|| self.round.iter().next());
            let Some(next) = urgent.or_else(next) else { break };
            for index in self.block(next).indices(self.grid) {
                if count < most && self.round.remove(index) {
                    taken.insert(index);
                    self.under_way.insert(index);
                    count += 1;
                }
            }
        }
        taken
    }

    /// The block that the cell with row-major `index` lies in.
    fn block(&self, index: usize) -> CellRect {
        let columns = usize::from(self.grid.columns);
        let (x, y) = ((index % columns) as u16 / BLOCK * BLOCK, (index / columns) as u16 / BLOCK * BLOCK);
        let (width, height) = (BLOCK.min(self.grid.columns - x), BLOCK.min(self.grid.rows - y));
        CellRect { x, y, width, height }
    }

    /// A cell of this pass in the block in which least is to be seen: most of a screen is there for few bytes.
    fn plainest(&self, picture: &Picture) -> Option<usize> {
        let corners = (0..self.grid.rows)
            .step_by(BLOCK.into())
            .flat_map(|y| (0..self.grid.columns).step_by(BLOCK.into()).map(move |x| self.grid.index(x, y)));
        let columns = usize::from(self.grid.columns);
        let detail =
            |index: usize| u32::from(picture.detail((index % columns) as u16, (index / columns) as u16));
        let blocks = corners.filter_map(|corner| {
            let mut left = self.block(corner).indices(self.grid).filter(|index| self.round.contains(*index));
            let next = left.next()?;
            Some((detail(next) + left.map(detail).sum::<u32>(), next))
        });
        blocks.min().map(|(_, next)| next)
    }

    /// Whether some cell has never been sent.
    pub(super) fn has_blank(&self) -> bool {
        self.content.contains(&0)
    }

    /// Hands out the cells of this pass that must go without a base, if there are any.
    pub(super) fn take_plain(&mut self) -> Option<CellSet> {
        let mut taken = CellSet::new(self.grid);
        for index in self.plain.iter() {
            if self.round.remove(index) {
                taken.insert(index);
                self.under_way.insert(index);
            }
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// Cells that were handed out and not encoded go back into this pass.
    pub(super) fn give_back(&mut self, left: &CellSet) {
        if left.grid() != self.grid {
            return;
        }
        for index in left.iter() {
            if self.under_way.remove(index) {
                self.round.insert(index);
            }
        }
    }

    /// Whether any of `cells` is handed out. Others may come along.
    pub(super) fn are_under_way(&self, cells: CellRect) -> bool {
        self.grid.contains(cells) && cells.indices(self.grid).any(|index| self.under_way.contains(index))
    }

    /// Cells that were handed out, and are not in `held`, go back into this pass.
    pub(super) fn give_back_all_but(&mut self, held: &CellSet) {
        let mut lost = self.under_way.clone();
        for index in held.iter() {
            lost.remove(index);
        }
        self.give_back(&lost);
    }

    /// Cells that were encoded and not sent in time go back into this pass.
    pub(super) fn give_back_rect(&mut self, cells: CellRect) {
        for index in cells.indices(self.grid) {
            if self.under_way.remove(index) {
                self.round.insert(index);
            }
        }
    }

    /// Whether one of `cells` went out as `content` already, or with newer pixels than those of tick `tick`: it came along
    /// with others.
    pub(super) fn is_overtaken(&self, cells: CellRect, tick: u64, content: ContentNumber) -> bool {
        let mut indices = cells.indices(self.grid);
        indices.any(|index| self.content[index] == content.0 || self.sent_tick[index] > tick)
    }

    /// `cells` went out with the pixels of tick `tick` as `content`, or nearly those if not `exact`. Those that `picture`,
    /// the newest known, shows to have changed since are wanted again.
    pub(super) fn on_sent(
        &mut self,
        cells: CellRect,
        tick: u64,
        content: ContentNumber,
        exact: bool,
        picture: &Picture,
    ) {
        for y in cells.y..cells.y + cells.height {
            for x in cells.x..cells.x + cells.width {
                let index = self.grid.index(x, y);
                self.under_way.remove(index);
                self.round.remove(index);
                self.confirmed.remove(index);
                self.lost.remove(index);
                self.plain.remove(index);
                self.sent_tick[index] = tick;
                self.content[index] = content.0;
                if exact {
                    self.lossy.remove(index);
                } else {
                    self.lossy.insert(index);
                    let rests_at = self.changed[index] + REFINE_REST;
                    self.rests_at = Some(self.rests_at.map_or(rests_at, |at| at.min(rests_at)));
                }
                if picture.changed_at(x, y) <= tick {
                    self.wanted.remove(index);
                } else {
                    self.wanted.insert(index);
                }
            }
        }
    }

    /// Whether none of `cells`, which lie inside the grid, has been sent or handed out.
    pub(super) fn are_blank(&self, cells: CellRect) -> bool {
        cells.indices(self.grid).all(|index| self.content[index] == 0 && !self.under_way.contains(index))
    }

    /// The client still had `cells` as they are in tick `tick`: they count as sent, as `content`, and as not come before it is
    /// known that the client knows.
    pub(super) fn on_kept(&mut self, cells: CellRect, tick: u64, content: ContentNumber, picture: &Picture) {
        self.on_sent(cells, tick, content, true, picture);
        for index in cells.indices(self.grid) {
            self.lost.insert(index);
        }
    }

    /// The cell with row-major `index` was handed out, and has the pixels that the client has been sent again, as of tick
    /// `tick`: it counts as sent, its content stays. It goes back into the pass if these pixels have been lost since.
    pub(super) fn on_same(&mut self, index: usize, tick: u64, picture: &Picture) -> bool {
        if !self.under_way.remove(index) {
            return false;
        }
        if self.lost.contains(index) {
            self.round.insert(index);
            return false;
        }
        self.sent_tick[index] = tick;
        let columns = usize::from(self.grid.columns);
        if picture.changed_at((index % columns) as u16, (index / columns) as u16) <= tick {
            self.wanted.remove(index);
        } else {
            self.wanted.insert(index);
        }
        true
    }

    /// A record of `cells` at `content` came and was not refused. Cells that went out again since are not concerned.
    pub(super) fn on_confirmed(&mut self, cells: CellRect, content: ContentNumber, picture: &Picture) {
        for y in cells.y..cells.y + cells.height {
            for x in cells.x..cells.x + cells.width {
                let index = self.grid.index(x, y);
                if self.content[index] != content.0 {
                    continue;
                }
                self.confirmed.insert(index);
                self.lost.remove(index);
                // It counted as lost before.
                if picture.changed_at(x, y) <= self.sent_tick[index] {
                    self.wanted.remove(index);
                    self.round.remove(index);
                }
            }
        }
    }

    /// A record of `cells` at `content` was lost or refused: those of its cells that did not go out again since are
    /// wanted. Returns how many.
    pub(super) fn on_missing(&mut self, cells: CellRect, content: ContentNumber) -> u64 {
        let mut missing = 0;
        for index in cells.indices(self.grid) {
            if self.content[index] == content.0 && !self.confirmed.contains(index) {
                self.lost.insert(index);
                missing += u64::from(self.want(index));
            }
        }
        missing
    }

    /// Whether all of `cells` that did not go out again since `content` count as lost already.
    pub(super) fn are_lost(&self, cells: CellRect, content: ContentNumber) -> bool {
        cells.indices(self.grid).all(|index| self.content[index] != content.0 || self.lost.contains(index))
    }

    /// A record of `cells` at `content` was refused for its base, nobody knows why: those of its cells that did not go out again since go
    /// without one next time.
    pub(super) fn go_plain(&mut self, cells: CellRect, content: ContentNumber) {
        for index in cells.indices(self.grid) {
            if self.content[index] == content.0 {
                self.plain.insert(index);
            }
        }
    }

    /// Everything in `cells` is wanted, whatever the client is believed to have. Returns how many cells were not.
    pub(super) fn distrust(&mut self, cells: CellRect) -> u64 {
        let mut distrusted = 0;
        for index in cells.indices(self.grid) {
            self.lost.insert(index);
            distrusted += u64::from(self.want(index));
        }
        distrusted
    }

    /// Which of `cells` move all the time, as `contexts` says (for long enough to go on, unless `any_age` will do), and have not come to rest: what need not be exact. Cells
    /// beside them that are not exact now come with them.
    pub(super) fn moving(
        &self,
        cells: &CellSet,
        contexts: &Contexts,
        any_age: bool,
        now: Instant,
    ) -> CellSet {
        let mut moving = CellSet::new(self.grid);
        let mut films = [CellRect::default(); FILMS_MAX];
        let lasting = contexts.regions().iter().filter(|region| match region.context {
            Context::Video => any_age || region.persistence_ms >= VIDEO_MS,
            Context::Photo => any_age || region.persistence_ms >= PHOTO_MS,
            _ => false,
        });
        let count = films.iter_mut().zip(lasting).map(|(film, region)| *film = region.cells).count();
        if count == 0 {
            return moving;
        }
        let columns = usize::from(self.grid.columns);
        for index in cells.iter() {
            let cell = contexts.cell(index);
            let is_moving = match cell.context {
                Context::Video => cell.class >= Class::Warm,
                Context::Photo => cell.class == Class::Hot,
                _ => false,
            };
            let (x, y) = ((index % columns) as u16, (index / columns) as u16);
            let holds = |film: &CellRect| {
                (film.x..film.x + film.width).contains(&x) && (film.y..film.y + film.height).contains(&y)
            };
            if is_moving
                && films[..count].iter().any(holds)
                && now.saturating_since(self.changed[index]) < REFINE_REST
            {
                moving.insert(index);
            }
        }
        if !moving.is_empty() {
            let mut beside = self.lossy.clone();
            beside.subtract(cells);
            moving.union(&beside);
        }
        moving
    }

    /// When a cell may have rested for long enough to be sent exactly.
    pub(super) const fn rests_at(&self) -> Option<Instant> {
        self.rests_at
    }

    // SPEC [LFP-11.4]: A server MUST NOT count a cell as settled, nor use it as a base, while the newest content that it
    // has sent of it is lossy; and it MUST send it anew, exactly, once it has not changed for a while.
    /// Makes cells wanted that are not exact and have not changed for a while: those of the first block, at most
    /// `most`. Returns how many.
    pub(super) fn refine(&mut self, now: Instant, most: u64) -> u64 {
        if self.rests_at.is_none_or(|at| at > now) {
            return 0;
        }
        let columns = usize::from(self.grid.columns);
        let (mut block, mut next, mut refined) = (None, None::<Instant>, 0);
        for index in self.lossy.iter() {
            let at = self.changed[index] + REFINE_REST;
            let busy =
                self.wanted.contains(index) || self.round.contains(index) || self.under_way.contains(index);
            if at <= now && !busy {
                let (x, y) = (index % columns / usize::from(BLOCK), index / columns / usize::from(BLOCK));
                if refined < most && *block.get_or_insert((x, y)) == (x, y) {
                    self.wanted.insert(index);
                    refined += 1;
                    continue;
                }
            }
            // What is busy is looked at again when it is through.
            let at = if busy { at.max(now + REFINE_REST) } else { at };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        self.rests_at = next;
        refined
    }

    /// How many cells are known to have changed after `at`.
    pub(super) fn changed_since(&self, at: Instant) -> usize {
        self.changed.iter().filter(|changed| **changed > at).count()
    }

    /// Whether the client is known to show the newest known pixels of every cell in `cells`.
    pub(super) fn settled(&self, cells: CellRect) -> bool {
        cells.indices(self.grid).all(|index| {
            self.confirmed.contains(index)
                && !self.lossy.contains(index)
                && !self.wanted.contains(index)
                && !self.round.contains(index)
                && !self.under_way.contains(index)
        })
    }

    /// The content number that each cell was sent with last; 0: none.
    pub(super) fn contents(&self) -> &[u64] {
        &self.content
    }

    /// Cells that the client is known to show as they were sent last.
    pub(super) const fn confirmed(&self) -> &CellSet {
        &self.confirmed
    }

    /// Cells that the client is known, or believed, not to show as they were sent last.
    pub(super) const fn lost(&self) -> &CellSet {
        &self.lost
    }

    /// Whether each of `cells`, which lie inside the grid, went out last as `content`, and is known neither to have come nor
    /// to be missing.
    pub(super) fn is_open_at(&self, cells: CellRect, content: ContentNumber) -> bool {
        let open = |index: usize| {
            self.content[index] == content.0 && !self.confirmed.contains(index) && !self.lost.contains(index)
        };
        cells.indices(self.grid).all(open)
    }

    /// How many of `cells`, which lie inside the grid, are.
    pub(super) fn lost_in(&self, cells: CellRect) -> usize {
        if self.lost.is_empty() {
            return 0;
        }
        cells.indices(self.grid).filter(|index| self.lost.contains(*index)).count()
    }

    /// Cells that were sent last so that they are not exact.
    pub(super) const fn lossy(&self) -> &CellSet {
        &self.lossy
    }

    /// CRC-32 over the content numbers of `cells`, as a digest has it.
    pub(super) fn contents_checksum(&self, cells: CellRect) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for index in cells.indices(self.grid) {
            crc.update(&self.content[index].to_le_bytes());
        }
        crc.finalize()
    }

    /// Cells that the client is not known to show as they are.
    pub(super) fn open(&self) -> usize {
        let mut open = self.wanted.clone();
        open.union(&self.round);
        open.union(&self.under_way);
        open.union(&self.lossy);
        let unconfirmed = self.grid.cells() - self.confirmed.len();
        open.len().max(unconfirmed)
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.grid.cells() * 3 * size_of::<u64>() + 7 * self.grid.cells().div_ceil(8)
    }

    fn want(&mut self, index: usize) -> bool {
        let busy = self.round.contains(index) || self.under_way.contains(index);
        !busy && self.wanted.insert(index)
    }
}

#[cfg(test)]
mod tests;
