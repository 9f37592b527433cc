//! The picture: pixels once, one content number per cell.

use lfp_proto::check;
use lfp_proto::depth::Depth;
use lfp_proto::geometry::{CellRect, CellSet, Grid, PixelRect, Size};
use lfp_proto::limits::CELL;
use lfp_proto::units::{ContentNumber, Epoch};

use crate::cache::Cache;
use crate::reference::{References, Shown};

/// A look at the picture of a surface.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Width and height in pixels.
    pub size: Size,
    /// Rows from the top without padding: `0x00RRGGBB` at 24 bits, else see [`Depth::colour`].
    pub pixels: &'a [u32],
    /// The depth of the pixels.
    pub depth: Depth,
    /// The content number of each cell, row-major; 0: never painted.
    pub contents: &'a [u64],
    /// The epoch that the pixels belong to.
    pub epoch: Epoch,
    /// Whether that epoch is the surface's. If not, this is the last picture before the surface went dark.
    pub live: bool,
}

impl Picture<'_> {
    /// Whether every cell has been painted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.contents.iter().all(|content| *content > 0)
    }
}

/// What a paint did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Painted {
    /// Cells that took the new content.
    pub(crate) cells: usize,
    /// Of these, cells of which a repair was expected.
    pub(crate) repaired: usize,
}

/// Pixels of a rectangle to be painted, in its rows from the top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// From the rectangle's first on; one alone is the colour of all.
    pub(crate) pixels: &'a [u32],
    /// Pixels from one row to the next.
    pub(crate) stride: usize,
}

/// The content of what was kept from a session before.
const KEPT: ContentNumber = ContentNumber(1);

/// Pixels and contents of one epoch, and the references and the cache made of them. There is no other copy of the picture.
#[derive(Clone, Debug)]
pub(crate) struct Framebuffer {
    size: Size,
    grid: Grid,
    epoch: Epoch,
    pixels: Vec<u32>,
    contents: Vec<u64>,
    /// Cells whose content is 0.
    blank: usize,
    /// Cells changed since the last [`Framebuffer::take_damage`].
    damage: CellSet,
    /// Cells that the server has been told are missing or wrong here.
    suspect: CellSet,
    references: References,
    cache: Cache,
}

impl Framebuffer {
    /// A black picture of which nothing has been painted, and that keeps at most `references` references.
    pub(crate) fn new(size: Size, epoch: Epoch, references: u8) -> Self {
        let grid = size.grid();
        Self {
            size,
            grid,
            epoch,
            pixels: vec![0; size.pixels()],
            contents: vec![0; grid.cells()],
            blank: grid.cells(),
            damage: CellSet::new(grid),
            suspect: CellSet::new(grid),
            references: References::new(references),
            cache: Cache::default(),
        }
    }

    /// The same pixels in another epoch, of which nothing has been painted.
    pub(crate) fn anew(self, epoch: Epoch, references: u8) -> Self {
        let Self { size, grid, pixels, mut contents, mut damage, mut suspect, .. } = self;
        contents.fill(0);
        damage.clear();
        suspect.clear();
        let blank = grid.cells();
        let (references, cache) = (References::new(references), Cache::default());
        Self { size, grid, epoch, pixels, contents, blank, damage, suspect, references, cache }
    }

    /// Those of `cells`, which lie inside the grid, that were never painted show content 1 with the pixels that they have.
    /// Returns how many.
    // SPEC [LFP-11.10]: On a KEEP of the surface's epoch and of a part that it has offered, a client MUST give content 1, as
    // a record of it would, to the cells of the plots that KEEP names and that show content 0, and change no pixel. It ignores
    // every other KEEP.
    pub(crate) fn keep(&mut self, cells: CellRect) -> usize {
        let Self { size, grid, pixels, contents, references, .. } = self;
        let (whole, stride) = (size.clip(grid.rect()), usize::from(size.width));
        let source = Source { pixels, stride };
        let mut kept = 0;
        for row in cells.y..cells.y + cells.height {
            for column in cells.x..cells.x + cells.width {
                let index = grid.index(column, row);
                if contents[index] > 0 {
                    continue;
                }
                contents[index] = KEPT.0;
                kept += 1;
                self.damage.insert(index);
                self.suspect.remove(index);
                let cell = size.clip(CellRect { x: column, y: row, width: 1, height: 1 });
                references.on_record(index, KEPT, true, |into| copy(into, stride, cell, whole, source));
            }
        }
        self.blank -= kept;
        kept
    }

    pub(crate) const fn size(&self) -> Size {
        self.size
    }

    pub(crate) const fn grid(&self) -> Grid {
        self.grid
    }

    /// Cells that have never been painted.
    pub(crate) const fn blank(&self) -> usize {
        self.blank
    }

    /// Whether cell `index` shows `content`.
    pub(crate) fn shows(&self, index: usize, content: ContentNumber) -> bool {
        self.contents[index] == content.0
    }

    /// Whether the server has been told that cell `index` is missing or wrong here.
    pub(crate) fn is_suspect(&self, index: usize) -> bool {
        self.suspect.contains(index)
    }

    pub(crate) fn picture(&self, depth: Depth, live: bool) -> Picture<'_> {
        let Self { size, epoch, .. } = *self;
        Picture { size, pixels: &self.pixels, depth, contents: &self.contents, epoch, live }
    }

    /// Whether any of `cells`, which lie inside the grid, has been left unpainted.
    pub(crate) fn has_blank(&self, cells: CellRect) -> bool {
        self.blank > 0 && cells.indices(self.grid).any(|index| self.contents[index] == 0)
    }

    /// Makes reference `slot` the picture of all contents up to `through`; says whether it did.
    pub(crate) fn hold(&mut self, slot: u8, through: ContentNumber) -> bool {
        let Self { size, grid, pixels, contents, references, .. } = self;
        references.hold(slot, through, &Shown { size: *size, grid: *grid, pixels, contents })
    }

    /// The pixels of reference `slot`, if it is held and the contents of `cells`, which lie inside the grid, are what
    /// `check` says.
    pub(crate) fn base(&self, slot: u8, cells: CellRect, check: u32) -> Option<&[u32]> {
        self.references.base(slot, cells, check, self.grid)
    }

    /// The bitmap cache.
    pub(crate) const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The bitmap cache.
    pub(crate) const fn cache_mut(&mut self) -> &mut Cache {
        &mut self.cache
    }

    /// Whether a record of `content` would change any of `cells`, which lie inside the grid, in the picture or in a
    /// reference.
    pub(crate) fn takes(&self, cells: CellRect, content: ContentNumber) -> bool {
        cells.indices(self.grid).any(|index| self.contents[index] < content.0)
            || self.references.takes(cells, content, self.grid)
    }

    /// Puts `content` to those of `cells`, which lie inside the grid, that show a smaller one. `pixels` are those of the
    /// cells' clipped rectangle without padding, or one that is the colour of all.
    pub(crate) fn paint(&mut self, cells: CellRect, content: ContentNumber, pixels: &[u32]) -> Painted {
        let stride = usize::from(self.size.clip(cells).width);
        self.put(cells, content, Source { pixels, stride })
    }

    /// [`Framebuffer::paint`] with the pixels of reference `slot`, which is held, that begin at `from`, as large as the
    /// cells' clipped rectangle; `None`, and nothing is painted, if a reference takes the record too: it might be the one
    /// that is read. Copies are most of what some pictures are made of, and are moved once so, not twice.
    pub(crate) fn paint_from(
        &mut self,
        cells: CellRect,
        content: ContentNumber,
        slot: u8,
        from: PixelRect,
    ) -> Option<Painted> {
        if self.references.takes(cells, content, self.grid) {
            return None;
        }
        let pixels = self.references.lend(slot);
        let stride = usize::from(self.size.width);
        let start = usize::from(from.y) * stride + usize::from(from.x);
        let painted = self.put(cells, content, Source { pixels: &pixels[start..], stride });
        self.references.give_back(slot, pixels);
        Some(painted)
    }

    // SPEC [LFP-7.6]: A client MUST apply a record to exactly those of its cells whose content number is smaller than the
    // record's, and give these the record's content number. A cell with an equal or larger one stays as it is.
    fn put(&mut self, cells: CellRect, content: ContentNumber, source: Source<'_>) -> Painted {
        let area = self.size.clip(cells);
        let (size, stride) = (self.size, usize::from(self.size.width));
        let mut painted = Painted::default();
        for row in cells.y..cells.y + cells.height {
            let mut run: Option<CellRect> = None;
            for column in cells.x..cells.x + cells.width {
                let index = self.grid.index(column, row);
                let takes = self.contents[index] < content.0;
                let cell = CellRect { x: column, y: row, width: 1, height: 1 };
                self.references.on_record(index, content, takes, |pixels| {
                    copy(pixels, stride, size.clip(cell), area, source);
                });
                if takes {
                    self.blank -= usize::from(self.contents[index] == 0);
                    self.contents[index] = content.0;
                    self.damage.insert(index);
                    painted.cells += 1;
                    painted.repaired += usize::from(self.suspect.remove(index));
                    match &mut run {
                        Some(run) => run.width += 1,
                        None => run = Some(cell),
                    }
                } else if let Some(run) = run.take() {
                    copy(&mut self.pixels, stride, size.clip(run), area, source);
                }
            }
            if let Some(run) = run {
                copy(&mut self.pixels, stride, size.clip(run), area, source);
            }
        }
        painted
    }

    /// Notes that `cells` are to be repaired, if they lie inside the grid.
    pub(crate) fn suspect(&mut self, cells: CellRect) {
        if !self.grid.contains(cells) {
            return;
        }
        for index in cells.indices(self.grid) {
            self.suspect.insert(index);
        }
    }

    /// Moves the changed cells into `into` (replaced if it is of another grid).
    pub(crate) fn take_damage(&mut self, into: &mut CellSet) {
        if into.grid() == self.grid {
            into.union(&self.damage);
        } else {
            *into = self.damage.clone();
        }
        self.damage.clear();
    }

    /// The rows of `cells`, which lie inside the grid, clipped, from the top.
    pub(crate) fn rows(&self, cells: CellRect) -> impl Iterator<Item = &[u32]> {
        let (area, width) = (self.size.clip(cells), usize::from(self.size.width));
        (area.y..area.y + area.height).map(move |y| {
            let start = usize::from(y) * width + usize::from(area.x);
            &self.pixels[start..start + usize::from(area.width)]
        })
    }

    /// The checksums of `cells`, which lie inside the grid, as DIGEST defines them: of contents, and of pixels.
    pub(crate) fn checksums(&self, cells: CellRect) -> (u32, u32) {
        let contents = cells.indices(self.grid).map(|index| ContentNumber(self.contents[index]));
        (check::contents(contents), check::pixels(self.rows(cells)))
    }

    /// Bands of rows of cells that digests are made over, from the top.
    pub(crate) fn bands(&self) -> impl Iterator<Item = CellRect> + use<> {
        let Grid { columns, rows } = self.grid;
        let height = band_rows(self.grid);
        (0..rows).step_by(usize::from(height)).map(move |y| CellRect {
            x: 0,
            y,
            width: columns,
            height: height.min(rows - y),
        })
    }
}

/// Copies the pixels of `part` of `area`, which `source` holds, into a picture whose rows are `stride` pixels apart.
fn copy(into: &mut [u32], stride: usize, part: PixelRect, area: PixelRect, source: Source<'_>) {
    for y in part.y..part.y + part.height {
        let start = usize::from(y) * stride + usize::from(part.x);
        let row = &mut into[start..start + usize::from(part.width)];
        if let [colour] = source.pixels {
            row.fill(*colour);
        } else {
            let from = usize::from(y - area.y) * source.stride + usize::from(part.x - area.x);
            row.copy_from_slice(&source.pixels[from..from + row.len()]);
        }
    }
}

/// Rows of cells in one band.
pub(crate) fn band_rows(grid: Grid) -> u16 {
    use crate::limits::{DIGEST_BAND_ROWS, DIGEST_CELLS_MAX};
    let fitting = DIGEST_CELLS_MAX / usize::from(grid.columns.max(1));
    (fitting as u16).clamp(1, DIGEST_BAND_ROWS)
}

const _: () = assert!(crate::limits::DIGEST_CELLS_MAX <= u16::MAX as usize && CELL > 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(x: u16, y: u16, width: u16, height: u16) -> CellRect {
        CellRect { x, y, width, height }
    }

    #[test]
    fn only_older_cells_take_a_record_and_edges_are_clipped() {
        let size = Size::new(40, 20).expect("legal");
        let mut picture = Framebuffer::new(size, Epoch(1), 2);
        assert_eq!(picture.paint(rect(1, 0, 1, 1), ContentNumber(5), &[0xaa; 256]).cells, 1);
        let source: Vec<u32> = (0..800).collect();
        let painted = picture.paint(rect(0, 0, 3, 2), ContentNumber(4), &source);
        assert_eq!(painted.cells, 5);
        assert_eq!(picture.blank(), 0);
        for (at, pixel) in picture.picture(Depth::Bits24, true).pixels.iter().enumerate() {
            let newer = (16..32).contains(&(at % 40)) && at / 40 < 16;
            assert_eq!(*pixel, if newer { 0xaa } else { at as u32 }, "pixel {at}");
        }
        assert!(!picture.takes(rect(0, 0, 3, 2), ContentNumber(4)));
        assert!(picture.takes(rect(0, 0, 3, 2), ContentNumber(5)));
        assert_eq!(picture.paint(rect(0, 0, 3, 2), ContentNumber(4), &[0]).cells, 0);
    }

    #[test]
    fn checksums_are_those_that_the_specification_defines() {
        let size = Size::new(18, 16).expect("legal");
        let mut picture = Framebuffer::new(size, Epoch(1), 2);
        picture.paint(rect(0, 0, 2, 1), ContentNumber(7), &[0x0012_3456]);
        let contents = [7_u64.to_le_bytes(), 7_u64.to_le_bytes()].concat();
        let pixels = [0x56, 0x34, 0x12, 0].repeat(size.pixels());
        let expected = (crc32fast::hash(&contents), crc32fast::hash(&pixels));
        assert_eq!(picture.checksums(rect(0, 0, 2, 1)), expected);
    }

    #[test]
    fn bands_cover_every_cell_once_and_stay_within_the_bound() {
        for (width, height) in [(16, 16), (1280, 800), (16_384, 2_000), (30, 16_384)] {
            let picture = Framebuffer::new(Size::new(width, height).expect("legal"), Epoch(1), 2);
            let bands: Vec<_> = picture.bands().collect();
            let cells: usize = bands.iter().map(|band| band.cells()).sum();
            assert_eq!(cells, picture.grid().cells());
            assert!(bands.iter().all(|band| band.cells() <= crate::limits::DIGEST_CELLS_MAX));
        }
    }
}
