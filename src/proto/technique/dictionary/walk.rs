//! The walk over the pixels that encoder and decoder share.
//!
//! Pixels are taken row by row. Where the neighbourhood is that of the base, or all of one colour, a *run* is coded: how
//! far the pixels go on as the base does, or in that colour. Every other pixel is coded as the first guess, as one
//! of up to five later ones, as a remembered colour, or by what its channels differ from a prediction.

use super::field::Field;
use super::model::{Around, Guesses, Model};
use super::range::{Chance, Coder};
use crate::frame::Refusal;

/// Later guesses for one pixel, with the first.
const GUESSES_MAX: usize = 6;
const CHANNEL_BITS: u32 = 8;
const GREEN: u32 = 8;
const RED: u32 = 16;
const BLUE: u32 = 0;

/// How a run goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    /// As the base.
    Base = 0,
    /// In the colour of the neighbourhood.
    Flat = 1,
}

/// One half of the coder on its way through a record.
pub(super) struct Walk<'a, C> {
    pub(super) coder: &'a mut C,
    pub(super) model: &'a mut Model,
    /// The pixels: there in full if they are encoded, and filled in if they are decoded.
    pub(super) field: &'a mut Field,
    /// The base's pixels, each where the field's is.
    pub(super) base: Option<&'a [u32]>,
    /// For each pixel of the field's rows, 1 if no guess knew it.
    pub(super) unguessed: &'a mut [u8],
}

impl<C: Coder> Walk<'_, C> {
    /// Codes row `y`, which follows those that were coded before.
    pub(super) fn row(&mut self, y: usize) -> Result<(), Refusal> {
        let (mut at, end) = (self.field.at(0, y), self.field.at(self.field.width, y));
        while at < end {
            let around = Around::of(&self.field.pixels, at, self.field.stride);
            let Some(course) = self.course(&around, at) else {
                self.pixel(&around, at, None)?;
                at += 1;
                continue;
            };
            let length = self.run(course, &around, at, end);
            self.unguessed[at..at + length.get()].fill(0);
            at += length.get();
            if let Length::Broken(_) = length {
                // What ended the run is anything but its continuation.
                let not = self.continuation(course, around.west, at);
                let around = Around::of(&self.field.pixels, at, self.field.stride);
                self.pixel(&around, at, Some(not))?;
                at += 1;
            }
        }
        self.field.close_row(y);
        Ok(())
    }

    fn base_at(&self, at: usize) -> Option<u32> {
        self.base.map(|base| base[at])
    }

    /// What a run from `at` would follow, if its neighbourhood tells.
    fn course(&self, around: &Around, at: usize) -> Option<Course> {
        if self.base.is_some_and(|base| {
            let above = at - self.field.stride;
            around.west == base[at - 1]
                && around.north == base[above]
                && around.north_east == base[above + 1]
                && around.north_west == base[above - 1]
        }) {
            Some(Course::Base)
        } else {
            around.is_flat().then_some(Course::Flat)
        }
    }

    /// What the pixel at `at` is if a run that began behind `west` goes on.
    fn continuation(&self, course: Course, west: u32, at: usize) -> u32 {
        match course {
            Course::Base => self.base_at(at).unwrap_or(west),
            Course::Flat => west,
        }
    }

    /// Codes the run from `at`: at most to `end`, and in one colour no further than the row above allows.
    fn run(&mut self, course: Course, around: &Around, at: usize, end: usize) -> Length {
        let (colour, stride) = (around.west, self.field.stride);
        let max = match course {
            Course::Base => end - at,
            Course::Flat => {
                let above = &self.field.pixels[at + 1 - stride..end - stride];
                1 + above.iter().take_while(|pixel| **pixel == colour).count()
            }
        };
        let max = max.min(end - at);
        let true_len = if C::ENCODES {
            let pixels = &self.field.pixels[at..at + max];
            match (course, self.base) {
                (Course::Base, Some(base)) => {
                    pixels.iter().zip(&base[at..]).take_while(|(pixel, base)| pixel == base).count()
                }
                _ => pixels.iter().take_while(|pixel| **pixel == colour).count(),
            }
        } else {
            0
        };
        let context = course as usize * 2 + usize::from(at + max == end);
        let whole = self.coder.bit(&mut self.model.chances.run_whole[context], true_len == max);
        let len = if whole { max } else { self.broken_run(course, true_len, max) };
        if !C::ENCODES {
            match (course, self.base) {
                (Course::Base, Some(base)) => {
                    self.field.pixels[at..at + len].copy_from_slice(&base[at..at + len]);
                }
                _ => self.field.pixels[at..at + len].fill(colour),
            }
        }
        if whole { Length::Whole(len) } else { Length::Broken(len) }
    }

    /// Codes a length below `max`, plus one, as its number of bits and the bits.
    fn broken_run(&mut self, course: Course, len: usize, max: usize) -> usize {
        let number = len as u32 + 1;
        let (bits, bits_max) = (number.ilog2(), (max as u32).ilog2());
        let chances = &mut self.model.chances;
        let longer = &mut chances.run_longer[course as usize];
        let mut count = 0;
        while count < bits_max && self.coder.bit(&mut longer[count as usize], count < bits) {
            count += 1;
        }
        let second = &mut chances.run_second[course as usize][count as usize];
        let number = tail(self.coder, second, number, count);
        (number as usize - 1).min(max - 1)
    }

    /// Codes the pixel at `at`, which is not `not`.
    fn pixel(&mut self, around: &Around, at: usize, not: Option<u32>) -> Result<(), Refusal> {
        let guesses = self.model.guesses(around);
        let stride = self.field.stride;
        let strange = [at - 1, at - stride, at - stride + 1].map(|place| usize::from(self.unguessed[place]));
        let strangers = strange.iter().sum::<usize>();
        let base = self.base_at(at);
        let (first, kind) = first_guess(&guesses, around, base, not);
        let truth = self.field.pixels[at];
        let chance = &mut self.model.chances.first[kind * 4 + strangers];
        let colour = if self.coder.bit(chance, truth == first) {
            self.unguessed[at] = 0;
            first
        } else {
            self.second_thoughts(around, at, &guesses, first, not, strangers, strange[0] + strange[1])?
        };
        if !C::ENCODES {
            self.field.pixels[at] = colour;
        }
        self.model.learn(&guesses, colour);
        Ok(())
    }

    /// Codes the pixel at `at`, which is neither `first` nor `not`.
    #[allow(clippy::too_many_arguments)]
    fn second_thoughts(
        &mut self,
        around: &Around,
        at: usize,
        guesses: &Guesses,
        first: u32,
        not: Option<u32>,
        strangers: usize,
        strange_sides: usize,
    ) -> Result<u32, Refusal> {
        let later = Later::of(guesses, around, self.base_at(at), first, not);
        let truth = self.field.pixels[at];
        let right = if C::ENCODES { later.find(truth) } else { None };
        let chances = &mut self.model.chances;
        let context = strangers + 4 * guesses.far.count().min(2) as usize;
        let unguessed = later.count == 0 || self.coder.bit(&mut chances.unguessed[context], right.is_none());
        self.unguessed[at] = u8::from(unguessed);
        if !unguessed {
            let mut place = 0;
            while place + 1 < later.count {
                let chance = &mut chances.later[later.kinds[place] * 4 + place.min(3)];
                if self.coder.bit(chance, right == Some(place)) {
                    break;
                }
                place += 1;
            }
            return Ok(later.colours[place]);
        }
        let known = if C::ENCODES { self.model.colours.find(truth) } else { None };
        if self.coder.bit(&mut self.model.chances.remembered[strange_sides], known.is_some()) {
            return self.remembered(known.unwrap_or_default());
        }
        let colour = self.literal(around, truth);
        self.model.colours.add(colour);
        Ok(colour)
    }

    fn remembered(&mut self, index: usize) -> Result<u32, Refusal> {
        let mut node = 1;
        for place in (0..8).rev() {
            let bit = self.coder.bit(&mut self.model.chances.index[node], index >> place & 1 == 1);
            node = node * 2 + usize::from(bit);
        }
        self.model.colours.at(node - 256).ok_or(Refusal::Payload)
    }

    /// Codes a colour by what its channels differ from a prediction: green first, and the others from theirs corrected by
    /// the green one's error, since the three mostly err alike.
    fn literal(&mut self, around: &Around, truth: u32) -> u32 {
        let steep = {
            let [west, north, corner] =
                [around.west, around.north, around.north_west].map(|colour| channel(colour, GREEN));
            (west - corner).abs() + (north - corner).abs()
        };
        let context = [4, 16, 64].iter().filter(|limit| steep >= **limit).count();
        let green = self.error(0, context, predict(around, GREEN), truth, GREEN);
        let size = match green.unsigned_abs() {
            0 => 0,
            1..4 => 1,
            4..32 => 2,
            _ => 3,
        };
        let mut colour = wrap(predict(around, GREEN) + green) << GREEN;
        for (index, shift) in [(1, RED), (2, BLUE)] {
            let predicted = (predict(around, shift) + green).clamp(0, 255);
            let error = self.error(index, size, predicted, truth, shift);
            colour |= wrap(predicted + error) << shift;
        }
        colour
    }

    /// Codes by how much a channel of `truth` differs from `predicted`, from -128 to 127, modulo 256.
    fn error(&mut self, index: usize, context: usize, predicted: i32, truth: u32, shift: u32) -> i32 {
        let error = i32::from((channel(truth, shift) - predicted) as i8);
        let folded = (error << 1 ^ error >> 31) as u32;
        let bits = u32::BITS - folded.leading_zeros();
        let chances = &mut self.model.chances;
        let longer = &mut chances.longer[index][context * 16..];
        let mut count = 0;
        while count < CHANNEL_BITS && self.coder.bit(&mut longer[count as usize], count < bits) {
            count += 1;
        }
        let folded = if count == 0 {
            0
        } else {
            tail(self.coder, &mut chances.second[index][count as usize], folded, count - 1)
        };
        (folded >> 1) as i32 ^ -((folded & 1) as i32)
    }
}

/// How far a run went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    /// As far as it could.
    Whole(usize),
    /// Less, and the next pixel is not its continuation.
    Broken(usize),
}

impl Length {
    const fn get(self) -> usize {
        match self {
            Self::Whole(len) | Self::Broken(len) => len,
        }
    }
}

/// Codes the `below` bits under the highest of `number`, which is known to have so many: the first of them adaptively.
fn tail(coder: &mut impl Coder, second: &mut Chance, number: u32, below: u32) -> u32 {
    let Some(rest) = below.checked_sub(1) else { return 1 };
    let top = 2 | u32::from(coder.bit(second, number >> rest & 1 == 1));
    top << rest | coder.bits(number & ((1 << rest) - 1), rest)
}

/// The likeliest colour but `not`, and which chance it has.
fn first_guess(guesses: &Guesses, around: &Around, base: Option<u32>, not: Option<u32>) -> (u32, usize) {
    let allowed = |colour: &u32| Some(*colour) != not;
    let (far, near) = (guesses.far, guesses.near);
    if let Some(colour) = far.first().filter(allowed) {
        (colour, far.trust().min(3) as usize * 2 + usize::from(near.first() == Some(colour)))
    } else if let Some(colour) = near.first().filter(allowed) {
        (colour, 8 + near.trust().min(3) as usize * 2 + usize::from(base == Some(colour)))
    } else if let Some(colour) = base.filter(allowed) {
        (colour, 16 + usize::from(colour == around.north) + 2 * usize::from(colour == around.west))
    } else if allowed(&around.north) {
        let north = around.north;
        (north, 20 + usize::from(north == around.west) + 2 * usize::from(around.north_west == around.west))
    } else {
        (around.west, 24)
    }
}

/// The colours that a pixel may have if the first guess is wrong, without repetitions.
struct Later {
    colours: [u32; GUESSES_MAX],
    kinds: [usize; GUESSES_MAX],
    count: usize,
}

impl Later {
    fn of(guesses: &Guesses, around: &Around, base: Option<u32>, first: u32, not: Option<u32>) -> Self {
        let candidates = [
            guesses.near.first(),
            base,
            Some(around.north),
            Some(around.west),
            guesses.far.second(),
            guesses.near.second(),
            Some(around.north_east),
            Some(around.north_west),
        ];
        let mut later = Self { colours: [0; GUESSES_MAX], kinds: [0; GUESSES_MAX], count: 0 };
        for (kind, colour) in candidates.into_iter().enumerate() {
            let Some(colour) = colour else { continue };
            let new = colour != first && Some(colour) != not && later.find(colour).is_none();
            if new && later.count + 1 < GUESSES_MAX {
                later.colours[later.count] = colour;
                later.kinds[later.count] = kind;
                later.count += 1;
            }
        }
        later
    }

    fn find(&self, colour: u32) -> Option<usize> {
        self.colours[..self.count].iter().position(|held| *held == colour)
    }
}

const fn channel(colour: u32, shift: u32) -> i32 {
    (colour >> shift & 255) as i32
}

const fn wrap(value: i32) -> u32 {
    value as u32 & 255
}

/// What a channel is likely to be where colours change gradually: the median of west, north, and the plane through the
/// three neighbours, as in JPEG-LS.
fn predict(around: &Around, shift: u32) -> i32 {
    let [west, north, corner] =
        [around.west, around.north, around.north_west].map(|colour| channel(colour, shift));
    if corner >= west.max(north) {
        west.min(north)
    } else if corner <= west.min(north) {
        west.max(north)
    } else {
        west + north - corner
    }
}
