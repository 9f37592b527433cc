//! Drawing on a picture in memory: rectangles, text, textures, all clipped.

use super::font::{ADVANCE, GLYPH_ROWS, LINE, glyph};
use crate::geometry::Size;

/// A rectangle in pixels that may lie anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Area {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

impl Area {
    pub(crate) const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { x, y, width, height }
    }

    /// This without `margin` pixels at each side.
    pub(crate) const fn inset(self, margin: i32) -> Self {
        Self::new(self.x + margin, self.y + margin, self.width - 2 * margin, self.height - 2 * margin)
    }

    const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    fn intersection(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let right = (self.x + self.width).min(other.x + other.width);
        let bottom = (self.y + self.height).min(other.y + other.height);
        Self::new(x, y, (right - x).max(0), (bottom - y).max(0))
    }
}

/// A picture of `0x00RRGGBB` pixels, and the area that drawing is confined to.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    size: Size,
    pixels: Vec<u32>,
    clip: Area,
}

impl Canvas {
    pub(crate) fn new(size: Size) -> Self {
        let clip = Area::new(0, 0, i32::from(size.width), i32::from(size.height));
        Self { size, pixels: vec![0; size.pixels()], clip }
    }

    pub(crate) fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// The whole picture.
    pub(crate) fn area(&self) -> Area {
        Area::new(0, 0, i32::from(self.size.width), i32::from(self.size.height))
    }

    /// Starts over from another picture of this size.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.pixels.copy_from_slice(&other.pixels);
        self.clip = self.area();
    }

    /// Confines what `draw` draws to `area` too.
    pub(crate) fn clipped(&mut self, area: Area, draw: impl FnOnce(&mut Self)) {
        let outer = self.clip;
        self.clip = outer.intersection(area);
        draw(self);
        self.clip = outer;
    }

    /// Paints each pixel of `area` with what `colour` says of its place in it.
    pub(crate) fn paint(&mut self, area: Area, mut colour: impl FnMut(i32, i32) -> u32) {
        let seen = self.clip.intersection(area);
        if seen.is_empty() {
            return;
        }
        for y in seen.y..seen.y + seen.height {
            let row = &mut self.pixels[row_range(self.size, seen, y)];
            for (column, pixel) in row.iter_mut().enumerate() {
                *pixel = colour(seen.x - area.x + column as i32, y - area.y);
            }
        }
    }

    /// Fills `area` with one colour.
    pub(crate) fn fill(&mut self, area: Area, colour: u32) {
        let seen = self.clip.intersection(area);
        if seen.is_empty() {
            return;
        }
        for y in seen.y..seen.y + seen.height {
            self.pixels[row_range(self.size, seen, y)].fill(colour);
        }
    }

    /// Draws `text`, its first box with the top left corner at (x, y), each font pixel `scale` pixels large.
    pub(crate) fn text(&mut self, x: i32, y: i32, scale: i32, colour: u32, text: &str) {
        for (index, character) in text.bytes().enumerate() {
            let left = x + index as i32 * ADVANCE * scale;
            let seen = self.clip.intersection(Area::new(left, y, ADVANCE * scale, LINE * scale));
            if seen.is_empty() {
                continue;
            }
            let rows = glyph(character);
            for py in seen.y..seen.y + seen.height {
                let ink = rows.get(((py - y) / scale) as usize).copied().unwrap_or(0);
                let row = &mut self.pixels[row_range(self.size, seen, py)];
                for (offset, pixel) in row.iter_mut().enumerate() {
                    let column = (seen.x - left + offset as i32) / scale;
                    if column < 5 && ink >> (4 - column) & 1 != 0 {
                        *pixel = colour;
                    }
                }
            }
        }
    }
}

const _: () = assert!(GLYPH_ROWS as i32 <= LINE);

fn row_range(size: Size, seen: Area, y: i32) -> std::ops::Range<usize> {
    let start = y as usize * usize::from(size.width) + seen.x as usize;
    start..start + seen.width as usize
}

/// A colour between `from` (at 0) and `to` (at `of`).
pub(crate) fn blend(from: u32, to: u32, at: i32, of: i32) -> u32 {
    let channel = |shift: u32| {
        let (from, to) = ((from >> shift & 0xff) as i32, (to >> shift & 0xff) as i32);
        ((from + (to - from) * at.clamp(0, of) / of.max(1)) as u32) << shift
    };
    channel(16) | channel(8) | channel(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_outside() {
        let mut canvas = Canvas::new(Size { width: 20, height: 10 });
        canvas.clipped(Area::new(5, 2, 10, 6), |canvas| {
            canvas.fill(Area::new(-100, -100, 1000, 1000), 1);
            canvas.text(-9, -3, 3, 2, "WWWWW");
            canvas.paint(Area::new(14, 7, 50, 50), |_, _| 3);
        });
        for (index, &pixel) in canvas.pixels().iter().enumerate() {
            let (x, y) = (index % 20, index / 20);
            assert_eq!(pixel != 0, (5..15).contains(&x) && (2..8).contains(&y), "{x} {y}");
        }
        assert!(canvas.pixels().contains(&2) && canvas.pixels().contains(&3));
    }

    #[test]
    fn blends_end_at_their_ends() {
        assert_eq!(blend(0x10_20_30, 0xff_00_80, 0, 7), 0x10_20_30);
        assert_eq!(blend(0x10_20_30, 0xff_00_80, 7, 7), 0xff_00_80);
        assert_eq!(blend(0, 0xff_ff_ff, 1, 2), 0x7f_7f_7f);
    }
}
