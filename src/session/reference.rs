//! The references that a client keeps, as the server knows them: what records may build on.
//!
//! A reference is made of what was sent, before it is known whether it came. Its check makes sure that nothing wrong is
//! painted; what it costs if something is missing is a refusal. So on a clean path every pass builds on what the pass
//! before sent; where refusals are not rare, only on what is known to have come.

use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, Size};
use crate::limits::{REFERENCES_MAX, REFUGE_CELLS, REFUGE_PASSES};
use crate::logic::{Base, BaseUse, EncodedRecord};
use crate::scan::Picture;
use crate::session::carried::{BuiltOn, Item};
use crate::session::cells::Cells;
use crate::session::path::{Path, Policy};
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::check;
use lfp_proto::frame::{Frame, Hold};
use lfp_proto::packet::Builder;
use lfp_proto::record;

/// The references of one surface in one epoch.
///
/// Under [`Policy::Newest`] one slot is held anew after each pass. Where losses are seen, a second one is held now and then:
/// after a loss on which much hangs, a pass builds on that. Under [`Policy::Proven`] records build on one slot
/// while the fate of what another holds is open; when nothing in that is, they change places. A client that keeps one
/// reference has its cells that are known to have come used meanwhile.
#[derive(Debug)]
pub(super) struct References {
    surface: SurfaceId,
    epoch: Epoch,
    /// How many the client keeps.
    kept: u8,
    /// What was sent last of each cell.
    sent: Picture,
    /// The largest content number given so far.
    newest: ContentNumber,
    held: [Option<Held>; REFERENCES_MAX as usize],
    /// The slot that records build on.
    coding: usize,
    /// The slot that is held anew after each pass, while what was sent last may be built on.
    latest: usize,
    generation: u64,
    path: Path,
    /// What records may build on now; made anew when that changes.
    base: Option<Arc<Base>>,
    /// What records built on may not hold any more.
    doubted: bool,
}

/// A slot.
#[derive(Debug)]
struct Held {
    through: ContentNumber,
    generation: u64,
    picture: Picture,
    /// The content number of each cell.
    contents: Arc<[u64]>,
    /// Cells whose content is known to have come.
    confirmed: CellSet,
    /// Cells whose content is known, or believed, to be missing.
    refuted: CellSet,
    /// Cells whose content is not exact.
    lossy: CellSet,
    /// The client is known to hold it.
    announced: bool,
    /// Passes that ended while the fate of a cell was open, and since.
    passes: (u32, u32),
}

impl References {
    /// Of a client that keeps `kept`, and has been sent nothing.
    pub(super) fn new(surface: SurfaceId, epoch: Epoch, kept: u8, size: Size) -> Self {
        Self {
            surface,
            epoch,
            kept: kept.min(REFERENCES_MAX),
            sent: Picture::black(size),
            newest: ContentNumber(0),
            held: [const { None }; REFERENCES_MAX as usize],
            coding: 0,
            latest: 0,
            generation: 0,
            path: Path::default(),
            base: None,
            doubted: false,
        }
    }

    /// `cells` went out as they are in `picture`, as `content`.
    pub(super) fn on_sent(&mut self, cells: CellRect, content: ContentNumber, picture: Option<&Picture>) {
        if let Some(picture) = picture.filter(|_| self.kept > 0) {
            self.sent.adopt(cells, picture);
            // What a client kept may be found later, and is older than all that was sent.
            self.newest = self.newest.max(content);
        }
    }

    /// `cell` need not go out: what was sent of it last is what it is in `picture`.
    pub(super) fn on_same(&mut self, cell: CellRect, picture: Option<&Picture>) {
        if let Some(picture) = picture.filter(|_| self.kept > 0) {
            self.sent.adopt(cell, picture);
        }
    }

    /// A record of `cells` at `content` came and was not refused.
    pub(super) fn on_confirmed(&mut self, cells: CellRect, content: ContentNumber, based: bool) {
        let changed = self.confirm(cells, content) || self.path.policy() == Policy::Proven;
        self.path.on_came(based);
        if changed {
            self.base = None;
        }
    }

    /// The client knows that it keeps `cells` as `content`.
    pub(super) fn on_kept(&mut self, cells: CellRect, content: ContentNumber) {
        if self.confirm(cells, content) || self.path.policy() == Policy::Proven {
            self.base = None;
        }
    }

    /// Slots that hold `cells` at `content` have come so far. Says whether that had been doubted.
    fn confirm(&mut self, cells: CellRect, content: ContentNumber) -> bool {
        let mut changed = false;
        for held in self.held.iter_mut().flatten() {
            for index in cells.indices(held.confirmed.grid()) {
                if held.contents[index] == content.0 {
                    held.confirmed.insert(index);
                    changed |= held.refuted.remove(index);
                }
            }
        }
        changed
    }

    /// A record of `cells` at `content` was lost, or refused.
    pub(super) fn on_missing(&mut self, cells: CellRect, content: ContentNumber) {
        for held in self.held.iter_mut().flatten() {
            for index in cells.indices(held.confirmed.grid()) {
                if held.contents[index] == content.0 && !held.confirmed.contains(index) {
                    held.refuted.insert(index);
                }
            }
        }
        self.doubt();
    }

    /// A record was lost with its packet.
    pub(super) fn on_lost(&mut self) {
        self.path.on_lost();
    }

    /// A record that builds on a reference was refused for it.
    pub(super) fn on_base_refused(&mut self) {
        self.path.on_base_refused();
        self.doubt();
    }

    /// The client is believed to show something else in `cells` than it was sent.
    pub(super) fn distrust(&mut self, cells: CellRect) {
        for held in self.held.iter_mut().flatten() {
            for index in cells.indices(held.confirmed.grid()) {
                held.confirmed.remove(index);
                held.refuted.insert(index);
            }
        }
        self.doubt();
    }

    fn doubt(&mut self) {
        self.base = None;
        self.doubted = true;
    }

    /// Whether some of what records built on may not hold any more; asked once.
    pub(super) const fn take_doubt(&mut self) -> bool {
        std::mem::replace(&mut self.doubted, false)
    }

    /// How often the policy has changed since this was asked last.
    pub(super) const fn take_turns(&mut self) -> u64 {
        self.path.take_turns()
    }

    /// A pass is over, or one begins: what was sent up to now may become a reference. Says whether it did.
    pub(super) fn advance(&mut self, cells: &Cells, newest: Option<&Picture>) -> bool {
        if self.kept == 0 || self.newest.0 == 0 {
            return false;
        }
        let slot = match self.path.policy() {
            Policy::Newest if self.retreat(cells) => return false,
            Policy::Newest => self.latest,
            Policy::Proven => match self.free_slot() {
                Some(slot) => slot,
                None => return false,
            },
        };
        if self.held[slot].as_ref().is_some_and(|held| held.through >= self.newest) {
            return false;
        }
        if let Some(newest) = newest {
            self.sent.share(newest);
        }
        self.hold(slot, cells);
        if self.path.policy() == Policy::Newest {
            self.coding = slot;
            if self.is_refuge_due() {
                self.hold(1 - slot, cells);
            }
        }
        self.doubt();
        true
    }

    /// Slot `slot` is what was sent up to now.
    fn hold(&mut self, slot: usize, cells: &Cells) {
        let mut refuted = cells.lost().clone();
        cells.contents().iter().enumerate().filter(|(_, content)| **content == 0).for_each(|(index, _)| {
            refuted.insert(index);
        });
        let mut confirmed = cells.confirmed().clone();
        confirmed.subtract(&refuted);
        self.generation += 1;
        self.held[slot] = Some(Held {
            through: self.newest,
            generation: self.generation,
            picture: self.sent.clone(),
            contents: cells.contents().into(),
            confirmed,
            refuted,
            lossy: cells.lossy().clone(),
            announced: false,
            passes: (0, 0),
        });
    }

    /// Whether the slot that is not held after each pass should be: losses are seen, all is known of what it holds, and that is
    /// old.
    fn is_refuge_due(&mut self) -> bool {
        if self.kept < 2 || !self.path.has_losses() {
            return false;
        }
        let Some(held) = &mut self.held[1 - self.latest] else { return true };
        held.passes.1 += 1;
        held.passes.1 >= REFUGE_PASSES && held.is_settled()
    }

    /// Whether this pass should build on the older slot, since much of what was sent last is missing there, and not here.
    fn retreat(&mut self, cells: &Cells) -> bool {
        let Some(held) = self.held[1 - self.latest].as_ref().filter(|_| self.kept > 1) else { return false };
        let lost = cells.lost().len();
        let here = cells.lost().iter().filter(|index| held.trusts(*index, Policy::Newest)).count();
        let retreats = lost >= REFUGE_CELLS && here * 2 > lost;
        if retreats && self.coding == self.latest {
            self.coding = 1 - self.latest;
            self.doubt();
        }
        retreats
    }

    /// The slot to hold next while records build only on what is known to have come.
    fn free_slot(&mut self) -> Option<usize> {
        let other = if self.kept > 1 { 1 - self.coding } else { self.coding };
        let in_use = self.held[self.coding].as_ref().map_or(ContentNumber(0), |held| held.through);
        let Some(held) = &mut self.held[other] else { return Some(other) };
        if !held.is_settled() {
            held.passes.0 += 1;
            return None;
        }
        if other != self.coding {
            // It is better than the one in use, which is free now.
            if held.through > in_use {
                self.coding = other;
                self.latest = 1 - other;
                self.base = None;
                return Some(1 - other);
            }
            return Some(other);
        }
        // The only one: as long in use as it took to be of use.
        held.passes.1 += 1;
        (held.passes.1 > held.passes.0).then_some(other)
    }

    /// What records may build on.
    pub(super) fn base(&mut self) -> Option<Arc<Base>> {
        if self.base.is_none() {
            let policy = self.path.policy();
            let held = self.held[self.coding].as_ref()?;
            let base =
                Base::new(self.coding as u8, held.generation, held.picture.clone(), held.trusted(policy));
            self.base = Some(Arc::new(base));
        }
        self.base.clone()
    }

    /// The cells that the client shows as they are in what records may build on.
    pub(super) fn kept(&self, cells: &Cells) -> CellSet {
        let mut kept = CellSet::new(cells.grid());
        let Some((base, held)) = self.base.as_ref().zip(self.held[self.coding].as_ref()) else { return kept };
        for index in base.trusted.iter() {
            if held.contents[index] == cells.contents()[index] && !cells.lost().contains(index) {
                kept.insert(index);
            }
        }
        kept
    }

    /// What a record says of its base; `None` if that has moved on, or is not to be trusted any more.
    // SPEC [LFP-8.5]: A server MUST NOT use as a base a cell whose content, as it counts it for the reference, it knows
    // to be refused or lost and not to have come since, or that shows other pixels than it has.
    pub(super) fn wire(&self, used: BaseUse) -> Option<record::Base> {
        let held = self.held[usize::from(used.slot)].as_ref().filter(|held| self.is_sound(held, used))?;
        let contents =
            used.cells.indices(held.confirmed.grid()).map(|index| ContentNumber(held.contents[index]));
        Some(record::Base::Reference { slot: used.slot, check: check::contents(contents) })
    }

    /// What `record`, which can be sent, builds on.
    pub(super) fn built_on(&self, record: &EncodedRecord) -> Option<BuiltOn> {
        let used = record.base?;
        let held = self.held[usize::from(used.slot)].as_ref()?;
        Some(BuiltOn { cells: used.cells, through: held.through })
    }

    /// The picture that `used` is of, as [`References::holds`] has it.
    pub(super) fn picture(&self, used: BaseUse) -> Option<&Picture> {
        let held = self.held[usize::from(used.slot)].as_ref();
        held.filter(|held| self.is_sound(held, used)).map(|held| &held.picture)
    }

    /// Whether a record can still be sent that uses `used`.
    pub(super) fn holds(&self, used: BaseUse) -> bool {
        self.held[usize::from(used.slot)].as_ref().is_some_and(|held| self.is_sound(held, used))
    }

    fn is_sound(&self, held: &Held, used: BaseUse) -> bool {
        let (grid, policy) = (held.confirmed.grid(), self.path.policy());
        held.generation == used.generation && used.cells.indices(grid).all(|index| held.trusts(index, policy))
    }

    /// Puts the HOLDs that the client may not have into packet `number`, before its pixels; says whether they fit.
    // SPEC [LFP-8.4]: A server MUST put the HOLD of a slot before any PIXELS of the surface into every packet with PIXELS
    // of it that is numbered above *through*, until a packet that carried that HOLD is acked, or another of the slot is
    // due.
    pub(super) fn announce(
        &self,
        builder: &mut Builder,
        number: PacketNumber,
        items: &mut Vec<Item>,
    ) -> bool {
        for (slot, held) in (0..).zip(&self.held) {
            let Some(held) = held.as_ref().filter(|held| !held.announced) else { continue };
            let Self { surface, epoch, .. } = *self;
            let hold = Hold { surface, epoch, slot, age: number.0 - held.through.0 };
            if !builder.push(&Frame::Hold(hold)) {
                return false;
            }
            items.push(Item::Hold { surface, epoch, slot, through: held.through });
        }
        true
    }

    /// A packet came that carried the HOLD of a slot.
    pub(super) fn on_announced(&mut self, slot: u8, through: ContentNumber) {
        if let Some(held) = self.held.get_mut(usize::from(slot)).and_then(Option::as_mut) {
            held.announced |= held.through == through;
        }
    }

    /// Bytes that this takes, without pixels, which it shares with ticks.
    pub(super) fn memory_bytes(&self) -> usize {
        let rows = |picture: &Picture| picture.rows.iter().map(|row| row.tiles.len()).sum::<usize>();
        let cell = size_of::<usize>() + size_of::<u64>() + 1;
        let held = self.held.iter().flatten();
        held.map(|held| held.contents.len() * size_of::<u64>() + held.contents.len() / 2).sum::<usize>()
            + if self.kept > 0 { rows(&self.sent) * cell } else { 0 }
    }
}

impl Held {
    /// Whether nothing of it is on its way any more.
    fn is_settled(&self) -> bool {
        self.confirmed.len() + self.refuted.len() >= self.contents.len()
    }

    fn trusts(&self, index: usize, policy: Policy) -> bool {
        match policy {
            _ if self.lossy.contains(index) => false,
            Policy::Newest => !self.refuted.contains(index),
            Policy::Proven => self.confirmed.contains(index),
        }
    }

    fn trusted(&self, policy: Policy) -> CellSet {
        let mut trusted = match policy {
            Policy::Newest => {
                let mut trusted = CellSet::full(self.refuted.grid());
                trusted.subtract(&self.refuted);
                trusted
            }
            Policy::Proven => self.confirmed.clone(),
        };
        trusted.subtract(&self.lossy);
        trusted
    }
}

#[cfg(test)]
mod tests;
