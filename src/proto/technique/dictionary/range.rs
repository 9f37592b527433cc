//! A binary range coder with adaptive chances. Both halves work on 32 bits, in integers, so that they agree on every
//! CPU.
//!
//! A [`Chance`] is a 12-bit probability that a bit is 1, and a count of what it has seen: the first bits move it
//! fast, later ones slowly.

#[cfg(feature = "encode")]
use alloc::vec::Vec;

/// Bits of a probability that the coder uses.
const CHANCE_BITS: u32 = 12;
/// The range is kept at least this wide.
const RANGE_MIN: u32 = 1 << 24;
/// What a bit draws its chance to, in 65,536ths: no nearer to certainty, which would cost too much to be wrong about.
const ZERO: i32 = 1 << 9;
const ONE: i32 = (1 << 16) - (1 << 9);
/// Bits that a chance has seen when it moves as slowly as it ever does.
const SEEN_MAX: usize = 30;
/// What part of the way a chance goes, in 65,536ths, by the bits that it has seen: two in 3, two in 5, and so on, as if
/// each bit counted alike.
const STEPS: [i32; SEEN_MAX + 1] = {
    let mut steps = [0; SEEN_MAX + 1];
    let mut seen = 0;
    while seen <= SEEN_MAX {
        steps[seen] = (1 << 17) / (2 * seen as i32 + 3);
        seen += 1;
    }
    steps
};

/// An adaptive probability that a bit is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chance {
    /// In 65,536ths.
    of_one: u16,
    seen: u16,
}

impl Chance {
    /// Nothing is known.
    pub(super) const EVEN: Self = Self { of_one: 1 << 15, seen: 0 };

    #[inline(always)]
    const fn probability(self) -> u32 {
        self.of_one as u32 >> (16 - CHANCE_BITS)
    }

    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        let seen = usize::from(self.seen).min(SEEN_MAX);
        let now = i32::from(self.of_one);
        let aim = if bit { ONE } else { ZERO };
        self.of_one = (now + (((aim - now) * STEPS[seen]) >> 16)) as u16;
        self.seen = (seen as u16 + 1).min(SEEN_MAX as u16);
    }
}

/// One half of the coder, so that encoder and decoder walk the pixels with the same code.
pub(super) trait Coder {
    /// Whether bits come from the pixels, rather than pixels from the bits.
    const ENCODES: bool;

    /// Codes one bit under an adaptive chance. A decoder ignores `bit` and returns the one that it reads.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool;

    /// Codes the low `count` bits of `value`, at most 16, at even chances. A decoder ignores `value`.
    fn bits(&mut self, value: u32, count: u32) -> u32;
}

/// Reads bits. Past the end of its bytes it reads zeros; [`Decoder::is_at_end`] tells whether it may.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    /// Bytes read, also past the end.
    read: usize,
    range: u32,
    code: u32,
}

/// Bytes that a decoder reads before the first bit.
const AHEAD: usize = 4;

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, read: 0, range: u32::MAX, code: 0 };
        for _ in 0..AHEAD {
            decoder.take();
        }
        decoder
    }

    /// Whether exactly the bytes that were needed are there. Trailing zeros among the last four may be missing.
    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.len() <= self.read && self.bytes.len() + AHEAD >= self.read
    }

    /// Whether so much was read past the end that the bytes cannot be whole.
    pub(super) fn is_past_end(&self) -> bool {
        self.bytes.len() + AHEAD < self.read
    }

    #[inline(always)]
    fn widen(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.take();
        }
    }

    #[inline(always)]
    fn take(&mut self) {
        let byte = self.bytes.get(self.read).copied().unwrap_or(0);
        self.read += 1;
        self.code = self.code << 8 | u32::from(byte);
    }
}

impl Coder for Decoder<'_> {
    const ENCODES: bool = false;

    #[inline(always)]
    fn bit(&mut self, chance: &mut Chance, _: bool) -> bool {
        let bound = (self.range >> CHANCE_BITS) * chance.probability();
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        chance.learn(bit);
        self.widen();
        bit
    }

    #[inline]
    fn bits(&mut self, _: u32, count: u32) -> u32 {
        self.range >>= count;
        // What the division of the range left over belongs to the last value.
        let value = (self.code / self.range).min((1 << count) - 1);
        self.code -= value * self.range;
        self.widen();
        value
    }
}

/// Writes bits.
#[cfg(feature = "encode")]
#[derive(Debug, Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
    state: State,
}

/// Everything but the bytes that are settled.
#[cfg(feature = "encode")]
#[derive(Clone, Copy, Debug)]
struct State {
    low: u64,
    range: u32,
    /// The last byte, which a carry may still change; `None` before the first.
    last: Option<u8>,
    /// Bytes of 255 behind it, which a carry would turn into zeros.
    pending: usize,
    /// Bytes moved out of `low`.
    shifts: usize,
}

#[cfg(feature = "encode")]
impl Default for State {
    fn default() -> Self {
        Self { low: 0, range: u32::MAX, last: None, pending: 0, shifts: 0 }
    }
}

/// A place in an encoder's output that it can go back to.
#[cfg(feature = "encode")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    len: usize,
    state: State,
}

#[cfg(feature = "encode")]
impl Encoder {
    /// Forgets everything but its allocation.
    pub(super) fn restart(&mut self) {
        self.out.clear();
        self.state = State::default();
    }

    /// Bytes that [`Encoder::finish`] would write now, at most.
    pub(super) const fn len(&self) -> usize {
        self.state.shifts + AHEAD
    }

    pub(super) fn place(&self) -> Place {
        Place { len: self.out.len(), state: self.state }
    }

    /// Forgets what was coded since `place`.
    pub(super) fn go_back(&mut self, place: Place) {
        self.out.truncate(place.len);
        self.state = place.state;
    }

    /// Appends the bytes to `out`: the fewest that decode to what was coded.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let State { low, range, shifts, .. } = self.state;
        let high = low + u64::from(range) - 1;
        // Of all numbers that stand for the same bits, the one with the most zeros at its end.
        let rounded = (0..32).rev().map(|zeros| high >> zeros << zeros).find(|number| *number >= low);
        self.state.low = rounded.unwrap_or(low);
        for _ in 0..=AHEAD {
            self.shift();
        }
        let zeros = self.out[shifts..].iter().rev().take_while(|byte| **byte == 0).count();
        out.extend_from_slice(&self.out[..self.out.len() - zeros]);
    }

    #[inline]
    fn shift(&mut self) {
        let State { low, last, pending, shifts, .. } = &mut self.state;
        *shifts += 1;
        let carry = (*low >> 32) as u8;
        if carry > 0 || *low >> 24 < 0xff {
            if let Some(last) = last {
                self.out.push(last.wrapping_add(carry));
            }
            for _ in 0..*pending {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            *pending = 0;
            // The byte before the first is 0, and nothing carries into it.
            *last = Some((*low >> 24) as u8);
        } else {
            *pending += 1;
        }
        *low = (*low & 0x00ff_ffff) << 8;
    }

    #[inline]
    fn widen(&mut self) {
        while self.state.range < RANGE_MIN {
            self.state.range <<= 8;
            self.shift();
        }
    }
}

#[cfg(feature = "encode")]
impl Coder for Encoder {
    const ENCODES: bool = true;

    #[inline(always)]
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        let bound = (self.state.range >> CHANCE_BITS) * chance.probability();
        if bit {
            self.state.range = bound;
        } else {
            self.state.low += u64::from(bound);
            self.state.range -= bound;
        }
        chance.learn(bit);
        self.widen();
        bit
    }

    #[inline]
    fn bits(&mut self, value: u32, count: u32) -> u32 {
        self.state.range >>= count;
        self.state.low += u64::from(value) * u64::from(self.state.range);
        self.widen();
        value
    }
}
