//! What the client knows of each cell, drawn over its picture.

use std::time::Duration;

use client_lfp::{CellNote, Client, Picture};
use lfp_proto::geometry::{CellRect, PixelRect};
use lfp_proto::technique::Technique;
use lfp_proto::time::Instant;

/// Sixteenths of a context's colour in the pixels of its cells.
const TINT: u32 = 4;
/// Ages below which a cell has a mark of this colour, so many pixels wide and high; older cells have none.
const AGES: [(Duration, u32, u16); 4] = [
    (Duration::from_millis(100), 0xff_ff_ff, 4),
    (Duration::from_secs(1), 0xff_20_20, 4),
    (Duration::from_secs(10), 0xff_a0_00, 2),
    (Duration::from_secs(60), 0xff_ff_00, 2),
];
/// What is missing, or known to be wrong.
const MISSING: u32 = 0xff_00_ff;
/// Pixels between the edges of a cell and its mark.
const MARK: u16 = 2;

/// Draws; keeps the memory that it draws in.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pixels: Vec<u32>,
}

impl Overlay {
    /// The client's picture at `now`, if there is one, drawn over: cells tinted by their context, with a line around those
    /// that share it, and a mark by age; lossy cells have a diagonal, cells that are missing or known to be wrong are hatched.
    pub(crate) fn draw<'a>(&'a mut self, client: &'a Client, now: Instant) -> Option<Picture<'a>> {
        let picture = client.picture()?;
        self.pixels.clear();
        self.pixels.extend_from_slice(picture.pixels);
        let grid = picture.size.grid();
        let context = |index: usize| client.note(index).map(|note| note.context);
        for index in 0..grid.cells() {
            let (x, y) =
                ((index % usize::from(grid.columns)) as u16, (index / usize::from(grid.columns)) as u16);
            let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
            let mut cell = Cell { pixels: &mut self.pixels, stride: picture.size.width.into(), area };
            let note = client.note(index);
            if let Some(note) = note {
                let above = y > 0 && context(grid.index(x, y - 1)) == Some(note.context);
                let left = x > 0 && context(grid.index(x - 1, y)) == Some(note.context);
                cell.show(&note, now, !above, !left);
            }
            if note.is_none_or(|note| note.suspect) {
                cell.set(MISSING, |x, y| (x + y) % 4 == 0);
            }
        }
        Some(Picture { pixels: &self.pixels, ..picture })
    }
}

/// One cell of a picture that is drawn on.
struct Cell<'a> {
    pixels: &'a mut [u32],
    stride: usize,
    area: PixelRect,
}

impl Cell<'_> {
    /// Draws what `note` says, with lines at the top and on the left where asked.
    fn show(&mut self, note: &CellNote, now: Instant, top: bool, left: bool) {
        let colour = note.context.colour();
        self.each(|_, _, pixel| mix(pixel, colour));
        self.set(colour, |x, y| (top && y == 0) || (left && x == 0));
        if note.technique == Technique::Lossy {
            self.set(colour, |x, y| x == y);
        }
        let age = now.saturating_since(note.at);
        if let Some((_, colour, size)) = AGES.into_iter().find(|(below, ..)| age < *below) {
            let mark = MARK..MARK + size;
            self.set(colour, |x, y| mark.contains(&x) && mark.contains(&y));
        }
    }

    /// Gives those pixels of the cell that are `within`, by their place in it, a colour.
    fn set(&mut self, colour: u32, within: impl Fn(u16, u16) -> bool) {
        self.each(|x, y, pixel| if within(x, y) { colour } else { pixel });
    }

    fn each(&mut self, change: impl Fn(u16, u16, u32) -> u32) {
        let PixelRect { x: left, y: top, width, height } = self.area;
        for y in 0..height {
            let start = usize::from(top + y) * self.stride + usize::from(left);
            for (x, pixel) in (0..width).zip(&mut self.pixels[start..]) {
                *pixel = change(x, y, *pixel);
            }
        }
    }
}

fn mix(pixel: u32, colour: u32) -> u32 {
    let channel = |shift: u32| {
        let (pixel, colour) = (pixel >> shift & 0xff, colour >> shift & 0xff);
        ((pixel * (16 - TINT) + colour * TINT) / 16) << shift
    };
    channel(16) | channel(8) | channel(0)
}
