//! What has been sent of one epoch of a surface.

use std::collections::{BTreeMap, BTreeSet};

use lfp::geometry::{CellRect, PixelRect, Size};
use lfp::units::{ContentNumber, Epoch, PacketNumber};
use lfp_proto::frame::Refusal;
use lfp_proto::record::{Base, Record};
use lfp_proto::technique::base::{BaseView, Vector};
use lfp_proto::technique::{self, Technique};
use lfp_proto::wire::Reader;

use crate::held::{Came, Holds, Throughs, checksum, held, source_cells};
use crate::kept::{Expected, Kept, name_of};
use crate::ledger::offered::Offered;
use crate::totals::Totals;
use crate::truth::{Truth, put_cell};

/// The pixels of the cell `index` among those of `cells`.
fn cell_of(size: Size, cells: CellRect, index: usize, pixels: &[u32]) -> Vec<u32> {
    let columns = usize::from(size.grid().columns);
    let cell = CellRect { x: (index % columns) as u16, y: (index / columns) as u16, width: 1, height: 1 };
    let (all, one) = (size.clip(cells), size.clip(cell));
    let rows = (one.y - all.y..one.y - all.y + one.height).map(usize::from);
    let (width, left) = (usize::from(all.width), usize::from(one.x - all.x));
    rows.flat_map(|y| pixels[y * width + left..][..usize::from(one.width)].iter().copied()).collect()
}

/// What was sent of one epoch.
#[derive(Debug)]
pub(crate) struct EpochLedger {
    pub(crate) size: Size,
    /// Of each cell: contents with the tick whose pixels they are; both ascend.
    pub(crate) cells: Vec<Vec<(u64, u64)>>,
    /// The server knows that the client knows the epoch.
    pub(crate) confirmed: bool,
    /// (cell, content) that the network has painted over.
    pub(crate) poisoned: BTreeSet<(usize, u64)>,
    /// By cell and content, what is not exact: pixels as a client must show them, row by row of the clipped cell.
    pub(crate) blurred: BTreeMap<(usize, u64), Vec<u32>>,
    pub(crate) holds: Holds,
    pub(crate) came: Came,
    pub(crate) kept: Kept,
    pub(crate) offered: Offered,
}

impl EpochLedger {
    /// The base cells of a record, and the slot; `None` if it has no base.
    pub(crate) fn base_of(&self, record: &Record<'_>) -> Option<(CellRect, usize)> {
        let Base::Reference { slot, .. } = record.base else { return None };
        let mut reader = Reader::new(record.payload);
        let vector = Vector::parse(&mut reader).ok()?;
        let (dx, dy) = (i64::from(vector.dx), i64::from(vector.dy));
        let cells = source_cells(record.cells, dx, dy, self.size.width, self.size.height)?;
        Some((cells, usize::from(slot)))
    }

    /// The pixels of a record, on what the server may think that the client has.
    fn decode(&self, technique: Technique, record: &Record<'_>, truth: &Truth) -> Vec<u32> {
        let (size, area) = (self.size, self.size.clip(record.cells));
        let mut known = Vec::new();
        if let Some((cells, slot)) = self.base_of(record) {
            // What is not of the base cells is not to be read.
            known = vec![0xdead_beef; size.pixels()];
            let mut contents = Vec::new();
            for index in cells.indices(size.grid()) {
                let held = held(&self.cells[index], self.holds.throughs[slot]);
                let (content, tick) = held.expect("LFP-8.5: a base cell that was never sent");
                assert!(
                    !self.holds.refused.contains(&(index, content)),
                    "LFP-8.5: base cell {index} was refused at content {content}"
                );
                assert!(
                    !self.blurred.contains_key(&(index, content)),
                    "LFP-8.5: base cell {index} is not exact at content {content}"
                );
                self.offered.assert_known(index, content);
                contents.push(ContentNumber(content));
                let picture = truth.picture(tick).expect("it was live");
                put_cell(picture, index, &mut known);
            }
            let check = checksum(contents.into_iter());
            let (technique, at) = (record.technique, record.cells);
            assert_eq!(record.base, Base::Reference { slot: slot as u8, check }, "{technique} at {at:?}");
        } else {
            assert_eq!(record.base, Base::None);
        }
        let base = BaseView { pixels: &known, stride: size.width.into(), size, area };
        let base = match name_of(record).filter(|_| technique == Technique::Use) {
            Some(name) => {
                let (size, pixels) = self.kept.for_use(name);
                Some(BaseView { pixels, stride: size.width.into(), size, area })
            }
            None => (record.base != Base::None).then_some(base),
        };
        let (mut scratch, mut pixels) = (technique::Scratch::default(), Vec::new());
        technique::decode(technique, record.payload, area, base, &mut scratch, &mut pixels)
            .expect("the server's records decode");
        pixels
    }

    /// The client has taken a record of the epoch; says whether it had to refuse it, and why: for its base, or for what the
    /// cache has.
    pub(crate) fn on_taken(&mut self, record: &Record<'_>, number: PacketNumber) -> Expected {
        let (grid, content) = (self.size.grid(), record.content(number)?);
        let cells: Vec<_> = record.cells.indices(grid).collect();
        let base = self.base_of(record);
        let from: Option<Vec<_>> = base.map(|(cells, _)| cells.indices(grid).collect());
        let base = match (base, &from, record.base) {
            (Some((_, slot)), Some(from), Base::Reference { check, .. }) => Some((&from[..], slot, check)),
            _ => None,
        };
        match name_of(record) {
            Some(name) if record.technique == Technique::Store as u8 => {
                let sound = base.is_some_and(|(from, slot, check)| self.came.is_sound(from, slot, check));
                self.came.slots.on_store(name, sound)
            }
            Some(name) if !self.came.slots.holds(name) => {
                self.came.has_news(&cells, content.0).then_some((Refusal::Cache, true))
            }
            Some(_) => self.came.on_record(&cells, content.0, None).map(|_| (Refusal::Cache, false)),
            None => self.came.on_record(&cells, content.0, base).map(|refused| (Refusal::Base, refused)),
        }
    }

    /// Takes note that a record of the epoch comes: what builds on wrong pixels is wrong.
    pub(crate) fn on_delivered(&mut self, record: &Record<'_>, number: PacketNumber, throughs: &Throughs) {
        let (grid, Some(content)) = (self.size.grid(), record.content(number)) else { return };
        if !grid.contains(record.cells) {
            return;
        }
        let name = name_of(record);
        if record.technique == Technique::Use as u8
            && name.is_some_and(|name| self.kept.poisoned.contains(&name))
        {
            self.poisoned.extend(record.cells.indices(grid).map(|index| (index, content.0)));
        }
        let Some((cells, slot)) = self.base_of(record) else { return };
        let poisoned = cells.indices(grid).any(|index| {
            held(&self.cells[index], throughs[slot])
                .is_some_and(|(content, _)| self.poisoned.contains(&(index, content)))
        });
        if poisoned && record.technique == Technique::Store as u8 {
            self.kept.poisoned.extend(name);
        } else if poisoned {
            self.poisoned.extend(record.cells.indices(grid).map(|index| (index, content.0)));
        }
    }

    /// A record of the epoch is sent, in packet `number`.
    pub(crate) fn on_record(
        &mut self,
        epoch: Epoch,
        number: PacketNumber,
        record: &Record<'_>,
        truth: &mut Truth,
        totals: &mut Totals,
    ) {
        let grid = self.size.grid();
        assert!(grid.contains(record.cells), "{:?} lies in {grid:?}", record.cells);
        let content = record.content(number).expect("a content above 0");
        let technique = Technique::from_wire(record.technique).expect("a technique that the client knows");
        totals.one(&format!("records: {}", technique.name()));
        let pixels = self.decode(technique, record, truth);
        if let Some(name) = name_of(record).filter(|_| technique == Technique::Store) {
            let PixelRect { width, height, .. } = self.size.clip(record.cells);
            return self.kept.on_store(name, Size { width, height }, record.cells.cells(), pixels);
        }
        let tick = if technique.is_exact() {
            truth.newest_match(epoch, record.cells, &pixels)
        } else {
            truth.newest_blurred(epoch, record.cells, record.payload)
        };
        let tick = tick.unwrap_or_else(|| panic!("{:?} was sent with pixels that no tick had", record.cells));
        if content.0 < number.0 {
            totals.one("records repeated");
        }
        for index in record.cells.indices(grid) {
            let contents = &mut self.cells[index];
            match contents.last() {
                Some((newest, _)) if content.0 <= *newest => {
                    let known = contents.iter().any(|(known, _)| *known == content.0);
                    assert!(known, "LFP-6.2: content {content:?} of cell {index} comes out of order");
                }
                // A cell may come along with others, as it was and still is; what is not exact may stand for several ticks.
                Some((before, newest))
                    if tick < *newest
                        && !self.blurred.contains_key(&(index, *before))
                        && !truth.same_cell(tick, *newest, grid, index) =>
                {
                    panic!(
                        "cell {index}: content {content:?} has pixels of tick {tick}, older than {newest}'s before it"
                    )
                }
                _ => {
                    assert_eq!(content.0, number.0, "LFP-6.2: new content is numbered by its first packet");
                    let picture = truth.picture(tick).expect("live");
                    let (x, y) = (index % usize::from(grid.columns), index / usize::from(grid.columns));
                    let changed = picture.changed_at(x as u16, y as u16);
                    let again = contents.last().is_some_and(|(_, sent)| *sent >= changed);
                    totals.many("cells sent again", u64::from(again));
                    contents.push((content.0, tick));
                    if !technique.is_exact() {
                        self.blurred
                            .insert((index, content.0), cell_of(self.size, record.cells, index, &pixels));
                    }
                }
            }
        }
    }
}
