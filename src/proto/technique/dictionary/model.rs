//! What both halves know of the pixels so far: guesses by neighbourhood, colours seen, chances of everything coded.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::range::Chance;

/// Entries of a table of guesses; a power of two.
const GUESSES: usize = 2048;
/// Colours that are remembered.
const COLOURS_MAX: usize = 256;
/// Colours that are learnt from the base, at most: the rest of the room is for new ones.
const COLOURS_OF_BASE: usize = 64;
/// Slots of the table that finds a colour's index: a power of two, at most a quarter full.
const SLOTS: usize = 4 * COLOURS_MAX;
const FREE: u16 = u16::MAX;

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
    pub(super) fn of(pixels: &[u32], at: usize, stride: usize) -> Self {
        Self {
            west: pixels[at - 1],
            north: pixels[at - stride],
            north_west: pixels[at - stride - 1],
            north_east: pixels[at - stride + 1],
            west_west: pixels[at - 2],
            north_north: pixels[at - 2 * stride],
        }
    }

    /// Whether the four nearest have one colour.
    pub(super) const fn is_flat(&self) -> bool {
        self.west == self.north && self.west == self.north_west && self.west == self.north_east
    }

    /// Where the two tables keep their guesses for such a place: of all six colours, and of the nearest four.
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

impl Guess {
    /// The likelier colour, if there is one.
    pub(super) fn first(self) -> Option<u32> {
        (self.count() > 0).then_some(self.first & COLOUR)
    }

    /// The other one, if there is one.
    pub(super) fn second(self) -> Option<u32> {
        (self.count() > 1).then_some(self.second & COLOUR)
    }

    /// How many colours there are.
    pub(super) const fn count(self) -> u32 {
        self.second >> 24
    }

    /// How often in a row the first was right, up to 7.
    pub(super) const fn trust(self) -> u32 {
        self.first >> 24
    }

    const fn new(first: u32, trust: u32, second: u32, count: u32) -> Self {
        Self { first: first | trust << 24, second: second | count << 24 }
    }

    fn learn(&mut self, colour: u32) {
        let (first, second) = (self.first & COLOUR, self.second & COLOUR);
        let (count, trust) = (self.count(), self.trust());
        *self = if count == 0 {
            Self::new(colour, 0, 0, 1)
        } else if first == colour {
            Self::new(first, (trust + 1).min(TRUST_MAX), second, count)
        } else if trust <= 1 || (count > 1 && second == colour) {
            Self::new(colour, 0, first, 2)
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
    pub(super) later: [Chance; 32],
    /// The colour is a remembered one.
    pub(super) remembered: [Chance; 3],
    /// The bits of its index, as a tree.
    pub(super) index: [Chance; COLOURS_MAX],
    /// A channel's error has another bit.
    pub(super) longer: [[Chance; 64]; 3],
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
        later: [Chance::EVEN; 32],
        remembered: [Chance::EVEN; 3],
        index: [Chance::EVEN; COLOURS_MAX],
        longer: [[Chance::EVEN; 64]; 3],
        second: [[Chance::EVEN; 16]; 3],
    };
}

/// Colours in the order in which they were met.
#[derive(Debug)]
pub(super) struct Colours {
    colours: Vec<u32>,
    slots: Box<[(u32, u16)]>,
}

impl Colours {
    /// The colour with index `index`.
    pub(super) fn at(&self, index: usize) -> Option<u32> {
        self.colours.get(index).copied()
    }

    /// The index of `colour`.
    pub(super) fn find(&self, colour: u32) -> Option<usize> {
        let (held, index) = self.slots[self.slot(colour)];
        (index != FREE && held == colour).then_some(usize::from(index))
    }

    /// Remembers `colour` unless it is known or there is no room.
    pub(super) fn add(&mut self, colour: u32) {
        let slot = self.slot(colour);
        if self.colours.len() < COLOURS_MAX && self.slots[slot].1 == FREE {
            self.slots[slot] = (colour, self.colours.len() as u16);
            self.colours.push(colour);
        }
    }

    /// Where `colour` stands, or would. Three slots of four are free, so that the search ends.
    fn slot(&self, colour: u32) -> usize {
        let mut slot = (colour.wrapping_mul(0x9e37_79b1) >> 22) as usize;
        while self.slots[slot].1 != FREE && self.slots[slot].0 != colour {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    fn clear(&mut self) {
        self.colours.clear();
        self.slots.fill((0, FREE));
    }
}
const _: () = assert!(SLOTS == 1 << (32 - 22));

/// Everything that both halves know.
#[derive(Debug)]
pub(super) struct Model {
    far: Box<[Guess; GUESSES]>,
    near: Box<[Guess; GUESSES]>,
    pub(super) chances: Chances,
    pub(super) colours: Colours,
}

impl Default for Model {
    fn default() -> Self {
        let colours =
            Colours { colours: Vec::with_capacity(COLOURS_MAX), slots: alloc::vec![(0, FREE); SLOTS].into() };
        Self {
            far: Box::new([Guess::default(); GUESSES]),
            near: Box::new([Guess::default(); GUESSES]),
            chances: Chances::EVEN,
            colours,
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

    pub(super) fn guesses(&self, around: &Around) -> Guesses {
        let entries = around.entries();
        Guesses { far: self.far[entries.0], near: self.near[entries.1], entries }
    }

    /// The pixel for which `guesses` were made has `colour`.
    pub(super) fn learn(&mut self, guesses: &Guesses, colour: u32) {
        self.far[guesses.entries.0].learn(colour);
        self.near[guesses.entries.1].learn(colour);
    }

    /// Learns from a pixel of the base, which costs no bytes.
    pub(super) fn learn_base(&mut self, around: &Around, colour: u32) {
        if around.is_flat() && colour == around.west {
            return;
        }
        let entries = around.entries();
        self.far[entries.0].learn(colour);
        self.near[entries.1].learn(colour);
        if self.colours.colours.len() < COLOURS_OF_BASE {
            self.colours.add(colour);
        }
    }
}
