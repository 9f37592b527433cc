//! The walk over the pixels that encoder and decoder share.
//!
//! Pixels are taken row by row. Where the neighbourhood is that of the base, or all of one colour, a *run* is coded: how
//! far the pixels go on as the base does, or in that colour. Every other pixel is coded as the first guess, as one
//! of up to five later ones, as a remembered colour, or by what its channels differ from a prediction.

use super::field::Field;
use super::model::{Around, Guesses, LATER, Model, NONE};
use super::range::{Chance, Coder};
use crate::frame::Refusal;

/// Pixels of a run that are compared together.
const STRETCH: usize = 8;
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
                self.pixel(&around, at, NONE)?;
                at += 1;
                continue;
            };
            let length = self.run(course, around.west, at, end);
            self.unguessed[at..at + length.get()].fill(0);
            at += length.get();
            if let Length::Broken(_) = length {
                // What ended the run is anything but its continuation.
                let around = Around::of(&self.field.pixels, at, self.field.stride);
                let not = match course {
                    Course::Base => self.base_at(at),
                    Course::Flat => around.west,
                };
                self.pixel(&around, at, not)?;
                at += 1;
            }
        }
        self.field.close_row(y);
        Ok(())
    }

    /// The base's pixel; [`NONE`] without a base.
    #[inline(always)]
    fn base_at(&self, at: usize) -> u32 {
        self.base.map_or(NONE, |base| base[at])
    }

    /// What a run from `at` would follow, if its neighbourhood tells.
    #[inline(always)]
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

    /// Codes the run from `at`: at most to `end`, and in one `colour` no further than the row above allows.
    fn run(&mut self, course: Course, colour: u32, at: usize, end: usize) -> Length {
        let stride = self.field.stride;
        let base = match (course, self.base) {
            (Course::Base, Some(base)) => Some(&base[at..end]),
            _ => None,
        };
        let max = match base {
            Some(_) => end - at,
            None => (1 + plain(&self.field.pixels[at + 1 - stride..end - stride], colour)).min(end - at),
        };
        let pixels = &mut self.field.pixels[at..at + max];
        let true_len = match base {
            _ if !C::ENCODES => 0,
            Some(base) => alike(pixels, base),
            None => plain(pixels, colour),
        };
        let context = course as usize * 2 + usize::from(at + max == end);
        let whole = self.coder.bit(&mut self.model.chances.run_whole[context], true_len == max);
        let len = if whole { max } else { self.broken_run(course, true_len, max) };
        if !C::ENCODES {
            let pixels = &mut self.field.pixels[at..at + len];
            match base {
                Some(base) => pixels.copy_from_slice(&base[..len]),
                None => pixels.fill(colour),
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
    #[inline(always)]
    fn pixel(&mut self, around: &Around, at: usize, not: u32) -> Result<(), Refusal> {
        let guesses = self.model.guesses(around);
        let stride = self.field.stride;
        let [west, north, east] =
            [at - 1, at - stride, at - stride + 1].map(|place| usize::from(self.unguessed[place]));
        let ask = Ask { at, not, strangers: west + north + east, sides: west + north };
        let base = self.base_at(at);
        let (first, kind) = first_guess(&guesses, around, base, not);
        let truth = self.field.pixels[at];
        let chance = &mut self.model.chances.first[kind * 4 + ask.strangers];
        let colour = if self.coder.bit(chance, truth == first) {
            self.unguessed[at] = 0;
            first
        } else {
            self.second_thoughts(around, &guesses, first, ask)?
        };
        if !C::ENCODES {
            self.field.pixels[at] = colour;
        }
        self.model.learn(&guesses, colour);
        Ok(())
    }

    /// Codes a pixel that is not `first`.
    fn second_thoughts(
        &mut self,
        around: &Around,
        guesses: &Guesses,
        first: u32,
        ask: Ask,
    ) -> Result<u32, Refusal> {
        let Ask { at, not, strangers, sides } = ask;
        let (near, far) = (guesses.near, guesses.far);
        let later = Later([near.first(), self.base_at(at), around.north, around.west, far.second()]);
        let truth = self.field.pixels[at];
        let chances = &mut self.model.chances;
        let chance = &mut chances.unguessed[strangers + 4 * far.count() as usize];
        let unguessed = self.coder.bit(chance, C::ENCODES && !later.0.contains(&truth));
        self.unguessed[at] = u8::from(unguessed);
        if !unguessed {
            return self.later(&later, later.left(first, not), truth);
        }
        let known = if C::ENCODES { self.model.colours.find(truth) } else { None };
        if self.coder.bit(&mut self.model.chances.remembered[sides], known.is_some()) {
            return self.remembered(known.unwrap_or_default());
        }
        let colour = self.literal(around, truth);
        self.model.colours.add(colour);
        Ok(colour)
    }

    /// Codes which of the guesses that are `left` of `later` is right.
    // SPEC [LFP-16.4]: A client MUST refuse a dictionary stream that is longer than its pixels need, or more than four
    // bytes shorter, or that names a guess or a remembered colour that is not there.
    fn later(&mut self, later: &Later, mut left: u32, truth: u32) -> Result<u32, Refusal> {
        let mut place = 0;
        while left != 0 {
            let kind = left.trailing_zeros() as usize;
            left &= left - 1;
            let chance = &mut self.model.chances.later[kind * 4 + place];
            if left == 0 || self.coder.bit(chance, C::ENCODES && later.0[kind] == truth) {
                return Ok(later.0[kind]);
            }
            place = (place + 1).min(3);
        }
        Err(Refusal::Payload)
    }

    fn remembered(&mut self, index: usize) -> Result<u32, Refusal> {
        // As many bits as the highest index has.
        let bits = usize::BITS - self.model.colours.len().saturating_sub(1).leading_zeros();
        let mut node = 256 >> bits;
        for place in (0..bits).rev() {
            let bit = self.coder.bit(&mut self.model.chances.index[node & 255], index >> place & 1 == 1);
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
        let sizes = &mut self.model.chances.size[index][context * 16..][..16];
        if !self.coder.bit(&mut sizes[0], bits > 0) {
            return 0;
        }
        // One less than the number of bits, as a tree of three bits.
        let mut node = 1;
        for place in (0..3).rev() {
            let bit = self.coder.bit(&mut sizes[node & 7], bits.wrapping_sub(1) >> place & 1 == 1);
            node = node * 2 + usize::from(bit);
        }
        let below = node as u32 & 7;
        let folded = tail(self.coder, &mut self.model.chances.second[index][below as usize], folded, below);
        (folded >> 1) as i32 ^ -((folded & 1) as i32)
    }
}

/// What a pixel that has to be coded is known not to be, and how strange its neighbours were.
#[derive(Clone, Copy)]
struct Ask {
    at: usize,
    /// A colour that it does not have, or [`NONE`].
    not: u32,
    /// How many of its neighbours to the left, above, and above to the right no guess knew.
    strangers: usize,
    /// How many of the first two.
    sides: usize,
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
#[inline(always)]
fn tail(coder: &mut impl Coder, second: &mut Chance, number: u32, below: u32) -> u32 {
    let Some(rest) = below.checked_sub(1) else { return 1 };
    let top = 2 | u32::from(coder.bit(second, number >> rest & 1 == 1));
    if rest == 0 {
        return top;
    }
    top << rest | coder.bits(number & ((1 << rest) - 1), rest)
}

/// The likeliest colour but `not`, and which chance it has.
#[inline(always)]
fn first_guess(guesses: &Guesses, around: &Around, base: u32, not: u32) -> (u32, usize) {
    let allowed = |colour: u32| colour != NONE && colour != not;
    let (far, near) = (guesses.far, guesses.near);
    if allowed(far.first()) {
        let colour = far.first();
        (colour, far.trust().min(3) as usize * 2 + usize::from(near.first() == colour))
    } else if allowed(near.first()) {
        let colour = near.first();
        (colour, 8 + near.trust().min(3) as usize * 2 + usize::from(base == colour))
    } else if allowed(base) {
        (base, 16 + usize::from(base == around.north) + 2 * usize::from(base == around.west))
    } else if allowed(around.north) {
        let north = around.north;
        (north, 20 + usize::from(north == around.west) + 2 * usize::from(around.north_west == around.west))
    } else {
        (around.west, 24)
    }
}

/// The colours that a pixel may have if the first guess is wrong, [`NONE`] for those that are not there.
struct Later([u32; LATER]);

impl Later {
    /// Those that are left without `first`, `not` and repetitions, a bit each.
    #[inline(always)]
    fn left(&self, first: u32, not: u32) -> u32 {
        let mut left = 0;
        for (at, &colour) in self.0.iter().enumerate() {
            let mut new = colour != NONE && colour != first && colour != not;
            for other in &self.0[..at] {
                new &= *other != colour;
            }
            left |= u32::from(new) << at;
        }
        left
    }
}

/// How many pixels at the beginning of `pixels` have `colour`.
fn plain(pixels: &[u32], colour: u32) -> usize {
    let whole = pixels
        .chunks_exact(STRETCH)
        .take_while(|stretch| stretch.iter().fold(0, |differ, pixel| differ | (pixel ^ colour)) == 0);
    let whole = whole.count() * STRETCH;
    whole + pixels[whole..].iter().take_while(|pixel| **pixel == colour).count()
}

/// How many pixels at the beginning of two equally long stretches are the same.
fn alike(one: &[u32], other: &[u32]) -> usize {
    let stretches = one.chunks_exact(STRETCH).zip(other.chunks_exact(STRETCH));
    let whole = stretches.take_while(|(one, other)| one == other).count() * STRETCH;
    whole + one[whole..].iter().zip(&other[whole..]).take_while(|(one, other)| one == other).count()
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
