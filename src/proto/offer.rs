//! What a client that comes back offers: digests of the picture that it still has, under a key of the connection.
//!
//! A wrong claim that two pieces are equal is a wrong pixel for good, and a guest chooses the pixels of both: so digests are
//! keyed, by what a guest cannot know, and no checksum of pixels would do.

use alloc::vec::Vec;

use blake2::Blake2sMac;
use blake2::digest::consts::U8;
use blake2::digest::{KeyInit, Mac};

use crate::geometry::{CellRect, Grid, Size};
use crate::identity::{KEY_LEN, Secret};
use crate::limits::{OFFER_PART_PLOTS, OFFER_PLOTS_MAX};
use crate::units::ConnectionId;

/// What the secret of a connection is turned into a key of offers with.
const PURPOSE: &[u8] = b"LFP offer";
/// Sides of plots in cells, of which the first is taken that makes few enough of them.
const SIDES: [u16; 5] = [4, 8, 16, 32, 64];

/// The key of one connection's offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferKey(Secret);

impl OfferKey {
    /// Of a sealed connection whose first key of what the client sends is `first`: nobody but its two ends can know it.
    #[must_use]
    pub fn sealed(first: &Secret) -> Self {
        Self(first.derive(PURPOSE))
    }

    /// Of a connection in the clear: whoever sees its datagrams knows it. They could write pixels as well.
    #[must_use]
    pub fn plain(connection: ConnectionId) -> Self {
        let mut bytes = [0; KEY_LEN];
        bytes[..8].copy_from_slice(&connection.0.to_le_bytes());
        Self(Secret::new(bytes).derive(PURPOSE))
    }

    /// The digest of `plot` of a surface of `size`. `rows` are its pixels, clipped, from the top: each (`0x00RRGGBB`) counts as
    /// B, G, R, 0. They may come in any pieces.
    ///
    /// # Panics
    /// Never: a key of 32 bytes fits BLAKE2s.
    #[must_use]
    pub fn digest<'a>(&self, size: Size, plot: CellRect, rows: impl IntoIterator<Item = &'a [u32]>) -> u64 {
        // Whole pixels side by side, as many as a row of a plot mostly has.
        const BLOCK: usize = 64;
        let mut mac = <Blake2sMac<U8> as KeyInit>::new_from_slice(self.0.bytes())
            .expect("a key of 32 bytes fits BLAKE2s");
        for number in [size.width, size.height, plot.x, plot.y] {
            Mac::update(&mut mac, &number.to_le_bytes());
        }
        let mut bytes = [[0; 4]; BLOCK];
        for block in rows.into_iter().flat_map(|row| row.chunks(BLOCK)) {
            for (four, pixel) in bytes.iter_mut().zip(block) {
                *four = (pixel & 0x00ff_ffff).to_le_bytes();
            }
            Mac::update(&mut mac, bytes[..block.len()].as_flattened());
        }
        u64::from_le_bytes(mac.finalize().into_bytes().into())
    }
}

/// The plots of a surface: squares of cells, clipped at its right and bottom edge, row-major. Both sides know them from its
/// size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plots {
    grid: Grid,
    side: u16,
}

impl Plots {
    /// Those of a surface with this grid.
    #[must_use]
    pub fn of(grid: Grid) -> Self {
        let few = |side: &u16| Self { grid, side: *side }.count() <= OFFER_PLOTS_MAX;
        // No surface is so large that the last is not enough: see the test.
        let side = SIDES.into_iter().find(few).unwrap_or(SIDES[SIDES.len() - 1]);
        Self { grid, side }
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        self.columns() * usize::from(self.grid.rows.div_ceil(self.side))
    }

    /// In how many parts they are offered.
    #[must_use]
    pub fn parts(self) -> usize {
        self.count().div_ceil(OFFER_PART_PLOTS)
    }

    /// The plots of a part, in order; none if there is no such part.
    #[must_use]
    pub fn part(self, part: u8) -> Vec<CellRect> {
        let first = usize::from(part) * OFFER_PART_PLOTS;
        (first..self.count().min(first + OFFER_PART_PLOTS)).map(|index| self.plot(index)).collect()
    }

    /// The cells of the plot with row-major `index`, which is one of them.
    fn plot(self, index: usize) -> CellRect {
        let Self { grid, side } = self;
        let (x, y) = ((index % self.columns()) as u16 * side, (index / self.columns()) as u16 * side);
        CellRect { x, y, width: side.min(grid.columns - x), height: side.min(grid.rows - y) }
    }

    fn columns(self) -> usize {
        usize::from(self.grid.columns.div_ceil(self.side))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::limits::{OFFER_PARTS_MAX, SURFACE_PIXELS_MAX, SURFACE_SIDE_MAX};

    #[test]
    fn plots_cover_every_cell_once_and_are_few_enough() {
        let long = SURFACE_SIDE_MAX;
        let high = (SURFACE_PIXELS_MAX / usize::from(long)) as u16;
        for (width, height) in [
            (1, 1),
            (1280, 800),
            (1920, 1080),
            (3840, 2160),
            (long, high),
            (high, long),
            (6144, 6144),
            (long, 1),
        ] {
            let grid = Size::new(width, height).expect("legal").grid();
            let plots = Plots::of(grid);
            assert!(
                plots.count() <= OFFER_PLOTS_MAX && plots.parts() <= OFFER_PARTS_MAX,
                "{width} x {height}"
            );
            let mut seen = vec![0; grid.cells()];
            for part in 0..plots.parts() as u8 {
                let plots = plots.part(part);
                assert!((1..=OFFER_PART_PLOTS).contains(&plots.len()));
                plots.iter().flat_map(|plot| plot.indices(grid)).for_each(|index| seen[index] += 1);
            }
            assert!(seen.iter().all(|times| *times == 1), "{width} x {height}");
            assert!(plots.part(plots.parts() as u8).is_empty());
        }
        assert_eq!(Plots::of(Size::new(1280, 800).expect("legal").grid()).count(), 20 * 13);
    }

    #[test]
    fn a_digest_hangs_on_every_pixel_the_place_and_the_connection() {
        let (size, plot) = (Size::new(100, 70).expect("legal"), CellRect { x: 4, y: 0, width: 3, height: 4 });
        let key = OfferKey::plain(ConnectionId(7));
        let row: Vec<u32> = (0..36 * 64_u32).map(|at| at.wrapping_mul(0x0102_0305) & 0x00ff_ffff).collect();
        let digest = key.digest(size, plot, [&row[..]]);
        assert_eq!(key.digest(size, plot, row.chunks(36)), digest, "pieces do not matter");
        let mut other = row.clone();
        other[2_000] ^= 1;
        assert_ne!(key.digest(size, plot, [&other[..]]), digest);
        other[2_000] ^= 0xff00_0001;
        assert_eq!(key.digest(size, plot, [&other[..]]), digest, "the fourth byte is zero");
        assert_ne!(key.digest(size, CellRect { x: 0, ..plot }, [&row[..]]), digest);
        assert_ne!(OfferKey::plain(ConnectionId(8)).digest(size, plot, [&row[..]]), digest);
        assert_ne!(OfferKey::sealed(&Secret::new([7; 32])).digest(size, plot, [&row[..]]), digest);
    }
}
