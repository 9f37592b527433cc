//! References: pictures that are kept as bases for records to come.
//!
//! A reference is the picture of all contents up to a number. Between two HOLDs of a slot it stays as it is, but for
//! what comes late; so a HOLD has to copy only the cells that have changed since the one before.

use lfp_proto::check;
use lfp_proto::geometry::{CellRect, CellSet, Grid, PixelRect, Size};
use lfp_proto::limits::REFERENCES_MAX;
use lfp_proto::units::ContentNumber;

/// The references of one epoch. A slot takes no memory before it is held for the first time.
#[derive(Clone, Debug)]
pub(crate) struct References {
    /// How many are kept.
    allowed: u8,
    slots: [Option<Box<Reference>>; REFERENCES_MAX as usize],
}

#[derive(Clone, Debug)]
struct Reference {
    /// Contents up to this belong to it.
    through: u64,
    pixels: Vec<u32>,
    contents: Vec<u64>,
    /// Cells of which the picture has had contents beyond `through`.
    dirty: CellSet,
}

/// The picture that references are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) size: Size,
    pub(crate) grid: Grid,
    pub(crate) pixels: &'a [u32],
    pub(crate) contents: &'a [u64],
}

impl References {
    /// None is held; `allowed` may be.
    pub(crate) const fn new(allowed: u8) -> Self {
        Self { allowed, slots: [const { None }; REFERENCES_MAX as usize] }
    }

    /// Makes slot `slot` the picture of all contents up to `through`; says whether it did.
    // SPEC [LFP-8.2]: On a HOLD of the surface's epoch, of a slot that it keeps and with a larger *through* than the
    // slot's, a client MUST make each cell of the slot what the picture shows there, if that content is not larger than
    // *through*; else the cell has content 0 there. It ignores every other HOLD.
    pub(crate) fn hold(&mut self, slot: u8, through: ContentNumber, shown: &Shown<'_>) -> bool {
        let through = through.0;
        if slot >= self.allowed {
            return false;
        }
        let Some(held) = self.slots.get_mut(usize::from(slot)) else { return false };
        let held = match held {
            None => held.insert(Box::new(Reference::new(shown))),
            Some(held) if through > held.through => held,
            Some(_) => return false,
        };
        held.through = through;
        held.catch_up(shown);
        true
    }

    /// Whether a reference would take `content` for any of `cells`.
    pub(crate) fn takes(&self, cells: CellRect, content: ContentNumber, grid: Grid) -> bool {
        self.slots.iter().flatten().any(|held| {
            content.0 <= held.through && cells.indices(grid).any(|index| held.contents[index] < content.0)
        })
    }

    /// A record of `content` has come for the cell with row-major `index`, and the picture took it if `painted`. `part`
    /// are its pixels' places, `copy` puts them there.
    // SPEC [LFP-8.3]: A client MUST apply a record also to those of its cells of a reference that have a smaller content
    // number there, if the record's is not larger than the reference's *through*.
    pub(crate) fn on_record(
        &mut self,
        index: usize,
        content: ContentNumber,
        painted: bool,
        copy: impl Fn(&mut [u32]),
    ) {
        for held in self.slots.iter_mut().flatten() {
            if content.0 > held.through {
                if painted {
                    held.dirty.insert(index);
                }
            } else if held.contents[index] < content.0 {
                held.contents[index] = content.0;
                copy(&mut held.pixels);
            }
        }
    }

    /// The pixels of slot `slot`, which is held, to be given back by [`References::give_back`]: until then nothing may be
    /// read from or copied to them here. So the picture can be painted with them while references take note of that.
    pub(crate) fn lend(&mut self, slot: u8) -> Vec<u32> {
        self.slots[usize::from(slot)]
            .as_mut()
            .map(|held| std::mem::take(&mut held.pixels))
            .unwrap_or_default()
    }

    /// Takes back what was lent of slot `slot`.
    pub(crate) fn give_back(&mut self, slot: u8, pixels: Vec<u32>) {
        if let Some(held) = &mut self.slots[usize::from(slot)] {
            held.pixels = pixels;
        }
    }

    /// The pixels of slot `slot`, if it is held and the contents of `cells`, which lie inside the grid, are what
    /// `check` says.
    pub(crate) fn base(&self, slot: u8, cells: CellRect, check: u32, grid: Grid) -> Option<&[u32]> {
        let held = self.slots.get(usize::from(slot))?.as_ref()?;
        let contents = || cells.indices(grid).map(|index| ContentNumber(held.contents[index]));
        let whole = contents().all(|content| content.0 > 0);
        (whole && check::contents(contents()) == check).then_some(&held.pixels[..])
    }
}

impl Reference {
    /// Of a picture of which nothing is taken over yet.
    fn new(shown: &Shown<'_>) -> Self {
        Self {
            through: 0,
            pixels: vec![0; shown.pixels.len()],
            contents: vec![0; shown.contents.len()],
            dirty: CellSet::full(shown.grid),
        }
    }

    /// Takes over the cells that have changed since the last time.
    fn catch_up(&mut self, shown: &Shown<'_>) {
        let changed = std::mem::replace(&mut self.dirty, CellSet::new(shown.grid));
        let columns = usize::from(shown.grid.columns);
        let mut run: Option<CellRect> = None;
        for index in changed.iter() {
            let content = shown.contents[index];
            if content > self.through {
                self.contents[index] = 0;
                self.dirty.insert(index);
                continue;
            }
            self.contents[index] = content;
            let (x, y) = ((index % columns) as u16, (index / columns) as u16);
            // Cells side by side are copied together: most of what a row of 16 pixels costs is the call.
            match &mut run {
                Some(run) if run.y == y && run.x + run.width == x => run.width += 1,
                _ => {
                    let whole = run.replace(CellRect { x, y, width: 1, height: 1 });
                    whole.into_iter().for_each(|run| self.copy(run, shown));
                }
            }
        }
        run.into_iter().for_each(|run| self.copy(run, shown));
    }

    /// Takes over the pixels of `cells`.
    fn copy(&mut self, cells: CellRect, shown: &Shown<'_>) {
        copy_rows(shown.size.clip(cells), usize::from(shown.size.width), shown.pixels, &mut self.pixels);
    }
}

/// Copies the pixels of `area` between two pictures of the same width.
fn copy_rows(area: PixelRect, stride: usize, from: &[u32], to: &mut [u32]) {
    for y in area.y..area.y + area.height {
        let start = usize::from(y) * stride + usize::from(area.x);
        let end = start + usize::from(area.width);
        to[start..end].copy_from_slice(&from[start..end]);
    }
}
