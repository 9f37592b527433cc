//! What a source has shown, tick by tick.

use std::sync::Arc;

use lfp::geometry::{CellRect, Grid, Size};
use lfp::scan::{Picture, Tick, TickState};
use lfp::units::Epoch;
use lfp_proto::technique::lossy;

use crate::guest::Screen;

/// Every tick of one source.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    ticks: Vec<Arc<Tick>>,
    scratch: Vec<u32>,
}

impl Truth {
    /// Takes note of a tick, just scanned from `screen`, and holds the scanner to its promises.
    pub(crate) fn record(&mut self, tick: Arc<Tick>, screen: &Screen) {
        assert_eq!(tick.number, self.ticks.len() as u64 + 1, "ticks ascend by one");
        let before = self.ticks.last();
        assert!(before.is_none_or(|before| before.epoch <= tick.epoch), "epochs ascend");
        if let TickState::Live { picture, delta } = &tick.state {
            assert!(!screen.is_dark(), "pixels of a source that has none");
            assert_eq!(picture.size, screen.size(), "the size is the mode's");
            let grid = picture.size.grid();
            if before.is_none_or(|before| before.epoch != tick.epoch) {
                assert_eq!(delta.cells.len(), grid.cells(), "the first tick of an epoch has every cell");
            }
            // All that is said to have changed, and a row of cells that takes turns.
            let turn = (tick.number % u64::from(grid.rows)) as u16;
            for y in 0..grid.rows {
                for x in 0..grid.columns {
                    if y == turn || delta.cells.contains(grid.index(x, y)) {
                        assert_cell(picture, screen, x, y);
                    }
                }
            }
        }
        self.ticks.push(tick);
    }

    /// The tick with a number.
    pub(crate) fn tick(&self, number: u64) -> Option<&Tick> {
        self.ticks.get(number.checked_sub(1)? as usize).map(|tick| &**tick)
    }

    /// All of them.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = &Tick> {
        self.ticks.iter().map(|tick| &**tick)
    }

    /// The newest tick.
    pub(crate) fn newest(&self) -> Option<&Tick> {
        self.ticks.last().map(|tick| &**tick)
    }

    /// The picture after the tick with a number.
    pub(crate) fn picture(&self, number: u64) -> Option<&Picture> {
        picture_of(self.tick(number)?)
    }

    /// Whether the cell with row-major `index` looks the same in two ticks.
    pub(crate) fn same_cell(&self, one: u64, other: u64, grid: Grid, index: usize) -> bool {
        let columns = usize::from(grid.columns);
        let tile = |number| {
            self.picture(number)
                .map(|picture| picture.tile((index % columns) as u16, (index / columns) as u16))
        };
        tile(one).is_some() && tile(one) == tile(other)
    }

    /// The newest tick of `epoch` after which `cells` had exactly these pixels.
    pub(crate) fn newest_match(&mut self, epoch: Epoch, cells: CellRect, pixels: &[u32]) -> Option<u64> {
        self.newest_of(epoch, cells, |shown| shown == pixels)
    }

    /// The newest tick of `epoch` after which `cells` had pixels that a lossy bitmap's `payload` stands for.
    pub(crate) fn newest_blurred(&mut self, epoch: Epoch, cells: CellRect, payload: &[u8]) -> Option<u64> {
        let form = lossy::Form::of(payload)?;
        let mut again = Vec::new();
        let width = self.newest().and_then(picture_of)?.size.clip(cells).width;
        self.newest_of(epoch, cells, |shown| {
            again.clear();
            lossy::encode(shown, width.into(), form, usize::MAX, &mut again);
            again == payload
        })
    }

    fn newest_of(
        &mut self,
        epoch: Epoch,
        cells: CellRect,
        mut is_it: impl FnMut(&[u32]) -> bool,
    ) -> Option<u64> {
        let Self { ticks, scratch } = self;
        let of_epoch = ticks.iter().rev().skip_while(|tick| tick.epoch > epoch);
        for tick in of_epoch.take_while(|tick| tick.epoch == epoch) {
            let picture = picture_of(tick)?;
            picture.read(cells, scratch);
            if is_it(scratch) {
                return Some(tick.number);
            }
        }
        None
    }
}

/// Whether the cell at column `x`, row `y` of `picture` is what `pixels`, rows of the picture's width, has there.
pub(crate) fn cell_equals(picture: &Picture, x: u16, y: u16, pixels: &[u32]) -> bool {
    let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
    let (tile, stride, width) =
        (picture.tile(x, y), usize::from(picture.size.width), usize::from(area.width));
    (0..usize::from(area.height)).all(|row| {
        let start = (usize::from(area.y) + row) * stride + usize::from(area.x);
        pixels[start..start + width] == tile[row * 16..row * 16 + width]
    })
}

/// Whether the cell at column `x`, row `y` of `shown`, a picture of `size`, has `pixels`.
pub(crate) fn cell_is(size: Size, x: u16, y: u16, shown: &[u32], pixels: &[u32]) -> bool {
    let area = size.clip(CellRect { x, y, width: 1, height: 1 });
    let mut rows = (area.y..).zip(pixels.chunks_exact(area.width.into()));
    rows.all(|(y, row)| {
        let start = usize::from(y) * usize::from(size.width) + usize::from(area.x);
        shown[start..start + row.len()] == *row
    })
}

/// Puts the cell with row-major `index` of `picture` to where it belongs in `pixels`, rows of the picture's width.
pub(crate) fn put_cell(picture: &Picture, index: usize, pixels: &mut [u32]) {
    let columns = usize::from(picture.size.grid().columns);
    let (x, y) = ((index % columns) as u16, (index / columns) as u16);
    let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
    let (tile, stride, width) =
        (picture.tile(x, y), usize::from(picture.size.width), usize::from(area.width));
    for row in 0..usize::from(area.height) {
        let start = (usize::from(area.y) + row) * stride + usize::from(area.x);
        pixels[start..start + width].copy_from_slice(&tile[row * 16..row * 16 + width]);
    }
}

fn assert_cell(picture: &Picture, screen: &Screen, x: u16, y: u16) {
    let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
    let tile = picture.tile(x, y);
    for row in 0..area.height {
        for column in 0..area.width {
            let (px, py) = (area.x + column, area.y + row);
            let shown = tile[usize::from(row) * 16 + usize::from(column)];
            assert_eq!(shown, screen.pixel(px, py), "the tick's pixel at {px}, {py}");
        }
    }
}

fn picture_of(tick: &Tick) -> Option<&Picture> {
    match &tick.state {
        TickState::Live { picture, .. } => Some(picture),
        TickState::Dark { .. } => None,
    }
}

/// The CRC-32 of `cells` as DIGEST defines it, written without the code under test.
pub(crate) fn checksum(size: Size, cells: CellRect, pixel: impl Fn(u16, u16) -> u32) -> u32 {
    let area = size.clip(cells);
    let mut crc = crc32fast::Hasher::new();
    for y in area.y..area.y + area.height {
        let row = (area.x..area.x + area.width).flat_map(|x| pixel(x, y).to_le_bytes());
        crc.update(&row.collect::<Vec<_>>());
    }
    crc.finalize()
}
