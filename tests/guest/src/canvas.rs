//! A picture in private memory: 0x00RRGGBB pixels, and a few ways to put something on it.

use crate::font::{self, Font};

/// A colour as 0x00RRGGBB.
pub(crate) type Colour = u32;

/// A rectangle of pixels, half open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rect {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A picture.
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height] }
    }

    pub(crate) const fn bounds(&self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// The part of row `y` that lies in `rect`, which must lie inside the picture.
    pub(crate) fn row(&self, rect: Rect, y: usize) -> &[Colour] {
        let start = y * self.width + rect.x;
        &self.pixels[start..start + rect.width]
    }

    pub(crate) fn set(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> Colour {
        self.pixels[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    /// Lays `colour` over a pixel, `cover` of 1 opaque; outside the picture nothing happens.
    pub(crate) fn blend(&mut self, x: i32, y: i32, colour: Colour, cover: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[y * self.width + x];
            *pixel = mix(*pixel, colour, cover);
        }
    }

    pub(crate) fn fill(&mut self, rect: Rect, colour: Colour, cover: f32) {
        for y in rect.y..rect.y + rect.height {
            for x in rect.x..rect.x + rect.width {
                self.blend(x as i32, y as i32, colour, cover);
            }
        }
    }

    /// Copies a rectangle that lies inside both from a picture of the same size.
    pub(crate) fn restore(&mut self, from: &Self, rect: Rect) {
        for y in rect.y..(rect.y + rect.height).min(self.height) {
            let start = y * self.width + rect.x;
            let end = start + rect.width.min(self.width - rect.x);
            self.pixels[start..end].copy_from_slice(&from.pixels[start..end]);
        }
    }

    /// Writes one line of text, each font pixel `scale` pixels square.
    pub(crate) fn text(
        &mut self,
        font: &Font,
        (x, y): (usize, usize),
        scale: usize,
        colour: Colour,
        text: &str,
    ) {
        for (index, character) in text.chars().enumerate() {
            let left = x + index * (font::WIDTH + 1) * scale;
            for (row, bits) in font.glyph(character).iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits >> (font::WIDTH - 1 - column) & 1 == 1) {
                    let dot =
                        Rect { x: left + column * scale, y: y + row * scale, width: scale, height: scale };
                    self.fill(dot, colour, 1.0);
                }
            }
        }
    }
}

/// `a` with `share` (0 to 1) of `b` in it.
pub(crate) fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    let channel = |shift: u32| {
        let (a, b) = ((a >> shift & 0xff) as f32, (b >> shift & 0xff) as f32);
        ((a + (b - a) * share.clamp(0.0, 1.0) + 0.5) as u32) << shift
    };
    channel(16) | channel(8) | channel(0)
}

/// A well-mixed value for two numbers: the same on every run.
pub(crate) fn hash(a: u32, b: u32) -> u32 {
    let mut value = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca6b);
    value = (value ^ value >> 15).wrapping_mul(0x2c1b_3c6d);
    value = (value ^ value >> 12).wrapping_mul(0x297a_2d39);
    value ^ value >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_reaches_both_ends() {
        assert_eq!(mix(0x0012_3456, 0x00fe_dcba, 0.0), 0x0012_3456);
        assert_eq!(mix(0x0012_3456, 0x00fe_dcba, 1.0), 0x00fe_dcba);
    }

    #[test]
    fn painting_outside_the_picture_does_nothing() {
        let mut canvas = Canvas::new(4, 4);
        canvas.blend(-1, 0, 0xff_ffff, 1.0);
        canvas.blend(0, 4, 0xff_ffff, 1.0);
        canvas.set(9, 9, 0xff_ffff);
        assert!((0..4).all(|y| canvas.row(canvas.bounds(), y).iter().all(|&pixel| pixel == 0)));
    }
}
