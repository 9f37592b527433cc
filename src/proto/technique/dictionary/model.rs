//! What both halves know of the pixels so far: guesses by neighbourhood, colours seen, chances of everything coded.

use alloc::boxed::Box;

use super::range::Chance;
use crate::technique::palette::{COLOURS_MAX, Palette};

/// Entries of a table of guesses; a power of two.
const GUESSES: usize = 2048;
/// Guesses that are looked at when the first is wrong.
pub(super) const LATER: usize = 5;
/// Colours that are learnt from the base, at most: the rest of the room is for new ones.
const COLOURS_OF_BASE: usize = 64;

/// The colours around a pixel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Around {
    pub(super) west: u32,
    pub(super) north: u32,
    pub(super) north_west: u32,
    pub(super) north_east: u32,
    pub(super) west_west: u32,
    pub(super) north_north: u32,
}

impl Around {
    /// Of the pixel at `at` in rows `stride` apart.
    #[inline(always)]
    pub(super) fn of(pixels: &[u32], at: usize, stride: usize) -> Self {
        let above = at - stride;
        let north: &[u32; 3] = pixels[above - 1..above + 2].try_into().expect("three pixels");
        let west: &[u32; 2] = pixels[at - 2..at].try_into().expect("two pixels");
        Self {
            west: west[1],
            north: north[1],
            north_west: north[0],
            north_east: north[2],
            west_west: west[0],
            north_north: pixels[above - stride],
        }
    }

    /// Whether the four nearest have one colour.
    pub(super) const fn is_flat(&self) -> bool {
        self.west == self.north && self.west == self.north_west && self.west == self.north_east
    }

    /// Where the tables keep their guesses for such a place: far's of all six colours, near's of the nearest four.
    #[inline(always)]
    fn entries(&self) -> (usize, usize) {
        const FACTORS: [u64; 6] = [
            0x9e37_79b9_7f4a_7c15,
            0xc2b2_ae3d_27d4_eb4f,
            0x1656_67b1_9e37_79f9,
            0x85eb_ca77_c2b2_ae63,
            0x27d4_eb2f_1656_67c5,
            0xd6e8_feb8_6659_fd93,
        ];
        let times = |colour: u32, factor: usize| u64::from(colour).wrapping_mul(FACTORS[factor]);
        let near = times(self.west, 0)
            .wrapping_add(times(self.north, 1))
            .wrapping_add(times(self.north_west, 2))
            .wrapping_add(times(self.north_east, 3));
        let far = near.wrapping_add(times(self.west_west, 4)).wrapping_add(times(self.north_north, 5));
        (fold(far), fold(near))
    }
}

/// An entry's index from the sum of products.
const fn fold(sum: u64) -> usize {
    ((sum ^ sum >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 53) as usize
}
const _: () = assert!(GUESSES == 1 << (64 - 53));

/// Up to two colours that were seen in a neighbourhood, the likelier first. Each colour's upper byte holds more: the
/// first's how often in a row it was right, the second's how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Guess {
    first: u32,
    second: u32,
}

const COLOUR: u32 = 0x00ff_ffff;
const TRUST_MAX: u32 = 7;

/// No colour: what stands for one that is not there.
pub(super) const NONE: u32 = u32::MAX;

impl Guess {
    /// The likelier colour; [`NONE`] if there is none.
    #[inline(always)]
    pub(super) const fn first(self) -> u32 {
        if self.count() > 0 { self.first & COLOUR } else { NONE }
    }

    /// The other one; [`NONE`] if there is none.
    #[inline(always)]
    pub(super) const fn second(self) -> u32 {
        if self.count() > 1 { self.second & COLOUR } else { NONE }
    }

    /// How many colours there are.
    #[inline(always)]
    pub(super) const fn count(self) -> u32 {
        self.second >> 24
    }

    /// How often in a row the first was right, up to 7.
    #[inline(always)]
    pub(super) const fn trust(self) -> u32 {
        self.first >> 24
    }

    const fn new(first: u32, trust: u32, second: u32, count: u32) -> Self {
        Self { first: first | trust << 24, second: second | count << 24 }
    }

    /// Takes a colour in; says whether it was the likelier one.
    #[inline(always)]
    fn learn(&mut self, colour: u32) -> bool {
        let is_right = self.first() == colour;
        if is_right {
            self.first += u32::from(self.trust() < TRUST_MAX) << 24;
        } else {
            self.correct(colour);
        }
        is_right
    }

    /// Takes in a colour that is not the first.
    #[inline]
    fn correct(&mut self, colour: u32) {
        let (first, second) = (self.first & COLOUR, self.second & COLOUR);
        let (count, trust) = (self.count(), self.trust());
        *self = if trust <= 1 || (count > 1 && second == colour) {
            Self::new(colour, 0, first, (count + 1).min(2))
        } else {
            Self::new(first, trust / 2, colour, 2)
        };
    }
}

/// The guesses for one pixel, and where they are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guesses {
    /// By all six neighbours.
    pub(super) far: Guess,
    /// By the nearest four.
    pub(super) near: Guess,
    entries: (usize, usize),
}

/// Every adaptive chance.
#[derive(Clone, Debug)]
pub(super) struct Chances {
    /// A run goes on as far as it can.
    pub(super) run_whole: [Chance; 4],
    /// Its length has another bit.
    pub(super) run_longer: [[Chance; 16]; 2],
    /// The bit below the highest.
    pub(super) run_second: [[Chance; 16]; 2],
    /// The first guess is right.
    pub(super) first: [Chance; 104],
    /// No other guess is right either.
    pub(super) unguessed: [Chance; 12],
    /// A later guess is right.
    pub(super) later: [Chance; 4 * LATER],
    /// The colour is a remembered one.
    pub(super) remembered: [Chance; 3],
    /// The bits of its index, as a tree.
    pub(super) index: [Chance; COLOURS_MAX],
    /// How many bits a channel's error has: none, and a tree of what is left.
    pub(super) size: [[Chance; 64]; 3],
    /// The bit below the highest.
    pub(super) second: [[Chance; 16]; 3],
}

impl Chances {
    const EVEN: Self = Self {
        run_whole: [Chance::EVEN; 4],
        run_longer: [[Chance::EVEN; 16]; 2],
        run_second: [[Chance::EVEN; 16]; 2],
        first: [Chance::EVEN; 104],
        unguessed: [Chance::EVEN; 12],
        later: [Chance::EVEN; 4 * LATER],
        remembered: [Chance::EVEN; 3],
        index: [Chance::EVEN; COLOURS_MAX],
        size: [[Chance::EVEN; 64]; 3],
        second: [[Chance::EVEN; 16]; 3],
    };
}

/// Everything that both halves know.
#[derive(Debug)]
pub(super) struct Model {
    far: Box<[Guess; GUESSES]>,
    near: Box<[Guess; GUESSES]>,
    pub(super) chances: Chances,
    /// The remembered ones.
    pub(super) colours: Palette,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            far: Box::new([Guess::default(); GUESSES]),
            near: Box::new([Guess::default(); GUESSES]),
            chances: Chances::EVEN,
            colours: Palette::default(),
        }
    }
}

impl Model {
    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.far.fill(Guess::default());
        self.near.fill(Guess::default());
        self.chances.clone_from(&Chances::EVEN);
        self.colours.clear();
    }

    #[inline(always)]
    pub(super) fn guesses(&self, around: &Around) -> Guesses {
        let entries = around.entries();
        Guesses { far: self.far[entries.0], near: self.near[entries.1], entries }
    }

    /// The pixel for which `guesses` were made has `colour`. What far knew already, near need not know.
    #[inline(always)]
    pub(super) fn learn(&mut self, guesses: &Guesses, colour: u32) {
        if !self.far[guesses.entries.0].learn(colour) {
            self.near[guesses.entries.1].learn(colour);
        }
    }

    /// Learns from a row of the base and the two above it, [cut so](super::field::Field::three_rows); which costs no bytes.
    pub(super) fn learn_base(&mut self, [row, above, above_that]: [&[u32]; 3]) {
        let mut last = NONE;
        let mut at = 2;
        while at + 1 < row.len() {
            let end = (at + SKIP).min(row.len() - 1);
            if end - at == SKIP && is_plain(&row[at - 1..end], &above[at - 1..=end]) {
                at = end;
                continue;
            }
            for at in at..end {
                let around = Around {
                    west: row[at - 1],
                    north: above[at],
                    north_west: above[at - 1],
                    north_east: above[at + 1],
                    west_west: row[at - 2],
                    north_north: above_that[at - 2],
                };
                let colour = row[at];
                if around.is_flat() && colour == around.west {
                    continue;
                }
                self.far[around.entries().0].learn(colour);
                if colour != last && self.colours.len() < COLOURS_OF_BASE {
                    self.colours.add(colour);
                }
                last = colour;
            }
            at = end;
        }
    }
}

/// Pixels of the base that are looked at together.
const SKIP: usize = 8;

/// Whether all of a stretch of a row, from one pixel ahead of it, and what lies above it, to one pixel behind, has one
/// colour.
#[inline(always)]
fn is_plain(row: &[u32], above: &[u32]) -> bool {
    let (row, above): (&[u32; SKIP + 1], &[u32; SKIP + 2]) =
        (row.try_into().expect("a stretch"), above.try_into().expect("a stretch"));
    let colour = row[0];
    let differ = row.iter().chain(above).fold(0, |differ, pixel| differ | (pixel ^ colour));
    differ == 0
}
