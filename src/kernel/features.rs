//! What the pixels of a cell have in common: how many colours, how far apart, how hard the steps between them.

use crate::limits::{CELL, CELL_PIXELS};

const SIDE: usize = CELL as usize;
/// What [`Features::same`], [`Features::soft`] and [`Features::hard`] are parts of.
pub const PAIRS: u32 = 240;
/// Most steps of brightness of a soft step, and fewest of a hard one; brightness has 256.
const SOFT_MAX: i32 = 12;
const HARD_MIN: i32 = 40;

/// Figures of one cell. The shares are of all pairs of pixels side by side or one above the other, in parts of
/// [`PAIRS`]; pairs that are neither the same, soft nor hard are in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Different colours: exact while there are few, at most 64.
    pub colours: u8,
    /// From the darkest to the brightest pixel.
    pub contrast: u8,
    /// Pairs of one colour.
    pub same: u8,
    /// Pairs of nearly one brightness.
    pub soft: u8,
    /// Pairs that are far apart, as ink and paper.
    pub hard: u8,
}

/// The figures of the top left `width` x `height` corner of a cell.
///
/// # Panics
/// If the corner is empty or larger than a cell.
#[must_use]
#[inline(always)]
pub fn features(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> Features {
    assert!((1..=SIDE).contains(&width) && (1..=SIDE).contains(&height), "{width}x{height} in a cell");
    // Nearly all cells are whole: loops of a known length become vector code.
    if (width, height) == (SIDE, SIDE) { measure(tile, SIDE, SIDE) } else { measure(tile, width, height) }
}

#[inline(always)]
fn measure(tile: &[u32; CELL_PIXELS], width: usize, height: usize) -> Features {
    let (mut across, mut down) = ([0; SIDE], [0; SIDE]);
    let (mut dark, mut bright, mut colours) = ([i32::MAX; SIDE], [0; SIDE], 0_u64);
    let mut above: Option<(&[u32; SIDE], [i32; SIDE])> = None;
    for row in tile.chunks_exact(SIDE).take(height) {
        let row: &[u32; SIDE] = row.try_into().expect("a row of a cell");
        let light = brightness(row);
        for x in 0..SIDE {
            (dark[x], bright[x]) = (dark[x].min(light[x]), bright[x].max(light[x]));
        }
        // The last column has no right neighbour; what it is counted beside is left out below.
        let beside: [u32; SIDE] = std::array::from_fn(|x| row[(x + 1).min(SIDE - 1)]);
        let light_beside = std::array::from_fn(|x| light[(x + 1).min(SIDE - 1)]);
        count(&mut across, (&beside, &light_beside), (row, &light));
        if let Some((above, light_above)) = &above {
            count(&mut down, (above, light_above), (row, &light));
        }
        colours |= row[..width].iter().fold(0, |set, pixel| set | bin(*pixel));
        above = Some((row, light));
    }
    let dark = dark[..width].iter().fold(i32::MAX, |dark, light| dark.min(*light));
    let bright = bright[..width].iter().fold(0, |bright, light| bright.max(*light));
    let pairs = (((width - 1) * height + width * (height - 1)) as u32).max(1);
    let part = |place: u32| {
        let counts = across[..width - 1].iter().chain(&down[..width]);
        (counts.map(|counts| counts >> place & 0xff).sum::<u32>() * PAIRS / pairs) as u8
    };
    Features {
        colours: colours.count_ones() as u8,
        contrast: (bright - dark) as u8,
        same: part(SAME),
        soft: part(SOFT),
        hard: part(HARD),
    }
}

/// Where in a column's word the counters of pairs stand: of at most 16 each.
const SAME: u32 = 0;
const SOFT: u32 = 8;
const HARD: u32 = 16;
const _: () = assert!(SIDE < 1 << 8);

/// Counts the pairs of two rows, of each the pixels and their brightness, column by column.
#[inline(always)]
fn count(counts: &mut [u32; SIDE], a: (&[u32; SIDE], &[i32; SIDE]), b: (&[u32; SIDE], &[i32; SIDE])) {
    for (x, counts) in counts.iter_mut().enumerate() {
        let step = (a.1[x] - b.1[x]).abs();
        let same = a.0[x] == b.0[x];
        *counts += u32::from(same) << SAME
            | u32::from(!same & (step <= SOFT_MAX)) << SOFT
            | u32::from(step >= HARD_MIN) << HARD;
    }
}

/// Two parts red, five green, one blue.
#[inline(always)]
fn brightness(row: &[u32; SIDE]) -> [i32; SIDE] {
    std::array::from_fn(|x| {
        let (red, green, blue) = (row[x] >> 16 & 0xff, row[x] >> 8 & 0xff, row[x] & 0xff);
        (((red << 1) + (green << 2) + green + blue) >> 3) as i32
    })
}

/// One of 64 bits for a colour.
#[inline(always)]
fn bin(pixel: u32) -> u64 {
    1 << (pixel.wrapping_mul(0x9e37_79b1) >> 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_steps_and_noise_are_told_apart() {
        let flat = features(&[7; CELL_PIXELS], 16, 16);
        assert_eq!((flat.colours, flat.contrast, flat.same, flat.soft, flat.hard), (1, 0, 240, 0, 0));
        let stripes = std::array::from_fn(|at| if at % 2 == 0 { 0 } else { 0xff_ff_ff });
        let stripes = features(&stripes, 16, 16);
        assert_eq!((stripes.colours, stripes.contrast, stripes.same, stripes.hard), (2, 255, 120, 120));
        let ramp = features(&std::array::from_fn(|at| (at / SIDE * 4) as u32 * 0x01_01_01), 16, 16);
        assert!(ramp.same == 120 && ramp.soft == 120 && (12..=16).contains(&ramp.colours), "{ramp:?}");
        let noise = std::array::from_fn(|at| (at as u32).wrapping_mul(0x9e37_79b1) ^ (at as u32) << 13);
        let noise = features(&noise, 16, 16);
        assert!(noise.colours > 50 && noise.same < 4 && noise.hard > 60, "{noise:?}");
    }

    #[test]
    fn what_lies_outside_a_clipped_cell_counts_for_nothing() {
        for (width, height) in [(1, 1), (5, 3), (16, 1), (1, 16), (9, 16)] {
            let tile =
                std::array::from_fn(
                    |at| if at % SIDE < width && at / SIDE < height { 9 } else { 0xff_ff_ff },
                );
            let features = features(&tile, width, height);
            assert_eq!((features.colours, features.contrast, features.hard), (1, 0, 0), "{width}x{height}");
        }
    }
}
