//! PNG's five row filters (RFC 2083, section 6), over rows of B, G, R.

use super::PIXEL_LEN;

/// How a row's bytes were made smaller before deflate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Filter {
    /// As they are.
    None = 0,
    /// Less the pixel to the left.
    Left = 1,
    /// Less the pixel above.
    Up = 2,
    /// Less the mean of both, rounded down.
    Average = 3,
    /// Less the nearest to left + above - (left above) of those three.
    Paeth = 4,
}

impl Filter {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::Left, Self::Up, Self::Average, Self::Paeth];

    pub(super) fn from_wire(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// Turns the filtered bytes in `line` back into pixels. `above` is the row before, as pixels; empty for
    /// the first row, which has zeros above it.
    pub(super) fn undo(self, line: &mut [u8], above: &[u8]) {
        if above.is_empty() {
            return self.undo_first(line);
        }
        let above = &above[..line.len()];
        match self {
            Self::None => {}
            Self::Left => self.undo_first(line),
            Self::Up => {
                for (byte, up) in line.iter_mut().zip(above) {
                    *byte = byte.wrapping_add(*up);
                }
            }
            Self::Average => {
                let mut left = [0; PIXEL_LEN];
                for (pixel, above) in line.chunks_exact_mut(PIXEL_LEN).zip(above.chunks_exact(PIXEL_LEN)) {
                    for at in 0..PIXEL_LEN {
                        left[at] = pixel[at].wrapping_add(mean(left[at], above[at]));
                        pixel[at] = left[at];
                    }
                }
            }
            Self::Paeth => {
                let (mut left, mut corner) = ([0; PIXEL_LEN], [0; PIXEL_LEN]);
                for (pixel, above) in line.chunks_exact_mut(PIXEL_LEN).zip(above.chunks_exact(PIXEL_LEN)) {
                    for at in 0..PIXEL_LEN {
                        left[at] = pixel[at].wrapping_add(paeth(left[at], above[at], corner[at]));
                        corner[at] = above[at];
                        pixel[at] = left[at];
                    }
                }
            }
        }
    }

    /// [`Filter::undo`] where everything above is zero: Paeth then means the pixel to the left.
    fn undo_first(self, line: &mut [u8]) {
        let half = match self {
            Self::None | Self::Up => return,
            Self::Left | Self::Paeth => 0,
            Self::Average => 1,
        };
        let mut left = [0; PIXEL_LEN];
        for pixel in line.chunks_exact_mut(PIXEL_LEN) {
            for at in 0..PIXEL_LEN {
                left[at] = pixel[at].wrapping_add(left[at] >> half);
                pixel[at] = left[at];
            }
        }
    }

    /// Writes `line`, filtered, to `out`. `above` has the same length; zeros for the first row.
    #[cfg(feature = "encode")]
    pub(super) fn apply(self, line: &[u8], above: &[u8], out: &mut [u8]) {
        assert!(line.len() == above.len() && line.len() == out.len(), "rows of different lengths");
        let head = PIXEL_LEN.min(line.len());
        for at in 0..head {
            out[at] = line[at].wrapping_sub(self.predict(0, above[at], 0));
        }
        let corner = &above[..line.len() - head];
        let (left, line) = (&line[..line.len() - head], &line[head..]);
        let (above, out) = (&above[head..], &mut out[head..]);
        match self {
            Self::None => out.copy_from_slice(line),
            Self::Left => {
                for at in 0..out.len() {
                    out[at] = line[at].wrapping_sub(left[at]);
                }
            }
            Self::Up => {
                for at in 0..out.len() {
                    out[at] = line[at].wrapping_sub(above[at]);
                }
            }
            Self::Average => {
                for at in 0..out.len() {
                    out[at] = line[at].wrapping_sub(mean(left[at], above[at]));
                }
            }
            Self::Paeth => {
                for at in 0..out.len() {
                    out[at] = line[at].wrapping_sub(paeth(left[at], above[at], corner[at]));
                }
            }
        }
    }

    #[cfg(feature = "encode")]
    fn predict(self, left: u8, above: u8, corner: u8) -> u8 {
        match self {
            Self::None => 0,
            Self::Left => left,
            Self::Up => above,
            Self::Average => mean(left, above),
            Self::Paeth => paeth(left, above, corner),
        }
    }
}

fn mean(left: u8, above: u8) -> u8 {
    ((u16::from(left) + u16::from(above)) / 2) as u8
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(above), i16::from(corner));
    let (to_left, to_above, to_corner) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if to_left <= to_above && to_left <= to_corner {
        left
    } else if to_above <= to_corner {
        above
    } else {
        corner
    }
}
