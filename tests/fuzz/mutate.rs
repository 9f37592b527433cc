//! Inputs that are nearly right.

use lfp_proto::packet::{HEADER_LEN, PLAIN_TRAILER_LEN};

use crate::harness::INPUT_MAX;

/// A small deterministic generator (xorshift64*).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 for 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 16) % bound.max(1) as u64) as usize
    }

    /// Mostly small, at times anything.
    pub(crate) fn wild(&mut self) -> u64 {
        if self.below(8) == 0 { self.next() >> self.below(64) } else { self.below(40) as u64 }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }
}

/// Numbers that parsers get wrong, as varints and as they lie in memory.
pub(crate) const LIES: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0xff],
    &[0x80, 0x01],
    &[0xff, 0x7f],
    &[0x80, 0x80, 0x01],
    &[0x80, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x00, 0x00, 0x00, 0x80],
];

/// One of `seeds`, changed in one to five places.
pub(crate) fn mutated(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(5) {
        mutate(&mut input, seeds, rng);
    }
    input.truncate(INPUT_MAX);
    input
}

/// Changes `input` in one place.
pub(crate) fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(input.len());
    match rng.below(12) {
        0 | 1 => change(input, at, |byte| byte ^ (1 << rng.below(8))),
        2 => change(input, at, |_| rng.byte()),
        3 => change(input, at, |byte| byte.wrapping_add(1)),
        4 => change(input, at, |byte| byte.wrapping_sub(1)),
        5 => input.truncate(at),
        6 => input.extend((0..1 + rng.below(40)).map(|_| rng.byte())),
        // A lie in place of as many bytes, or of one: lengths behind it shift or stay.
        7 | 8 => {
            let lie = LIES[rng.below(LIES.len())];
            let taken = if rng.below(2) == 0 { 1 } else { lie.len() };
            input.splice(at..input.len().min(at + taken), lie.iter().copied());
        }
        9 => {
            let end = at + rng.below(input.len() - at + 1);
            input.drain(at..end);
        }
        10 => {
            let end = at + rng.below(input.len() - at + 1);
            let copy = input[at..end].to_vec();
            let to = rng.below(input.len());
            input.splice(to..to, copy);
        }
        _ => {
            let other = &seeds[rng.below(seeds.len())];
            input.truncate(at);
            input.extend(&other[rng.below(other.len())..]);
        }
    }
    input.truncate(INPUT_MAX);
}

fn change(input: &mut [u8], at: usize, to: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = to(*byte);
    }
}

/// One of `seeds` with one to five of its words, of four bytes each, replaced.
pub(crate) fn words(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    const WORDS: [u32; 12] = [0, 1, 2, 3, 8, 16, 24, 32, 1024, 4096, 1 << 31, u32::MAX];
    let mut input = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(5) {
        let at = 4 * rng.below(input.len() / 4);
        if let Some(word) = input.get_mut(at..at + 4) {
            word.copy_from_slice(&WORDS[rng.below(WORDS.len())].to_ne_bytes());
        }
    }
    input
}

/// [`mutated`], with a right checksum every other time.
pub(crate) fn checksummed(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let input = mutated(seeds, rng);
    if rng.below(2) == 0 { checksum(input) } else { input }
}

/// [`mutated`], every other time without a datagram's header and trailer.
pub(crate) fn payload(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = mutated(seeds, rng);
    if rng.below(2) == 0 {
        input.drain(..input.len().min(HEADER_LEN));
        input.truncate(input.len().saturating_sub(PLAIN_TRAILER_LEN));
    }
    input
}

/// Makes the checksum of a plain datagram right.
pub(crate) fn checksum(mut input: Vec<u8>) -> Vec<u8> {
    if let Some(end) = input.len().checked_sub(PLAIN_TRAILER_LEN) {
        let crc = crc32fast::hash(&input[..end]).to_le_bytes();
        input[end..].copy_from_slice(&crc);
    }
    input
}
