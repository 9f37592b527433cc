//! What a client's display makes of a source's picture: a size, and a depth.
//!
//! A picture is made smaller by a *step*: sixteenths of a pixel of the source for one that is shown. So a cell that is
//! shown comes of a square of as many whole pixels of the source as the step has sixteenths, and of no others: what
//! changes is told cell by cell, and no cell waits for its neighbours.

use crate::geometry::{CellRect, PixelRect, Size};
use crate::limits::CELL;
use lfp_proto::depth::Depth;

/// Steps that pictures are made smaller by, in sixteenths. They are few, so that displays of many sizes share what is made
/// for them, and so that a source has a bounded number of pictures whatever clients ask for.
const STEPS: [u16; 15] = [16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256];

/// What a display can show.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bounds {
    /// The largest picture in pixels; `None`: any.
    pub size: Option<Size>,
    /// The depth of its pixels.
    pub depth: Depth,
}

impl Bounds {
    /// How a picture of `full` pixels is shown: as large as it is, or as large as the display takes it.
    // SPEC [LFP-7.9]: A server MUST reduce a source by the first of the steps 16 (as it is), 18, 20, 22, 24, 28, 32, 40, 48,
    // 64, 80, 96, 128, 192, 256 that makes it no larger than the display, or by 256.
    #[must_use]
    pub fn fit(self, full: Size) -> Fit {
        let holds = |step: &u16| {
            let Size { width, height } = Fit { step: *step, depth: self.depth }.size(full);
            self.size.is_none_or(|most| width <= most.width && height <= most.height)
        };
        let step = STEPS.into_iter().find(holds).unwrap_or(STEPS[STEPS.len() - 1]);
        Fit { step, depth: self.depth }
    }
}

/// How a source's pictures are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fit {
    /// Sixteenths of a pixel of the source for each that is shown, either way; at least 16.
    pub step: u16,
    /// The depth of the pixels shown.
    pub depth: Depth,
}

impl Default for Fit {
    fn default() -> Self {
        Self::NATIVE
    }
}

impl Fit {
    /// As they are.
    pub const NATIVE: Self = Self { step: CELL, depth: Depth::Bits24 };

    /// Whether pictures are shown as they are.
    #[must_use]
    pub fn is_native(self) -> bool {
        self == Self::NATIVE
    }

    /// The size that is shown of a picture of `full` pixels.
    #[must_use]
    pub fn size(self, full: Size) -> Size {
        let side = |pixels: u16| (u32::from(pixels) * u32::from(CELL)).div_ceil(u32::from(self.step)) as u16;
        Size { width: side(full.width), height: side(full.height) }
    }

    /// The pixels of a picture of `full` pixels that the cell at column `x`, row `y` shows.
    #[must_use]
    pub fn source(self, x: u16, y: u16, full: Size) -> PixelRect {
        let (left, top) = (x * self.step, y * self.step);
        let (width, height) = (self.step.min(full.width - left), self.step.min(full.height - top));
        PixelRect { x: left, y: top, width, height }
    }

    /// The cells that show something of the cells `cells` of a picture of `full` pixels.
    #[must_use]
    pub fn cells(self, cells: CellRect, full: Size) -> CellRect {
        let PixelRect { x, y, width, height } = full.clip(cells);
        let (left, top) = (x / self.step, y / self.step);
        let (right, bottom) = ((x + width - 1) / self.step, (y + height - 1) / self.step);
        CellRect { x: left, y: top, width: right - left + 1, height: bottom - top + 1 }
    }

    /// The pixel of a picture of `full` pixels under the middle of the one at (`x`, `y`) that is shown.
    #[must_use]
    pub fn under(self, x: u16, y: u16, full: Size) -> (u16, u16) {
        let under = |at: u16, side: u16| {
            let middle = (2 * u32::from(at) + 1) * u32::from(self.step) / (2 * u32::from(CELL));
            middle.min(u32::from(side.saturating_sub(1))) as u16
        };
        (under(x, full.width), under(y, full.height))
    }
}

const _: () = assert!(STEPS[0] == CELL && CELL == 16);

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u16, height: u16) -> Size {
        Size::new(width, height).unwrap()
    }

    #[test]
    fn a_picture_is_as_large_as_the_display_takes_it() {
        let step = |most, full| Bounds { size: Some(most), depth: Depth::Bits24 }.fit(full).step;
        assert_eq!(Bounds::default().fit(size(16_384, 2_000)), Fit::NATIVE);
        assert_eq!(step(size(1_280, 800), size(1_280, 800)), 16);
        assert_eq!(step(size(1_280, 799), size(1_280, 800)), 18);
        assert_eq!(step(size(1_280, 720), size(1_920, 1_080)), 24);
        assert_eq!(step(size(390, 844), size(1_280, 800)), 64);
        assert_eq!(step(size(1, 1), size(1_280, 800)), 256, "it is as small as can be");
        let shown = Fit { step: 24, depth: Depth::Bits16 }.size(size(1_921, 1_081));
        assert_eq!(shown, size(1_281, 721), "what is left shows too");
    }

    #[test]
    fn every_pixel_of_the_source_belongs_to_one_cell() {
        for step in STEPS {
            let (fit, full) = (Fit { step, depth: Depth::Bits24 }, size(333, 517));
            let grid = fit.size(full).grid();
            let mut counts = vec![0; full.pixels()];
            for y in 0..grid.rows {
                for x in 0..grid.columns {
                    let source = fit.source(x, y, full);
                    for row in source.y..source.y + source.height {
                        let start = usize::from(row) * 333 + usize::from(source.x);
                        counts[start..start + usize::from(source.width)]
                            .iter_mut()
                            .for_each(|count| *count += 1);
                    }
                    let touched = fit.cells(source.cells_touched(), full);
                    assert!((touched.x..touched.x + touched.width).contains(&x), "{step}: column {x}");
                    assert!((touched.y..touched.y + touched.height).contains(&y), "{step}: row {y}");
                }
            }
            assert!(counts.iter().all(|count| *count == 1), "step {step}");
        }
    }

    #[test]
    fn places_lead_back_to_what_lies_there() {
        let full = size(1_280, 800);
        assert_eq!(Fit::NATIVE.under(7, 9, full), (7, 9));
        assert_eq!(Fit { step: 32, depth: Depth::Bits24 }.under(3, 0, full), (7, 1));
        assert_eq!(Fit { step: 256, depth: Depth::Bits24 }.under(79, 49, full), (1_272, 792));
        assert_eq!(Fit { step: 24, depth: Depth::Bits24 }.under(60_000, 60_000, full), (1_279, 799));
    }
}
